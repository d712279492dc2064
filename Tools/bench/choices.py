"""What choices at full precision cost: `choices.py --int4 FILE --exact FILE (--questions FILE --images FOLDER | --photograph FILE)`.

FILE are raw files of the recipes int4 and int4-exact-choices of one model, the second with a record inside. In turn, ROUNDS times: the
int4 file; the other with --exact-choices always and margin. Medians, and times of the first.

With questions, seconds a question as `gristmill evaluate` counts them: picture, router and four tokens. With a photograph, seconds to
the first token: picture and router as the file chooses, the prompt at --granularity (72 tokens a tile)."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def gristmill(program: Path, *arguments) -> dict:
    done = subprocess.run([program, *map(str, arguments)], check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def of_questions(arguments: argparse.Namespace, model: Path, mode: str) -> float:
    report = gristmill(
        arguments.gristmill, "evaluate", model, "--questions", arguments.questions, "--images", arguments.images,
        "--granularity", "auto", "--max-new-tokens", 4, "--exact-choices", mode, "--json", "--quiet",
    )  # fmt: skip
    return report["rows"][0]["seconds"]


def of_photograph(arguments: argparse.Namespace, model: Path, mode: str) -> float:
    def run(*options) -> dict:
        asked = ("--image", arguments.photograph, "--prompt", "What is in the picture?", "--max-new-tokens", 1, "--json")
        return gristmill(arguments.gristmill, "run", model, *asked, "--exact-choices", mode, *options)

    chosen, forced = run(), run("--granularity", arguments.granularity)
    if mode == "margin":
        print(f"  asked twice: {chosen['router_asked_twice']}", flush=True)
    # Where the choice is asked twice, preparing the prompt makes the picture anew.
    return chosen["timing"]["image_s"] + chosen["timing"]["prepare_s"] + forced["timing"]["prefill_s"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--int4", type=Path, required=True)
    parser.add_argument("--exact", type=Path, required=True)
    parser.add_argument("--questions", type=Path)
    parser.add_argument("--images", type=Path)
    parser.add_argument("--photograph", type=Path)
    parser.add_argument("--granularity", type=int, default=72)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--gristmill", type=Path, default=ROOT / ".build/release/gristmill")
    arguments = parser.parse_args()
    if (arguments.questions is None) == (arguments.photograph is None):
        parser.error("give --questions with --images, or --photograph")
    measure = of_questions if arguments.questions else of_photograph
    sides = {"int4": (arguments.int4, "always"), "always": (arguments.exact, "always"), "margin": (arguments.exact, "margin")}
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(arguments.rounds):
        for name, side in sides.items():
            seconds[name].append(measure(arguments, *side))
    first = statistics.median(seconds["int4"])
    for name, values in seconds.items():
        middle = statistics.median(values)
        print(f"{name:8} {middle:9.4f} s  {middle / first:5.2f}  ({min(values):.4f} to {max(values):.4f})")


if __name__ == "__main__":
    main()
