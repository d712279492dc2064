"""A progress line, and a resume file that is written every few minutes."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import torch


class Progress:
    """Averages what it is told, prints a line now and then, and saves the training state."""

    def __init__(self, name: str, folder: Path, every: int = 50, save_seconds: float = 180.0) -> None:
        self.name, self.path, self.every, self.save_seconds = name, folder / f"{name}.resume.pt", every, save_seconds
        self.sums: dict[str, list[float]] = defaultdict(list)
        self.parts: dict = {}
        self.started = self.saved = time.time()
        self.first = 0

    def resume(self, **parts) -> int:
        """Remember what to save; load it back if a resume file is there. Returns the step to go on from."""
        self.parts = parts
        if not self.path.exists():
            return 0
        state = torch.load(self.path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        self.first = state["step"]
        print(f"{self.name}: resumed at step {self.first}", flush=True)
        return self.first

    def save(self, step: int) -> None:
        temporary = self.path.with_suffix(".tmp")
        torch.save({"step": step, **{name: part.state_dict() for name, part in self.parts.items()}}, temporary)
        temporary.replace(self.path)
        self.saved = time.time()

    def line(self, step: int, steps: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            if value == value:
                self.sums[name].append(value)
        if time.time() - self.saved > self.save_seconds:
            self.save(step)
        if step % self.every and step != steps:
            return
        seconds = time.time() - self.started
        left = seconds / max(1, step - self.first) * (steps - step)
        means = "  ".join(f"{name} {sum(v) / len(v):.3f}" for name, v in sorted(self.sums.items()))
        print(f"{self.name} {step}/{steps}  {seconds:.0f} s, {left:.0f} s left  {means}", flush=True)
        self.sums.clear()
