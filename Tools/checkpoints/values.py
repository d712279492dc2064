"""Seeded values, made piece by piece, and their encoding as float32, float16 or bfloat16."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator

import numpy as np

from spec import Spec, Tensor

PIECE = 1 << 20
RECYCLED_BLOCK = 1 << 24

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}
SAFETENSORS_NAMES = {"float32": "F32", "float16": "F16", "bfloat16": "BF16"}


def to_bfloat16(values: np.ndarray) -> np.ndarray:
    """The upper halves of finite float32 values, rounded to nearest, ties to even, as uint16."""
    bits = values.view(np.uint32)
    odd = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + odd) >> np.uint32(16)).astype(np.uint16)


def encode(values: np.ndarray, dtype: str) -> bytes:
    """Little-endian bytes of float32 values in `dtype`."""
    if dtype == "float32":
        return values.astype("<f4").tobytes()
    if dtype == "float16":
        return values.astype("<f2").tobytes()
    return to_bfloat16(values).astype("<u2").tobytes()


class Source:
    """Normal values that depend on nothing but the seed, the tensor's name and the position in it.

    A recycling source draws one block and serves windows of it: many times faster, and good
    enough where only the shape and the statistics of the weights matter.
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self.block: np.ndarray | None = None
        if spec.recycle:
            self.block = self._generator("block", 0).standard_normal(RECYCLED_BLOCK, dtype=np.float32)

    def _generator(self, name: str, piece: int) -> np.random.Generator:
        return np.random.Generator(np.random.SFC64([self.spec.seed, zlib.crc32(name.encode()), piece]))

    def _normal(self, name: str, piece: int, count: int) -> np.ndarray:
        generator = self._generator(name, piece)
        if self.block is None:
            return generator.standard_normal(count, dtype=np.float32)
        start = int(generator.integers(0, len(self.block) - count + 1))
        return self.block[start : start + count]

    def _row_scales(self, tensor: Tensor) -> np.ndarray:
        """One factor a row, log-normal with a mean square of one."""
        normal = self._generator(tensor.name + " rows", 0).standard_normal(tensor.shape[0])
        return (tensor.std * np.exp(tensor.row_spread * normal - tensor.row_spread**2)).astype(np.float32)

    def pieces(self, tensor: Tensor) -> Iterator[Callable[[], bytes]]:
        """Jobs whose results, in order, are the tensor's bytes."""
        if tensor.name.endswith(".voter"):
            yield lambda: encode(self._voter(tensor), self.spec.dtype)
            return
        rows = tensor.shape[0]
        width = tensor.count // rows
        scales = self._row_scales(tensor)
        step = max(1, PIECE // width)
        for piece, first in enumerate(range(0, rows, step)):
            chosen = scales[first : first + step, None]

            def job(piece: int = piece, chosen: np.ndarray = chosen) -> bytes:
                values = self._normal(tensor.name, piece, len(chosen) * width).reshape(-1, width) * chosen
                if tensor.mean:
                    values += np.float32(tensor.mean)
                return encode(values, self.spec.dtype)

            yield job

    def _voter(self, tensor: Tensor) -> np.ndarray:
        """Weights that sum to zero over each granularity and over the text.

        What all rows of a granularity have in common then cancels out, so that the choice
        depends on the image and the question instead of on the router's biases.
        """
        normal = self._normal(tensor.name, 0, tensor.count).astype(np.float32)
        blocks = [*self.spec.granularities, self.spec.text_rows]
        parts = np.split(normal, np.cumsum(blocks)[:-1])
        return np.concatenate([(part - part.mean()) / len(part) ** 0.5 for part in parts]).astype(np.float32)
