#!/usr/bin/env python3
"""Write a checkpoint's CLIP tower and projector as the f16 mmproj file that llama.cpp reads for LLaVA-1.6.

    python mmproj.py LLAMA.CPP CHECKPOINT OUT.gguf

Names, metadata and types are those of llama.cpp's own converter (tools/mtmd/legacy-models): matrices in f16, the rest
in f32, layers up to the one whose output LLaVA takes. The tower must be CLIP ViT-L/14-336, as a checkpoint without a
tower configuration of its own says.
"""

import json
import sys
from pathlib import Path

import numpy

source, checkpoint, output = sys.argv[1:]
sys.path.insert(0, str(Path(source) / "gguf-py"))

import gguf  # noqa: E402
from gguf.utility import SafetensorsLocal  # noqa: E402

VISION = "model.vision_tower.vision_tower.vision_model."
PROJECTOR = "model.mm_projector."
LAYERS, WIDTH, INNER, HEADS, IMAGE, PATCH = 24, 1024, 4096, 16, 336, 14
NAMES = (
    ("encoder.layers.", "blk."),
    ("self_attn.out_proj", "attn_out"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("mlp.fc1", "ffn_up"),
    ("mlp.fc2", "ffn_down"),
    ("layer_norm", "ln"),
    ("pre_layrnorm", "pre_ln"),
    ("embeddings.class_embedding", "class_embd"),
    ("embeddings.patch_embedding", "patch_embd"),
    ("embeddings.position_embedding", "position_embd"),
)


def floats(tensor) -> numpy.ndarray:
    """The tensor in f32."""
    raw = tensor.mmap_bytes()
    if tensor.dtype == "BF16":
        values = (raw.view(numpy.uint16).astype(numpy.uint32) << 16).view(numpy.float32)
    else:
        values = raw.view({"F16": numpy.float16, "F32": numpy.float32}[tensor.dtype]).astype(numpy.float32)
    return values.reshape(tensor.shape)


def gguf_name(name: str) -> str | None:
    """What llama.cpp calls a tensor; None for one that it has no use for."""
    if name.startswith(PROJECTOR):
        return "mm." + name.removeprefix(PROJECTOR)
    if not name.startswith(VISION) or "post_layernorm" in name:
        return None
    short = name.removeprefix(VISION)
    for theirs, ours in NAMES:
        short = short.replace(theirs, ours)
    return "v." + short


def layer_of(name: str) -> int:
    return int(name.split(".")[2]) if name.startswith("v.blk.") else -1


def main() -> None:
    folder = Path(checkpoint)
    config = json.loads((folder / "config.json").read_text())
    select = config["mm_vision_select_layer"]
    layers = select if select >= 0 else LAYERS + 1 + select
    writer = gguf.GGUFWriter(output, "clip")
    writer.add_type("mmproj")
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    writer.add_bool("clip.has_vision_encoder", True)
    writer.add_bool("clip.has_llava_projector", True)
    writer.add_string("clip.projector_type", "mlp")
    writer.add_bool("clip.use_gelu", False)
    for name, value in (
        ("image_size", IMAGE), ("patch_size", PATCH), ("embedding_length", WIDTH), ("feed_forward_length", INNER),
        ("projection_dim", config["hidden_size"]), ("attention.head_count", HEADS), ("block_count", layers),
    ):  # fmt: skip
        writer.add_uint32("clip.vision." + name, value)
    writer.add_float32("clip.vision.attention.layer_norm_epsilon", 1e-5)
    writer.add_array("clip.vision.image_mean", [0.48145466, 0.4578275, 0.40821073])
    writer.add_array("clip.vision.image_std", [0.26862954, 0.26130258, 0.27577711])
    writer.add_array("clip.vision.feature_layer", [layers])
    writer.add_array(
        "clip.vision.image_grid_pinpoints", [side for size in config["image_grid_pinpoints"] for side in size]
    )
    writer.add_string("clip.vision.mm_patch_merge_type", "spatial_unpad")
    for shard in sorted(folder.glob("model*.safetensors")):
        with SafetensorsLocal(shard) as tensors:
            for name in tensors.keys():
                ours = gguf_name(name)
                if ours is None or layer_of(ours) >= layers:
                    continue
                values = floats(tensors[name])
                is_matrix = values.ndim > 1 and "position_embd" not in ours
                writer.add_tensor(ours, values.astype(numpy.float16) if is_matrix else values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
