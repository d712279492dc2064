"""Every option of our peers that a user may set, a row each: `peers.py --work FOLDER [--only short shallow long tower] [--page FILE]`.

FOLDER/models holds one model of the shape of `make_checkpoint.py --preset 7b --layers 8` in every form: int4.grist, int8.grist;
language-TYPE.gguf by llama.cpp's and ik_llama.cpp's llama-quantize; openvino-KIND by convert/openvino_model.py, each with a tokenizer
beside it. What is not there is left out. Programs: --llama-build, --ik-build, --openvino-python.

Every prompt runs twice and the second time counts, so that on all sides the memory has been cleared. All sides take turns, medians of
--rounds: prompts of 512 and decoding at an empty context with every option; then, of each peer the options that were best, decoding at an
empty context more often, prompts of 2,900 and decoding behind 512 and 2,900 rows; a tile in the tower. The machine's limits are measured by
every run of ours."""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from comparison import machine
from comparison.llamacpp import LlamaCpp
from comparison.results import Results
from comparison.settings import FULL, Settings

ROOT = Path(__file__).resolve().parents[2]
SHORT, LONG, TOKENS, WARM_UP = 512, 2900, 16, 33
PEERS = ("llama.cpp", "ik_llama.cpp", "OpenVINO")


@dataclass(frozen=True)
class Option:
    """What is run: one model in one form, with the options that its user would set."""

    side: str
    bits: str
    model: str
    flags: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return " ".join((self.model.removeprefix("language-").removesuffix(".gguf"), *self.flags))


def llama(bits: str, kind: str) -> list[Option]:
    return [Option("llama.cpp", bits, f"language-{kind}.gguf", ("-fa", fa)) for fa in "01"]


def ik(bits: str, kind: str, repacks: str = "01") -> list[Option]:
    return [Option("ik_llama.cpp", bits, f"language-{kind}.gguf", ("-rtr", rtr)) for rtr in repacks]


def openvino(bits: str, kind: str, *groups: str) -> list[Option]:
    return [Option("OpenVINO", bits, f"openvino-{kind}", (backend, f"dq={group}")) for backend in ("PA", "SDPA") for group in groups]


OPTIONS = [
    Option("Gristmill", "int4", "int4.grist"), *llama("int4", "Q4_0"), *llama("int4", "Q4_K_S"),
    *ik("int4", "IQ4_KS"), *ik("int4", "IQ4_KSS"), *ik("int4", "IQ4_KT"), *ik("int4", "Q4_0"), *ik("int4", "Q4_K_S"),
    *openvino("int4", "int4-64", "64"), *openvino("int4", "int4-128", "128"),
    Option("Gristmill", "int8", "int8.grist"), *llama("int8", "Q8_0"), *ik("int8", "Q8_0"), *ik("int8", "Q8_K_R8", "0"),
    *openvino("int8", "int8", "64", "128"),
]  # fmt: skip


