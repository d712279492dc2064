#!/usr/bin/env python3
"""Holds what `gristmill export` writes to h5py, torch and transformers.

    python check_export.py GRISTMILL

- HDF5 and pickles of Tests/Fixtures: every tensor under its own name, with the values that h5py and torch read.
- Small models of transformers, quantized to int8 and int4 and given back: transformers loads the folder, and its logits
  are those of the .grist file.

Needs h5py, torch, transformers, safetensors and numpy.
"""
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM, AutoModelForImageTextToText

FIXTURES = Path(__file__).resolve().parent.parent.parent / "Tests/Fixtures"


def run(*arguments: object) -> None:
    done = subprocess.run([str(argument) for argument in arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{arguments}: {done.returncode}\n{done.stderr}")


def hdf5(path: Path) -> dict[str, np.ndarray]:
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.__setitem__(name, item[()]) if isinstance(item, h5py.Dataset) else None)
    return {name.removeprefix("/"): value for name, value in found.items() if name.split("/")[0] != "optimizer"}


def pickled(path: Path) -> dict[str, np.ndarray]:
    state = torch.load(path, weights_only=True)
    while not all(isinstance(value, torch.Tensor) for value in state.values()):
        inner = [state[key] for key in ("state_dict", "model", "module") if isinstance(state.get(key), dict)]
        state = inner[0] if inner else {key: value for key, value in state.items() if isinstance(value, torch.Tensor)}
    return {name: value.detach().contiguous().view(torch.uint8).numpy() if value.dtype == torch.bfloat16 else value.detach().numpy()
            for name, value in state.items()}


def check_values(program: str, path: Path, expected: dict[str, np.ndarray], folder: Path) -> int:
    out = folder / "out"
    run(program, "convert", path, "-o", folder / "m.grist", "--recipe", "source", "--quiet", "--force")
    run(program, "export", folder / "m.grist", "-o", out, "--quiet")
    wrong = 0
    with safe_open(out / "model.safetensors", "pt") as file:
        names = set(file.keys())
        for name in names:
            value = file.get_tensor(name)
            found = value.view(torch.uint8).numpy() if value.dtype == torch.bfloat16 else value.numpy()
            if name not in expected or found.dtype != expected[name].dtype or not np.array_equal(found, expected[name], equal_nan=found.dtype.kind == "f"):
                wrong += 1
                print(f"  {name} differs")
    missing = set(expected) - names
    print(f"{path.relative_to(FIXTURES)}: {len(names)} tensors, {wrong} otherwise{', left out ' + str(len(missing)) if missing else ''}")
    return wrong


def check_logits(program: str, name: str, recipe: str, folder: Path) -> int:
    checkpoint, out, questions = FIXTURES / "huggingface" / name, folder / "out", folder / "q.json"
    questions.write_text(json.dumps([{"prompt": text} for text in ("Hello", "What is this?", "a b c d e f g h i j k l m")]))
    run(program, "convert", checkpoint, "-o", folder / "m.grist", "--recipe", recipe, "--calibrate", "none", "--quiet", "--force")
    run(program, "export", folder / "m.grist", "-o", out, "--quiet")
    run(program, "record", folder / "m.grist", "--probes", questions, "-o", folder / "r.record", "--max-new-tokens", "12",
        "--allow-lossy-reference", "--activations", "f32", "--quiet", "--force")
    kind = AutoModelForCausalLM if name == "mistral" else AutoModelForImageTextToText
    model = kind.from_pretrained(out, dtype=torch.float32, attn_implementation="eager").eval()
    largest = 0.0
    with safe_open(folder / "r.record", "np") as record, torch.no_grad():
        for index, case in enumerate(json.loads(record.metadata()["record"])["cases"]):
            ids = torch.tensor([case["input_ids"] + case["tokens"][:-1]])
            logits = model(input_ids=ids).logits[0, len(case["input_ids"]) - 1:].numpy()
            reference = record.get_tensor(f"case.{index}.logits")
            largest = max(largest, float(np.abs(logits[:, :reference.shape[1]] - reference).max()))
    print(f"huggingface/{name}, {recipe}: transformers' logits of the folder, the largest difference from the file's: {largest:.2g}")
    return int(largest > 1e-4)


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 64
    program, wrong = sys.argv[1], 0
    sources = [(path, hdf5(path / "model.weights.h5")) for path in (FIXTURES / "keras-hub/llama", FIXTURES / "keras-hub/clip")]
    sources += [(path, hdf5(path)) for path in (FIXTURES / "keras/legacy.h5", FIXTURES / "keras/model.weights.h5")]
    sources += [(path, pickled(path)) for path in sorted((FIXTURES / "torch").glob("*.bin")) if not path.name.startswith(("types", "old-form"))]
    for path, expected in sources:
        with tempfile.TemporaryDirectory() as folder:
            wrong += check_values(program, path, expected, Path(folder))
    for name in ("llava-5", "next-5", "mistral"):
        for recipe in ("int8", "int4-all"):
            with tempfile.TemporaryDirectory() as folder:
                wrong += check_logits(program, name, recipe, Path(folder))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
