"""Bicubic resizes of tiny synthetic images, pixel by pixel, as Pillow computes them."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image

from .pixels import BICUBIC

Size = tuple[int, int]

# (pattern, size from, size to), sizes as (width, height).
CASES: list[tuple[str, Size, Size]] = [
    ("noise", (1, 1), (1, 1)),
    ("noise", (1, 1), (5, 7)),
    ("noise", (2, 2), (9, 5)),
    ("noise", (3, 2), (2, 3)),
    ("noise", (7, 5), (3, 2)),
    ("noise", (13, 9), (13, 4)),
    ("noise", (13, 9), (4, 9)),
    ("noise", (13, 9), (13, 9)),
    ("noise", (13, 9), (14, 10)),
    ("noise", (31, 17), (8, 8)),
    ("noise", (50, 1), (7, 3)),
    ("noise", (1, 40), (3, 3)),
    ("noise", (12, 12), (40, 40)),
    ("noise", (40, 30), (5, 3)),
    ("noise", (64, 2), (1, 1)),
    ("noise", (5, 64), (31, 3)),
    ("noise", (24, 16), (36, 24)),
    ("noise", (20, 20), (19, 21)),
    ("checker", (8, 8), (24, 24)),
    ("checker", (16, 12), (5, 7)),
    ("checker", (9, 9), (10, 8)),
    ("edge", (10, 6), (33, 17)),
    ("edge", (33, 17), (10, 6)),
    ("edge", (4, 4), (3, 3)),
    ("ramp", (32, 8), (12, 20)),
    ("ramp", (12, 20), (32, 8)),
    ("white", (6, 6), (17, 4)),
    ("white", (40, 40), (3, 3)),
]


def _pattern(name: str, size: Size, seed: int) -> np.ndarray:
    width, height = size
    y, x = np.mgrid[0:height, 0:width]
    if name == "noise":
        return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if name == "checker":
        planes = [(x + y) % 2, x % 2, y % 2]
    elif name == "edge":
        planes = [x * 2 >= width, y * 2 >= height, (x == width // 2) | (y == 0)]
    elif name == "ramp":
        horizontal, vertical = x / max(width - 1, 1), y / max(height - 1, 1)
        planes = [horizontal, vertical, 1 - horizontal * vertical]
    elif name == "white":
        planes = [np.ones((height, width))] * 3
    else:
        raise ValueError(f"no pattern is called {name!r}")
    return np.rint(np.stack(planes, axis=-1).astype(np.float64) * 255).astype(np.uint8)


def resize_cases() -> list[dict[str, Any]]:
    """Each case with its source and result as row-major R, G, B values."""
    cases = []
    for number, (name, before, after) in enumerate(CASES):
        source = Image.fromarray(_pattern(name, before, seed=number))
        result = source.resize(after, BICUBIC)
        cases.append(
            {
                "pattern": name,
                "source_size": list(before),
                "result_size": list(after),
                "source": list(source.tobytes()),
                "result": list(result.tobytes()),
            }
        )
    return cases
