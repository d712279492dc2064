#!/usr/bin/env python3
"""Make every fixture under Tests/Fixtures again, or check the committed ones.

    python remake_fixtures.py            overwrite the fixtures
    python remake_fixtures.py --check    make them in a temporary folder and compare
    python remake_fixtures.py text images --check      only some of them

The conformance kit itself is never remade: it came from the upstream implementation.
A check compares JSON documents (floats to 1e-5, everything else exactly) and all other files
byte by byte. Exit status 1 if anything differs.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "Tools/checkpoints"))

from make_checkpoint import write_checkpoint  # noqa: E402
from presets import PRESETS  # noqa: E402

from oracle.compare import Comparison  # noqa: E402
from write_expected import expected_records  # noqa: E402
from write_images import write_images  # noqa: E402
from write_quantization import write_quantization  # noqa: E402
from write_text import text_fixture  # noqa: E402

FIXTURES = ROOT / "Tests/Fixtures"
KIT = FIXTURES / "conformance"
CASES = Path(__file__).resolve().parent / "cases"
TOLERANCE = 1e-5
# Below these sizes a float counts as an absolute difference: logits are of order 1, errors far smaller.
FLOORS = {"checkpoints": 1.0, "quantization": 1e-6}


def make_text(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    document = text_fixture(KIT / "small-f32/tokenizer.model")
    (folder / "tokenizer.json").write_text(json.dumps(document, indent=1) + "\n")


def make_images(folder: Path) -> None:
    write_images(KIT / "images", folder)


def make_checkpoints(folder: Path) -> None:
    """One checkpoint for every file in `cases/`, which is named after its preset."""
    for cases in sorted(CASES.glob("*.json")):
        checkpoint = folder / cases.stem
        write_checkpoint(checkpoint, PRESETS[cases.stem], KIT / "small-f32/tokenizer.model")
        records = expected_records(checkpoint, KIT / "images", json.loads(cases.read_text()))
        (checkpoint / "expected.json").write_text(json.dumps(records) + "\n")


MAKERS: dict[str, Callable[[Path], None]] = {
    "text": make_text,
    "images": make_images,
    "checkpoints": make_checkpoints,
    "quantization": write_quantization,
}


def differences(made: Path, committed: Path, floor: float) -> tuple[list[str], float]:
    """What differs between two folders, and the largest difference between floats."""
    problems: list[str] = []
    largest = 0.0
    names = {path.relative_to(made) for path in made.rglob("*") if path.is_file()}
    others = {path.relative_to(committed) for path in committed.rglob("*") if path.is_file()}
    problems += [f"{name}: not committed" for name in sorted(names - others)]
    problems += [f"{name}: no longer made" for name in sorted(others - names)]
    for name in sorted(names & others):
        if name.suffix == ".json":
            comparison = Comparison(TOLERANCE, floor)
            comparison.compare(json.loads((made / name).read_text()), json.loads((committed / name).read_text()))
            problems += [f"{name}: {problem}" for problem in comparison.problems]
            largest = max(largest, comparison.largest)
        elif (made / name).read_bytes() != (committed / name).read_bytes():
            problems.append(f"{name}: other bytes")
    return problems, largest


def check(name: str) -> bool:
    """Make one group of fixtures aside and compare it; True if it is as committed."""
    with tempfile.TemporaryDirectory() as temporary:
        made = Path(temporary)
        # Cases name sample images relative to the kit's folder, so only the output moves.
        MAKERS[name](made)
        problems, largest = differences(made, FIXTURES / name, FLOORS.get(name, 1.0))
    print(f"{name}: {'DIFFERS' if problems else 'as committed'} (largest float difference {largest:.3g})")
    for problem in problems:
        print(f"  {problem}")
    return not problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"some of: {', '.join(MAKERS)}")
    parser.add_argument("--check", action="store_true", help="compare with the committed fixtures")
    arguments = parser.parse_args()
    unknown = set(arguments.groups) - set(MAKERS)
    if unknown:
        parser.error(f"no group is called {sorted(unknown)[0]!r}")
    groups = arguments.groups or list(MAKERS)
    if arguments.check:
        return int(not all([check(name) for name in groups]))
    for name in groups:
        MAKERS[name](FIXTURES / name)
        print(f"{name}: made")
    return 0


if __name__ == "__main__":
    sys.exit(main())
