"""Running other programs, with what they cost."""

from __future__ import annotations

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Measured:
    """One finished process. Seconds, and bytes."""

    output: str
    log: str
    seconds: float
    processor_seconds: float
    peak_resident: int
    peak_disk: int

    @property
    def costs(self) -> dict[str, float]:
        return {
            "s": self.seconds,
            "processor_s": self.processor_seconds,
            "peak_resident_bytes": self.peak_resident,
            "peak_disk_bytes": self.peak_disk,
        }


class Failed(Exception):
    """A program that ended with an error."""


def say(text: str) -> None:
    print(text, flush=True)


def folder_bytes(folder: Path) -> int:
    """Bytes that the folder's files take on disk."""
    total = 0
    for entry in folder.rglob("*"):
        try:
            total += entry.lstat().st_blocks * 512
        except FileNotFoundError:
            pass
    return total


class DiskWatch(threading.Thread):
    """Looks at a folder every now and then, and remembers by how much it grew at most."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.start_bytes = folder_bytes(folder) if folder else 0
        self.peak = 0
        self.ended = threading.Event()

    def look(self) -> None:
        if self.folder:
            self.peak = max(self.peak, folder_bytes(self.folder) - self.start_bytes)

    def run(self) -> None:
        while not self.ended.wait(0.5):
            self.look()

    def end(self) -> int:
        self.ended.set()
        self.join()
        self.look()
        return self.peak


def measure(
    arguments: list, *, disk: Path | None = None, environment: dict[str, str] | None = None, folder: Path | None = None
) -> Measured:
    """Run a program to its end, in `folder` where one is named. Its peak memory is the system's figure for the process; `disk`
    names a folder whose growth is watched. Raises Failed with the end of its log."""
    arguments = [str(argument) for argument in arguments]
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as log:
        watch = DiskWatch(disk)
        watch.start()
        start = time.monotonic()
        process = subprocess.Popen(
            arguments, stdin=subprocess.DEVNULL, stdout=output, stderr=log, env=os.environ | (environment or {}), cwd=folder
        )
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            process.kill()
            raise
        seconds = time.monotonic() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        peak_disk = watch.end()
        output.seek(0)
        log.seek(0)
        result = Measured(
            output.read().decode(errors="replace"),
            log.read().decode(errors="replace"),
            seconds,
            usage.ru_utime + usage.ru_stime,
            usage.ru_maxrss * 1024,
            peak_disk,
        )
    if process.returncode != 0:
        tail = "\n".join((result.log or result.output).splitlines()[-15:])
        raise Failed(f"{Path(arguments[0]).name} ended with {process.returncode}:\n{tail}")
    return result
