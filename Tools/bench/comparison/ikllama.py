"""ik_llama.cpp, from a folder where its user has built `llama-bench`, `llama-quantize` and, for the photograph, `llama-mtmd-cli`."""

from __future__ import annotations

import json
import re
from pathlib import Path

from .processes import Failed, Measured, measure
from .settings import Settings


class IkLlama:
    def __init__(self, settings: Settings, build_folder: Path) -> None:
        self.settings = settings
        self.build_folder = build_folder
        self.commit: str | None = None

    def program(self, name: str) -> Path:
        return self.build_folder / "bin" / name

    def facts(self) -> dict[str, str]:
        return {"ik_llama.cpp": self.commit} if self.commit else {}

    def quantize(self, source: Path, output: Path, kind: str) -> Measured:
        return measure(
            [self.program("llama-quantize"), source, output, kind, self.settings.threads], disk=output.parent
        )

    def bench(self, model: Path, *options, threads: int | None = None) -> dict[str, float]:
        """llama-bench's tests by their names (pp512, tg16, tg16@pp512), in tokens a second, the cache in f16: with weights as they are,
        which it converts once a batch, and repacked for this processor. Whichever is faster counts, test by test."""
        best: dict[str, float] = {}
        for repacks in (0, 1):
            measured = measure(
                [
                    self.program("llama-bench"),
                    *("-m", model, "-t", threads or self.settings.threads, "-r", 1, "-o", "json"),
                    *("-rtr", repacks, "-fa", 1, "-ctk", "f16", "-ctv", "f16", "-w", 0),
                    *options,
                ]
            )
            # What it says about loading may stand before the document.
            tests = json.loads(measured.output[re.search(r"^\[", measured.output, re.M).start() :])
            self.commit = tests[0]["build_commit"]
            for test in tests:
                best[test["test"]] = max(best.get(test["test"], 0), test["avg_ts"])
        return best

    def prompts(self, model: Path, lengths: list[int], threads: int | None = None) -> dict[int, float]:
        tests = self.bench(model, "-n", 0, "-p", ",".join(map(str, lengths)), threads=threads)
        return {length: tests[f"pp{length}"] for length in lengths}

    def decoding(self, model: Path, depths: list[int], tokens: int) -> dict[int, float]:
        """Tokens behind each of `depths` rows; the first test reads the weights and does not count."""
        behind = [option for depth in depths if depth for option in ("-gp", f"{depth},{tokens}")]
        tests = self.bench(model, "-p", 33, "-n", tokens, *behind)
        return {depth: tests[f"tg{tokens}@pp{depth}" if depth else f"tg{tokens}"] for depth in depths}

    @property
    def can_look(self) -> bool:
        return self.program("llama-mtmd-cli").is_file()

    def look(self, model: Path, photograph: Path, question: str) -> float:
        """Seconds from the loaded model to the first token after a picture: what llama-mtmd-cli calls the prompt's evaluation,
        which begins with the text before the picture and ends with the last row, encoding of the tiles counted in."""
        measured = measure(
            [
                self.program("llama-mtmd-cli"),
                *("-m", model, "--mmproj", self.settings.mmproj, "--image", photograph, "-p", question),
                *("-n", 1, "-t", self.settings.threads, "-c", 4096, "--temp", 0, "--chat-template", "vicuna"),
                *("-fa", "on", "-ctk", "f16", "-ctv", "f16"),
            ],
            folder=self.settings.work,  # where it leaves its log
        )
        said = measured.log + measured.output
        whole = re.search(r"prompt eval time = +([\d.]+) ms", said)
        if whole is None:
            raise Failed("ik_llama.cpp's llama-mtmd-cli told no time:\n" + "\n".join(said.splitlines()[-15:]))
        # Were the encoding not in it, or a batch, it would be less than they are together.
        parts = re.findall(r"(?:image slice encoded|image decoded \(.*?\)) in (\d+) ms", said)
        return max(float(whole[1]), float(sum(map(int, parts)))) / 1000
