"""What is written down about the machine."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path


def facts() -> dict[str, str]:
    def first(path: str, pattern: str) -> str | None:
        try:
            match = re.search(pattern, Path(path).read_text(), re.M)
        except OSError:
            return None
        return match[1].strip() if match else None

    processor = first("/proc/cpuinfo", r"^model name\s*:\s*(.+)$") or platform.processor() or platform.machine()
    family = [first("/proc/cpuinfo", rf"^{name}\s*:\s*(\d+)$") for name in ("cpu family", "model")]
    memory = first("/proc/meminfo", r"^MemTotal:\s*(\d+) kB$")
    result = {"processor": processor, "cores": str(os.cpu_count())}
    if all(family):
        result["family and model"] = " / ".join(family)
    if memory:
        result["memory"] = f"{int(memory) * 1024 / 1e9:.1f} GB"
    return result
