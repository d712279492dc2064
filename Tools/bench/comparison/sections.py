"""The sections of the comparison. Each measures what the results lack, both sides in turn, and may be run alone.

Names of samples: SECTION/SIDE/WEIGHTS/WHAT, with SIDE `gristmill`, `llama.cpp` or `ik_llama.cpp`."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

from .gristmill import Gristmill
from .ikllama import IkLlama
from .llamacpp import LlamaCpp
from .processes import Measured, measure, say
from .results import Results
from .settings import FORKED, PAIRS, PHOTOGRAPH, QUESTION, TOOLS, Settings

MINE, THEIRS, FORK = "gristmill", "llama.cpp", "ik_llama.cpp"
# Tokens of the first prompt; none of the lengths that are compared.
WARM_UP = 33
# How many times as often as everything else decoding at an empty context is measured.
SHALLOW_TURNS = 3


def listed(numbers: list[int]) -> str:
    return ",".join(str(number) for number in numbers)


class Comparison:
    def __init__(self, settings: Settings, results: Results) -> None:
        self.settings = settings
        self.results = results
        self.sizes = settings.sizes
        self.mine = Gristmill(settings)
        self.theirs = LlamaCpp(settings)
        self.fork = IkLlama(settings, settings.ik_build) if settings.ik_build else None
        settings.models.mkdir(parents=True, exist_ok=True)

    # What sections share

    def repeat(self, jobs: list[tuple[list[str], Callable[[], dict[str, float]]]], times: int | None = None) -> None:
        """Each job measures the samples it names. They take turns until each has been done often enough."""
        times = times or self.settings.repetitions
        for round in range(times):
            for names, job in jobs:
                if all(self.results.count(name) > round for name in names):
                    continue
                say(f"  {round + 1} of {times}: {names[0]}" + (f" and {len(names) - 1} more" if len(names) > 1 else ""))
                for name, value in job().items():
                    self.results.add(name, value)
                self.results.save()

    def make_checkpoint(self, folder: Path, *options) -> Path:
        """A 7B-shaped checkpoint, unless it is there. A mark says that it is whole."""
        mark = folder.with_name(folder.name + ".made")
        if not mark.is_file():
            say(f"making the checkpoint {folder.name}")
            shutil.rmtree(folder, ignore_errors=True)
            measure(
                [self.theirs.converter(), TOOLS / "checkpoints/make_checkpoint.py", folder, "--preset", "7b", *options]
            )
            mark.touch()
        return folder

    def need_models(self) -> None:
        """Builds and converts what is not there, so that every section can be run alone."""
        self.build()
        settings = self.settings
        models = [settings.mmproj, *(settings.grist(recipe) for recipe, _ in PAIRS)]
        models += [settings.gguf(kind) for _, kind in PAIRS]
        models += [settings.gguf(kind) for kind in self.forked_kinds]
        if not all(model.is_file() for model in models):
            say("the models first")
            self.convert()

    @property
    def forked_kinds(self) -> list[str]:
        """Types that only ik_llama.cpp makes."""
        known = {kind for _, kind in PAIRS}
        return [kind for kinds in FORKED.values() for kind in kinds if kind not in known] if self.fork else []

    def photograph(self) -> Path:
        """The bundled photograph at the side that LLaVA-NeXT cuts into four tiles and a whole."""
        from PIL import Image  # comes with matplotlib

        side = self.sizes.photograph_side
        path = self.settings.work / f"photograph-{side}.jpg"
        if not path.is_file():
            with Image.open(PHOTOGRAPH) as image:
                image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).save(path, quality=92)
        return path

    def gristmill_bench(self, recipe: str, *options) -> dict:
        """`gristmill bench` on the raw file; the limits it measured are kept."""
        report = self.mine.bench(self.settings.grist(recipe), *options)
        for name, value in report["limits"].items():
            self.results.add(f"limits/{name}", value)
        self.results.facts["instruction set"] = report["isa"]
        for name in ("weight_bytes_per_token", "operations_per_row", "cache_bytes_per_token"):
            self.results.facts[f"{recipe} {name}"] = report[name]
        return report

    # Sections

    def build(self) -> None:
        """Build both programs."""
        self.mine.build()
        self.theirs.build(self.llama_version)

    llama_version: str | None = None

    def checkpoint(self) -> None:
        """Make the checkpoint."""
        layers = [] if self.sizes.layers == 32 else ["--layers", self.sizes.layers]
        self.make_checkpoint(self.settings.checkpoint, *layers)

    def convert(self) -> None:
        """Convert with both, once, and keep the models that the other sections run."""
        self.build()
        self.checkpoint()
        settings, checkpoint = self.settings, self.settings.checkpoint
        size = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
        self.results.facts["checkpoint bytes"] = size

        def keep(step: str, measured: Measured, output: Path) -> None:
            for name, value in measured.costs.items():
                self.results.add(f"convert/{step}/{name}", value)
            self.results.add(f"convert/{step}/file_bytes", output.stat().st_size)
            self.results.save()

        def missing(step: str, output: Path) -> bool:
            if output.is_file() and self.results.count(f"convert/{step}/file_bytes"):
                return False
            self.results.forget(f"convert/{step}")
            output.unlink(missing_ok=True)
            say(f"  {step}")
            return True

        packed = settings.models / "int4-packed.grist"
        if not self.results.count("convert/gristmill/int4-zstd/file_bytes"):
            say("  gristmill/int4-zstd")
            keep("gristmill/int4-zstd", self.mine.convert(checkpoint, packed, "int4", "zstd"), packed)
            packed.unlink()
        for recipe, _ in PAIRS:
            output = settings.grist(recipe)
            if missing(f"gristmill/{recipe}-raw", output):
                keep(f"gristmill/{recipe}-raw", self.mine.convert(checkpoint, output, recipe, "raw"), output)
        if missing("llama.cpp/mmproj", settings.mmproj):
            keep("llama.cpp/mmproj", self.theirs.convert_mmproj(checkpoint, settings.mmproj), settings.mmproj)
        wanted = [kind for _, kind in PAIRS if missing(f"llama.cpp/{kind}", settings.gguf(kind))]
        forked = [kind for kind in self.forked_kinds if missing(f"ik_llama.cpp/{kind}", settings.gguf(kind))]
        if not wanted and not forked:
            return
        unquantized = settings.gguf("bf16")
        if not unquantized.is_file():
            self.results.forget("convert/llama.cpp/bf16")
            say("  llama.cpp/bf16")
            converted = self.theirs.convert_language(checkpoint, unquantized, settings.path("language"))
            keep("llama.cpp/bf16", converted, unquantized)
        for kind in wanted:
            keep(f"llama.cpp/{kind}", self.theirs.quantize(unquantized, settings.gguf(kind), kind), settings.gguf(kind))
        for kind in forked:
            output = settings.gguf(kind)
            keep(f"ik_llama.cpp/{kind}", self.fork.quantize(unquantized, output, kind), output)
        unquantized.unlink()

    def prefill(self) -> None:
        """Prompts of the two lengths, in tokens a second."""
        self.need_models()
        self.repeat(
            [job for recipe, kind in PAIRS for job in self.prefill_jobs("prefill", recipe, kind, self.sizes.prefill)]
        )

    def prefill_jobs(
        self, section: str, recipe: str, kind: str, lengths: list[int], threads: int | None = None
    ) -> list:
        """Prompts of these lengths on all threads; or, with `threads`, of one length on so many, by which samples are named then."""

        def name(side: str, weights: str, length: int) -> str:
            return f"{section}/{side}/{weights}/{threads or length}"

        def mine() -> dict[str, float]:
            options = ("--threads", threads) if threads else ()
            report = self.gristmill_bench(recipe, "--text-only", "--prefill", listed(lengths), *options)
            return {name(MINE, recipe, test["tokens"]): test["tokens_per_s"] for test in report["prefill"]}

        def theirs() -> dict[str, float]:
            # A short prompt first touches all weights; a warm-up of the same length would double the time.
            tests, _ = self.theirs.bench(
                self.settings.gguf(kind), "--no-warmup", "-n", 0, "-p", listed([WARM_UP, *lengths]), threads=threads
            )
            self.results.facts[f"{kind} model bytes"] = tests[0]["model_size"]
            return {
                name(THEIRS, kind, test["n_prompt"]): test["avg_ts"]
                for test in tests
                if test["n_prompt"] in lengths
            }

        def forked(kind: str) -> Callable[[], dict[str, float]]:
            def job() -> dict[str, float]:
                rates = self.fork.prompts(self.settings.gguf(kind), [WARM_UP, *lengths], threads)
                return {name(FORK, kind, length): rates[length] for length in lengths}

            return job

        jobs = [
            ([name(MINE, recipe, length) for length in lengths], mine),
            ([name(THEIRS, kind, length) for length in lengths], theirs),
        ]
        for other in FORKED[recipe] if self.fork else ():
            jobs.append(([name(FORK, other, length) for length in lengths], forked(other)))
        return jobs

    def decode(self) -> None:
        """Decoding at the depths, in tokens a second, with the cache in f16 on both sides."""
        self.need_models()
        # Behind nothing a run takes seconds, and the memory of a shared machine changes its pace within minutes: more turns.
        turns = {SHALLOW_TURNS: [depth for depth in self.sizes.depths if depth == 0], 1: [depth for depth in self.sizes.depths if depth]}
        for times, depths in turns.items():
            if depths:
                jobs = [job for recipe, kind in PAIRS for job in self.decode_jobs("decode", recipe, kind, depths)]
                self.repeat(jobs, times * self.settings.repetitions)

    def decode_jobs(self, section: str, recipe: str, kind: str, depths: list[int]) -> list:
        tokens = self.sizes.decode_tokens

        def mine() -> dict[str, float]:
            report = self.gristmill_bench(recipe, "--text-only", "--depths", listed(depths), "--decode-tokens", tokens)
            return {f"{section}/{MINE}/{recipe}/{test['depth']}": test["tokens_per_s"] for test in report["decode"]}

        def theirs() -> dict[str, float]:
            tests, _ = self.theirs.bench(self.settings.gguf(kind), "-p", 0, "-n", tokens, "-d", listed(depths))
            self.results.facts[f"{kind} model bytes"] = tests[0]["model_size"]
            return {f"{section}/{THEIRS}/{kind}/{test['n_depth']}": test["avg_ts"] for test in tests}

        def forked(kind: str) -> Callable[[], dict[str, float]]:
            def job() -> dict[str, float]:
                rates = self.fork.decoding(self.settings.gguf(kind), depths, tokens)
                return {f"{section}/{FORK}/{kind}/{depth}": rates[depth] for depth in depths}

            return job

        jobs = [
            ([f"{section}/{MINE}/{recipe}/{depth}" for depth in depths], mine),
            ([f"{section}/{THEIRS}/{kind}/{depth}" for depth in depths], theirs),
        ]
        for other in FORKED[recipe] if self.fork else ():
            jobs.append(([f"{section}/{FORK}/{other}/{depth}" for depth in depths], forked(other)))
        return jobs

    def tower(self) -> None:
        """One tile through tower and projector, in seconds, and the router's time.

        llama.cpp looks at the photograph with a language model of one layer, so that little else takes time."""
        self.need_models()
        settings = self.settings
        small = settings.models / "language-one-layer.gguf"
        if not small.is_file():
            checkpoint = self.make_checkpoint(settings.path("one-layer"), "--layers", 1, "--no-router", "--shards", 1)
            say("  converting a language model of one layer")
            self.theirs.convert_language(checkpoint, small, settings.path("one-layer-language"))
            shutil.rmtree(checkpoint)
            shutil.rmtree(settings.path("one-layer-language"))

        def mine() -> dict[str, float]:
            report = self.gristmill_bench("int8")
            return {
                f"tower/{MINE}/int8/s_per_tile": report["tower"]["s_per_tile"],
                f"tower/{MINE}/int8/router_s": report["router"]["ms"] / 1000,
            }

        def theirs() -> dict[str, float]:
            look = self.theirs.look(small, self.photograph(), QUESTION)
            seconds = sorted(look.tile_seconds)
            return {f"tower/{THEIRS}/f16/s_per_tile": seconds[len(seconds) // 2]}

        self.repeat(
            [
                ([f"tower/{MINE}/int8/s_per_tile"], mine),
                ([f"tower/{THEIRS}/f16/s_per_tile"], theirs),
            ]
        )

    def open(self) -> None:
        """Opening a raw file, and a whole process up to its first token, with the files in the page cache."""
        self.need_models()
        recipe, kind = PAIRS[0]

        def mine() -> dict[str, float]:
            report = self.gristmill_bench(recipe, "--text-only")
            _, whole = self.mine.run(self.settings.grist(recipe), "--prompt", QUESTION, "--max-new-tokens", 1)
            return {
                f"open/{MINE}/{recipe}/ms": report["open_ms"],
                f"open/{MINE}/{recipe}/first_row_ms": report["first_row_ms"],
                f"open/{MINE}/{recipe}/process_s": whole.seconds,
            }

        def theirs() -> dict[str, float]:
            # As many rows as Gristmill's prompt template makes of the question, give or take a few.
            _, whole = self.theirs.bench(self.settings.gguf(kind), "--no-warmup", "-p", 64, "-n", 0)
            return {f"open/{THEIRS}/{kind}/process_s": whole.seconds}

        self.repeat(
            [
                ([f"open/{MINE}/{recipe}/process_s"], mine),
                ([f"open/{THEIRS}/{kind}/process_s"], theirs),
            ]
        )

    def memory(self) -> None:
        """Peak resident memory of a prompt of 128 tokens and a few decoded ones, 4-bit weights."""
        self.need_models()
        recipe, kind = PAIRS[0]

        def mine() -> dict[str, float]:
            report = self.gristmill_bench(
                recipe, "--text-only", "--prefill", 128, "--depths", 128, "--decode-tokens", self.sizes.decode_tokens
            )
            return {f"memory/{MINE}/{recipe}/bytes": report["peak_resident_bytes"]}

        def theirs() -> dict[str, float]:
            _, whole = self.theirs.bench(self.settings.gguf(kind), "-p", 128, "-n", self.sizes.decode_tokens)
            return {f"memory/{THEIRS}/{kind}/bytes": whole.peak_resident}

        self.repeat(
            [
                ([f"memory/{MINE}/{recipe}/bytes"], mine),
                ([f"memory/{THEIRS}/{kind}/bytes"], theirs),
            ]
        )

    def photo(self) -> None:
        """A photograph and a question to the first token, in seconds, without loading."""
        self.need_models()
        recipe, kind = PAIRS[0]
        photograph = self.photograph()

        def mine(granularity: int) -> Callable[[], dict[str, float]]:
            def job() -> dict[str, float]:
                answer, _ = self.mine.run(
                    self.settings.grist(recipe),
                    "--image",
                    photograph,
                    "--prompt",
                    QUESTION,
                    "--granularity",
                    granularity,
                    "--max-new-tokens",
                    1,
                )
                timing = answer["timing"]
                prefix = f"photo/{MINE}/{recipe}"
                self.results.facts[f"photo rows at {granularity}"] = answer["sequence_length"]
                return {
                    f"{prefix}/{granularity}": sum(timing[name] for name in ("image_s", "prepare_s", "prefill_s")),
                    f"{prefix}-tower/{granularity}": timing["image_s"],
                }

            return job

        def theirs() -> dict[str, float]:
            look = self.theirs.look(self.settings.gguf(kind), photograph, QUESTION)
            self.results.facts["llama.cpp tiles"] = len(look.tile_seconds)
            return {
                f"photo/{THEIRS}/{kind}/576": look.first_token_seconds,
                f"photo/{THEIRS}/{kind}-tower/576": sum(look.tile_seconds),
            }

        def forked(kind: str) -> Callable[[], dict[str, float]]:
            return lambda: {
                f"photo/{FORK}/{kind}/576": self.fork.look(self.settings.gguf(kind), photograph, QUESTION)
            }

        kinds = FORKED[recipe] if self.fork and self.fork.can_look else ()
        self.repeat(
            [
                ([f"photo/{MINE}/{recipe}/72"], mine(72)),
                ([f"photo/{THEIRS}/{kind}/576"], theirs),
                ([f"photo/{MINE}/{recipe}/576"], mine(576)),
                *(([f"photo/{FORK}/{kind}/576"], forked(kind)) for kind in kinds),
            ]
        )

    def prefill_curve(self) -> None:
        """Prompts of many lengths, 4-bit weights, once."""
        self.need_models()
        self.repeat(self.prefill_jobs("prefill-curve", *PAIRS[0], self.sizes.prefill_curve), 1)

    def decode_curve(self) -> None:
        """Decoding at many depths, 4-bit weights, once."""
        self.need_models()
        self.repeat(self.decode_jobs("decode-curve", *PAIRS[0], self.sizes.decode_curve), 1)

    def threads_curve(self) -> None:
        """A prompt of 512 tokens on one thread and more, 4-bit weights."""
        self.need_models()
        counts = [threads for threads in self.sizes.threads_curve if threads <= self.settings.threads]
        self.repeat(
            [job for threads in counts for job in self.prefill_jobs("threads-curve", *PAIRS[0], [512], threads)]
        )

    def convert_curve(self) -> None:
        """Converting checkpoints of several sizes to 4 bits, once. llama.cpp converts the language model only."""
        self.build()
        models = self.settings.path("curve-models")
        for layers in self.sizes.convert_curve:
            names = [f"convert-curve/{MINE}/int4/{layers}", f"convert-curve/{THEIRS}/Q4_0/{layers}"]
            if all(self.results.count(name) for name in names):
                continue
            checkpoint = self.make_checkpoint(self.settings.path(f"layers-{layers}"), "--layers", layers, "--shards", 1)
            # What was just written must not hold up what is written next.
            os.sync()
            shutil.rmtree(models, ignore_errors=True)
            models.mkdir()
            size = sum(file.stat().st_size for file in checkpoint.glob("*.safetensors"))
            self.results.facts[f"bytes of {layers} layers"] = size

            def mine() -> dict[str, float]:
                return {names[0]: self.mine.convert(checkpoint, models / "x.grist", "int4", "zstd").seconds}

            def theirs() -> dict[str, float]:
                converted = self.theirs.convert_language(checkpoint, models / "x.gguf", models / "language")
                quantized = self.theirs.quantize(models / "x.gguf", models / "q.gguf", "Q4_0")
                return {names[1]: converted.seconds + quantized.seconds}

            self.repeat([([names[0]], mine), ([names[1]], theirs)], 1)
            for folder in (models, checkpoint):
                shutil.rmtree(folder)
            checkpoint.with_name(checkpoint.name + ".made").unlink()


SECTIONS: dict[str, Callable[[Comparison], None]] = {
    "build": Comparison.build,
    "checkpoint": Comparison.checkpoint,
    "convert": Comparison.convert,
    "prefill": Comparison.prefill,
    "decode": Comparison.decode,
    "tower": Comparison.tower,
    "open": Comparison.open,
    "memory": Comparison.memory,
    "photo": Comparison.photo,
    "prefill-curve": Comparison.prefill_curve,
    "decode-curve": Comparison.decode_curve,
    "threads-curve": Comparison.threads_curve,
    "convert-curve": Comparison.convert_curve,
}

# What `--quick` runs.
QUICK_SECTIONS = ("build", "checkpoint", "convert", "prefill", "decode", "tower", "photo")
