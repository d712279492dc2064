"""The page: one table, three plots, and what they were measured with."""

from __future__ import annotations

import json
from pathlib import Path

from .fitting import convert_sentence, decode_sentence, prefill_sentence, threads_sentence
from .plots import draw
from .results import Results
from .sections import FORK, MINE, SHALLOW_TURNS, THEIRS
from .settings import FORKED, PAIRED, PAIRS, Settings

# Bits a weight of llama.cpp's types, scales counted in.
BITS = {"Q4_0": 4.5, "Q8_0": 8.5}
NAMES = {MINE: "Gristmill", THEIRS: "llama.cpp"}
EMPTY = "–"


def number(value: float | None, unit: str = "") -> str:
    if value is None:
        return EMPTY
    text = f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"
    return f"{text} {unit}".strip()


def size(value: float | None) -> str:
    return EMPTY if value is None else f"{value / 1e9:.2f} GB" if value >= 1e9 else f"{value / 1e6:.0f} MB"


def percent(value: float | None) -> str:
    return EMPTY if value is None else f"{100 * value:.0f} %"


class Report:
    def __init__(self, results: Results, settings: Settings, page: Path) -> None:
        self.results = results
        self.settings = settings
        self.page = page
        self.rows: list[list[str]] = []

    # Limits

    @property
    def int8_rate(self) -> float | None:
        return self.results.best("limits/int8_operations_per_s")

    @property
    def memory_rate(self) -> float | None:
        return self.results.best("limits/memory_read_bytes_per_s")

    def prefill_share(self, rate: float | None) -> float | None:
        operations = self.results.facts.get("int4 operations_per_row")
        return rate * operations / self.int8_rate if rate and operations and self.int8_rate else None

    def decode_share(self, rate: float | None, weight_bytes: float | None, depth: int) -> float | None:
        cache = self.results.facts.get("int4 cache_bytes_per_token")
        if not (rate and weight_bytes and cache and self.memory_rate):
            return None
        return rate * (weight_bytes + depth * cache) / self.memory_rate

    def weight_bytes(self, side: str, weights: str) -> float | None:
        """Bytes of weights that a decoded token reads."""
        if side == MINE:
            return self.results.facts.get(f"{weights} weight_bytes_per_token")
        whole = self.results.facts.get(f"{weights} model bytes")
        configuration = self.settings.checkpoint / "config.json"
        if whole is None or not configuration.is_file():
            return None
        shape = json.loads(configuration.read_text())
        # All but the table of token embeddings, of which one row is read.
        return whole - shape["vocab_size"] * shape["hidden_size"] * BITS[weights] / 8

    # The table

    @property
    def often(self) -> int:
        """How often prompts were measured, and what is measured in their way."""
        counts = [self.results.count(name) for name in self.results.samples if name.startswith("prefill/")]
        return min(counts, default=1)

    @property
    def has_fork(self) -> bool:
        return any(f"/{FORK}/" in name for name in self.results.samples)

    def row(
        self,
        what: str,
        mine: str,
        theirs: str,
        ratio: float | None,
        shares: tuple = (None, None),
        fork: tuple[str, float | None] = (EMPTY, None),
    ) -> None:
        if mine == theirs == EMPTY:
            return

        def times(ratio: float | None) -> str:
            return f"{ratio:.2f}" if ratio else EMPTY

        forked = [fork[0], times(fork[1])] if self.has_fork else []
        self.rows.append([what, mine, theirs, times(ratio), *forked, *map(percent, shares)])

    def rate_row(self, what: str, section: str, recipe: str, at: int) -> None:
        """Tokens a second of both; more is better."""
        kind = PAIRED[recipe]
        mine = self.results.median(f"{section}/{MINE}/{recipe}/{at}")
        theirs = self.results.median(f"{section}/{THEIRS}/{kind}/{at}")
        if section == "prefill":
            shares = (self.prefill_share(mine), self.prefill_share(theirs))
        else:
            shares = (
                self.decode_share(mine, self.weight_bytes(MINE, recipe), at),
                self.decode_share(theirs, self.weight_bytes(THEIRS, kind), at),
            )
        if self.results.count(f"{section}/{MINE}/{recipe}/{at}") == 1 < self.often:
            what += " (once)"
        ratio = mine / theirs if mine and theirs else None
        rates = {kind: self.results.median(f"{section}/{FORK}/{kind}/{at}") for kind in FORKED[recipe]}
        rates = {kind: rate for kind, rate in rates.items() if rate}
        best = max(rates, key=rates.get, default=None)
        fork = (f"{number(rates[best], 'tok/s')} ({best})", mine / rates[best]) if best and mine else (EMPTY, None)
        self.row(f"{what}, {recipe} and {kind}", number(mine, "tok/s"), number(theirs, "tok/s"), ratio, shares, fork)

    def cost_row(
        self,
        what: str,
        mine: float | None,
        theirs: float | None,
        show=lambda value: number(value, "s"),
        fork: dict[str, float | None] | None = None,
    ) -> None:
        """Seconds or bytes of both, and of ik_llama.cpp's types; less is better."""
        costs = {kind: cost for kind, cost in (fork or {}).items() if cost}
        best = min(costs, key=costs.get, default=None)
        forked = (f"{show(costs[best])} ({best})", costs[best] / mine) if best and mine else (EMPTY, None)
        self.row(what, show(mine), show(theirs), theirs / mine if mine and theirs else None, fork=forked)

    def fill(self) -> None:
        median, sizes = self.results.median, self.settings.sizes
        for recipe, _ in PAIRS:
            for length in sizes.prefill:
                self.rate_row(f"prompt of {length:,}", "prefill", recipe, length)
        for recipe, _ in PAIRS:
            for depth in sizes.depths:
                self.rate_row(f"decoding after {depth:,}", "decode", recipe, depth)
        self.cost_row(
            "tower and projector, one tile, int8 and f16",
            median(f"tower/{MINE}/int8/s_per_tile"),
            median(f"tower/{THEIRS}/f16/s_per_tile"),
        )
        self.cost_row("router, five tiles, int8", median(f"tower/{MINE}/int8/router_s"), None)
        theirs = median(f"photo/{THEIRS}/Q4_0/576")
        forked = {kind: median(f"photo/{FORK}/{kind}/576") for kind in FORKED["int4"]}
        for granularity, note in ((72, ""), (576, ", as many as llama.cpp's")):
            rows = self.results.facts.get(f"photo rows at {granularity}")
            self.cost_row(
                f"photograph and question to first token, {rows or '?'} rows{note}",
                median(f"photo/{MINE}/int4/{granularity}"),
                theirs,
                fork=forked,
            )
        self.cost_row(
            "opening a raw int4 file, to the first kernel",
            median(f"open/{MINE}/int4/ms"),
            None,
            lambda value: number(value, "ms"),
        )
        self.cost_row(
            "whole process to the first token of a short prompt",
            median(f"open/{MINE}/int4/process_s"),
            median(f"open/{THEIRS}/Q4_0/process_s"),
        )
        self.cost_row(
            "peak memory, prompt of 128, 4 bits",
            median(f"memory/{MINE}/int4/bytes"),
            median(f"memory/{THEIRS}/Q4_0/bytes"),
            size,
        )
        for recipe, kind in PAIRS:
            steps = ("bf16", kind, "mmproj")
            mine = {name: median(f"convert/{MINE}/{recipe}-raw/{name}") for name in CONVERSION}
            theirs = {name: [median(f"convert/{THEIRS}/{step}/{name}") for step in steps] for name in CONVERSION}
            whole = {
                name: combine(values) if None not in values else None
                for (name, combine), values in zip(CONVERSION.items(), theirs.values())
            }
            self.cost_row(f"converting to {recipe} and {kind}", mine["s"], whole["s"])
            self.cost_row("… processor time", mine["processor_s"], whole["processor_s"])
            self.cost_row("… peak memory", mine["peak_resident_bytes"], whole["peak_resident_bytes"], size)
            self.cost_row("… disk at the peak", mine["peak_disk_bytes"], whole["peak_disk_bytes"], size)
            self.cost_row("… files", mine["file_bytes"], sum(filter(None, theirs["file_bytes"][1:])) or None, size)
        self.cost_row("converting to int4, packed with zstd", median(f"convert/{MINE}/int4-zstd/s"), None)
        self.cost_row("… file", median(f"convert/{MINE}/int4-zstd/file_bytes"), None, size)

    def table(self) -> list[str]:
        forked = ["ik_llama.cpp, its best", "times better"] if self.has_fork else []
        header = ["", "Gristmill", "llama.cpp", "times better", *forked, "of limit: Gristmill", "llama.cpp"]
        return [f"| {' | '.join(row)} |" for row in (header, ["---", *["---:"] * (len(header) - 1)], *self.rows)]

    # The plots

    def plots(self) -> list[str]:
        lines: list[str] = []

        def add(name: str, title: str, x: str, y: str, curves: dict, sentences: list[str], **options) -> None:
            file = self.page.with_name(f"{self.page.stem}-{name}.svg")
            if draw(file, title, x, y, curves, **options):
                lines.extend(["", f"![{title}]({file.name})", "", " ".join(filter(None, sentences))])

        def curves(section: str) -> dict:
            all = {"Gristmill int4": f"{section}/{MINE}/int4", "llama.cpp Q4_0": f"{section}/{THEIRS}/Q4_0"}
            all |= {f"ik_llama.cpp {kind}": f"{section}/{FORK}/{kind}" for kind in FORKED["int4"]}
            return {name: points for name, prefix in all.items() if (points := self.results.curve(prefix))}

        rates = curves("prefill-curve")
        add(
            "prefill",
            "Time of a prompt",
            "tokens",
            "seconds",
            {name: [(x, x / y) for x, y in points] for name, points in rates.items()},
            [prefill_sentence(name, points) for name, points in rates.items()]
            + ["Short prompts wait for weights, long ones for attention, whose work grows with the square."],
            logarithmic=True,
        )
        rates = curves("decode-curve")
        add(
            "decode",
            "Decoding behind a context",
            "rows before the token",
            "tokens a second",
            rates,
            [decode_sentence(name, points) for name, points in rates.items()] + [self.cache_sentence()],
        )
        rates = curves("threads-curve")
        add(
            "threads",
            "A prompt of 512 on more threads",
            "threads",
            "tokens a second",
            rates,
            [threads_sentence(name, points) for name, points in rates.items()]
            + ["A prompt is arithmetic: what keeps the lines from being straight is what one thread does alone, and waiting."],
        )
        times = {name: self.by_size(points) for name, points in curves("convert-curve").items()}
        for name, total in self.whole_conversions().items():
            times.setdefault(name, []).extend(total)
        add(
            "convert",
            "Converting to 4 bits",
            "size of the checkpoint in GB",
            "seconds",
            times,
            [convert_sentence(name, points) for name, points in times.items()]
            + ["llama.cpp's time is that of the language model alone, in its two steps."],
        )
        return lines

    def cache_sentence(self) -> str:
        """How much of what a row of cache costs is the reading of it."""
        row_bytes = self.results.facts.get("int4 cache_bytes_per_token")
        if not (row_bytes and self.memory_rate):
            return ""
        return (
            f"To read 1,000 rows of cache in f16, {size(1000 * row_bytes)}, takes {1e6 * row_bytes / self.memory_rate:.1f} ms "
            "at the memory's rate; the rest of a line's slope is arithmetic."
        )

    def by_size(self, points: list) -> list:
        return [(self.results.facts[f"bytes of {layers:.0f} layers"] / 1e9, seconds) for layers, seconds in points]

    def whole_conversions(self) -> dict[str, list]:
        """The convert section's times at the full size."""
        gigabytes = self.results.facts.get("checkpoint bytes", 0) / 1e9
        mine = self.results.median(f"convert/{MINE}/int4-zstd/s")
        theirs = [self.results.median(f"convert/{THEIRS}/{step}/s") for step in ("bf16", "Q4_0")]
        return {
            "Gristmill int4": [(gigabytes, mine)] if mine else [],
            "llama.cpp Q4_0": [(gigabytes, sum(theirs))] if None not in theirs else [],
        }

    # The page

    def conditions(self) -> list[str]:
        facts = self.results.facts
        known = [
            ("processor", "processor"),
            ("family and model", "family and model"),
            ("cores", "cores"),
            ("memory", "memory"),
            ("threads", "threads of both sides"),
            ("instruction set", "Gristmill's kernels"),
            ("gristmill", "Gristmill"),
            ("commit", "commit"),
            ("llama-cpp-python", "llama.cpp: as in llama-cpp-python"),
            ("llama.cpp compiler", "llama.cpp's compiler"),
            ("ik_llama.cpp", "ik_llama.cpp: commit"),
            ("date", "date"),
            ("remark", "remark"),
        ]
        rows = [f"| {label} | {facts[name]} |" for name, label in known if name in facts]
        if self.memory_rate:
            rows.append(f"| limit: memory read by all threads | {self.memory_rate / 1e9:.1f} GB/s |")
        if self.int8_rate:
            rows.append(f"| limit: int8 multiplications and additions | {self.int8_rate / 1e12:.2f}·10¹²/s |")
        return ["| | |", "|---|---|", *rows]

    def text(self) -> str:
        self.fill()
        often = f"medians of {self.often}" if self.often > 1 else "single runs"
        if any(name.startswith("decode/") and name.endswith("/0") for name in self.results.samples):
            often += f", of decoding at an empty context {SHALLOW_TURNS} times as many"
        facts = self.results.facts
        tiles = facts.get("llama.cpp tiles")
        lines = [
            "# Gristmill and llama.cpp on the same machine",
            "",
            "Written by `Tools/bench/run`, which says how everything is measured; weights are random, in the shape of "
            f"AVG-LLaVA 7B. Both sides take turns; {often}.",
        ]
        if self.settings.quick:
            lines += ["", "A quick run (`--quick`): no prompts beyond 512 tokens, no depths beyond 512, no curves."]
        if self.settings.tiny:
            lines += ["", "**A run with tiny sizes, only to see that everything works. The figures mean nothing.**"]
        lines += ["", *self.conditions(), "", *self.table(), "", NOTES.replace("TILES", str(tiles or "all"))]
        return "\n".join([*lines, *self.plots()]) + "\n"


