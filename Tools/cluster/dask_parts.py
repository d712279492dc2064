#!/usr/bin/env python3
"""Runs a command's parts on a Dask cluster, and joins what they give.

    python Tools/cluster/dask_parts.py --scheduler tcp://HOST:8786 --parts N --work FOLDER --output OUTPUT -- gristmill record CHECKPOINT --probes FILE

The command is one that takes --part K/N: record, verify, evaluate, calibrate or align, without its output. FOLDER and OUTPUT are on a file system that
all workers share. A part whose worker dies, or that fails for want of room or memory, runs again, four times at most; what it had done is kept where the
command keeps it. Needs `distributed`.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import signal
import subprocess
import sys
import time

# No second try makes these better: a request that makes no sense, an input that is none or is not there.
HOPELESS = (64, 65, 66)


class PartFailed(RuntimeError):
    pass


def run_part(command: list[str], part: str, target: str) -> dict:
    """One part, in a process of its own; runs on a worker."""
    option = "--feedback" if command[1] == "align" else "-o"
    began = time.monotonic()
    # It ends with the worker, which else would be begun again beside it.
    ends = ctypes.CDLL(None, use_errno=True)
    result = subprocess.run([*command, "--part", part, option, target, "--quiet"], capture_output=True, text=True,
                            preexec_fn=lambda: ends.prctl(1, signal.SIGKILL))
    return {"code": result.returncode, "error": result.stderr.strip(), "seconds": time.monotonic() - began}


def run_again(command: list[str], part: str, target: str) -> dict:
    """The same, raising what may go better the next time, so that Dask tries again."""
    result = run_part(command, part, target)
    if result["code"] not in (0, *HOPELESS):
        time.sleep(1)
        raise PartFailed(f"part {part} ended with {result['code']}: {result['error']}")
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scheduler", required=True)
    parser.add_argument("--parts", type=int, required=True)
    parser.add_argument("--work", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    command = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    if len(command) < 2:
        parser.error("give the command after --")
    from distributed import Client

    os.makedirs(arguments.work, exist_ok=True)
    targets = [f"{arguments.work}/part-{index}" for index in range(1, arguments.parts + 1)]
    with Client(arguments.scheduler, set_as_default=False) as client:
        futures = [client.submit(run_again, command, f"{index}/{arguments.parts}", target, retries=4, pure=False)
                   for index, target in enumerate(targets, 1)]
        for index, result in enumerate(client.gather(futures), 1):
            if result["code"] != 0:
                print(f"part {index}/{arguments.parts}: {result['error']}", file=sys.stderr)
                return result["code"]
    return subprocess.run([command[0], "merge", *targets, "-o", arguments.output]).returncode


if __name__ == "__main__":
    sys.exit(main())
