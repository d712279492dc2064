"""llama.cpp: fetch, build, convert, run, and read what it prints."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import tarfile
from pathlib import Path

from .processes import Failed, Measured, measure, say
from .settings import TOOLS, Settings

PACKAGE = "llama-cpp-python"
TARGETS = ("llama-bench", "llama-quantize", "llama-mtmd-cli", "llama-perplexity")
BUILD_PACKAGES = ("cmake", "ninja")
CONVERTER_PACKAGES = ("torch", "numpy", "sentencepiece", "transformers", "protobuf")


class LlamaCpp:
    def __init__(self, settings: Settings, targets: tuple[str, ...] = TARGETS, build_folder: Path | None = None) -> None:
        self.settings = settings
        self.work = settings.work
        self.targets = targets
        self.source = self.work / "llama/vendor/llama.cpp"
        self.build_folder = build_folder or self.work / "llama-build"

    # Fetching and building

    @property
    def is_built(self) -> bool:
        return all(self.program(name).is_file() for name in self.targets)

    def build(self, version: str | None) -> None:
        """Fetch and build what is not there yet. With default options, for this processor, as users have it."""
        if self.is_built:
            return
        self.fetch(version)
        python = self.environment(self.work / "python", BUILD_PACKAGES)
        tools = {"PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}"}
        say("building llama.cpp (10 to 30 minutes)")
        cmake = python.parent / "cmake"
        measure(
            [cmake, "-S", self.source, "-B", self.build_folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"],
            environment=tools,
        )
        measure([cmake, "--build", self.build_folder, "--target", *self.targets], environment=tools)

    def fetch(self, version: str | None) -> None:
        if self.source.is_dir():
            return
        wanted = f"{PACKAGE}=={version}" if version else PACKAGE
        say(f"fetching the source package {wanted}")
        downloads = self.work / "downloads"
        measure(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "--quiet",
                "--no-deps",
                "--no-binary",
                PACKAGE,
                "--dest",
                downloads,
                wanted,
            ]
        )
        package = max(downloads.glob("llama_cpp_python-*.tar.gz"))
        unpacked = self.work / "unpacking"
        shutil.rmtree(unpacked, ignore_errors=True)
        with tarfile.open(package) as archive:
            archive.extractall(unpacked, filter="data")
        next(unpacked.iterdir()).rename(self.work / "llama")
        unpacked.rmdir()

    def environment(self, folder: Path, packages: tuple[str, ...]) -> Path:
        """A Python environment with these packages; returns its interpreter."""
        python = folder / "bin/python"
        if not python.is_file():
            measure([sys.executable, "-m", "venv", folder])
        marker = folder / f"has-{'-'.join(packages)}"
        if not marker.is_file():
            say(f"installing {', '.join(packages)}")
            measure([python, "-m", "pip", "install", "--quiet", *packages])
            marker.touch()
        return python

    def converter(self) -> Path:
        return self.settings.converter_python or self.environment(self.work / "python", CONVERTER_PACKAGES)

    def program(self, name: str) -> Path:
        return self.build_folder / "bin" / name

    def facts(self) -> dict[str, str]:
        facts = {}
        about = self.work / "llama/PKG-INFO"
        if match := re.search(r"^Version: (.+)$", about.read_text(), re.M) if about.is_file() else None:
            facts[PACKAGE] = match[1]
        for cache in self.build_folder.glob("CMakeFiles/*/CMakeCXXCompiler.cmake"):
            text = cache.read_text()
            values = [re.search(rf'set\(CMAKE_CXX_COMPILER_{key} "(.+?)"\)', text) for key in ("ID", "VERSION")]
            facts["llama.cpp compiler"] = " ".join(value[1] for value in values if value)
        return facts

    # Converting

    def language_folder(self, checkpoint: Path, folder: Path) -> Path:
        """The checkpoint's weights under a configuration that llama.cpp's converter knows. No weight is copied."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in checkpoint.iterdir():
            if file.is_file() and file.name != "config.json":
                (folder / file.name).symlink_to(file.resolve())
        config = json.loads((checkpoint / "config.json").read_text())
        config |= {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    def convert_language(self, checkpoint: Path, output: Path, scratch: Path) -> Measured:
        folder = self.language_folder(checkpoint, scratch)
        return measure(
            [
                self.converter(),
                TOOLS / "bench/convert/language.py",
                self.source,
                folder,
                "--outtype",
                "bf16",
                "--outfile",
                output,
            ],
            disk=output.parent,
        )

    def convert_mmproj(self, checkpoint: Path, output: Path) -> Measured:
        return measure(
            [self.converter(), TOOLS / "bench/convert/mmproj.py", self.source, checkpoint, output], disk=output.parent
        )

    def quantize(self, source: Path, output: Path, kind: str) -> Measured:
        return measure(
            [self.program("llama-quantize"), source, output, kind, self.settings.threads], disk=output.parent
        )

    # Running

    def bench(self, model: Path, *options, threads: int | None = None) -> tuple[list[dict], Measured]:
        """llama-bench's tests, as it prints them, with the cache in f16."""
        measured = measure(
            [
                self.program("llama-bench"),
                "-m",
                model,
                "-t",
                threads or self.settings.threads,
                "-r",
                1,
                "-o",
                "json",
                "-ctk",
                "f16",
                "-ctv",
                "f16",
                *options,
            ]
        )
        return json.loads(measured.output), measured

    def look(self, model: Path, photograph: Path, question: str) -> Look:
        """llama-mtmd-cli on a picture, up to the first token."""
        measured = measure(
            [
                self.program("llama-mtmd-cli"),
                "-m",
                model,
                "--mmproj",
                self.settings.mmproj,
                "--image",
                photograph,
                "-p",
                question,
                "-n",
                1,
                "-t",
                self.settings.threads,
                "-c",
                4096,
                "--temp",
                0,
                "--chat-template",
                "vicuna",
                "--log-timestamps",
            ]
        )
        return Look(measured)


class Look:
    """What llama-mtmd-cli says about its own times."""

    ENCODED = re.compile(r"(?:slice encoded|encoding done) in (\d+) ms")
    STAMP = re.compile(r"^(\d+)\.(\d\d)\.(\d{3})\.(\d{3}) ")

    def __init__(self, measured: Measured) -> None:
        self.peak_resident = measured.peak_resident
        lines = (measured.log + measured.output).splitlines()
        self.tile_seconds = [int(match[1]) / 1000 for line in lines if (match := self.ENCODED.search(line))]
        if not self.tile_seconds:
            raise Failed("llama-mtmd-cli printed no encoding times:\n" + "\n".join(lines[-15:]))
        loaded = next((self.stamp(line) for line in lines if "loading model:" in line), None)
        # From the loaded model to the end of the process, one token later.
        self.first_token_seconds = measured.seconds - loaded if loaded is not None else None
        self.load_seconds = loaded

    def stamp(self, line: str) -> float | None:
        match = self.STAMP.match(line)
        return 60 * int(match[1]) + int(match[2]) + int(match[3]) / 1e3 + int(match[4]) / 1e6 if match else None
