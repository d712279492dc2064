"""What the trials of Slurm and Dask share: questions, the command's runs without parts, and hashes of what comes out."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

# What a command writes that does not say how long anything took.
COMPARED = {"record": [""], "calibrate": [""], "verify": ["cases.jsonl"], "align": ["feedback.jsonl", "features.bf16"]}


def digest(command: str, output: Path) -> str:
    """Of what a command wrote, but seconds."""
    hasher = hashlib.sha256()
    if command == "evaluate":
        for line in (output / "progress.jsonl").read_text().splitlines():
            item = json.loads(line)
            for name in ("picture_s", "router_s"):
                item.pop(name, None)
            for answer in item.get("answers", {}).values():
                answer.pop("seconds", None)
            hasher.update(json.dumps(item, sort_keys=True).encode())
        return hasher.hexdigest()
    for name in COMPARED[command]:
        hasher.update((output / name if name else output).read_bytes())
    return hasher.hexdigest()


def whole(command: list[str], output: Path) -> tuple[float, str]:
    """Seconds and digest of a run without parts."""
    option = "--feedback" if command[1] == "align" else "-o"
    # Without training, and without a verdict: one part of one.
    part = ["--part", "1/1"] if command[1] in ("align", "verify") else []
    began = time.monotonic()
    subprocess.run([*command, *part, option, str(output), "--quiet"], check=True, stdout=subprocess.DEVNULL)
    return time.monotonic() - began, digest(command[1], output)


def clear(path: Path) -> None:
    """Removes what an earlier run left, a file or a folder."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def kill_part(number: int) -> None:
    """The command itself, as the system does it that has no memory left; not the script around it."""
    for pid in subprocess.run(["pgrep", "-x", "gristmill"], capture_output=True, text=True).stdout.split():
        try:
            if f"part-{number}\0" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(int(pid), signal.SIGKILL)
        except (ProcessLookupError, FileNotFoundError):
            pass


def commands(gristmill: str, checkpoint: str, data: Path, work: Path, count: int) -> dict[str, list[str]]:
    """One of each kind, on so many questions; the model is made where it is not there."""
    model = work / "model.grist"
    if not model.exists():
        subprocess.run([gristmill, "convert", checkpoint, "-o", str(model), "--recipe", "int4-all", "--calibrate", "none", "--quiet"], check=True)
    probes, questions = data / f"probes-{count}.json", data / f"evaluation-{count}.jsonl"
    if not probes.exists():
        probes.write_text(json.dumps(json.loads((data / "probes.json").read_text())[:count]))
        questions.write_text("".join((data / "evaluation.jsonl").read_text().splitlines(True)[:count]))
    record = work / "reference.record"
    if not record.exists():
        subprocess.run([gristmill, "record", checkpoint, "--probes", str(probes), "--max-new-tokens", "8", "-o", str(record), "--quiet"], check=True)
    one = ["--threads", "1"]
    return {
        "record": [gristmill, "record", checkpoint, "--probes", str(probes), "--max-new-tokens", "8", *one],
        "verify": [gristmill, "verify", str(model), "--reference", str(record), *one],
        "evaluate": [gristmill, "evaluate", str(model), "--questions", str(questions), "--max-new-tokens", "8", *one],
        "calibrate": [gristmill, "calibrate", checkpoint, "--probes", str(probes), *one],
        "align": [gristmill, "align", str(model), "--questions", str(questions), *one],
    }
