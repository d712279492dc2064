"""Feeds files that were made to hurt to `gristmill convert`, and shows what became of each.

    attack.py --corpus FOLDER [--table FILE]      every file of a folder (CVE reproducers for libhdf5, for example)
    attack.py --mutate FILE... [--count N]        N truncations and bit flips of each file's metadata

A run passes when the program ends by itself with exit 65 and one sentence, having written nothing, or with exit 0 and a
file whose fingerprint is that of what h5py reads (in a process of its own, as it may crash); within 10 seconds and 1 GiB,
helper included. h5py may come with a newer libhdf5, which refuses some damage that cannot be seen in what is read: a mutant
that h5py refuses passes, and is counted apart, when it reads as the file did before it was damaged. --h5py names a Python whose
h5py has the libhdf5 that Gristmill has, Debian's for example, and so reads the same. Needs h5py, numpy and xxhash.
"""

import argparse
import hashlib
import json
import os
import pathlib
import random
import resource
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).parents[2]
MEMORY = 1 << 30
SECONDS = 10
PYTHON = sys.executable

READ = r"""
import hashlib, sys
import h5py, numpy as np, xxhash
names = {("f", 2): "f16", ("f", 4): "f32", ("f", 8): "f64"}
lines = []
def walk(group, prefix):
    for key in group:
        item, name = group[key], prefix + key
        if isinstance(item, h5py.Group):
            walk(item, name + "/")
        elif isinstance(item, h5py.Dataset):
            kind, size = item.dtype.kind, item.dtype.itemsize
            data = item[()]
            if kind in "iuf":
                data = np.asarray(data).astype(item.dtype.newbyteorder("<"))
            word = names.get((kind, size)) or {"i": "i", "u": "u"}.get(kind, "?") + str(8 * size)
            word = "bool" if item.dtype == bool else "bf16" if item.dtype.kind == "V" else word
            shape = "x".join(map(str, item.shape))
            digits = xxhash.xxh3_128(np.asarray(data).tobytes()).hexdigest()
            lines.append((name.encode(), f"{name} {word} {shape} {digits}\n"))
with h5py.File(sys.argv[1], "r") as file:
    walk(file, "")
print(hashlib.sha256("".join(line for _, line in sorted(lines)).encode()).hexdigest())
"""


def h5py_fingerprint(path):
    try:
        done = subprocess.run([PYTHON, "-c", READ, path], capture_output=True, text=True, timeout=120)
    except subprocess.TimeoutExpired:
        return "h5py hung"
    return done.stdout.strip() if done.returncode == 0 else f"h5py ended with {done.returncode}"


