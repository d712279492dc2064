"""The command line."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from . import machine
from .processes import Failed, say
from .report import write_report
from .results import Results
from .sections import QUICK_SECTIONS, SECTIONS, Comparison
from .settings import FULL, QUICK, ROOT, TINY, Settings


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="run", description="Compare Gristmill with llama.cpp on this machine, and write Docs/benchmarks.md."
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for programs, models and results; 70 GB")
    parser.add_argument(
        "--only",
        nargs="+",
        choices=[*SECTIONS, "report"],
        metavar="SECTION",
        help="run only these: " + ", ".join([*SECTIONS, "report"]),
    )
    parser.add_argument(
        "--again",
        nargs="+",
        choices=list(SECTIONS),
        default=[],
        metavar="SECTION",
        help="forget what was measured in these sections first",
    )
    parser.add_argument("--repetitions", type=int, default=3, help="how often to measure; medians are reported (3)")
    parser.add_argument(
        "--threads", type=int, default=os.cpu_count(), help="compute threads of both sides (one a core)"
    )
    parser.add_argument("--tiny", action="store_true", help="one layer and short prompts: only to see that all works")
    parser.add_argument(
        "--quick",
        action="store_true",
        help="what is asked for most, in under half an hour once the models stand; a page in the work folder",
    )
    parser.add_argument("--remark", help="a line of your own among the page's conditions")
    parser.add_argument(
        "--ik-build", type=Path, help="a folder where ik_llama.cpp was built: its best joins prompts and decoding"
    )
    parser.add_argument("--llama-version", help="version of llama-cpp-python to fetch (the newest)")
    parser.add_argument(
        "--converter-python",
        type=Path,
        help="a Python with torch, numpy, sentencepiece, transformers (one is made in the work folder)",
    )
    parser.add_argument(
        "--gristmill", type=Path, default=ROOT / ".build/release/gristmill", help="the program to measure"
    )
    parser.add_argument(
        "--output", type=Path, help="the page to write (Docs/benchmarks.md; of --tiny and --quick in the work folder)"
    )
    return parser.parse_args()


def main() -> None:
    arguments = parse()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    settings = Settings(
        work=work,
        repetitions=arguments.repetitions,
        threads=arguments.threads,
        sizes=TINY if arguments.tiny else QUICK if arguments.quick else FULL,
        tiny=arguments.tiny,
        gristmill=arguments.gristmill.resolve(),
        converter_python=arguments.converter_python and arguments.converter_python.absolute(),
        ik_build=arguments.ik_build and arguments.ik_build.resolve(),
    )
    results = Results(settings.path("results.json"))
    comparison = Comparison(settings, results)
    comparison.llama_version = arguments.llama_version
    for section in arguments.again:
        results.forget(section)
    try:
        for name in arguments.only or (QUICK_SECTIONS if arguments.quick else [*SECTIONS]):
            if name == "report":
                continue
            start = time.monotonic()
            say(f"{name}: {SECTIONS[name].__doc__.splitlines()[0]}")
            SECTIONS[name](comparison)
            results.facts |= machine.facts() | comparison.mine.facts() | comparison.theirs.facts()
            if comparison.fork:
                results.facts |= comparison.fork.facts()
            results.facts |= {"threads": settings.threads, "date": time.strftime("%Y-%m-%d")}
            results.save()
            say(f"{name}: {time.monotonic() - start:.0f} s")
    except Failed as error:
        sys.exit(f"run: {error}")
    except KeyboardInterrupt:
        sys.exit("run: interrupted; what was measured is kept")
    if arguments.remark:
        results.facts["remark"] = arguments.remark
        results.save()
    own = work / "quick.md" if arguments.quick else settings.path("benchmarks.md") if arguments.tiny else None
    page = arguments.output or own or ROOT / "Docs/benchmarks.md"
    write_report(results, settings, page)
    say(f"written: {page}")
