"""How well sixteen values serve as int4's table, and the search that found ours: `code_table.py WORK [--search] [-- TABLE…]`.

WORK is where run.py made its model; `gristmill calibrate WORK/model -o WORK/stats` adds what flows into its matrices. A table is
"-32,-24,…", values in rising order. Errors are relative to those of the values of llama.cpp's IQ4_NL, groups of 64 columns:

- turned: of weights as calibrated files have them, each block of 64 columns times the normalised Hadamard matrix (and normally
  distributed ones, which they come close to), as a root of squares;
- outputs: of what the matrices give for the inputs of the statistics when their weights are rounded as they came, as a square,
  the geometric mean over the matrices. There small weights count that meet great inputs: steps near zero want to be finer.

The search changes one value by one while outputs + 6 * (turned above 1) falls, within -32...32.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from safetensors import safe_open

GROUP, MOST = 64, 32
IQ4_NL = (-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)
OURS = (-32, -24, -19, -15, -11, -8, -5, -2, 0, 3, 6, 9, 12, 16, 21, 28)


def hadamard(size: int) -> np.ndarray:
    """Sylvester's, normalised: symmetric, its own inverse."""
    matrix = np.ones((1, 1), np.float32)
    while len(matrix) < size:
        matrix = np.block([[matrix, matrix], [matrix, -matrix]])
    return matrix / np.sqrt(np.float32(size))


def losses(table: tuple[int, ...], groups: np.ndarray) -> np.ndarray:
    """What rounding leaves of groups [n, 64], each with the scale that leaves least: the greatest weight is put near either end of
    the table, the scale then fitted to the codes."""
    values = np.asarray(table, np.float32)
    middles = (values[1:] + values[:-1]) / 2
    extremes = groups[np.arange(len(groups)), np.abs(groups).argmax(1)][:, None]
    squares = (groups * groups).sum(1)
    least, left = np.full(len(groups), np.inf, np.float32), np.zeros_like(groups)
    for part in np.arange(0.87, 1.13, 0.05, np.float32):
        for end in (values[0], values[-1]):
            codes = values[np.searchsorted(middles, groups * (end / part / extremes))]
            cross = (groups * codes).sum(1)
            scales = cross / (codes * codes).sum(1)
            error = squares - cross * scales
            wins = error < least
            least[wins], left[wins] = error[wins], groups[wins] - codes[wins] * scales[wins, None]
    return left


class Measure:
    """The model's matrices, some rows of each, and what flows into them."""

    def __init__(self, work: Path, rows: int, seed: int) -> None:
        random, turn = np.random.default_rng(seed), hadamard(GROUP)
        self.matrices, turned = [], [random.standard_normal((4096, GROUP)).astype(np.float32)]
        with safe_open(work / "stats", "np") as stats, safe_open(work / "model" / "model.safetensors", "np") as model:
            for matrix in json.loads(stats.metadata()["statistics"])["matrices"]:
                if "_proj" not in matrix["name"]:
                    continue
                weights = model.get_tensor(matrix["name"]).astype(np.float32)
                weights = weights[random.integers(0, len(weights), rows)]
                # Statistics are of turned inputs.
                moments = turn @ stats.get_tensor(matrix["input"]).reshape(-1, GROUP, GROUP) @ turn
                self.matrices.append((weights.reshape(rows, -1, GROUP), moments.astype(np.float32)))
                some = weights.reshape(-1, GROUP)[:: max(1, weights.size // GROUP // 40)] @ turn
                turned.append(some / np.sqrt(np.mean(some * some)))
        self.turned = np.concatenate(turned)
        self.usual = self.absolute(IQ4_NL)

    def absolute(self, table: tuple[int, ...]) -> tuple[float, np.ndarray]:
        outputs = []
        for weights, moments in self.matrices:
            left = losses(table, weights.reshape(-1, GROUP)).reshape(weights.shape)
            lost, whole = (np.einsum("rbi,bij,rbj->", x, moments, x, optimize=True) for x in (left, weights))
            outputs.append(lost / whole)
        return float(np.sqrt((losses(table, self.turned) ** 2).sum())), np.array(outputs)

    def relative(self, table: tuple[int, ...]) -> tuple[float, float]:
        """Of turned weights and of outputs."""
        turned, outputs = self.absolute(table)
        return turned / self.usual[0], float(np.exp(np.log(outputs / self.usual[1]).mean()))


def search(measure: Measure, table: tuple[int, ...]) -> tuple[int, ...]:
    def cost(candidate: tuple[int, ...]) -> float:
        turned, outputs = measure.relative(candidate)
        return outputs + 6 * max(0, turned - 1)

    least, seen = cost(table), {table}
    while True:
        moved = False
        for place in range(len(table)):
            for step in (-1, 1):
                changed = (*table[:place], table[place] + step, *table[place + 1 :])
                if changed in seen or min(np.diff(changed)) <= 0 or max(map(abs, changed)) > MOST:
                    continue
                seen.add(changed)
                if (found := cost(changed)) < least - 1e-4:
                    table, least, moved = changed, found, True
                    print(f"  {least:.4f}  {table}", flush=True)
        if not moved:
            return table


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=Path)
    parser.add_argument("--search", action="store_true", help="go on from each table; takes ten minutes for one")
    parser.add_argument("--rows", type=int, default=24, help="of each matrix")
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("tables", nargs="*", help="default: ours")
    arguments = parser.parse_intermixed_args()
    tables = [tuple(map(int, table.split(","))) for table in arguments.tables] or [OURS]
    measure = Measure(arguments.work, arguments.rows, arguments.seed)
    for table in tables:
        best = search(measure, table) if arguments.search else table
        turned, outputs = measure.relative(best)
        print(f"{','.join(map(str, best))}: turned {turned:.4f}, outputs {outputs:.4f}", flush=True)


if __name__ == "__main__":
    main()