# What a conversion costs, and how the costs of steps that follow each other combine.
CONVERSION = {
    "s": sum, "processor_s": sum, "peak_resident_bytes": max, "peak_disk_bytes": sum, "file_bytes": sum,
}  # fmt: skip

NOTES = """\
*Times better*: how often Gristmill's rate contains llama.cpp's, or llama.cpp's cost Gristmill's. *Of limit*: for a
prompt the matrices of its rows at the machine's int8 rate; for decoding the weights (each side's own bytes) and the
cache in f16 at the memory's rate. Both limits are the best seen in the same runs as Gristmill's figures. Prompts and
decoding are random tokens on all sides; llama.cpp's and ik_llama.cpp's are their `llama-bench`'s, the latter's with
weights repacked for the processor or as they are, and of its types, whichever was faster.

Tower: Gristmill's median of five tiles at once, llama.cpp's own timing lines. Photograph: 672×672 pixels, from the
file to the first token, loading not counted; llama.cpp's preprocessing cuts it into TILES tiles of 576 tokens, as
LLaVA-NeXT does, and Gristmill is told to use 72 tokens a tile, or 576. Of ik_llama.cpp it is what `llama-mtmd-cli` calls the
prompt's evaluation, encoding of the tiles counted in. llama.cpp converts in steps: the language
model to bf16, that to its type, and tower and projector to f16 (the router it leaves out); times add up, and so does
the disk of what lies there at once. Preparing a folder that its converter accepts is not counted."""


def write_report(results: Results, settings: Settings, page: Path) -> None:
    page.write_text(Report(results, settings, page).text())
