"""What quantization costs a real model, ours and llama.cpp's: `run.py --work FOLDER [--gristmill PROGRAM] [--again ROW]… [ROW…]`. See README.md."""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
from pathlib import Path

import page
from prompts import PROMPTS
from rows import HERE, OURS, THEIRS, Ours, Row, Theirs

ROOT = HERE.parent.parent
PROGRAM = ROOT / ".build" / "release" / "gristmill"


def prepare(work: Path, ours: Ours) -> None:
    """The model and the reference's answers, where they are not there yet."""
    if not (work / "model" / "model.safetensors").exists():
        subprocess.run([sys.executable, str(HERE / "make_model.py"), str(work / "model")], check=True)
    (work / "prompts.json").write_text(json.dumps([{"prompt": prompt} for prompt in PROMPTS]))
    (work / "texts.json").write_text((HERE / "texts.json").read_text())
    if not (work / "texts").exists():
        ours.gristmill("record", "model", "--probes", "texts.json", "-o", "texts", "--max-new-tokens", "512", "--quiet")
    if not (work / "answers").exists():
        ours.gristmill("record", "model", "--probes", "prompts.json", "-o", "answers", "--max-new-tokens", "32", "--quiet")


def facts(work: Path) -> dict[str, str]:
    """What the figures depend on."""
    commit = subprocess.run(["git", "log", "-1", "--format=%h", "--", "Sources"], cwd=ROOT, check=False, stdout=subprocess.PIPE, text=True).stdout.strip()
    cpuinfo = Path("/proc/cpuinfo")
    name = re.search(r"^model name\s*: (.+)$", cpuinfo.read_text(), re.M) if cpuinfo.exists() else None
    found = {"Gristmill": commit, "processor": name[1] if name else platform.processor()}
    about = work / "llama/PKG-INFO"
    if version := re.search(r"^Version: (.+)$", about.read_text(), re.M) if about.is_file() else None:
        found["llama-cpp-python"] = version[1]
    return found


def reference_perplexity(ours: Ours) -> tuple[float, float]:
    """Of the reference itself, on its own answers and on the texts."""
    verified = (json.loads(ours.gristmill("verify", "model", "--reference", record, "--json", "--quiet")) for record in ("answers", "texts"))
    answers, texts = (report["outputs"]["reference_perplexity"] for report in verified)
    return answers, texts


def demo_table(work: Path, program: Path) -> str:
    """What the same does to the demo model, which has a router: 1,200 questions."""
    demo, folder = ROOT / "Tools" / "DemoModel", work / "demo"
    if not (folder / "test").exists():
        generate = [sys.executable, demo / "generate.py", "--seed", "901", "--count", "200", "--out", folder / "test"]
        subprocess.run([*map(str, generate)], check=True, stdout=subprocess.DEVNULL)
    recipes = [sys.executable, demo / "recipes.py", "--gristmill", program.resolve(), "--data", folder / "test", "--work", folder / "recipes"]
    return subprocess.run([*map(str, recipes)], check=True, stdout=subprocess.PIPE, text=True).stdout


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--gristmill", type=Path, default=PROGRAM)
    parser.add_argument("--llama-build", type=Path, help="a build of llama.cpp with llama-quantize and llama-imatrix; default: made in WORK")
    parser.add_argument("--again", action="append", default=[], choices=[*OURS, *THEIRS], help="a row that is measured anew")
    parser.add_argument("rows", nargs="*", help=f"default: all; of {', '.join([*OURS, *THEIRS])}")
    arguments = parser.parse_args()
    wanted = arguments.rows or [*OURS, *THEIRS]
    if unknown := set(wanted) - {*OURS, *THEIRS}:
        parser.error(f"no rows of these names: {', '.join(unknown)}")
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    ours, theirs = Ours(work, arguments.gristmill.resolve()), Theirs(work, arguments.llama_build)
    prepare(work, ours)
    if any(name in THEIRS for name in wanted):
        theirs.prepare()
    results = work / "results.json"
    rows = {name: Row(**row) for name, row in json.loads(results.read_text()).items()} if results.exists() else {}
    for name in wanted:
        if name not in rows or name in arguments.again:
            rows[name] = ours.row(name) if name in OURS else theirs.row(name)
            results.write_text(json.dumps({name: row.as_json() for name, row in rows.items()}))
        print(page.line(name, rows[name]), flush=True)
    if set(rows) >= {*OURS, *THEIRS}:
        page.write(rows, facts(work), reference_perplexity(ours), demo_table(work, arguments.gristmill), ROOT / "Docs" / "fidelity.md")


if __name__ == "__main__":
    main()
