"""Compare two JSON documents: floats within a tolerance, everything else exactly."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Comparison:
    """Collects what differs. A float passes within `tolerance` · max(`floor`, |expected|)."""

    tolerance: float
    floor: float = 1.0
    problems: list[str] = field(default_factory=list)
    largest: float = 0.0

    def compare(self, found: Any, expected: Any, where: str = "$") -> None:
        """Walk both documents side by side."""
        if isinstance(expected, float) and isinstance(found, (int, float)):
            self._compare_floats(float(found), expected, where)
        elif type(found) is not type(expected):
            self.problems.append(f"{where}: {found!r:.60} is not of the type of {expected!r:.60}")
        elif isinstance(expected, dict):
            if found.keys() != expected.keys():
                self.problems.append(f"{where}: keys {sorted(found)} instead of {sorted(expected)}")
            for key in found.keys() & expected.keys():
                self.compare(found[key], expected[key], f"{where}.{key}")
        elif isinstance(expected, list):
            if len(found) != len(expected):
                self.problems.append(f"{where}: {len(found)} entries instead of {len(expected)}")
            for index, (left, right) in enumerate(zip(found, expected, strict=False)):
                self.compare(left, right, f"{where}[{index}]")
        elif found != expected:
            self.problems.append(f"{where}: {found!r:.80} instead of {expected!r:.80}")

    def _compare_floats(self, found: float, expected: float, where: str) -> None:
        difference = abs(found - expected) / max(self.floor, abs(expected))
        self.largest = max(self.largest, difference)
        if not difference <= self.tolerance:
            self.problems.append(f"{where}: {found!r} instead of {expected!r}")
