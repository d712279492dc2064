"""Re-make the model card's tables: `evaluate.py --data FOLDER [--checkpoint FOLDER] ROW…`.

FOLDER is what generate.py wrote. Rows: `fixed` (each granularity, or `fixed:64` for one), `adaptive`, `routing`, `ablation` (the
paper's routers, those that train.py left in --routers), `routers` (every one in --routers), `topics`, `time`. Weights are the
exported bfloat16 ones, cast to float32.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from pathlib import Path

import torch

from demomodel.checkpoint import read_checkpoint, read_router
from demomodel.model import DemoModel
from demomodel.testset import Answered, PictureState, answer_all, choices, generate
from demomodel.tokenizer import Tokenizer

LEVELS = ("coarse", "medium", "fine")
HEADER = "| row | all | coarse | medium | fine | visual tokens | against finest |\n|---|---|---|---|---|---|---|"


class Report:
    """Answers every question once at every granularity, then prints any row."""

    def __init__(self, model: DemoModel, tokenizer: Tokenizer, data: Path, routers: Path | None) -> None:
        self.model, self.tokenizer, self.data, self.router_folder = model, tokenizer, data, routers
        self.states: list[PictureState] = []

    def answered(self) -> list[Answered]:
        if not self.states:
            self.states = answer_all(self.model, self.tokenizer, self.data)
        return [a for state in self.states for a in state.answered]

    def row(self, name: str, chosen: list[int]) -> None:
        """One table row for the given granularity index of every question."""
        answered = self.answered()
        cells = []
        for level in (None, *LEVELS):
            right = [a.correct[c] for a, c in zip(answered, chosen) if level in (None, a.question.level)]
            share = sum(right) / max(1, len(right))
            # A binomial proportion's standard error.
            cells.append(f"{100 * share:.1f} ± {100 * (share * (1 - share) / max(1, len(right))) ** 0.5:.1f}")
        tokens = sum(a.visual_tokens[c] for a, c in zip(answered, chosen)) / len(answered)
        finest = sum(a.visual_tokens[-1] for a in answered) / len(answered)
        print(f"| {name} | {' | '.join(cells)} | {tokens:.0f} | {100 * (tokens / finest - 1):+.0f} % |", flush=True)

    def fixed(self, only: str | None) -> None:
        print(HEADER)
        for i, granularity in enumerate(self.model.granularities):
            if only in (None, str(granularity)):
                self.row(f"fixed {granularity}", [i] * len(self.answered()))

    def choose(self) -> list[int]:
        self.answered()
        return choices(self.model, self.tokenizer, self.states)

    def adaptive(self) -> None:
        print(HEADER)
        self.row("adaptive", self.choose())

    def routing(self) -> None:
        """How often the router takes each granularity, by level; every picture is asked questions of all levels."""
        answered, chosen = self.answered(), self.choose()
        sizes = self.model.granularities
        print("| level | questions | " + " | ".join(map(str, sizes)) + " | at most a quarter | at least half |\n|" + "---|" * (len(sizes) + 4))
        for level in (*LEVELS, "all"):
            picked = Counter(c for a, c in zip(answered, chosen) if level in ("all", a.question.level))
            total = max(1, sum(picked.values()))
            shares = " | ".join(f"{100 * picked[i] / total:.1f}" for i in range(len(sizes)))
            low = sum(n for i, n in picked.items() if sizes[i] * 4 <= sizes[-1])
            high = sum(n for i, n in picked.items() if sizes[i] * 2 >= sizes[-1])
            print(f"| {level} | {total} | {shares} | {100 * low / total:.1f} | {100 * high / total:.1f} |")

    def ablation(self) -> None:
        print(HEADER)
        self.answered()
        for name in ("priced", "ranking+ce", "ranking", "ce", "none"):
            read_router(self.model, self.router_folder / f"{name}.safetensors")
            self.row({"none": "no stage 2", "priced": "ranking+ce, tokens priced"}.get(name, name), self.choose())

    def routers(self) -> None:
        """A row for every router of the folder."""
        print(HEADER)
        self.answered()
        for path in sorted(self.router_folder.glob("*.safetensors")):
            read_router(self.model, path)
            self.row(path.stem, self.choose())

    def topics(self) -> None:
        """Accuracy of every topic at each granularity."""
        answered = self.answered()
        print("| topic | level | " + " | ".join(map(str, self.model.granularities)) + " |\n|" + "---|" * (len(self.model.granularities) + 2))
        for topic, level in sorted({(a.question.topic, a.question.level) for a in answered}, key=lambda t: (LEVELS.index(t[1]), t[0])):
            rows = [a.correct for a in answered if a.question.topic == topic]
            print(f"| {topic} | {level} | " + " | ".join(f"{100 * sum(column) / len(column):.1f}" for column in zip(*rows)) + " |")

    def time(self, questions: int = 60) -> None:
        """Seconds a question for the whole of inference (picture, router, prompt, greedy answer), one at a time."""
        answered = self.answered()[:: max(1, len(self.answered()) // questions)]
        print("| row | ms a question |\n|---|---|")
        for granularity in (*self.model.granularities, None):
            generate(self.model, self.tokenizer, self.data / answered[0].image, answered[0].question.text, granularity)
            start = time.perf_counter()
            for a in answered:
                generate(self.model, self.tokenizer, self.data / a.image, a.question.text, granularity)
            print(f"| {granularity or 'adaptive'} | {1000 * (time.perf_counter() - start) / len(answered):.1f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=Path(__file__).parent / "checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--routers", type=Path, help="folder of router files, for `ablation` and `routers`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("rows", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    report = Report(*read_checkpoint(arguments.checkpoint), arguments.data, arguments.routers)
    for row in arguments.rows:
        name, _, detail = row.partition(":")
        if name == "fixed":
            report.fixed(detail or None)
        else:
            getattr(report, name)()


if __name__ == "__main__":
    main()
