"""What quantizing does to the demo model's choices, in pictures: `choices.py --data FOLDER --work WORK`.

WORK is where recipes.py compared int8, int4-all and int4-all+block (it is called for what is missing). Asks `gristmill verify --by-part`
which part of a file changes choices, and writes Docs/choices.md with its plots. Goes on where it was stopped.
"""

from __future__ import annotations

import io
import json
import textwrap
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import Rectangle
from PIL import Image

from recipes import HERE, Comparison, call, comparing

RECIPES = ("int8", "int4-all", "int4-all+block")
NAMES = {"int4-all": "int4-all, not calibrated", "int4-all+block": "int4-all, as it is by default"}
DOCS = HERE.parents[1] / "Docs"
INK, SOFT, COLOURS = "#1f2328", "#667079", {"int8": "#3b7ea1", "int4-all": "#c9a27e", "int4-all+block": "#b0631b"}
plt.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "choices", "font.family": "sans-serif", "font.size": 10,
                     "text.color": INK, "axes.edgecolor": SOFT, "axes.labelcolor": INK, "xtick.color": SOFT, "ytick.color": SOFT})


def parts(comparison: Comparison, name: str) -> list[dict]:
    saved = comparison.work / f"{name}.parts.json"
    if not saved.exists():
        report = call(comparison.gristmill, "verify", comparison.work / f"{name}.grist", "--reference", comparison.checkpoint,
                      "--probes", comparison.probes, "--by-part", "--max-new-tokens", 1, "--max-kl", 10)
        saved.write_text(json.dumps(report["by_part"]))
    return json.loads(saved.read_text())


def margin_change(case: dict) -> float:
    """How far the margin between the reference's first two grids moves."""
    expected, found = case["reference_logits"], case["logits"]
    first, second = sorted(range(len(expected)), key=lambda i: -expected[i])[:2]
    return found[first] - found[second] - (expected[first] - expected[second])


def margins_plot(cases: dict[str, list[dict]], path: Path) -> None:
    """Every question: the reference's margin against how much of it was eaten up."""
    figure, axes = plt.subplots(1, len(RECIPES), figsize=(10.5, 3.9), sharey=True, sharex=True, layout="constrained")
    for axis, name in zip(axes, RECIPES):
        margins = [case["reference_margin"] for case in cases[name]]
        lost = [max(-margin_change(case), 1e-4) for case in cases[name]]
        flipped = [case["choice"] != case["reference_choice"] for case in cases[name]]
        for flip, colour, size in ((False, COLOURS[name], 5), (True, "#b3261e", 16)):
            axis.scatter([m for m, f in zip(margins, flipped) if f == flip], [x for x, f in zip(lost, flipped) if f == flip],
                         s=size, color=colour, alpha=0.9 if flip else 0.45, linewidths=0, rasterized=not flip)
        axis.plot([1e-3, 3], [1e-3, 3], color=SOFT, linewidth=0.8)
        axis.axvspan(1e-3, 0.02, color=SOFT, alpha=0.12, linewidth=0)
        axis.set(xscale="log", yscale="log", xlim=(1e-3, 3), ylim=(1e-4, 3), title=NAMES.get(name, name), xlabel="the reference's margin")
        axis.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("how much of it is lost")
    figure.savefig(path, dpi=150, metadata={"Date": None})


def grids_plot(comparison: Comparison, path: Path) -> None:
    """One picture, a question of each level, and the cells of the tokens that the router asked for."""
    image = json.loads((HERE / "probes" / "probes.json").read_text())[0]["image"]
    asked = [probe["prompt"] for probe in json.loads((HERE / "probes" / "probes.json").read_text()) if probe["image"] == image][:3]
    picture = HERE / "probes" / image
    figure, axes = plt.subplots(1, len(asked), figsize=(10.5, 4.2), layout="constrained")
    for axis, question in zip(axes, asked):
        told = call(comparison.gristmill, "run", comparison.checkpoint, "--image", picture, "--prompt", question, "--show", "--max-new-tokens", 4)
        grid = told["grid"]
        pixels = io.BytesIO()
        Image.open(picture).convert("RGB").save(pixels, "JPEG", quality=85)
        axis.imshow(Image.open(pixels))
        (left, right), (top, bottom) = grid["across"], grid["down"]
        for low, high in ((0, top), (bottom, grid["height"])):
            axis.add_patch(Rectangle((0, low), grid["width"], high - low, color="black", alpha=0.6, linewidth=0))
        axis.vlines([left, *grid["columns"], right], top, bottom, color="white", linewidth=0.7)
        axis.hlines([top, *grid["rows"], bottom], left, right, color="white", linewidth=0.7)
        axis.set(xlim=(0, grid["width"]), ylim=(grid["height"], 0), xticks=[], yticks=[])
        asked_for = textwrap.fill(f"“{question}”", 46)
        axis.set_title(f"{asked_for}\n{told['granularity']} tokens a tile: {told['text'].strip()}", fontsize=9)
    figure.savefig(path, dpi=110)


