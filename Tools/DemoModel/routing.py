"""Judge routers on the answers of one model, paired: `routing.py --answers FOLDER NAME=FOLDER…`.

--answers is what `gristmill evaluate MODEL --granularity all -o FOLDER` left, which has the model's answer at every granularity. Each NAME=FOLDER is what
`evaluate` left of another file on the same questions; only its router's choices are taken. So every row has the same weights, and differs in the grids
alone. With --feedback FOLDER (of `gristmill align`, on the same questions in the same order) losses and regret are there, too. Differences are from the first row,
paired by question, with the standard error of the mean.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()[1:]]


def error(values: np.ndarray) -> float:
    return values.std(ddof=1) / np.sqrt(len(values))


class Answers:
    """One model's answers at every grid, to be judged at anybody's choices."""

    def __init__(self, folder: Path, questions: Path, losses: np.ndarray | None = None) -> None:
        asked = [json.loads(line) for line in questions.read_text().splitlines()]
        items = {item["index"]: item for item in lines(folder / "progress.jsonl")}
        self.grids = sorted(int(grid) for grid in items[0]["answers"])
        self.levels = np.array([question["category"] for question in asked])
        said = [[items[index]["answers"][str(grid)] for grid in self.grids] for index in range(len(asked))]
        self.right = np.array([[answer["text"].strip().lower() == asked[index]["answer"].strip().lower() for answer in row] for index, row in enumerate(said)], float)
        self.tokens = np.array([[answer["visual_tokens"] for answer in row] for row in said], float)
        self.losses = losses

    def choices(self, folder: Path) -> np.ndarray:
        chosen = {item["index"]: item["choice"] for item in lines(folder / "progress.jsonl")}
        return np.array([self.grids.index(chosen[index]) for index in range(len(chosen))])

    def fixed(self, grid: int) -> np.ndarray:
        return np.full(len(self.right), self.grids.index(grid))

    def table(self, rows: dict[str, np.ndarray], base: str | None = None) -> None:
        at = np.arange(len(self.right))
        base = base or next(iter(rows))
        print("| row | right, % | points more | visual tokens |" + (" regret | times |" if self.losses is not None else "") + " coarse | medium | fine | " +
              " | ".join(f"{grid}" for grid in self.grids) + " |")
        print("|---" * (7 + 2 * (self.losses is not None) + len(self.grids)) + "|")
        for name, choice in rows.items():
            own, other = self.right[at, choice], self.right[at, rows[base]]
            cells = [name, f"{100 * own.mean():.1f} ± {100 * error(own):.1f}", f"{100 * (own - other).mean():+.2f} ± {100 * error(own - other):.2f}",
                     f"{self.tokens[at, choice].mean():.0f}"]
            if self.losses is not None:
                regret = self.losses[at, choice] - self.losses.min(1)
                before = self.losses[at, rows[base]] - self.losses.min(1)
                cells += [f"{regret.mean():.4f} (less by {(before - regret).mean():.4f} ± {error(before - regret):.4f})", f"{regret.mean() / before.mean():.2f}"]
            cells += [f"{100 * own[self.levels == level].mean():.1f}" for level in ("coarse", "medium", "fine")]
            cells += [f"{100 * (choice == place).mean():.1f}" for place in range(len(self.grids))]
            print("| " + " | ".join(cells) + " |")
        print()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True, help="evaluation.jsonl")
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--feedback", type=Path)
    parser.add_argument("routers", nargs="*", help="NAME=FOLDER")
    arguments = parser.parse_args()
    losses = None
    if arguments.feedback:
        told = {item["index"]: item["losses"] for item in lines(arguments.feedback / "feedback.jsonl")}
        losses = np.array([told[index] for index in sorted(told)])
    answers = Answers(arguments.answers, arguments.questions, losses)
    named = (text.partition("=") for text in arguments.routers)
    answers.table({name: answers.choices(Path(folder)) for name, _, folder in named} | {f"fixed {grid}": answers.fixed(grid) for grid in answers.grids})


if __name__ == "__main__":
    main()
