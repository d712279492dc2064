"""The rows of the table: how each side makes a file of the model, and what is measured on it."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "bench"))

# The embeddings are the head too: they stay on both sides, so that every row is about the linears.
KEEP = ["--set", "embed_tokens=source"]
OURS = {
    "int8": ["--recipe", "int8"],
    "int4-uniform": ["--set", "proj=int4-uniform"],
    "int4": ["--calibrate", "none"],
    "int4, block": [],
    "int4, block, g32": ["--group-size", "32"],
    "int4, full": ["--calibrate", "full"],
    "int4, full, g32": ["--calibrate", "full", "--group-size", "32"],
    "int4, full, 5.53 bits": ["--calibrate", "full", "--target-bits", "5.53"],
    "int4, full, down and v int8": ["--calibrate", "full", "--set", "down_proj|v_proj=int8"],
}
# Type of llama.cpp, and whether it gets an importance matrix of the text that we calibrate with.
THEIRS = {
    "Q8_0": ("Q8_0", False),
    "Q4_0": ("Q4_0", False),
    "IQ4_NL": ("IQ4_NL", False),
    "Q4_K_M": ("Q4_K_M", False),
    "Q4_0, imatrix": ("Q4_0", True),
    "IQ4_NL, imatrix": ("IQ4_NL", True),
    "Q4_K_M, imatrix": ("Q4_K_M", True),
}
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions. "
)


@dataclass
class Row:
    """What one file does to the reference's answers. KL in nats; `cases` pairs each prompt's mean with its number of tokens."""

    bits: float
    bytes: int
    kl_mean: float
    kl_median: float
    kl_p99: float
    top1: float
    cases: list[tuple[float, int]]
    # Of the model's own answers, and of the texts.
    perplexity: float
    text_perplexity: float
    seconds: float | None = None

    def as_json(self) -> dict:
        return asdict(self)


class Ours:
    """Gristmill's rows: everything counts, int8 activations too."""

    def __init__(self, work: Path, program: Path) -> None:
        self.work, self.program = work, program

    def gristmill(self, *arguments: str) -> str:
        # Exit status 1 of `verify` only says that the model is beyond its limits.
        done = subprocess.run([str(self.program), *arguments], cwd=self.work, check=False, stdout=subprocess.PIPE, text=True)
        if done.returncode > 1:
            raise SystemExit(f"gristmill {' '.join(arguments)}: exit status {done.returncode}")
        return done.stdout

    def row(self, name: str) -> Row:
        made = json.loads(self.gristmill("convert", "model", "-o", "row.grist", "--pack", "raw", "--quiet", "--json", *KEEP, *OURS[name]))
        tensors = json.loads(self.gristmill("inspect", "row.grist", "--json"))["tensors"]
        sizes = [(t["bytes"], t["bytes"] * 8 / t["bits_per_weight"]) for t in tensors if "_proj" in t["name"]]
        report, texts = (json.loads(self.gristmill("verify", "row.grist", "--reference", record, "--json", "--quiet")) for record in ("answers", "texts"))
        (self.work / "row.grist").unlink()
        outputs = report["outputs"]
        return Row(
            bits=8 * sum(size for size, _ in sizes) / sum(weights for _, weights in sizes), bytes=made["bytes"],
            kl_mean=outputs["kl_mean"], kl_median=outputs["kl_median"], kl_p99=outputs["kl_p99"], top1=outputs["top1_agreement"],
            cases=[(case["kl_mean"], case["greedy_length"]) for case in report["cases"]], perplexity=outputs["perplexity"],
            text_perplexity=texts["outputs"]["perplexity"], seconds=made["seconds"],
        )


class Theirs:
    """llama.cpp's rows: weights alone, computed with in PyTorch."""

    def __init__(self, work: Path, build: Path | None) -> None:
        self.work = work
        self.build = build or work / "llama-build"
        self.source = work / "llama/vendor/llama.cpp"

    def prepare(self) -> None:
        """llama.cpp's tools, the model as f16, and the importance matrix of our calibration text."""
        from comparison.llamacpp import LlamaCpp
        from comparison.processes import measure
        from comparison.settings import FULL, Settings

        settings = Settings(self.work, 1, 2, FULL, False, Path(sys.executable), Path())
        llama = LlamaCpp(settings, targets=("llama-quantize", "llama-imatrix"), build_folder=self.build)
        llama.build(None)
        if not self.file("f16").exists():
            folder = llama.language_folder(self.work / "model", self.work / "language")
            measure([sys.executable, self.source / "convert_hf_to_gguf.py", folder, "--outtype", "f16", "--outfile", self.file("f16")])
        if not self.file("imatrix").exists():
            text = self.work / "calibration.txt"
            text.write_text(calibration_text())
            measure([llama.program("llama-imatrix"), "-m", self.file("f16"), "-f", text, "-o", self.file("imatrix"), "-t", 2])
        self.llama = llama

    def file(self, name: str) -> Path:
        return self.work / f"{name}.gguf"

    def row(self, name: str) -> Row:
        from comparison.processes import measure

        kind, weighed = THEIRS[name]
        options = ["--imatrix", self.file("imatrix")] if weighed else []
        output = self.file("row")
        made = measure([self.llama.program("llama-quantize"), "--token-embedding-type", "f16", *options, self.file("f16"), output, kind, 2])
        measured = subprocess.run(
            [sys.executable, str(HERE / "divergence.py"), "model", "answers", "texts", str(output)], cwd=self.work, check=True, stdout=subprocess.PIPE, text=True
        )
        output.unlink()
        found = json.loads(measured.stdout.splitlines()[-1])
        return Row(**{key: found[key] for key in Row.__dataclass_fields__ if key in found}, seconds=made.seconds)


def calibration_text() -> str:
    """The conversations that Gristmill calibrates with, as it puts them to the model."""
    conversations = json.loads((HERE.parents[1] / "Sources/GristConversion/Calibration/Samples/conversations.json").read_text())
    return "\n\n".join(f"{SYSTEM}USER: {case['prompt']} ASSISTANT: {case['answer']}" for case in conversations)
