#!/usr/bin/env python3
"""Holds what `gristmill export --to gguf` writes to llama.cpp, by way of llama-cpp-python: the ids of texts, and every
greedy token of the reference's answers, with its logits.

    python check_gguf.py GRISTMILL CHECKPOINT… [--as f32]

A checkpoint is a folder with an AVG-LLaVA, a LLaVA or a language model. The reference is gristmill's record of the
checkpoint, which agrees with upstream and transformers to 1e-5. A token counts where the reference's two greatest
logits are at least 0.05 apart. Needs llama-cpp-python, gguf, numpy and safetensors.
"""
import argparse
import ctypes
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import gguf
import llama_cpp
import numpy as np
from safetensors import safe_open

TEXTS = [
    "Hello", "What color is the ring?", "  two blanks, and\nnew lines\n\n", "Zażółć gęślą jaźń", "日本語のテキスト", "a1b2c3 3.14159",
    "🙂 emoji", "tab\tand\r\n", "<s> spelled out", "don't stop; it's 10:30", " leading", "trailing ", "ALL CAPS and MiXeD",
]
MARGIN = 0.05


def run(program: str, *arguments: str) -> str:
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {done.returncode}\n{done.stderr}")
    return done.stdout


def logits(model, ids: list[int]) -> np.ndarray:
    """[tokens, vocabulary]: of every place of a sequence."""
    context, vocabulary = model
    llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(context), True)
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for place, token in enumerate(ids):
        batch.token[place], batch.pos[place], batch.n_seq_id[place] = token, place, 1
        batch.seq_id[place][0], batch.logits[place] = 0, True
    if llama_cpp.llama_decode(context, batch):
        raise SystemExit("llama.cpp does not decode")
    found = [np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(context, place), (vocabulary,)).copy() for place in range(len(ids))]
    llama_cpp.llama_batch_free(batch)
    return np.array(found)


def check(program: str, checkpoint: str, element: str) -> int:
    wrong = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run(program, "convert", checkpoint, "-o", str(folder / "m.grist"), "--recipe", "source", "--quiet")
        run(program, "export", str(folder / "m.grist"), "-o", str(folder / "out"), "--to", "gguf", "--as", element, "--quiet")
        for file in sorted((folder / "out").iterdir()):
            reader = gguf.GGUFReader(file)
            print(f"{checkpoint}: {file.name}: {len(reader.tensors)} tensors, {len(reader.fields)} fields")
        parameters = llama_cpp.llama_model_default_params()
        model = llama_cpp.llama_model_load_from_file(str(folder / "out/model.gguf").encode(), parameters)
        if not model:
            raise SystemExit("llama.cpp does not load it")
        vocabulary = llama_cpp.llama_model_get_vocab(model)
        settings = llama_cpp.llama_context_default_params()
        settings.n_ctx = settings.n_batch = settings.n_ubatch = 1024
        settings.type_k = settings.type_v = 0  # f32
        settings.flash_attn_type = 0
        context = llama_cpp.llama_init_from_model(model, settings)
        size = llama_cpp.llama_vocab_n_tokens(vocabulary)
        # Beyond it llama.cpp computes something else, and the file says so.
        context_length = llama_cpp.llama_model_n_ctx_train(model)

        same = 0
        for text in TEXTS:
            said = json.loads(run(program, "run", checkpoint, "--prompt", text, "--raw", "--max-new-tokens", "0", "--json"))
            bytes_ = text.encode()
            buffer = (llama_cpp.llama_token * 512)()
            count = llama_cpp.llama_tokenize(vocabulary, bytes_, len(bytes_), buffer, 512, True, True)
            ids = list(buffer[:count])
            same += ids == said["input_ids"]
            if ids != said["input_ids"]:
                wrong += 1
                print(f"  {text!r}: {ids} instead of {said['input_ids']}")
        print(f"  {same} of {len(TEXTS)} texts have the same ids")

        questions = folder / "questions.json"
        questions.write_text(json.dumps([{"prompt": text.strip() or "Hello"} for text in TEXTS if "<s>" not in text]))
        run(program, "record", checkpoint, "--probes", str(questions), "-o", str(folder / "r.record"), "--max-new-tokens", "24", "--quiet")
        with safe_open(folder / "r.record", "np") as record:
            cases = json.loads(record.metadata()["record"])["cases"]
            counted = agreeing = 0
            largest = 0.0
            for index, case in enumerate(cases):
                reference = record.get_tensor(f"case.{index}.logits")
                ids = case["input_ids"] + case["tokens"][:-1]
                found = logits((context, size), ids)[len(case["input_ids"]) - 1:context_length]
                reference = reference[:len(found)]
                if not len(found):
                    continue
                largest = max(largest, float(np.abs(found[:, :reference.shape[1]] - reference).max()))
                for ours, theirs in zip(reference, found):
                    top = np.sort(ours)[-2:]
                    if top[1] - top[0] >= MARGIN:
                        counted += 1
                        agreeing += int(ours.argmax() == theirs.argmax())
        wrong += counted - agreeing
        print(f"  {agreeing} of {counted} greedy tokens with a margin of {MARGIN} agree; the largest difference of a logit is {largest:.2g}")
        llama_cpp.llama_free(context)
        llama_cpp.llama_model_free(model)
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("checkpoint", nargs="+")
    parser.add_argument("--as", dest="element", default="f32")
    options = parser.parse_args()
    silent = llama_cpp.llama_log_callback(lambda *_: None)
    llama_cpp.llama_log_set(silent, ctypes.c_void_p(0))
    return 1 if sum(check(options.program, checkpoint, options.element) for checkpoint in options.checkpoint) else 0


if __name__ == "__main__":
    sys.exit(main())
