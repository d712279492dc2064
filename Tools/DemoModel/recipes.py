"""What each of Gristmill's recipes does to the demo model: `recipes.py --data FOLDER --work WORK [--pictures N]`.

FOLDER is what generate.py wrote. Every question goes to the checkpoint (recorded once) and to a file of each recipe, through
`gristmill verify` for choices, filter and divergence, and through `gristmill run` for the answers themselves. Prints a
table; goes on where it was stopped (WORK keeps each recipe's results).
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
# A recipe and how it is calibrated; behind an @ the bits a weight that its int4 matrices may take.
RECIPES = (
    "source", "int8", "int4", "int4+block", "int4+full", "int4-exact-choices", "int4-exact-choices+full",
    "int4-all", "int4-all+block", "int4-all+full",
)
LEVELS = ("coarse", "medium", "fine")


def call(gristmill: Path, *arguments: object) -> dict:
    """A command's JSON document; a verification that fails is an answer too."""
    done = subprocess.run([gristmill, *map(str, arguments), "--json", "--quiet"], capture_output=True, text=True)
    if done.returncode not in (0, 1):
        raise SystemExit(done.stderr)
    return json.loads(done.stdout)


class Comparison:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.gristmill, self.checkpoint, self.work = arguments.gristmill, arguments.checkpoint, arguments.work
        self.calibrated_with = arguments.calibrate_with
        self.work.mkdir(parents=True, exist_ok=True)
        lines = (arguments.data / "questions.jsonl").read_text().splitlines()
        questions = [json.loads(line) for line in lines]
        pictures = sorted({q["image"] for q in questions})[: arguments.pictures]
        self.questions = [q for q in questions if q["image"] in pictures]
        for question in self.questions:
            question["path"] = str((arguments.data / question["image"]).resolve())
        self.probes = self.work / "probes.json"
        # A probe's picture is named from where the probes lie.
        self.probes.write_text(json.dumps([{"image": os.path.relpath(q["path"], self.work), "prompt": q["question"]}
                                           for q in self.questions]))
        self.record = self.work / "reference.record"
        if not self.record.exists():
            call(self.gristmill, "record", self.checkpoint, "--probes", self.probes, "-o", self.record, "--max-new-tokens", 4)

    def answers(self, model: Path, name: str, same: list[dict | None] | None = None) -> list[dict]:
        """Text, choice and rows of every question, from `run`. ``same`` has the answers that are known already."""
        saved = self.work / f"{name}.answers.jsonl"
        done = [json.loads(line) for line in saved.read_text().splitlines()] if saved.exists() else []
        with saved.open("a") as file:
            for number, question in list(enumerate(self.questions))[len(done) :]:
                if same and same[number]:
                    file.write(json.dumps(same[number]) + "\n")
                    done.append(same[number])
                    continue
                result = call(self.gristmill, "run", model, "--image", question["path"], "--prompt", question["question"],
                              "--max-new-tokens", 4)
                router = result["router"]
                entry = {"text": result["text"].strip(), "choice": router["choice"], "rows": result["sequence_length"]}
                file.write(json.dumps(entry) + "\n")
                file.flush()
                done.append(entry)
        return done

    def verification(self, model: Path, name: str) -> dict:
        saved = self.work / f"{name}.verify.json"
        if not saved.exists():
            saved.write_text(json.dumps(call(self.gristmill, "verify", model, "--reference", self.record, "--max-kl", 10)))
        return json.loads(saved.read_text())

    def calibration_probes(self, calibration: str) -> list[object]:
        return ["--probes", self.calibrated_with] if calibration and self.calibrated_with else []

    def right(self, answers: list[dict], level: str | None = None) -> float:
        pairs = [a["text"] == q["answer"] for a, q in zip(answers, self.questions) if level in (None, q["level"])]
        return 100 * sum(pairs) / max(1, len(pairs))

    def table(self, recipes: list[str]) -> None:
        print(f"{len(self.questions)} questions on {len({q['image'] for q in self.questions})} pictures\n")
        print("| recipe | MB | choices changed | of these ties | filter sets / orders changed | mean KL | top-1 | right answers"
              " (coarse / medium / fine) | answers changed | rows a prompt |\n|" + "---|" * 10)
        reference = self.answers(self.checkpoint, "checkpoint")
        for name in recipes:
            file = self.work / f"{name}.grist"
            if not file.exists():
                scheme, _, bits = name.partition("@")
                recipe, _, calibration = scheme.partition("+")
                budget = ["--target-bits", bits] if bits else []
                call(self.gristmill, "convert", self.checkpoint, "-o", file, "--recipe", recipe,
                     "--calibrate", calibration or "none", *self.calibration_probes(calibration), *budget)
            report = self.verification(file, name)
            # Where the choice and every greedy token are the reference's, so is the answer.
            same = [
                answer if case["choice"] == case["reference_choice"] and case["greedy_match"] == case["greedy_length"] else None
                for case, answer in zip(report["cases"], reference)
            ]
            answers = self.answers(file, name, same)
            router, of = report["router"], len(self.questions)
            levels = " / ".join(f"{self.right(answers, level):.1f}" for level in LEVELS)
            changed = sum(a["text"] != b["text"] for a, b in zip(answers, reference))
            print(f"| {name} | {file.stat().st_size / 1e6:.2f} | {of - router['agree']} | {router['ties']}"
                  f" | {of - router['filter_sets_equal']} / {of - router['filter_orders_equal']}"
                  f" | {report['outputs']['kl_mean']:.2g} | {100 * report['outputs']['top1_agreement']:.1f} %"
                  f" | {self.right(answers):.1f} ({levels}) | {changed}"
                  f" | {sum(a['rows'] for a in answers) / of:.0f} |", flush=True)
        levels = " / ".join(f"{self.right(reference, level):.1f}" for level in LEVELS)
        print(f"\nthe checkpoint itself: {self.right(reference):.1f} ({levels}), "
              f"{sum(a['rows'] for a in reference) / len(reference):.0f} rows a prompt")


def comparing(description: str) -> argparse.ArgumentParser:
    """The options of a comparison."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gristmill", type=Path, default=HERE.parents[1] / ".build/release/gristmill")
    parser.add_argument("--checkpoint", type=Path, default=HERE / "checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--calibrate-with", type=Path, help="a probes file; default: the bundled conversations")
    return parser


def main() -> None:
    parser = comparing(__doc__)
    parser.add_argument("recipes", nargs="*", default=RECIPES, help="of the recipes' names, also with +block or +full, and with @BITS")
    arguments = parser.parse_args()
    Comparison(arguments).table(list(arguments.recipes))


if __name__ == "__main__":
    main()
