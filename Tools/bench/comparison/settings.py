"""What is compared, how large and how often; and where things lie."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / "Tools"
PHOTOGRAPH = ROOT / "Tests/Fixtures/conformance/images/china.jpg"
QUESTION = "What is in the picture?"
# Gristmill's recipe, and llama.cpp's type of the same width.
PAIRS = (("int4", "Q4_0"), ("int8", "Q8_0"))
PAIRED = dict(PAIRS)
# ik_llama.cpp's types of about the same width; the better one counts.
FORKED = {"int4": ("Q4_0", "IQ4_KS"), "int8": ("Q8_0",)}


@dataclass
class Sizes:
    prefill: list[int]
    depths: list[int]
    decode_tokens: int
    photograph_side: int
    prefill_curve: list[int]
    decode_curve: list[int]
    # Layers of the 7B-shaped checkpoints that the conversion curve grows through.
    convert_curve: list[int]
    # Threads of both sides in the curve of threads.
    threads_curve: list[int]
    layers: int


FULL = Sizes(
    prefill=[512, 2900],
    depths=[0, 512, 2900],
    decode_tokens=16,
    photograph_side=672,
    prefill_curve=[64, 128, 256, 512, 1024, 2048, 4096],
    decode_curve=[0, 256, 512, 1024, 2048, 4000],
    convert_curve=[1, 8, 16],
    threads_curve=[1, 2, 4, 8, 16],
    layers=32,
)
# What is asked for most, in under half an hour once the models stand.
QUICK = Sizes(
    prefill=[512],
    depths=[0, 512],
    decode_tokens=16,
    photograph_side=672,
    prefill_curve=[],
    decode_curve=[],
    convert_curve=[],
    threads_curve=[],
    layers=32,
)
# Only to see that everything works.
TINY = Sizes(
    prefill=[16, 32],
    depths=[0, 32],
    decode_tokens=2,
    photograph_side=672,
    prefill_curve=[8, 16],
    decode_curve=[0, 16],
    convert_curve=[1],
    threads_curve=[1, 2],
    layers=1,
)


@dataclass
class Settings:
    work: Path
    repetitions: int
    threads: int
    sizes: Sizes
    tiny: bool
    converter_python: Path | None
    gristmill: Path
    # Where ik_llama.cpp was built; it is left out without.
    ik_build: Path | None = None

    @property
    def quick(self) -> bool:
        return self.sizes is QUICK

    def path(self, name: str) -> Path:
        """A file or folder of the comparison; models of the tiny run lie apart from the real ones."""
        return self.work / (("tiny-" if self.tiny else "") + name)

    @property
    def models(self) -> Path:
        return self.path("models")

    @property
    def checkpoint(self) -> Path:
        return self.path("checkpoint")

    def grist(self, recipe: str) -> Path:
        return self.models / f"{recipe}.grist"

    def gguf(self, kind: str) -> Path:
        return self.models / f"language-{kind}.gguf"

    @property
    def mmproj(self) -> Path:
        return self.models / "mmproj.gguf"
