#!/usr/bin/env python3
"""Compare the oracle with what the upstream implementation recorded in a conformance kit.

    python check_conformance.py KIT

KIT holds `images/` and one or more checkpoint folders with an `expected.json`. Decisions
(tiles, ids, lengths, choices, tokens) must be identical; the largest numeric differences
are printed and must stay below the tolerances. Exit status 1 if anything disagrees.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from oracle.model import ReferenceModel
from oracle.record import make_record

TIE_MARGIN = 0.005
TOLERANCES = {"pixel_sum": 1e-12, "router_logits": 1e-4, "last_logits": 1e-4, "forced logits": 1e-4}
EXACT = ("image_size", "text", "input_ids", "tiles", "router_choice", "sequence_length", "top5")


class Report:
    """Largest differences by kind, and the list of disagreements."""

    def __init__(self) -> None:
        self.largest = dict.fromkeys(TOLERANCES, 0.0)
        self.problems: list[str] = []

    def exact(self, where: str, found: Any, expected: Any) -> None:
        if found != expected:
            self.problems.append(f"{where}: {found!r:.100} instead of {expected!r:.100}")

    def numbers(self, kind: str, where: str, found: list[float], expected: list[float]) -> None:
        self.exact(f"{where} count", len(found), len(expected))
        difference = max((abs(a - b) for a, b in zip(found, expected, strict=False)), default=0.0)
        self.largest[kind] = max(self.largest[kind], difference)
        if not difference <= TOLERANCES[kind]:
            self.problems.append(f"{where}: differs by {difference:.3g}")


def clear_prefix(tokens: list[int], margins: list[float]) -> list[int]:
    """The greedy tokens before the first near-tie, from which on either continuation is right."""
    for index, value in enumerate(margins):
        if value < TIE_MARGIN:
            return tokens[:index]
    return tokens


def compare_case(report: Report, name: str, found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare one entry of `expected.json` with the oracle's own."""
    for key in EXACT:
        report.exact(f"{name} {key}", found[key], expected[key])
    relative = found["pixel_sum"] / expected["pixel_sum"] if expected["pixel_sum"] else 1.0
    report.numbers("pixel_sum", f"{name} pixel_sum", [relative], [1.0])
    for key in ("router_logits", "last_logits"):
        report.numbers(key, f"{name} {key}", found[key] or [], expected[key] or [])
    clear = clear_prefix(expected["generated"], expected["generated_margins"])
    report.exact(f"{name} generated", found["generated"][: len(clear)], clear)
    report.exact(f"{name} forced", list(found["forced"]), list(expected["forced"]))
    for granularity, forced in expected["forced"].items():
        mine, where = found["forced"][granularity], f"{name} forced {granularity}"
        report.exact(f"{where} sequence_length", mine["sequence_length"], forced["sequence_length"])
        report.numbers("forced logits", where, mine["last_logits_head"], forced["last_logits_head"])
        report.numbers("forced logits", f"{where} margin", [mine["margin"]], [forced["margin"]])
        if forced["margin"] >= TIE_MARGIN:
            report.exact(f"{where} argmax", mine["argmax"], forced["argmax"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kit", type=Path)
    kit = parser.parse_args().kit
    folders = sorted(path.parent for path in kit.glob("*/expected.json"))
    if not folders:
        parser.error(f"{kit} holds no checkpoint with an expected.json")

    failed = False
    for folder in folders:
        report = Report()
        model = ReferenceModel(folder)
        entries = json.loads((folder / "expected.json").read_text())
        for number, expected in enumerate(entries):
            found = make_record(model, kit / "images", expected)
            compare_case(report, f"case {number}", found, expected)
        print(f"{folder.name}: {len(entries)} cases")
        for kind, value in report.largest.items():
            print(f"  largest difference, {kind}: {value:.3g}{' (relative)' * (kind == 'pixel_sum')}")
        for problem in report.problems:
            print(f"  DISAGREES: {problem}")
        failed = failed or bool(report.problems)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
