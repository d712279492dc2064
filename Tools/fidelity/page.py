"""Docs/fidelity.md and its plot, of the rows that were measured."""

from __future__ import annotations

import random
from pathlib import Path

from rows import OURS, THEIRS, Row

# Set before anything was measured: (what, our row, their row, at most, aim).
TARGETS = (
    ("int4, not calibrated, 4.25 bits", "int4", "IQ4_NL", 1.5, 1.35),
    ("int4, block, 4.25 bits", "int4, block", "IQ4_NL, imatrix", 0.64, 0.50),
    ("int4, full, 4.25 bits", "int4, full", "IQ4_NL, imatrix", 0.55, 0.42),
    ("int4, full, groups of 32, 4.5 bits", "int4, full, g32", "IQ4_NL, imatrix", 0.45, 0.34),
    ("--target-bits at Q4_K_M's, full", "int4, full, 5.53 bits", "Q4_K_M, imatrix", 0.7, 0.5),
    ("down and v at int8, the rest full", "int4, full, down and v int8", "Q4_K_M, imatrix", 0.7, 0.5),
    ("int8 with its activations", "int8", "Q8_0", 1.5, 1.0),
)


def interval(row: Row, other: Row | None = None, draws: int = 4000) -> tuple[float, float]:
    """The middle 95 % of the mean KL, or of its ratio to another row's, when the prompts are drawn again (the same for both)."""
    rng, found = random.Random(1), []
    for _ in range(draws):
        drawn = [rng.randrange(len(row.cases)) for _ in row.cases]
        found.append(mean(row, drawn) / (mean(other, drawn) if other else 1))
    found.sort()
    return found[draws // 40], found[-draws // 40]


def mean(row: Row, cases: list[int]) -> float:
    return sum(row.cases[i][0] * row.cases[i][1] for i in cases) / sum(row.cases[i][1] for i in cases)


def line(name: str, row: Row) -> str:
    low, high = interval(row)
    digits = 4 if row.kl_mean < 0.01 else 3
    return (
        f"| {name} | {row.bits:.2f} | {row.bytes / 1e6:.1f} | {row.kl_mean:.{digits}f} | {low:.{digits}f}–{high:.{digits}f} "
        f"| {row.kl_median:.{digits}f} | {row.kl_p99:.{digits}f} | {100 * row.top1:.1f} % | {row.perplexity:.3f} | {row.text_perplexity:.2f} |"
    )


def table(rows: dict[str, Row]) -> str:
    head = "| | bits of the linears | MB | KL mean | 95 % | median | p99 | top-1 | perplexity, own | texts |\n|" + "---|" * 10
    ours = [line(name, rows[name]) for name in OURS if name in rows]
    theirs = [line(f"llama.cpp {name}", rows[name]) for name in THEIRS if name in rows]
    return "\n".join([head, *ours, *theirs])


def ratios(rows: dict[str, Row]) -> str:
    lines = ["| | against llama.cpp's | KL, ratio | 95 % | at most | aim |\n|---|---|---|---|---|---|"]
    for what, mine, other, most, aim in TARGETS:
        if mine in rows and other in rows:
            low, high = interval(rows[mine], rows[other])
            lines.append(f"| {what} | {other} | {rows[mine].kl_mean / rows[other].kl_mean:.2f} | {low:.2f}–{high:.2f} | {most} | {aim} |")
    return "\n".join(lines)


def commands() -> str:
    return "\n".join(f"- {name}: `{' '.join(options) or '(nothing)'}`" for name, options in OURS.items())


def plot(rows: dict[str, Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.family": "sans-serif"}
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
    for names, colour, marker, label in ((OURS, "#b8591f", "o", "Gristmill"), (THEIRS, "#3d6b99", "s", "llama.cpp")):
        points = [(name, rows[name]) for name in names if name in rows]
        axes.plot([row.bits for _, row in points], [row.kl_mean for _, row in points], marker, color=colour, label=label)
        for name, row in points:
            # Ours to the left where they stand in a column, the others to the right; the lower of two near ones below its point.
            left = names is OURS and row.bits < 4.4
            near = any(other is not row and abs(other.bits - row.bits) < 0.2 and 1 < other.kl_mean / row.kl_mean < 1.25 for other in rows.values())
            axes.annotate(name, (row.bits, row.kl_mean), textcoords="offset points", xytext=(-7 if left else 7, -9 if near else 2),
                          ha="right" if left else "left", fontsize=8, color=colour)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
    axes.set(xlabel="bits a weight of the linear layers", ylabel="KL divergence from the reference, mean (nats)", title="SmolLM2-135M-Instruct")
    axes.set_xlim(3.5, 9.2)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)


def write(rows: dict[str, Row], facts: dict[str, str], reference: tuple[float, float], demo: str, page: Path) -> None:
    first = next(iter(rows.values()))
    tokens = sum(count for _, count in first.cases)
    plot(rows, page.with_suffix(".svg"))
    page.write_text(f"""# What quantization costs a real model

Written by `Tools/fidelity/run.py`; [its README](../Tools/fidelity/README.md) says how. {'; '.join(f'{name}: {value}' for name, value in facts.items())}.

SmolLM2-135M-Instruct, a real, trained language model, its weights taken off their 4-bit grid by noise of a step. KL divergence from the reference (f32 arithmetic on the f16
weights) in nats over {len(first.cases)} prompts that nothing was calibrated with, {tokens} greedy tokens; intervals from a bootstrap over the prompts. Embeddings, which are the
head too, stay f16 on both sides. Gristmill's rows are everything its files do, int8 activations included; llama.cpp's are what its weights alone do, computed
in PyTorch, so they flatter it a little. llama.cpp's importance matrix is made of the very conversations that Gristmill calibrates with.

![KL divergence against bits](fidelity.svg)

{table(rows)}

Perplexity, of the greedy tokens and of seven passages in the public domain (`Tools/fidelity/texts.json`); the reference's own is {reference[0]:.3f} and {reference[1]:.2f}.

Gristmill's rows are `gristmill convert model --set embed_tokens=source` with

{commands()}

Ratios of means, both sides' prompts drawn alike, and the bounds that were set for them before anything was measured:

{ratios(rows)}

llama.cpp's types that want 256 columns fall back to others on this model's 576, so Q4_K_M takes more bits here than it would elsewhere: compare at equal bits.

## A model with a router

The same recipes and calibrations on the [demo model](../Tools/DemoModel/MODEL_CARD.md), whose choices can be lost. Calibrated with what is bundled, text and photographs of
another world than its own; the questions are those of `generate.py --seed 901`.

{demo}""")
