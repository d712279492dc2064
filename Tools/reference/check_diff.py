#!/usr/bin/env python3
"""Holds `gristmill diff` to numpy: every measure of every tensor between a checkpoint and a noisy copy of it.

    check_diff.py [--gristmill PROGRAM]

Needs numpy. Exit status 1 when a measure is further from numpy's, in f64, than 1e-9 of itself.
"""

import argparse
import json
import pathlib
import shutil
import struct
import subprocess
import tempfile

import numpy

ROOT = pathlib.Path(__file__).resolve().parents[2]
KIT = ROOT / "Tests/Fixtures/conformance/small-f32"


def parts(path):
    """A safetensors file's bytes up to the data, its entries and the data."""
    content = path.read_bytes()
    end = 8 + struct.unpack("<Q", content[:8])[0]
    header = json.loads(content[8:end])
    return content[:end], {name: entry for name, entry in header.items() if name != "__metadata__"}, bytearray(content[end:])


def values(path):
    _, entries, data = parts(path)
    return {
        name: numpy.frombuffer(bytes(data[slice(*entry["data_offsets"])]), "<f4").reshape(entry["shape"]).astype("f8")
        for name, entry in entries.items()
    }


def make_noisy(folder):
    """A copy of the kit of whose tensors three in five have noise."""
    shutil.copytree(KIT, folder)
    random = numpy.random.default_rng(1)
    head, entries, data = parts(KIT / "model.safetensors")
    for entry in entries.values():
        if random.random() < 0.6:
            place = slice(*entry["data_offsets"])
            original = numpy.frombuffer(bytes(data[place]), "<f4")
            data[place] = (original + random.normal(0, 1e-3, original.size).astype("f4")).tobytes()
    (folder / "model.safetensors").write_bytes(head + bytes(data))


def expected(a, b):
    """largest, relative error, cosine, worst row and its error; by rows only of what has some."""
    difference, norm = a - b, numpy.linalg.norm
    rows = (None, None)
    if a.ndim >= 2 and difference.any():
        with numpy.errstate(divide="ignore", invalid="ignore"):
            errors = norm(difference.reshape(len(a), -1), axis=1) / norm(a.reshape(len(a), -1), axis=1)
        rows = (int(errors.argmax()), float(errors.max()))
    return abs(difference).max(), norm(difference) / norm(a), (a * b).sum() / (norm(a) * norm(b)), *rows


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gristmill", default=ROOT / ".build/release/gristmill")
    program = parser.parse_args().gristmill
    with tempfile.TemporaryDirectory() as work:
        noisy = pathlib.Path(work) / "noisy"
        make_noisy(noisy)
        done = subprocess.run([program, "diff", KIT, noisy, "--json"], stdout=subprocess.PIPE, check=False)
        assert done.returncode == 1, done.returncode
        found = json.loads(done.stdout)
        ours, theirs = values(KIT / "model.safetensors"), values(noisy / "model.safetensors")
    worst = 0.0
    for tensor in found["tensors"]:
        a, b = ours[tensor["name"]], theirs[tensor["name"]]
        assert tensor["equal"] == bool((a == b).all()), tensor
        row = tensor["worst_row"] or {"row": None, "relative_error": None}
        measures = [tensor["largest"], tensor["relative_error"], tensor["cosine"], row["row"], row["relative_error"]]
        for own, numpys in zip(measures, expected(a, b)):
            if own is None or numpys is None or not numpy.isfinite(numpys):
                assert own is None and (numpys is None or not numpy.isfinite(numpys)), tensor
            else:
                worst = max(worst, abs(own - numpys) / max(abs(numpys), 1e-30))
    print(f"{len(found['tensors'])} tensors; the largest disagreement with numpy is {worst:.1e} of a measure")
    return int(worst > 1e-9)


if __name__ == "__main__":
    raise SystemExit(main())
