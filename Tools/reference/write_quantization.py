#!/usr/bin/env python3
"""Write the quantization fixture: how small the error of a symmetric group scale can get.

    python write_quantization.py -o FOLDER

FOLDER receives `matrices.safetensors` (F32) and `expected.json`. A group is a run of
columns of one row (the last one may be shorter) with one float16 scale; its codes are
clip(round(w / scale)), in [-127, 127] for int8 and [-8, 7] for int4, where the scale may be
negative. Errors are Σ(w − scale·code)² / Σw² over the whole matrix, in double precision:
`absmax` with the scale that just covers the group, absmax/127 or absmax/7 rounded to float16,
and `best` with the best of ALL float16 scales in the range worth looking at.
"""

from __future__ import annotations

import argparse
import json
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

GROUPS = (32, 64, 128)


@dataclass(frozen=True)
class Scheme:
    """Code range, and the search range in multiples of the covering scale."""

    name: str
    lowest: int
    highest: int
    least: float
    most: float
    both_signs: bool


SCHEMES = (
    Scheme("int8", -127, 127, 0.4, 1.1, both_signs=False),
    Scheme("int4", -8, 7, 0.1, 1.25, both_signs=True),
)

# (kind, rows, columns)
MATRICES: list[tuple[str, int, int]] = [
    ("normal", 1, 48), ("normal", 5, 64), ("normal", 16, 100), ("normal", 37, 588),
    ("heavy", 5, 100), ("heavy", 16, 64), ("heavy", 37, 100),
    ("outlier", 5, 48), ("outlier", 16, 588), ("outlier", 37, 64),
    ("spread", 37, 64), ("zeros", 5, 64), ("zeros", 16, 100), ("constant", 1, 64), ("constant", 5, 100),
    ("tiny", 5, 588), ("tiny", 16, 64), ("huge", 1, 100), ("huge", 5, 588), ("huge", 16, 64),
]  # fmt: skip


def make_matrix(kind: str, rows: int, columns: int, seed: int) -> np.ndarray:
    """A float32 matrix of the given character."""
    generator = np.random.default_rng(seed)
    normal = generator.standard_normal((rows, columns))
    if kind == "normal":
        values = 0.02 * normal
    elif kind == "heavy":
        values = 0.02 * generator.standard_t(3, (rows, columns))
    elif kind == "outlier":
        values = 0.02 * normal
        values[np.arange(rows), generator.integers(0, columns, rows)] *= 100
    elif kind == "spread":
        values = normal * np.exp(2 * generator.standard_normal((rows, 1)))
    elif kind == "zeros":
        values = np.zeros((rows, columns))
    elif kind == "constant":
        values = np.full((rows, columns), -0.0371)
    elif kind == "tiny":
        values = 1e-7 * normal
    elif kind == "huge":
        values = 1e4 * normal
    else:
        raise ValueError(f"no kind of matrix is called {kind!r}")
    return values.astype(np.float32)


def float16_between(least: float, most: float) -> np.ndarray:
    """Every positive float16 value in the range; the smallest ones where the range lies below them."""
    positive = np.arange(1, 0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    inside = positive[(positive >= least) & (positive <= most)]
    return inside if len(inside) else positive[:1]


def squared_errors(group: np.ndarray, scales: np.ndarray, scheme: Scheme) -> np.ndarray:
    """Σ(w − scale·code)² of one group for each scale; a scale of zero makes every code zero."""
    safe = np.where(scales == 0, 1, scales)[:, None]
    codes = np.clip(np.rint(group / safe), scheme.lowest, scheme.highest)
    return ((group - scales[:, None] * codes) ** 2).sum(axis=1)


def group_errors(group: np.ndarray, scheme: Scheme) -> tuple[float, float]:
    """(absmax, best) squared error of one group."""
    largest = float(np.abs(group).max())
    if largest == 0:
        return 0.0, 0.0
    covering = largest / scheme.highest
    plain = np.array([covering]).astype(np.float16).astype(np.float64)
    candidates = float16_between(covering * scheme.least, covering * scheme.most)
    if scheme.both_signs:
        candidates = np.concatenate([candidates, -candidates])
    absmax = squared_errors(group, plain, scheme)[0]
    return float(absmax), float(min(absmax, squared_errors(group, candidates, scheme).min()))


def matrix_errors(matrix: np.ndarray, scheme: Scheme, size: int) -> dict[str, Any]:
    """Relative squared errors of a matrix cut into groups of `size` columns."""
    values = matrix.astype(np.float64)
    absmax = best = 0.0
    for row in values:
        for start in range(0, len(row), size):
            plain, smallest = group_errors(row[start : start + size], scheme)
            absmax += plain
            best += smallest
    total = float((values**2).sum())
    scale = 1 / total if total else 0.0
    return {"scheme": scheme.name, "group": size, "absmax_error": absmax * scale, "best_error": best * scale}


def write_quantization(folder: Path) -> None:
    """Write both files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    matrices: dict[str, np.ndarray] = {}
    entries: list[dict[str, Any]] = []
    for kind, rows, columns in MATRICES:
        name = f"{kind}_{rows}x{columns}"
        seed = zlib.crc32(name.encode())
        matrices[name] = make_matrix(kind, rows, columns, seed)
        results = [matrix_errors(matrices[name], scheme, size) for scheme in SCHEMES for size in GROUPS]
        entries.append({"name": name, "shape": [rows, columns], "seed": seed, "results": results})
    save_file(matrices, folder / "matrices.safetensors")
    (folder / "matrices.safetensors").chmod(0o644)
    document = {"versions": {"numpy": np.__version__}, "matrices": entries}
    (folder / "expected.json").write_text(json.dumps(document, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    write_quantization(parser.parse_args().output)


if __name__ == "__main__":
    main()
