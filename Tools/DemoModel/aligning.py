"""The experiments of Docs/alignment.md: `aligning.py --work FOLDER NAME…`, NAME one of quantized, foreign, unpadding, teacher, grids, settings; `all` is all of them.

Draws questions (generate.py), converts and aligns the demo model with `gristmill`, asks every file the test's questions with `gristmill evaluate`, and prints
tables, rights and tokens paired by routing.py. What is there already is not made again. Seeds: 923 to learn from (9,600 questions; the smaller experiments from 920's 2,400), 922 to be judged by
(2,400, never looked at before; the smaller ones 928's 1,200), foreign 924 (300) and 925 (2,400); rates and prices were chosen on 921 and 926.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from routing import Answers, lines

HERE = Path(__file__).resolve().parent
PRICE, FOREIGN_PRICE = 0.01, 0.003


class Bench:
    def __init__(self, work: Path, gristmill: str) -> None:
        self.work, self.gristmill = work, gristmill
        work.mkdir(parents=True, exist_ok=True)

    def run(self, *words: object) -> None:
        subprocess.run([self.gristmill, *map(str, words), "--quiet"], check=True, stdout=subprocess.DEVNULL)

    def data(self, seed: int, pictures: int, split: str = "test") -> Path:
        folder = self.work / f"data-{seed}"
        if not (folder / "evaluation.jsonl").exists():
            subprocess.run([sys.executable, str(HERE / "generate.py"), "--seed", str(seed), "--count", str(pictures), "--split", split, "--out", str(folder)],
                           check=True)
        return folder / "evaluation.jsonl"

    def file(self, name: str, *options: object) -> Path:
        path = self.work / f"{name}.grist"
        if not path.exists():
            self.run("convert", HERE / "checkpoint", "-o", path, *options)
        return path

    def align(self, name: str, model: Path, questions: Path, feedback: str, *options: object) -> Path:
        path = self.work / f"{name}.grist"
        if not path.exists():
            began = time.monotonic()
            self.run("align", model, "--questions", questions, "-o", path, "--feedback", self.work / feedback, *options)
            (self.work / f"{name}.seconds").write_text(f"{time.monotonic() - began:.0f}")
        return path

    def evaluate(self, model: Path, questions: Path, granularity: str = "auto") -> Path:
        folder = self.work / f"results-{model.stem}-{questions.parent.name}-{granularity}"
        if not (folder / "evaluation.json").exists():
            self.run("evaluate", model, "--questions", questions, "-o", folder, "--max-new-tokens", 8, "--granularity", granularity)
        return folder

    def losses(self, model: Path, questions: Path) -> np.ndarray:
        folder = self.work / f"losses-{model.stem}-{questions.parent.name}"
        self.run("align", model, "--questions", questions, "--part", "1/1", "--feedback", folder)
        told = {item["index"]: item["losses"] for item in lines(folder / "feedback.jsonl")}
        return np.array([told[index] for index in sorted(told)])


def quantized(bench: Bench) -> None:
    learn, test = bench.data(923, 1600), bench.data(922, 400)
    source, q4 = bench.file("source", "--recipe", "source"), bench.file("int4-all", "--recipe", "int4-all", "--calibrate", "none")
    rows = {"its router": q4, "full precision's choices": source}
    common = ("--epochs", 8, "--batch", 8, "--rate", 1e-3)
    rows["aligned"] = bench.align("aligned", q4, learn, "feedback-int4", "--token-price", PRICE, *common)
    for terms in ("ranking", "cross-entropy"):
        rows[f"aligned, {terms}"] = bench.align(f"aligned-{terms}", q4, learn, "feedback-int4", "--token-price", PRICE, "--terms", terms, *common)
    rows["aligned, no price"] = bench.align("aligned-free", q4, learn, "feedback-int4", *common)
    answers = Answers(bench.evaluate(q4, test, "all"), test, bench.losses(q4, test))
    print("## int4-all, 2,400 questions of seed 922\n")
    answers.table({name: answers.choices(bench.evaluate(path, test, "all" if path == q4 else "auto")) for name, path in rows.items()} |
                  {f"fixed {grid}": answers.fixed(grid) for grid in answers.grids})


def foreign(bench: Bench) -> None:
    learn, test = bench.data(924, 50, "foreign"), bench.data(925, 400, "foreign")
    for name, model in (("int4-all", bench.file("int4-all", "--recipe", "int4-all", "--calibrate", "none")),):
        aligned = bench.align(f"foreign-{name}", model, learn, f"feedback-foreign-{name}", "--token-price", FOREIGN_PRICE, "--epochs", 4, "--batch", 8, "--rate", 5e-4)
        answers = Answers(bench.evaluate(model, test, "all"), test, bench.losses(model, test))
        print(f"## A foreign domain, {name}: 300 questions to learn from, 2,400 of seed 925; {(bench.work / f'foreign-{name}.seconds').read_text()} s\n")
        answers.table({"its router": answers.choices(bench.evaluate(model, test, "all")), "aligned": answers.choices(bench.evaluate(aligned, test))} |
                      {f"fixed {grid}": answers.fixed(grid) for grid in answers.grids})


def unpadding(bench: Bench) -> None:
    learn, test = bench.data(920, 400), bench.data(928, 200)
    source = bench.file("source", "--recipe", "source")
    corrected = bench.file("corrected", "--recipe", "source", "--unpadding", "corrected")
    aligned = bench.align("corrected-aligned", corrected, learn, "feedback-corrected", "--token-price", 0.008, "--epochs", 8, "--batch", 8, "--rate", 1e-3)
    for name, model in (("upstream's", source), ("corrected", corrected)):
        answers = Answers(bench.evaluate(model, test, "all"), test)
        print(f"## Unpadding {name}, full precision, 1,200 questions of seed 928\n")
        rows = {"its router": answers.choices(bench.evaluate(model, test, "all"))}
        if model == corrected:
            rows["aligned"] = answers.choices(bench.evaluate(aligned, test))
        answers.table(rows | {f"fixed {grid}": answers.fixed(grid) for grid in answers.grids})


def grids(bench: Bench) -> None:
    learn, test = bench.data(920, 400), bench.data(928, 200)
    source = bench.file("source", "--recipe", "source")
    seven = bench.align("seven", source, learn, "feedback-seven", "--granularities", "1,4,16,32,64,128,256", "--token-price", 0.008, "--epochs", 8, "--batch", 8, "--rate", 1e-3)
    five = bench.align("five", source, learn, "feedback-source", "--from-scratch", "--token-price", 0.008, "--epochs", 8, "--batch", 8, "--rate", 1e-3)
    answers = Answers(bench.evaluate(seven, test, "all"), test)
    print("## Grids of 1 and 4 tokens beside the five, full precision; both routers from the beginning, 1,200 questions of seed 928\n")
    answers.table({"five grids": answers.choices(bench.evaluate(five, test)), "seven grids": answers.choices(bench.evaluate(seven, test, "all"))} |
                  {f"fixed {grid}": answers.fixed(grid) for grid in answers.grids})


def teacher(bench: Bench) -> None:
    learn, test = bench.data(920, 400), bench.data(928, 200)
    q4 = bench.file("int4-all", "--recipe", "int4-all", "--calibrate", "none")
    common = ("--epochs", 8, "--batch", 8, "--rate", 1e-3, "--token-price", PRICE)
    rows = {"its router": q4, "loss of given answers": bench.align("small", q4, learn, "feedback-small", *common)}
    rows["loss of its own answers"] = bench.align("aligned-own", q4, learn, "feedback-own", "--teacher", "own", "--max-new-tokens", 8, *common)
    rows["divergence along its own answers"] = bench.align(
        "aligned-kl", q4, learn, "feedback-kl", "--teacher", "own", "--measure", "divergence", "--max-new-tokens", 8, *common)
    answers = Answers(bench.evaluate(q4, test, "all"), test, bench.losses(q4, test))
    print("## Teachers, int4-all, 1,200 questions of seed 928\n")
    answers.table({name: answers.choices(bench.evaluate(path, test, "all" if path == q4 else "auto")) for name, path in rows.items()})


def settings(bench: Bench) -> None:
    learn, test = bench.data(920, 400), bench.data(928, 200)
    q4 = bench.file("int4-all", "--recipe", "int4-all", "--calibrate", "none")
    common = ("--epochs", 8, "--batch", 8, "--rate", 1e-3, "--token-price", PRICE)
    rows = {"its router": q4, "α 0.1, k 32": bench.align("small", q4, learn, "feedback-small", *common)}
    for alpha in (0, 1):
        rows[f"α {alpha}, k 32"] = bench.align(f"small-alpha{alpha}", q4, learn, "feedback-small", "--alpha", alpha, *common)
    rows["α 0.1, k 8"] = bench.align("small-k8", q4, learn, "feedback-small", "--filtered-tokens", 8, *common)
    answers = Answers(bench.evaluate(q4, test, "all"), test, bench.losses(q4, test))
    print("## α and k, int4-all, 1,200 questions of seed 928\n")
    answers.table({name: answers.choices(bench.evaluate(path, test, "all" if path == q4 else "auto")) for name, path in rows.items()})


def main() -> None:
    experiments = {function.__name__: function for function in (quantized, foreign, unpadding, grids, teacher, settings)}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--gristmill", default=str(HERE.parent.parent / ".build/release/gristmill"))
    parser.add_argument("names", nargs="+", choices=[*experiments, "all"])
    arguments = parser.parse_args()
    bench = Bench(arguments.work.resolve(), arguments.gristmill)
    for name, function in experiments.items():
        if name in arguments.names or "all" in arguments.names:
            function(bench)


if __name__ == "__main__":
    main()