class Outcome:
    def __init__(self, gristmill, path, folder, undamaged=None):
        source = folder / "source"
        source.mkdir(exist_ok=True)
        (source / "model.h5").write_bytes(pathlib.Path(path).read_bytes())
        output = folder / "out.grist"
        started = time.monotonic()
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
        process = subprocess.Popen(
            [gristmill, "convert", source, "-o", output, "--recipe", "source", "--quiet"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            _, self.text = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            self.text = "hung"
        self.code = process.returncode
        self.seconds = time.monotonic() - started
        self.memory = max(before, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) * 1024
        self.text = self.text.strip().replace(str(source) + "/", "")
        self.left = sorted(p.name for p in folder.iterdir() if p.name != "source")
        self.agrees = self.as_undamaged = None
        if self.code == 0 and self.left == ["out.grist"]:
            report = json.loads(subprocess.run([gristmill, "inspect", "--json", output], capture_output=True, text=True).stdout)
            theirs = h5py_fingerprint(source / "model.h5")
            self.agrees = report["fingerprint"] == theirs
            self.as_undamaged = theirs.startswith("h5py ") and report["fingerprint"] == undamaged
            output.unlink()

    @property
    def passes(self):
        if self.seconds > SECONDS or self.memory > MEMORY:
            return False
        if self.code == 0:
            return self.agrees is True or self.as_undamaged is True
        lines = [line for line in self.text.splitlines() if not line.startswith("note: ")]
        return self.code == 65 and not self.left and len(lines) == 1 and lines[0].startswith("gristmill: ")

    def sentence(self):
        if self.code == 0:
            return "reads, as h5py does" if self.agrees else "reads, NOT as h5py does"
        return self.text.removeprefix("gristmill: ").removeprefix("model.h5: ")


def mutations(path, count, seed):
    """Truncations, and bit flips where metadata are: in whatever is not one of the datasets' data."""
    import h5py

    data = pathlib.Path(path).read_bytes()
    is_payload = bytearray(len(data))

    def visit(_, item):
        if not isinstance(item, h5py.Dataset) or item.size == 0:
            return
        ranges = []
        if item.chunks:
            for i in range(item.id.get_num_chunks()):
                info = item.id.get_chunk_info(i)
                ranges.append((info.byte_offset, info.size))
        elif item.id.get_offset() is not None:
            ranges.append((item.id.get_offset(), item.id.get_storage_size()))
        for offset, size in ranges:
            is_payload[offset : offset + size] = b"\1" * size

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    metadata = [i for i, payload in enumerate(is_payload) if not payload]
    rng = random.Random(seed)
    for index in range(count):
        mutant = bytearray(data)
        if index % 4 == 0:
            del mutant[rng.randrange(len(mutant)) :]
        else:
            for _ in range(1 << rng.randrange(5)):
                mutant[rng.choice(metadata)] ^= 1 << rng.randrange(8)
        yield index, bytes(mutant)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gristmill", default=ROOT / ".build/release/gristmill", type=pathlib.Path)
    parser.add_argument("--corpus", type=pathlib.Path)
    parser.add_argument("--table", type=pathlib.Path, help="write what became of the corpus as a Markdown table")
    parser.add_argument("--mutate", nargs="+", type=pathlib.Path, default=[])
    parser.add_argument("--count", type=int, default=700)
    parser.add_argument("--seed", type=int, default=14)
    parser.add_argument("--h5py", help="the Python whose h5py reads")
    options = parser.parse_args()
    global PYTHON
    PYTHON = options.h5py or PYTHON
    failures, rows = [], []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for path in sorted(options.corpus.iterdir()) if options.corpus else []:
            if path.name == "COPYING" or not path.is_file():
                continue
            outcome = Outcome(options.gristmill, path, folder)
            rows.append((path.name, outcome))
            if not outcome.passes:
                failures.append((path.name, outcome.code, outcome.sentence()))
        for path in options.mutate:
            ends, unseen = {}, 0
            undamaged = h5py_fingerprint(path)
            if undamaged.startswith("h5py "):
                sys.exit(f"{path}, which is not damaged, cannot be read here: {undamaged}")
            for index, mutant in mutations(path, options.count, options.seed):
                file = folder / "source" / "mutant.bin"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(mutant)
                saved = folder.parent / f"{folder.name}-mutant"
                os.replace(file, saved)
                outcome = Outcome(options.gristmill, saved, folder, undamaged)
                unseen += outcome.as_undamaged is True
                ends[outcome.code] = ends.get(outcome.code, 0) + 1
                if not outcome.passes:
                    failures.append((f"{path.name} #{index}", outcome.code, outcome.sentence()))
                saved.unlink()
            print(f"{path.name}: {options.count} mutants, by exit code {dict(sorted(ends.items()))}; {unseen} of those read are refused "
                  "by h5py's libhdf5 and read as before they were damaged")
    if rows:
        print(f"{len(rows)} files of the corpus: {sum(o.code == 0 for _, o in rows)} read, {sum(o.code == 65 for _, o in rows)} refused")
    if options.table:
        lines = ["| file | exit | outcome |", "| --- | --- | --- |"]
        lines += [f"| {n} | {o.code} | {o.sentence().replace('|', chr(92) + '|')} |" for n, o in rows]
        options.table.write_text("\n".join(lines) + "\n")
    for failure in failures:
        print("FAILED", *failure)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
