"""Curves as SVG."""

from __future__ import annotations

from pathlib import Path

from .fitting import Points

COLOURS = ("#b8591f", "#3d6b99", "#7a9a3c", "#8a6fae")


def draw(
    path: Path, title: str, x_label: str, y_label: str, curves: dict[str, Points], *, logarithmic: bool = False
) -> bool:
    """Draw named curves. Returns whether there was more than a point to draw, and something to draw it with."""
    curves = {name: points for name, points in curves.items() if points}
    if not any(len(points) > 1 for points in curves.values()):
        return False
    try:
        import matplotlib
    except ImportError:
        print("matplotlib is not there: no plots", flush=True)
        return False
    matplotlib.use("svg")
    matplotlib.rcParams |= {"svg.hashsalt": path.stem, "svg.fonttype": "none", "font.family": "sans-serif"}
    import matplotlib.pyplot as plt
    from matplotlib.ticker import FuncFormatter

    figure, axes = plt.subplots(figsize=(7, 4), layout="constrained")
    for (name, points), colour in zip(curves.items(), COLOURS):
        axes.plot(*zip(*points), marker="o", markersize=4, color=colour, label=name)
    if logarithmic:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.10g}"))
        axes.set_xticks([x for x, _ in next(iter(curves.values()))])
        axes.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    else:
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.set(title=title, xlabel=x_label, ylabel=y_label)
    axes.grid(color="#dddddd", linewidth=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None})
    plt.close(figure)
    return True
