"""Remake the card's first two tables with `gristmill evaluate`: `card.py --data FOLDER [--gristmill PROGRAM] [--check]`.

FOLDER is what generate.py wrote. The checkpoint answers every question at full precision, at every grid and at its router's. With --check
the card is not written; the program ends with 1 where it would be another. evaluate.py makes the same figures in PyTorch.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
LEVELS = ("coarse", "medium", "fine")


def evaluated(program: Path, data: Path) -> dict:
    command = [program, "evaluate", HERE / "checkpoint", "--questions", data / "evaluation.jsonl", "--images", data]
    command += ["--granularity", "all", "--max-new-tokens", "4", "--score", "exact", "--json", "--quiet"]
    return json.loads(subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, text=True).stdout)


def share(right: dict) -> str:
    return f"{100 * right['mean']:.1f} ± {100 * right['standard_error']:.1f}"


def results(report: dict) -> str:
    lines = ["| row | all | coarse | medium | fine | visual tokens | against finest |", "|---|---|---|---|---|---|---|"]
    fixed = [row for row in report["rows"] if row["granularity"] != "auto"]
    finest = max(fixed, key=lambda row: int(row["granularity"]))["visual_tokens"]
    for row in sorted(fixed, key=lambda row: int(row["granularity"])) + [row for row in report["rows"] if row["granularity"] == "auto"]:
        levels = {category["name"]: category["right"] for category in row["categories"]}
        name = "**adaptive**" if row["granularity"] == "auto" else f"fixed {row['granularity']}"
        cells = [name, share(row["right"]), *(share(levels[level]) for level in LEVELS), f"{row['visual_tokens']:.0f}"]
        lines.append(f"| {' | '.join(cells)} | {100 * (row['visual_tokens'] / finest - 1):+.0f} % |")
    return "\n".join(lines)


def routing(report: dict) -> str:
    counts = {choice["category"]: {int(grid): count for grid, count in choice["counts"].items()} for choice in report["choices"]}
    grids = sorted(int(row["granularity"]) for row in report["rows"] if row["granularity"] != "auto")
    lines = [f"| level | questions | {' | '.join(map(str, grids))} | at most a quarter | at least half |", f"|---|---|{'---|' * len(grids)}---|---|"]
    for level in (*LEVELS, None):
        found = counts.get(level) or {grid: sum(part.get(grid, 0) for name, part in counts.items() if name) for grid in grids}
        total = sum(found.values())
        parts = [100 * found.get(grid, 0) / total for grid in grids]
        quarter, half = sum(parts[:-2]), sum(parts[-2:])
        error = f" ± {(half * (100 - half) / total) ** 0.5:.1f}" if level == "fine" else ""
        cells = [level or "all", str(total), *(f"{part:.1f}" for part in parts), f"{quarter:.1f}", f"{half:.1f}{error}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--gristmill", type=Path, default=HERE.parents[1] / ".build/release/gristmill")
    parser.add_argument("--check", action="store_true")
    arguments = parser.parse_args()
    report = evaluated(arguments.gristmill, arguments.data)
    card = HERE / "MODEL_CARD.md"
    text = card.read_text()
    # The first table of either kind; others of the card are of other routers.
    for table, first in ((results(report), "| row | all |"), (routing(report), "| level | questions |")):
        old = re.search(rf"^{re.escape(first)}.*\n(?:\|.*\n)+", text, re.M)
        text = text[: old.start()] + table + "\n" + text[old.end() :]
    if arguments.check:
        sys.exit(text != card.read_text())
    card.write_text(text)


if __name__ == "__main__":
    main()
