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
    """The model, the reference's answers and the statistics, where they are not there yet."""
    if not (work / "model" / "model.safetensors").exists():
        subprocess.run([sys.executable, str(HERE / "make_model.py"), str(work / "model")], check=True)
    (work / "prompts.json").write_text(json.dumps([{"prompt": prompt} for prompt in PROMPTS]))
    if not (work / "answers").exists():
        ours.gristmill("record", "model", "--probes", "prompts.json", "-o", "answers", "--max-new-tokens", "32", "--quiet")
    if not (work / "stats").exists():
        ours.gristmill("calibrate", "model", "-o", "stats", "--quiet")


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
        page.write(rows, facts(work), ROOT / "Docs" / "fidelity.md")


if __name__ == "__main__":
    main()
