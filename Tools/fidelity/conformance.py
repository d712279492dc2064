"""What each recipe and calibration does to the conformance kit: `conformance.py WORK [--gristmill PROGRAM]`, the tables of Docs/verification.md."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KIT = ROOT / "Tests/Fixtures/conformance"
CHECKPOINT = KIT / "small-f32"
ROWS = [
    ("source", None), ("f16", None), ("bf16", None), ("int8", None), ("int4-exact-choices", "block"), ("int4", "none"), ("int4", "block"), ("int4", "full"),
    ("int4-all", "none"), ("int4-all", "block"), ("int4-all", "full"),
]
PARTS = ["int8", "int4-all"]


class Kit:
    def __init__(self, work: Path, program: Path) -> None:
        self.work, self.program = work, program
        work.mkdir(parents=True, exist_ok=True)
        cases = json.loads((CHECKPOINT / "expected.json").read_text())
        self.probes = work / "probes.json"
        self.probes.write_text(json.dumps([{"image": str(KIT / "images" / Path(case["image"]).name), "prompt": case["prompt"]} for case in cases]))

    def call(self, *arguments: object) -> dict:
        """A command's document; a verification that fails is an answer too."""
        done = subprocess.run([self.program, *map(str, arguments), "--json", "--quiet"], check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode > 1:
            raise SystemExit(f"{' '.join(map(str, arguments))}: exit status {done.returncode}")
        return json.loads(done.stdout)

    def convert(self, recipe: str, calibrate: str | None, pack: str) -> tuple[Path, int]:
        file = self.work / "model.grist"
        options = ["--calibrate", calibrate] if calibrate else []
        return file, self.call("convert", CHECKPOINT, "-o", file, "--recipe", recipe, "--pack", pack, *options)["bytes"]

    def row(self, recipe: str, calibrate: str | None) -> str:
        _, raw = self.convert(recipe, calibrate, "raw")
        file, size = self.convert(recipe, calibrate, "zstd")
        report = self.call("verify", file, "--reference", CHECKPOINT, "--probes", self.probes)
        router, outputs = report["router"], report["outputs"]
        cells = [
            f"`{recipe}`" + (f", {calibrate}" if calibrate else ""), f"{size / 1e6:.2f} MB", f"{raw / 1e6:.2f} MB", f"{router['agree']} of {router['of']}",
            router["ties"], router["filter_sets_equal"], router["filter_orders_equal"], *(f"{outputs[key]:.2g}" for key in ("kl_mean", "kl_p99", "kl_max")),
            f"{100 * outputs['top1_agreement']:.1f} %", f"{outputs['max_abs_logit_difference']:.2g}", "passed" if report["passed"] else "failed",
        ]
        return f"| {' | '.join(map(str, cells))} |"

    def parts(self, recipe: str) -> dict[str, str]:
        """Of each part alone: filter sets and orders that changed, the largest change of a router logit, choices that changed."""
        file, _ = self.convert(recipe, None, "raw")
        report = self.call("verify", file, "--reference", CHECKPOINT, "--probes", self.probes, "--by-part")
        return {
            part["part"]: f"{part['filter_sets_changed']}, {part['filter_orders_changed']}; {part['max_logit_change']:.2f}"
            + (f"; {part['choices_changed']} choices" if part["choices_changed"] else "")
            for part in report["by_part"]
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("work", type=Path)
    parser.add_argument("--gristmill", type=Path, default=ROOT / ".build/release/gristmill")
    arguments = parser.parse_args()
    kit = Kit(arguments.work.resolve(), arguments.gristmill.resolve())
    print("| recipe | file | raw file | choices | ties | filter set | filter order | KL mean | p99 | max | top-1 | largest logit difference | verdict |\n|" + "---|" * 13)
    for row in ROWS:
        print(kit.row(*row), flush=True)
    found = [kit.parts(recipe) for recipe in PARTS]
    print("\n| part alone | " + " | ".join(f"`{recipe}`" for recipe in PARTS) + " |\n|" + "---|" * (1 + len(PARTS)))
    for part in found[0]:
        print(f"| {part} | " + " | ".join(each[part] for each in found) + " |")


if __name__ == "__main__":
    main()