class Peers:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.work: Path = arguments.work.resolve()
        self.arguments = arguments
        self.results = Results(self.work / "peers.json")

    def is_there(self, option: Option) -> bool:
        return (self.work / "models" / option.model).exists()

    def call(self, *command) -> str:
        done = subprocess.run([str(part) for part in command], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        return done.stdout

    def rates(self, option: Option, prompts: list[int], depths: list[int]) -> dict[str, float]:
        """Tokens a second, by "prompt/ROWS" and "decode/DEPTH"."""
        model, threads = self.work / "models" / option.model, self.arguments.threads
        return getattr(self, {"Gristmill": "mine", "OpenVINO": "openvino"}.get(option.side, "llama"))(option, model, threads, prompts, depths)

    def mine(self, option: Option, model: Path, threads: int, prompts: list[int], depths: list[int]) -> dict[str, float]:
        def listed(numbers: list[int]) -> str:
            return ",".join(map(str, numbers)) or "none"

        report = json.loads(
            self.call(self.arguments.gristmill, "bench", model, "--text-only", "--json", "--threads", threads, *(["--warm-up"] if prompts else []),
                      "--prefill", listed(prompts), "--depths", listed(depths), "--decode-tokens", TOKENS)
        )  # fmt: skip
        for name, value in report["limits"].items():
            self.results.add(f"limits/{name}", value)
        for name in ("weight_bytes_per_token", "operations_per_row", "cache_bytes_per_token"):
            self.results.facts[f"{option.bits} {name}"] = report[name]
        self.results.facts["instruction set"] = report["isa"]
        for test in report["decode"]:
            # Beside what memory gave in the second before and after.
            self.results.add(f"share/decode/{test['depth']}/{option.bits}", test["of_limit"])
            self.results.add("memory", test["memory_read_bytes_per_s"])
        found = {f"prompt/{test['tokens']}": test["tokens_per_s"] for test in report["prefill"]}
        return found | {f"decode/{test['depth']}": test["tokens_per_s"] for test in report["decode"]}

    def llama(self, option: Option, model: Path, threads: int, prompts: list[int], depths: list[int]) -> dict[str, float]:
        is_ik = option.side == "ik_llama.cpp"
        build = self.arguments.ik_build if is_ik else self.arguments.llama_build
        common = ["-m", model, "-t", threads, "-o", "json", "-ctk", "f16", "-ctv", "f16", *option.flags]
        common += ["-fa", 1, "-w", 0] if is_ik else ["--no-warmup"]
        found = {}
        if prompts:
            tests = self.tests(build, *common, "-r", 2, "-n", 0, "-p", ",".join(map(str, prompts)))
            found |= {f"prompt/{test['n_prompt']}": test["samples_ts"][-1] for test in tests}
        for depth in depths:
            # The first test reads the weights and does not count.
            behind = ["-p", WARM_UP, *(["-n", TOKENS] if depth == 0 else ["-n", 0, "-gp", f"{depth},{TOKENS}"])] if is_ik else \
                ["-p", 0, "-n", TOKENS, "-d", f"0,{depth}" if depth else "0,0"]  # fmt: skip
            found[f"decode/{depth}"] = self.tests(build, *common, "-r", 1, *behind)[-1]["avg_ts"]
        return found

    def tests(self, build: Path, *options) -> list[dict]:
        output = self.call(build / "bin/llama-bench", *options)
        return json.loads(output[re.search(r"^\[", output, re.M).start() :])

    def openvino(self, option: Option, model: Path, threads: int, prompts: list[int], depths: list[int]) -> dict[str, float]:
        backend, group = option.flags
        asked = {
            "threads": threads, "prompts": prompts, "depths": depths, "tokens": TOKENS, "backend": backend,
            "properties": {"DYNAMIC_QUANTIZATION_GROUP_SIZE": int(group.removeprefix("dq=")), "KV_CACHE_PRECISION": "f16"},
        }  # fmt: skip
        output = self.call(self.arguments.openvino_python, ROOT / "Tools/bench/convert/openvino_rates.py", model, json.dumps(asked))
        found = json.loads(output.splitlines()[-1])
        rates = {f"prompt/{rows}": rate for rows, rate in found["prompts"].items()}
        return rates | {f"decode/{depth}": rate for depth, rate in found["depths"].items()}

    def measure(self, options: list[Option], prompts: list[int], depths: list[int], rounds: int) -> None:
        wanted = [f"prompt/{rows}" for rows in prompts] + [f"decode/{depth}" for depth in depths]
        for turn in range(rounds):
            for option in filter(self.is_there, options):
                names = [f"{what}/{option.bits}/{option.side}/{option.name}" for what in wanted]
                if all(self.results.count(name) > turn for name in names):
                    continue
                print(f"{turn + 1} of {rounds}: {option.side} {option.name}, {', '.join(wanted)}", flush=True)
                try:
                    rates = self.rates(option, prompts, depths)
                except (subprocess.CalledProcessError, json.JSONDecodeError) as error:
                    print(f"  left out: {error}", flush=True)
                    continue
                for what, name in zip(wanted, names):
                    self.results.add(name, rates[what])
                self.results.facts |= machine.facts() | {"date": time.strftime("%Y-%m-%d")}
                self.results.save()

    def measure_tower(self, rounds: int) -> None:
        """Seconds a tile of tower and projector: llama.cpp's by what it says of the photograph's tiles."""
        arguments, photograph = self.arguments, ROOT / "Tests/Fixtures/conformance/images/china.jpg"
        for turn in range(rounds):
            if self.results.count("tower/Gristmill int8") > turn:
                continue
            print(f"{turn + 1} of {rounds}: tower", flush=True)
            report = json.loads(
                self.call(arguments.gristmill, "bench", self.work / "models/int8.grist", "--json", "--threads", arguments.threads,
                          "--prefill", "none", "--depths", "none", "--repetitions", 3)
            )  # fmt: skip
            found = {"Gristmill int8": report["tower"]["s_per_tile"]}
            model, projector = self.work / "models/language-Q4_0.gguf", self.work / "models/mmproj.gguf"
            if projector.is_file():
                settings = Settings(self.work, rounds, arguments.threads, FULL, False, Path(), arguments.gristmill)
                look = LlamaCpp(settings, build_folder=arguments.llama_build).look(model, photograph, "What is in the picture?")
                found["llama.cpp f16"] = statistics.median(look.tile_seconds)
            output = self.call(arguments.openvino_python, ROOT / "Tools/bench/convert/openvino_tower.py", self.work / "models", arguments.threads)
            found |= {f"OpenVINO {name}": seconds for name, seconds in json.loads(output.splitlines()[-1]).items()}
            for name, seconds in found.items():
                self.results.add(f"tower/{name}", seconds)
            self.results.save()

    def tower_rows(self) -> list[str]:
        names = [name for name in self.results.samples if name.startswith("tower/")]
        if not names:
            return []
        lines = ["", "## A tile in the tower", "", "Tower and projector, medians; *times better* of each turn.", "", "| | s a tile | times better |", "|---|---:|---:|"]
        for name in names:
            ratio = 1 / self.ratio("tower/Gristmill int8", name)
            lines.append(f"| {name.removeprefix('tower/')} | {self.results.median(name):.3f} | {'' if 'Gristmill' in name else f'{ratio:.2f}'} |")
        return [*lines, "", "`dq`: columns whose activations share a scale, 0: not rounded. *Static* int8 (NNCF) has its scales set beforehand and another accuracy."]

    def best(self, what: str, bits: str, side: str) -> Option | None:
        names = {option: f"{what}/{bits}/{side}/{option.name}" for option in OPTIONS if (option.side, option.bits) == (side, bits)}
        # Of those that were measured most often: a median of two may be luck.
        most = max(map(self.results.count, names.values()), default=0)
        rates = {option: self.results.median(name) for option, name in names.items() if most and self.results.count(name) == most}
        return max(rates, key=rates.get, default=None)

    def run(self) -> None:
        arguments = self.arguments
        if "short" in arguments.only:
            self.measure(OPTIONS, [SHORT], [0], arguments.rounds)
        if "shallow" in arguments.only:
            # It takes seconds, and the memory of a shared machine changes its pace within minutes: more turns, close together.
            chosen = [self.best("decode/0", bits, side) for bits in ("int4", "int8") for side in ("Gristmill", *PEERS)]
            for option in filter(None, chosen):
                self.results.samples.pop(f"decode/0/{option.bits}/{option.side}/{option.name}", None)
                self.results.samples.pop(f"share/decode/0/{option.bits}", None)
            self.measure([option for option in chosen if option], [], [0], arguments.shallow_rounds)
        if "long" in arguments.only:
            for prompts, depths, what in (([LONG], [], f"prompt/{SHORT}"), ([], [SHORT, LONG], "decode/0")):
                chosen = [self.best(what, bits, side) for bits in ("int4", "int8") for side in ("Gristmill", *PEERS)]
                self.measure([option for option in chosen if option], prompts, depths, arguments.long_rounds)
        if "tower" in arguments.only:
            self.measure_tower(arguments.rounds)
        arguments.page.write_text(self.text())
        print(f"written: {arguments.page}")

    # The page

    def share(self, what: str, bits: str, rate: float) -> str:
        if what.startswith("prompt"):
            return f"{100 * rate * self.results.facts[f'{bits} operations_per_row'] / self.results.best('limits/int8_operations_per_s'):.0f} %"
        return f"{100 * self.results.median(f'share/{what}/{bits}'):.0f} %"

    def ratio(self, mine: str, theirs: str) -> float:
        """The median of each turn's ratio: what memory does from turn to turn is in both."""
        pairs = zip(self.results.samples[mine], self.results.samples[theirs])
        return statistics.median(first["value"] / second["value"] for first, second in pairs)

    def summary(self) -> list[str]:
        lines = ["| | Gristmill | of limit | " + " | ".join(f"{peer}, its best | times better" for peer in PEERS) + " |"]
        lines.append("|---|---:|---:|" + "---|---:|" * len(PEERS))
        for what in (f"prompt/{SHORT}", f"prompt/{LONG}", "decode/0", f"decode/{SHORT}", f"decode/{LONG}"):
            for bits in ("int4", "int8"):
                mine = self.best(what, bits, "Gristmill")
                if mine is None:
                    continue
                rate = self.results.median(f"{what}/{bits}/Gristmill/{mine.name}")
                kind, at = what.split("/")
                title = f"prompt of {int(at):,}" if kind == "prompt" else f"decoding after {int(at):,}"
                cells = [f"{title}, {bits}", f"{rate:.1f}", self.share(what, bits, rate)]
                for peer in PEERS:
                    other = self.best(what, bits, peer)
                    theirs = self.results.median(f"{what}/{bits}/{peer}/{other.name}") if other else None
                    ratio = self.ratio(f"{what}/{bits}/Gristmill/{mine.name}", f"{what}/{bits}/{peer}/{other.name}") if theirs else None
                    cells += [f"{theirs:.1f} ({other.name})", f"{ratio:.2f}"] if theirs else ["–", "–"]
                lines.append(f"| {' | '.join(cells)} |")
        return lines

    def rows(self) -> list[str]:
        lines = ["| | | prompt of 512 | decoding at an empty context |", "|---|---|---:|---:|"]
        for option in OPTIONS:
            rates = [self.results.median(f"{what}/{option.bits}/{option.side}/{option.name}") for what in (f"prompt/{SHORT}", "decode/0")]
            if any(rates):
                lines.append(f"| {option.bits} | {option.side} {option.name} | " + " | ".join(f"{rate:.1f}" if rate else "–" for rate in rates) + " |")
        return lines

    def text(self) -> str:
        facts, limits = self.results.facts, self.results
        short = [limits.count(name) for name in limits.samples if name.startswith(f"prompt/{SHORT}")]
        long = [limits.count(name) for name in limits.samples if name.startswith(f"prompt/{LONG}")]
        memory = [sample["value"] / 1e9 for sample in limits.samples.get("memory", [])]
        return "\n".join(
            [
                "# Gristmill beside its peers, every option a row", "",
                "Written by `Tools/bench/peers.py`: eight layers of the shape of AVG-LLaVA 7B with random weights, the head counted in; tokens a "
                f"second, in turn, each prompt's second run, medians of {statistics.median(short):.0f} (longer rows: {statistics.median(long or [0]):.0f}). "
                f"{facts.get('processor')}, family {facts.get('family and model')}, {facts.get('cores')} cores, kernels {facts.get('instruction set')}; "
                f"{self.arguments.threads} threads on all sides; {facts.get('date')}. Versions: {self.arguments.versions}.",
                "", *self.summary(), "",
                "*Of limit*: a prompt's matrices at the best int8 rate seen; weights and cache of a decoded token at the rate that memory gave "
                f"right before and after, median of the runs; it was from {min(memory):.0f} to {max(memory):.0f} GB/s while this was measured. Peers' best is the best of their options "
                "in the table below; other rows were measured with what was best there. *Times better*: the median of the ratios of each turn.",
                *(["", f"Remark: {self.arguments.remark}"] if self.arguments.remark else []),
                "", "## Every option", "", *self.rows(), "",
                "llama.cpp repacks weights for the processor by itself; `-fa` is its attention. ik_llama.cpp has `-fa 1` throughout; `-rtr 1` repacks "
                "when it loads. OpenVINO GenAI: paged attention (PA) or the plain one (SDPA), activations rounded in groups of `dq`. All keep keys "
                "and values in f16. "
                + ("IQ4_KT was quantized for one layer, which stands eight times in the file (`convert/gguf_layers.py`)." if any("IQ4_KT" in name for name in limits.samples) else ""),
                *self.tower_rows(), "",
            ]
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--llama-build", type=Path, required=True)
    parser.add_argument("--ik-build", type=Path, required=True)
    parser.add_argument("--openvino-python", type=Path, required=True)
    parser.add_argument("--versions", default="", help="of the peers, for the page")
    parser.add_argument("--remark", help="a paragraph of your own for the page")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shallow-rounds", type=int, default=9)
    parser.add_argument("--long-rounds", type=int, default=2)
    parser.add_argument("--only", nargs="+", choices=["short", "shallow", "long", "tower", "page"], default=["short", "shallow", "long", "tower"])
    parser.add_argument("--gristmill", type=Path, default=ROOT / ".build/release/gristmill")
    parser.add_argument("--page", type=Path, default=ROOT / "Docs/benchmarks-peers.md")
    Peers(parser.parse_args()).run()


if __name__ == "__main__":
    main()
