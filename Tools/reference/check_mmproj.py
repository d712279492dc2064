#!/usr/bin/env python3
"""Holds the `mmproj.gguf` of `gristmill export --to gguf` to transformers, by way of llama.cpp's own encoder (mtmd).

    python check_mmproj.py GRISTMILL CHECKPOINT…

A checkpoint is a folder that transformers loads as LLaVA or LLaVA-NeXT. llama.cpp encodes one square picture; its
features stand beside those that transformers' layers give on the same pixels. llama.cpp's graph of LLaVA puts the class
token after the patches, while positions are counted, and rows taken, as if it came first (ggml-org/llama.cpp#25814,
mended by #25844): so both orders are computed, and the one that this llama.cpp follows is named. Its attention and its
GELU are in half precision. Needs llama-cpp-python, torch and transformers.
"""
import ctypes
import subprocess
import sys
import tempfile
from pathlib import Path

import llama_cpp
import llama_cpp.mtmd_cpp as mtmd
import numpy as np
import torch
from transformers import AutoModelForImageTextToText

LARGEST = 0.005  # of the largest feature
MEAN = np.array([0.48145466, 0.4578275, 0.40821073])
DEVIATION = np.array([0.26862954, 0.26130258, 0.27577711])


def export(program: str, checkpoint: str, folder: Path) -> Path:
    for arguments in (
        ["convert", checkpoint, "-o", str(folder / "m.grist"), "--recipe", "source", "--quiet"],
        ["export", str(folder / "m.grist"), "-o", str(folder / "out"), "--to", "gguf", "--as", "f32", "--quiet"],
    ):
        subprocess.run([program, *arguments], check=True)
    return folder / "out"


def encoded(folder: Path, picture: np.ndarray) -> np.ndarray:
    """[patches, width of the language model]: what llama.cpp makes of the whole picture."""
    model = llama_cpp.llama_model_load_from_file(str(folder / "model.gguf").encode(), llama_cpp.llama_model_default_params())
    parameters = mtmd.mtmd_context_params_default()
    parameters.use_gpu, parameters.n_threads = False, 2
    context = mtmd.mtmd_init_from_file(str(folder / "mmproj.gguf").encode(), model, parameters)
    if not context:
        raise SystemExit("llama.cpp does not open mmproj.gguf")
    side = picture.shape[0]
    bitmap = mtmd.mtmd_bitmap_init(side, side, picture.ctypes.data_as(ctypes.POINTER(ctypes.c_ubyte)))
    text = mtmd.mtmd_input_text()
    text.text, text.add_special, text.parse_special = mtmd.mtmd_default_marker() + b"\nHello", True, True
    if hasattr(text, "text_len"):
        text.text_len = len(text.text)
    chunks = mtmd.mtmd_input_chunks_init()
    if mtmd.mtmd_tokenize(context, chunks, ctypes.byref(text), (mtmd.mtmd_bitmap_p_ctypes * 1)(bitmap), 1):
        raise SystemExit("llama.cpp does not take the picture")
    width = llama_cpp.llama_model_n_embd(model)
    for index in range(mtmd.mtmd_input_chunks_size(chunks)):
        chunk = mtmd.mtmd_input_chunks_get(chunks, index)
        if mtmd.mtmd_input_chunk_get_type(chunk) != mtmd.MTMD_INPUT_CHUNK_TYPE_IMAGE:
            continue
        if mtmd.mtmd_encode_chunk(context, chunk):
            raise SystemExit("llama.cpp does not encode the picture")
        rows = mtmd.mtmd_input_chunk_get_n_tokens(chunk)
        return np.ctypeslib.as_array(mtmd.mtmd_get_output_embd(context), (rows * width,)).reshape(rows, width).copy()
    raise SystemExit("llama.cpp sees no picture")


def features(model, picture: np.ndarray, class_last: bool) -> np.ndarray:
    """[patches, width of the language model], by transformers' own layers."""
    pixels = torch.tensor(((picture / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)[None], dtype=torch.float32)
    tower = model.model.vision_tower
    tower = getattr(tower, "vision_model", tower)
    patches = tower.embeddings.patch_embedding(pixels).flatten(2).transpose(1, 2)
    token = tower.embeddings.class_embedding.expand(1, 1, -1)
    hidden = torch.cat([patches, token] if class_last else [token, patches], 1) + tower.embeddings.position_embedding.weight
    hidden = tower.pre_layrnorm(hidden)
    layers = model.config.vision_feature_layer % (model.config.vision_config.num_hidden_layers + 1)
    for layer in tower.encoder.layers[:layers]:
        made = layer(hidden, None)
        hidden = made[0] if isinstance(made, tuple) else made
    return model.model.multi_modal_projector(hidden[:, 1:])[0].numpy()


def main() -> int:
    program, *checkpoints = sys.argv[1:]
    quiet = llama_cpp.llama_log_callback(lambda level, text, data: None)
    llama_cpp.llama_log_set(quiet, ctypes.c_void_p(0))
    wrong = 0
    for checkpoint in checkpoints:
        model = AutoModelForImageTextToText.from_pretrained(checkpoint, dtype=torch.float32).eval()
        side = model.config.vision_config.image_size
        picture = np.random.default_rng(1).integers(0, 256, (side, side, 3), dtype=np.uint8)
        with tempfile.TemporaryDirectory() as folder, torch.no_grad():
            theirs = encoded(export(program, checkpoint, Path(folder)), picture)
            apart = {}
            for order in (False, True):
                ours = features(model, picture, order)
                apart[order] = np.abs(ours - theirs[: len(ours)]).max() / np.abs(ours).max()
        order = min(apart, key=apart.get)
        place = "last, as in #25814" if order else "first, as in CLIP"
        agrees = apart[order] <= LARGEST
        wrong += not agrees
        print(f"{checkpoint}: class token {place}: {apart[order]:.1e} of the largest feature "
              f"(the other order: {apart[not order]:.1e}){'' if agrees else ', WRONG'}")
    return wrong


sys.exit(main())
