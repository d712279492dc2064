"""Gristmill: build, convert, run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from .processes import Measured, measure, say
from .settings import ROOT, Settings


class Gristmill:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.program = settings.gristmill

    def build(self) -> None:
        if self.program.is_file():
            return
        say("building gristmill")
        subprocess.run(
            ["swift", "build", "-c", "release", "--product", "gristmill"],
            cwd=ROOT,
            check=True,
            stdin=subprocess.DEVNULL,
        )

    def facts(self) -> dict[str, str]:
        def git(*arguments: str) -> str:
            return subprocess.run(["git", "-C", ROOT, *arguments], capture_output=True, text=True).stdout.strip()

        commit = git("rev-parse", "--short", "HEAD")
        changed = bool(git("status", "--porcelain", "--untracked-files=no", "--", "Sources", "Package.swift"))
        version = measure([self.program, "--version"]).output.strip()
        return {"gristmill": version.removeprefix("gristmill "), "commit": commit + (" and changes" if changed else "")}

    def convert(self, checkpoint: Path, output: Path, recipe: str, packing: str) -> Measured:
        return measure(
            [
                self.program,
                "convert",
                checkpoint,
                "--calibrate",
                "none",
                "-o",
                output,
                "--recipe",
                recipe,
                "--pack",
                packing,
                "--threads",
                self.settings.threads,
                "--json",
            ],
            disk=output.parent,
        )

    def bench(self, model: Path, *options) -> dict:
        """`gristmill bench`, without prompts and depths unless options say so."""
        arguments = [self.program, "bench", model, "--json"]
        if "--threads" not in options:
            arguments += ["--threads", self.settings.threads]
        if "--prefill" not in options:
            arguments += ["--prefill", "none"]
        if "--depths" not in options:
            arguments += ["--depths", "none"]
        return json.loads(measure([*arguments, *options]).output)

    def run(self, model: Path, *options) -> tuple[dict, Measured]:
        measured = measure([self.program, "run", model, "--threads", self.settings.threads, "--json", *options])
        return json.loads(measured.output), measured
