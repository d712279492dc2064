"""A control group that holds a program to so much memory: version 1, made as root, judged by its own counters."""

import contextlib
import os
import subprocess
import time

ROOT = "/sys/fs/cgroup/memory"


class Result:
    def __init__(self, status, seconds, peak, killed, refused, out, err):
        self.status, self.seconds, self.peak = status, seconds, peak
        self.killed, self.refused, self.out, self.err = killed, refused, out, err


def available():
    return os.geteuid() == 0 and os.path.exists(f"{ROOT}/memory.limit_in_bytes")


@contextlib.contextmanager
def group(limit):
    folder = f"{ROOT}/gristmill-{os.getpid()}"
    os.makedirs(folder, exist_ok=True)
    try:
        if limit:
            write(folder, "memory.limit_in_bytes", limit)
            # Without this a host with swap would hide what does not fit.
            with contextlib.suppress(OSError):
                write(folder, "memory.memsw.limit_in_bytes", limit)
        yield folder
    finally:
        for _ in range(50):
            try:
                os.rmdir(folder)
                break
            except OSError:
                time.sleep(0.1)


def write(folder, name, value):
    with open(f"{folder}/{name}", "w") as file:
        file.write(str(value))


def read(folder, name, key=None):
    with open(f"{folder}/{name}") as file:
        text = file.read()
    if key is None:
        return int(text)
    return next((int(line.split()[1]) for line in text.splitlines() if line.split()[0] == key), 0)


def run(command, limit=None, timeout=300, environment=None):
    """Runs a command; a limit of None only watches. `peak`: the group's largest use in bytes, pages of files counted
    in; `killed`: whether the system killed for want of memory; `refused`: how often the limit was met."""
    with group(limit) as folder:
        join = lambda: write(folder, "cgroup.procs", os.getpid())
        began = time.monotonic()
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=join, env=environment)
        try:
            out, err = process.communicate(timeout=timeout)
            status = process.returncode
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            status = "time"
        seconds = time.monotonic() - began
        return Result(
            status, seconds, read(folder, "memory.max_usage_in_bytes"),
            read(folder, "memory.oom_control", "oom_kill") > 0, read(folder, "memory.failcnt"),
            out.decode(errors="replace"), err.decode(errors="replace"))
