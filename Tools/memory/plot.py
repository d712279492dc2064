#!/usr/bin/env python3
"""Draws Docs/small-hosts.svg from what `run` measured."""

import json
import sys

import matplotlib

matplotlib.use("Agg")
matplotlib.rcParams["svg.hashsalt"] = "gristmill"
import matplotlib.pyplot as plt  # noqa: E402


def main(results, output):
    with open(results) as file:
        found = json.load(file)
    figure, axes = plt.subplots(figsize=(7.2, 4.2))
    names = {"raw": ("Gristmill, raw", "#1f5fa8", "o"), "packed": ("Gristmill, packed", "#6aa3d9", "s"),
             "llama.cpp, mmap": ("llama.cpp, mapped", "#c2410c", "^"),
             "llama.cpp, direct": ("llama.cpp, direct", "#8a8a8a", "v")}
    for file, (label, colour, marker) in names.items():
        rows = [row for row in found.get("curve", []) + found.get("peers", []) if row["file"] == file]
        points = sorted((row["gib"], row["tokens_a_second"]) for row in rows if row["tokens_a_second"])
        if points:
            axes.plot(*zip(*points), marker=marker, color=colour, label=label, linewidth=1.6)
        for row in rows:
            if row["killed"]:
                axes.plot([row["gib"]], [0.02], marker="x", color=colour, markersize=9, clip_on=False, linestyle="none")
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    ticks = [0.75, 1, 1.5, 2, 3, 4, 8]
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10], ["0.02", "0.05", "0.1", "0.2", "0.5", "1", "2", "5", "10"])
    axes.minorticks_off()
    axes.set_xlabel("memory of the control group, GiB (× killed for want of it)")
    axes.set_ylabel("tokens a second")
    axes.set_title("A 7B model in 4 bits (4 GB) with less and less memory", fontsize=11)
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(output, metadata={"Date": None})


main(*sys.argv[1:])
