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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=Path, required=True, help="evaluation.jsonl")
    parser.add_argument("--answers", type=Path, required=True)
    parser.add_argument("--feedback", type=Path)
    parser.add_argument("routers", nargs="*", help="NAME=FOLDER")
    arguments = parser.parse_args()
    questions = [json.loads(line) for line in arguments.questions.read_text().splitlines()]
    answered = {item["index"]: item for item in lines(arguments.answers / "progress.jsonl")}
    count = len(questions)
    grids = sorted(int(name) for name in answered[0]["answers"])

    def right(index: int, grid: int) -> bool:
        said = answered[index]["answers"][str(grid)]["text"]
        return said.strip().lower().rstrip(".") == questions[index]["answer"].strip().lower()

    table = np.array([[right(index, grid) for grid in grids] for index in range(count)], float)
    tokens = np.array([[answered[index]["answers"][str(grid)]["visual_tokens"] for grid in grids] for index in range(count)], float)
    losses = None
    if arguments.feedback:
        told = {item["index"]: item["losses"] for item in lines(arguments.feedback / "feedback.jsonl")}
        losses = np.array([told[index] for index in range(count)])
    rows = {}
    for text in arguments.routers:
        name, _, folder = text.partition("=")
        chosen = {item["index"]: item["choice"] for item in lines(Path(folder) / "progress.jsonl")}
        rows[name] = np.array([grids.index(chosen[index]) for index in range(count)])
    for place, grid in enumerate(grids):
        rows[f"fixed {grid}"] = np.full(count, place)
    first = next(iter(rows))
    at = np.arange(count)
    print(f"{'':24}{'right, %':>14}{'points more':>16}{'tokens':>8}" + ("{:>9}{:>22}{:>8}".format("regret", "less regret", "ratio") if losses is not None else ""))
    for name, choice in rows.items():
        own, base = table[at, choice], table[at, rows[first]]
        text = f"{name:24}{100 * own.mean():8.2f} ± {100 * error(own):.2f}{100 * (own - base).mean():9.2f} ± {100 * error(own - base):.2f}{tokens[at, choice].mean():8.0f}"
        if losses is not None:
            regret = losses[at, choice] - losses.min(1)
            other = losses[at, rows[first]] - losses.min(1)
            text += f"{regret.mean():9.4f}{(other - regret).mean():13.4f} ± {error(other - regret):.4f}{regret.mean() / other.mean():8.3f}"
        print(text)


if __name__ == "__main__":
    main()
