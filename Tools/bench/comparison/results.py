"""Measurements as they accumulate, in one JSON file."""

from __future__ import annotations

import json
import os
import statistics
import time
from pathlib import Path
from typing import Any


class Results:
    """`samples` maps a name like "prefill/gristmill/int4/512" to a list of {"value": …, "at": …}; `facts` holds what is
    known about the machine and the programs. Written after every sample, so that nothing is lost or done twice."""

    def __init__(self, path: Path) -> None:
        self.path = path
        document = json.loads(path.read_text()) if path.is_file() else {}
        self.facts: dict[str, Any] = document.get("facts", {})
        self.samples: dict[str, list[dict[str, Any]]] = document.get("samples", {})

    def save(self) -> None:
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps({"facts": self.facts, "samples": self.samples}, indent=1) + "\n")
        os.replace(temporary, self.path)

    def add(self, name: str, value: float) -> None:
        sample = {"value": value, "at": time.strftime("%Y-%m-%d %H:%M:%S")}
        self.samples.setdefault(name, []).append(sample)

    def forget(self, section: str) -> None:
        self.samples = {name: list for name, list in self.samples.items() if not name.startswith(section + "/")}

    def count(self, name: str) -> int:
        return len(self.samples.get(name, []))

    def median(self, name: str) -> float | None:
        values = [sample["value"] for sample in self.samples.get(name, [])]
        return statistics.median(values) if values else None

    def best(self, name: str) -> float | None:
        """The greatest sample: other programs only ever slow a machine down."""
        return max((sample["value"] for sample in self.samples.get(name, [])), default=None)

    def curve(self, prefix: str) -> list[tuple[float, float]]:
        """(number at the end of the name, median) of all samples below `prefix`, ascending."""
        names = [name for name in self.samples if name.startswith(prefix + "/")]
        return sorted((float(name.rsplit("/", 1)[1]), self.median(name)) for name in names)