def movement_table(cases: dict[str, list[dict]]) -> str:
    rows = ["| file | median | 99th percentile | median, filter's set kept | median, filter's set changed | sets changed |\n|" + "---|" * 6]
    for name in RECIPES:
        moved = sorted(abs(margin_change(case)) for case in cases[name])
        kept, changed = (sorted(abs(margin_change(c)) for c in cases[name] if c["filter_set_equal"] is wanted) for wanted in (True, False))
        rows.append(f"| {NAMES.get(name, name)} | {moved[len(moved) // 2]:.3f} | {moved[len(moved) * 99 // 100]:.2f} | {kept[len(kept) // 2]:.3f}"
                    f" | {changed[len(changed) // 2]:.3f} | {len(changed)} |")
    return "\n".join(rows)


def part_table(by_part: dict[str, list[dict]]) -> str:
    rows = ["| part alone | file | choices changed | beyond ties | margin moved, mean | filter sets | largest change of a logit |\n|" + "---|" * 7]
    for part in ("tower", "projector", "embeddings", "router"):
        effects = {name: next(effect for effect in by_part[name] if effect["part"] == part) for name in RECIPES}
        # All files may store a part alike.
        shown = {"all three": effects[RECIPES[0]]} if all(e == effects[RECIPES[0]] for e in effects.values()) else effects
        for name, effect in shown.items():
            rows.append(f"| {part} | {NAMES.get(name, name)} | {effect['choices_changed']} | {effect['beyond_ties']} | {effect['mean_margin_change']:.4f}"
                        f" | {effect['filter_sets_changed']} | {effect['max_logit_change']:.2f} |")
    return "\n".join(rows)


def price_table(comparison: Comparison, cases: dict[str, list[dict]]) -> str:
    reference = comparison.answers(comparison.checkpoint, "checkpoint")
    rows = ["| file | changed | to a coarser grid | to a finer one | of these questions right before | right after | rows before | rows after |\n|" + "---|" * 8]
    for name in RECIPES:
        answers = comparison.answers(comparison.work / f"{name}.grist", name)
        flips = [i for i, case in enumerate(cases[name]) if case["choice"] != case["reference_choice"]]
        coarser = sum(cases[name][i]["choice"] < cases[name][i]["reference_choice"] for i in flips)
        right = [sum(told[i]["text"] == comparison.questions[i]["answer"] for i in flips) for told in (reference, answers)]
        length = [sum(told[i]["rows"] for i in flips) / max(1, len(flips)) for told in (reference, answers)]
        rows.append(f"| {NAMES.get(name, name)} | {len(flips)} | {coarser} | {len(flips) - coarser} | {right[0]} | {right[1]} | {length[0]:.0f} | {length[1]:.0f} |")
    return "\n".join(rows)


def page(comparison: Comparison) -> str:
    cases = {name: comparison.verification(comparison.work / f"{name}.grist", name)["cases"] for name in RECIPES}
    margins_plot(cases, DOCS / "choices-margins.svg")
    grids_plot(comparison, DOCS / "choices-grids.png")
    count = len(comparison.questions)
    ties = sum(case["reference_margin"] < 0.02 for case in cases["int8"])
    return f"""# What a smaller file does to a router's choices

On the [demo model](../Tools/DemoModel/MODEL_CARD.md), whose router has learned to route. It looks at a picture and a question and picks how many tokens a tile the
picture gets:

![One picture, three questions, three grids](choices-grids.png)

The cells are what one token each stands for; [dark](verification.md#the-report) is what upstream's unpadding leaves out of the detail. `gristmill verify --report` draws this for every question.

{count} questions on pictures it was never trained on, each file against the checkpoint's own choices, int8 activations:

    cd Tools/DemoModel
    python generate.py --seed 901 --count 200 --out test
    python choices.py --data test --work work

## Where choices change

![The reference's margin and what is lost of it](choices-margins.svg)

A dot is a question: how far the reference's first grid is in front of its second, and how much of that the file takes away. Where more is taken away than there is, above
the line, the choice changes (red; a third grid can also pass both). The grey band holds the reference's ties, margins below 0.02: {ties} of {count}. Most margins are far wider than what is lost, so few
choices are ever in reach; those near the line decide how many change, and single counts move by ten or so with the last digits of a calibration.

Dots at the lower edge are margins that grew. How far margins move:

{movement_table(cases)}

What moves them far is the text filter: where a token is exchanged, the router reads another word.

## Which part changes them

One part from the file, everything else from the checkpoint:

{part_table({name: parts(comparison, name) for name in RECIPES})}

Parts do not add up: their changes are of either sign, and squares add rather than sizes.

## What a changed choice costs

{price_table(comparison, cases)}

Rows are those of the prompt, text and picture. The changed choices are close calls for the checkpoint, too, so answers hardly suffer in sum; what is lost is the promise that the file does what the reference
does. `int4-exact-choices` keeps it by construction: nothing that a choice depends on is changed.
"""


def main() -> None:
    comparison = Comparison(comparing(__doc__).parse_args())
    comparison.table(list(RECIPES))
    (DOCS / "choices.md").write_text(page(comparison))


if __name__ == "__main__":
    main()
