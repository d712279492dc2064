#!/usr/bin/env python3
"""Packing beside ZipNN, and what an entropy-coded plane of 4-bit indices would give.

    python compare.py GRISTMILL CHECKPOINT [--runs 5]

CHECKPOINT is a folder of bf16 weights, 1 or 2 GB; it is copied into memory (/dev/shm). On two threads, in turn:

- conversions with packing and without, and checks of both files, by the processor's time without the system's: what
  packing and unpacking themselves take is the difference, as a rate of two threads. Whole conversions (reading, hashing, packing, writing) and
  whole checks are told as well. Beside them ZipNN's compress and decompress of the same tensors, by the clock;
- the entropy of int4 indices, and zstd's Huffman coder on them, a byte each: size and unpacking speed on one thread.

Needs zipnn, numpy, zstandard and safetensors. Leave the machine alone meanwhile.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import zstandard
from zipnn import ZipNN

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "formats"))
import reader  # noqa: E402


def seconds(work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def run(*arguments: object) -> float:
    """The processor's time that a program itself takes, without the system's for it, in seconds."""
    process = subprocess.Popen([str(argument) for argument in arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{arguments}: {status}")
    return usage.ru_utime


def tensors(folder: Path) -> list[bytes]:
    found = []
    for file in sorted(folder.glob("*.safetensors")):
        data = file.read_bytes()
        length = struct.unpack_from("<Q", data)[0]
        for name, entry in json.loads(data[8:8 + length]).items():
            if name != "__metadata__" and entry["dtype"] == "BF16":
                begin, end = entry["data_offsets"]
                found.append(data[8 + length + begin:8 + length + end])
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    work = Path(tempfile.mkdtemp(dir="/dev/shm"))
    try:
        shutil.copytree(options.checkpoint, work / "c")
        values = tensors(work / "c")
        total = sum(len(value) for value in values)
        packed, file = [], work / "m.grist"
        zipnn = ZipNN(bytearray_dtype="bfloat16", threads=2)
        times: dict[str, list[float]] = {}

        def note(name: str, work_) -> None:
            times.setdefault(name, []).append(total / 1e6 / seconds(work_))

        raw, cpu = work / "raw.grist", {}

        def ours(name: str, *arguments: object) -> None:
            cpu.setdefault(name, []).append(run(options.program, *arguments, "--threads", 2, "--quiet"))

        for _ in range(options.runs):
            ours("convert raw", "convert", work / "c", "-o", raw, "--recipe", "source", "--pack", "raw")
            note("gristmill converts, packing", lambda: ours("convert", "convert", work / "c", "-o", file, "--recipe", "source", "--pack", "zstd"))
            note("ZipNN compresses", lambda: packed.__setitem__(slice(None), [zipnn.compress(bytearray(value)) for value in values]))
            ours("check raw", "inspect", raw, "--check")
            note("gristmill checks, unpacking", lambda: ours("check", "inspect", file, "--check"))
            note("ZipNN decompresses", lambda: [zipnn.decompress(value) for value in packed])
        raw.unlink()
        print(f"{total / 1e6:.0f} MB of bf16 in {len(values)} tensors, medians of {options.runs}, two threads")
        print(f"  ratio: gristmill {file.stat().st_size / total:.4f} of the weights, all of its file; ZipNN {sum(len(value) for value in packed) / total:.4f}")
        median = {name: statistics.median(value) for name, value in times.items()}
        for name, value in median.items():
            print(f"  {name}: {value:.0f} MB/s ({min(times[name]):.0f} to {max(times[name]):.0f})")
        for name, theirs in [("convert", "ZipNN compresses"), ("check", "ZipNN decompresses")]:
            taken = statistics.median(cpu[name]) - statistics.median(cpu[name + " raw"])
            rate = 2 * total / 1e6 / taken
            print(f"  {'packing' if name == 'convert' else 'unpacking'} itself: {taken:.2f} s of one core, {rate:.0f} MB/s on two: {rate / median[theirs]:.2f} times ZipNN's rate")

        quantized = work / "q.grist"
        run(options.program, "convert", work / "c", "-o", quantized, "--recipe", "int4", "--calibrate", "none", "--quiet")
        grist = reader.Grist(quantized)
        counts, indices = np.zeros(16), []
        stored = payload = 0
        for tensor in grist.tensors.values():
            scheme = tensor["scheme"]
            if scheme.get("bits") != 4:
                continue
            for index in range(tensor["chunks"]["first"], tensor["chunks"]["first"] + tensor["chunks"]["count"]):
                data = np.frombuffer(grist.payload(index), np.uint8)
                stored, payload = stored + grist.chunks[index][1], payload + len(data)
                columns = int(np.prod(tensor["shape"][1:]))
                codes = reader.up(columns, 8) * 16 // 2
                tiles = len(data) // (codes + -(-columns // scheme["group_size"]) * 32)
                nibbles = data[:tiles * codes]
                plane = np.stack([nibbles & 15, nibbles >> 4], 1).ravel()
                counts += np.bincount(plane, minlength=16)
                if sum(map(len, indices)) < 1 << 26:
                    indices.append(plane)
        share = counts / counts.sum()
        entropy = float(-(share * np.log2(share)).sum())
        plane = np.concatenate(indices).tobytes()
        frames = [zstandard.ZstdCompressor(level=1).compress(plane[start:start + (1 << 20)]) for start in range(0, len(plane), 1 << 20)]
        rates = [len(plane) / 1e6 / seconds(lambda: [zstandard.ZstdDecompressor().decompress(frame) for frame in frames]) for _ in range(options.runs)]
        print(f"int4 indices: {counts.sum() / 1e6:.0f} M; entropy {entropy:.3f} bits each; zstd as they lie, scales too: {stored / payload:.4f} of the payload;")
        print(f"  a plane of them, a byte each, by zstd's Huffman coder: {8 * sum(map(len, frames)) / len(plane):.3f} bits each, "
              f"unpacked at {statistics.median(rates):.0f} M indices/s on one thread")
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
