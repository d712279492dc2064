"""What a GGUF's weights do to the reference's answers: `divergence.py MODEL RECORD TEXTS FILE.gguf…`, one JSON line a file.

The independent side of the table: PyTorch and transformers in float32, weights only (llama.cpp's own activations add a little). MODEL is the folder of make_model.py,
RECORD and TEXTS what `gristmill record` wrote of it, with the model's own answers and with given ones: prompts and tokens are taken, logits are not.
"""

from __future__ import annotations

import json
import struct
import sys
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from make_model import CONFIG, HEADS, KEY_HEADS, NAMES, half_split
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM


def cases(record: Path) -> list[tuple[list[int], list[int]]]:
    """(input ids, greedy tokens) of every case of a record."""
    with record.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(length))
    described = json.loads(header["__metadata__"]["record"])
    return [(case["input_ids"], case["tokens"]) for case in described["cases"]]


def empty_model() -> LlamaForCausalLM:
    keys = ("vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "rms_norm_eps")
    rope = {"rope_type": "default", "rope_theta": CONFIG["rope_theta"]}
    return LlamaForCausalLM(LlamaConfig(**{key: CONFIG[key] for key in keys}, rope_parameters=rope, tie_word_embeddings=True)).float().eval()


def gguf_tensors(path: Path) -> dict[str, torch.Tensor]:
    result = {}
    for tensor in GGUFReader(str(path)).tensors:
        shape = tuple(int(extent) for extent in reversed(tensor.shape.tolist()))
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        kind, *rest = tensor.name.split(".")
        if tensor.name == "token_embd.weight":
            name = "model.embed_tokens.weight"
        elif tensor.name == "output_norm.weight":
            name = "model.norm.weight"
        elif kind == "blk":
            layer, part = rest[:2]
            name = f"model.layers.{layer}.{NAMES[part]}.weight"
            if part in ("attn_q", "attn_k"):
                values = half_split(values, HEADS if part == "attn_q" else KEY_HEADS)
        else:
            raise SystemExit(f"{path}: {tensor.name} is no tensor of this model")
        result[name] = torch.from_numpy(np.ascontiguousarray(values))
    return result


def linear_bits(path: Path) -> float:
    """Bits a weight of the decoder's linear layers."""
    linears = [tensor for tensor in GGUFReader(str(path)).tensors if tensor.name.startswith("blk.") and "norm" not in tensor.name]
    return 8 * sum(int(tensor.n_bytes) for tensor in linears) / sum(int(tensor.n_elements) for tensor in linears)


@torch.no_grad()
def log_probabilities(model: LlamaForCausalLM, given: list[tuple[list[int], list[int]]]) -> list[torch.Tensor]:
    """Of every case, at the positions that predict its greedy tokens."""
    return [model(torch.tensor([ids + greedy[:-1]])).logits[0, len(ids) - 1 :].log_softmax(-1) for ids, greedy in given]


def load(model: LlamaForCausalLM, tensors: dict[str, torch.Tensor]) -> None:
    missing, unexpected = model.load_state_dict({name: tensor.float() for name, tensor in tensors.items()}, strict=False)
    if unexpected or set(missing) - {"lm_head.weight"}:
        raise SystemExit(f"tensors do not fit the model: {unexpected[:3]} {missing[:3]}")
    model.tie_weights()


def perplexity(found: list[torch.Tensor], given: list[tuple[list[int], list[int]]]) -> float:
    """Of the answers' tokens."""
    surprisals = [-each[range(len(tokens)), tokens] for each, (_, tokens) in zip(found, given)]
    return float(torch.cat(surprisals).mean().exp())


def main() -> None:
    folder, record, texts, *files = map(Path, sys.argv[1:])
    torch.set_num_threads(2)
    given, read, model = cases(record), cases(texts), empty_model()
    # The reference's own, computed once for a record.
    kept = record.with_name(record.name + ".log-probabilities")
    if not kept.exists() or kept.stat().st_mtime < record.stat().st_mtime:
        load(model, load_file(folder / "model.safetensors"))
        torch.save(log_probabilities(model, given), kept)
    reference = torch.load(kept)
    for path in files:
        load(model, gguf_tensors(path))
        each, all_kl, agreeing = [], [], []
        answers = log_probabilities(model, given)
        for wanted, found in zip(reference, answers):
            kl = (wanted.exp() * (wanted - found)).sum(-1)
            each.append((float(kl.mean()), len(kl)))
            all_kl.append(kl)
            agreeing.append(wanted.argmax(-1) == found.argmax(-1))
        kl, agreeing = torch.cat(all_kl), torch.cat(agreeing)
        print(json.dumps({
            "file": path.name, "bits": linear_bits(path), "bytes": path.stat().st_size, "kl_mean": float(kl.mean()),
            "kl_median": float(kl.median()), "kl_p99": float(kl.quantile(0.99)), "top1": float(agreeing.float().mean()), "cases": each,
            "perplexity": perplexity(answers, given), "text_perplexity": perplexity(log_probabilities(model, read), read),
        }), flush=True)


if __name__ == "__main__":
    main()
