#!/usr/bin/env python3
"""The conformance kit in every form that HDF5 takes: converts each, and holds it to the safetensors that it was made from.

    forms.py WORK [--gristmill PATH]

(a) dumped by h5py, flat and nested, contiguous and compressed; (b) from real Keras layers, as model.weights.h5, in shards, and
as an archive; (c) in Keras's older format. Of each: the fingerprint, the weights' bytes in the file, and whether a record of the
safetensors' answers (router logits and tokens) verifies it with nothing to spare. Needs h5py, keras, torch and safetensors.
"""

import argparse
import json
import pathlib
import shutil
import subprocess
import sys

import h5py
import safetensors.numpy

ROOT = pathlib.Path(__file__).parents[2]
KIT = ROOT / "Tests/Fixtures/conformance/small-f32"
MAPS = ROOT / "Tests/Fixtures/keras"
PROBES = [
    ("china.jpg", "What is in the picture?"), ("china_portrait.jpg", "Describe it."), ("flower_panorama.jpg", "How many?"),
    (None, "Good morning!"),
]


def dump(path, nested, packed):
    options = {"compression": "gzip", "shuffle": True} if packed else {}
    with h5py.File(path, "w") as file:
        for name, value in safetensors.numpy.load_file(KIT / "model.safetensors").items():
            file.create_dataset(name.replace(".", "/") if nested else name, data=value, **options)


def forms(work):
    """(name, files to lie beside the configuration, map)."""
    for nested in (False, True):
        for packed in (False, True):
            name = f"h5py, {'nested' if nested else 'flat'}, {'gzip and shuffle' if packed else 'contiguous'}"
            path = work / f"{name.replace(', ', '-').replace(' ', '-')}.h5"
            dump(path, nested, packed)
            yield name, [path], None
    keras = work / "keras"
    script = ROOT / "Tools/reference/write_keras.py"
    subprocess.run(
        [sys.executable, script, keras, "--checkpoint", KIT, "--shard-size", "0.001"], check=True, capture_output=True)
    yield "Keras 3, model.weights.h5", [keras / "model.weights.h5"], MAPS / "keras.map"
    yield "Keras 3, in shards", sorted((keras / "sharded").iterdir()), MAPS / "keras.map"
    yield "Keras 3, model.keras", [keras / "model.keras"], MAPS / "keras.map"
    yield "Keras 2, legacy.h5", [keras / "legacy.h5"], MAPS / "keras-legacy.map"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("work", type=pathlib.Path)
    parser.add_argument("--gristmill", type=pathlib.Path, default=ROOT / ".build/release/gristmill")
    options = parser.parse_args()
    work = options.work
    work.mkdir(parents=True, exist_ok=True)

    def gristmill(*arguments):
        done = subprocess.run([options.gristmill, *map(str, arguments)], capture_output=True, text=True)
        if done.returncode not in (0, 1):
            raise SystemExit(f"{' '.join(map(str, arguments))}: {done.stderr}")
        return done.stdout

    def convert(source, target, extra=()):
        gristmill("convert", source, "-o", target, "--recipe", "source", "--pack", "raw", "--quiet", *extra)
        described = json.loads(gristmill("inspect", target, "--json"))
        # Everything but where it came from.
        tensors = [{k: v for k, v in t.items() if k != "source_name"} for t in described["tensors"]]
        return described["fingerprint"], json.dumps(tensors, sort_keys=True)

    probes = work / "probes.json"
    pictures = ROOT / "Tests/Fixtures/conformance/images"
    for image, _ in PROBES:
        if image:
            shutil.copy(pictures / image, work / image)
    probes.write_text(json.dumps([{"prompt": p, **({"image": i} if i else {})} for i, p in PROBES]))
    wanted = convert(KIT, work / "reference.grist")
    record = work / "reference.record"
    record.unlink(missing_ok=True)
    gristmill("record", KIT, "--probes", probes, "-o", record, "--quiet")
    failed = 0
    for name, files, rules in forms(work):
        folder = work / "source"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(KIT, folder, ignore=shutil.ignore_patterns("*.safetensors", "expected.json"))
        for file in files:
            shutil.copy(file, folder / file.name)
        target = work / "form.grist"
        fingerprint, tensors = convert(folder, target, ["--map", rules] if rules else [])
        verdict = json.loads(
            gristmill("verify", target, "--reference", record, "--max-kl", "0", "--tie-margin", "0", "--json", "--quiet"))
        outcome = {
            "fingerprint": fingerprint == wanted[0], "tensors": tensors == wanted[1],
            "verified": verdict["passed"] and verdict["outputs"]["max_abs_logit_difference"] == 0,
        }
        failed += not all(outcome.values())
        print(f"{name:40}", *(f"{key} {'same' if value else 'OTHER'}" for key, value in outcome.items()), sep="  ")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
