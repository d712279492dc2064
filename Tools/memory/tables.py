#!/usr/bin/env python3
"""Prints the tables of Docs/small-hosts.md from what `run` measured."""

import json
import sys


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def main(path):
    with open(path) as file:
        found = json.load(file)
    parts = {
        "SAME": table(
            ["file", "budget, MiB", "peak of the group, MiB", "same tokens", "read a pass, of what must", "passes", "tokens/s"],
            [(r["file"], r["budget_mib"], r["peak_mib"], "yes" if r["same_tokens"] else "NO", f"{r['read_to_planned']:.4f}",
              r["passes"], f"{r['tokens_a_second']:.2f}") for r in found.get("same", [])]),
        "READING": table(
            ["file", "budget, MiB", "streamed, GB/s", "reading alone, GB/s", "median of the pairs' ratios"],
            [(r["file"], r["budget_mib"], f"{r['gb_a_second']:.2f}", f"{r['reader_gb_a_second']:.2f}", f"{r['of_reader']:.2f}")
             for r in found.get("reading", [])]),
        "PROMPT": table(
            ["file", "rows", "budget, MiB", "seconds", "without a budget", "reading alone", "of the two together", "read, of what must"],
            [(r["file"], r["rows"], r["budget_mib"], f"{r['seconds']:.1f}", f"{r['no_budget_seconds']:.1f}",
              f"{r['file_seconds']:.1f}", f"{r['of_bound']:.2f}", f"{r['read_to_planned']:.3f}") for r in found.get("prompt", [])]),
    }
    files = ["raw", "packed", "llama.cpp, mmap", "llama.cpp, direct"]
    rows = {}
    for r in found.get("curve", []) + found.get("peers", []):
        rows.setdefault(r["gib"], {})[r["file"]] = (
            "killed" if r["killed"] else f"{r['tokens_a_second']:.2f}" if r["tokens_a_second"] else r.get("note", "–"))
    parts["CURVE"] = table(
        ["GiB"] + files, [[f"{gib:g}"] + [rows[gib].get(file, "") for file in files] for gib in sorted(rows, reverse=True)])
    return parts


if __name__ == "__main__":
    for name, text in main(sys.argv[1]).items():
        print(name, text, sep="\n", end="\n\n")
