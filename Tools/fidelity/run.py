"""Our recipes on a real language model: `run.py --work FOLDER [--gristmill PROGRAM] [ROW…]`. See README.md."""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
PROGRAM = HERE.parent.parent / ".build" / "release" / "gristmill"
PROMPTS = [
    "What is the capital of France and why is it famous?", "Write a short poem about the sea.", "How do I bake sourdough bread?",
    "Explain photosynthesis to a child.", "List three uses for a paperclip.", "What causes the seasons?", "Tell me a story about a lost dog.",
    "How does a bicycle stay upright?", "What are the main ideas of stoicism?", "Give me tips for sleeping better.",
    "Who wrote Pride and Prejudice?", "Describe how rain forms.", "What is recursion in programming?",
    "Write a Python function that reverses a string.", "Why do cats purr?", "What should I see in Rome?", "Explain compound interest.",
    "What is a prime number?", "How are mountains made?", "Write a thank you note to a teacher.",
    "What is the difference between weather and climate?", "How do vaccines work?", "Name the planets in order.", "What makes a good leader?",
]
# The embeddings are the head too: they stay, so that every row is about the linears.
KEEP = ["--set", "embed_tokens=source"]
ROWS = {
    "int8": ["--recipe", "int8"],
    "int4-uniform": ["--recipe", "int4", "--set", "proj=int4-uniform"],
    "int4": ["--recipe", "int4"],
    "int4-block": ["--recipe", "int4", "--calibrate", "block", "--stats", "stats"],
    "int4-block-g32": ["--recipe", "int4", "--group-size", "32", "--calibrate", "block", "--stats", "stats"],
}


class Work:
    def __init__(self, folder: Path, program: Path) -> None:
        self.folder, self.program = folder, program
        folder.mkdir(parents=True, exist_ok=True)

    def gristmill(self, *arguments: str) -> str:
        return subprocess.run([str(self.program), *arguments], cwd=self.folder, check=False, stdout=subprocess.PIPE, text=True).stdout

    def prepare(self) -> None:
        """The model, the reference's answers and the statistics, where they are not there yet."""
        if not (self.folder / "model" / "model.safetensors").exists():
            subprocess.run([sys.executable, str(HERE / "make_model.py"), str(self.folder / "model")], check=True)
        (self.folder / "prompts.json").write_text(json.dumps([{"prompt": prompt} for prompt in PROMPTS]))
        if not (self.folder / "answers").exists():
            self.gristmill("record", "model", "--probes", "prompts.json", "-o", "answers", "--max-new-tokens", "32", "--quiet")
        if not (self.folder / "stats").exists():
            self.gristmill("calibrate", "model", "-o", "stats", "--quiet")

    def row(self, name: str) -> str:
        """One recipe: bits of the linears, KL with a 95 % interval, p99, top-1 agreement."""
        path = f"{name}.grist"
        self.gristmill("convert", "model", "-o", path, "--pack", "raw", "--quiet", *KEEP, *ROWS[name])
        tensors = json.loads(self.gristmill("inspect", path, "--json"))["tensors"]
        sizes = [(t["bytes"], t["bytes"] * 8 / t["bits_per_weight"]) for t in tensors if "_proj" in t["name"]]
        bits = 8 * sum(size for size, _ in sizes) / sum(weights for _, weights in sizes)
        report = json.loads(self.gristmill("verify", path, "--reference", "answers", "--json", "--quiet"))
        low, high = interval([(case["kl_mean"], case["greedy_length"]) for case in report["cases"]])
        outputs = report["outputs"]
        return (f"| {name} | {bits:.2f} | {outputs['kl_mean']:.4f} | {low:.4f}–{high:.4f} | {outputs['kl_p99']:.3f} "
                f"| {100 * outputs['top1_agreement']:.1f} % |")


def interval(cases: list[tuple[float, int]], draws: int = 2000) -> tuple[float, float]:
    """The middle 95 % of the mean over positions when the prompts are drawn again."""
    rng, means = random.Random(1), []
    for _ in range(draws):
        drawn = [rng.choice(cases) for _ in cases]
        means.append(sum(kl * count for kl, count in drawn) / sum(count for _, count in drawn))
    means.sort()
    return means[draws // 40], means[-draws // 40]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--gristmill", type=Path, default=PROGRAM)
    parser.add_argument("rows", nargs="*", choices=[*ROWS, []], help="default: all")
    arguments = parser.parse_args()
    work = Work(arguments.work, arguments.gristmill.resolve())
    work.prepare()
    print("| | bits of the linears | KL mean | 95 % | p99 | top-1 |\n|---|---|---|---|---|---|")
    for name in arguments.rows or ROWS:
        print(work.row(name), flush=True)


if __name__ == "__main__":
    main()
