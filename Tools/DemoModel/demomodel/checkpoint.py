"""The checkpoint in upstream's format: written, and read back for evaluation."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from .model import IMAGE_MEAN, IMAGE_STD, DemoModel, Router
from .tokenizer import Tokenizer

TOWER = "model.vision_tower.vision_tower.vision_model."


def upstream_names(model: DemoModel) -> dict[str, str]:
    """Our parameter name → upstream's."""
    names = {}
    for name in model.state_dict():
        part, rest = name.split(".", 1) if "." in name else (name, "")
        if part == "vision":
            names[name] = TOWER + rest.removeprefix("vision_model.")
        elif part == "projector":
            names[name] = "model.mm_projector." + rest
        elif part == "newline":
            names[name] = "model.image_newline"
        elif part == "router":
            names[name] = "model.router." + rest
        else:
            names[name] = rest
    return names


def language_config(model: DemoModel) -> dict:
    """config.json, with the fields upstream reads."""
    c = model.config
    return {
        "architectures": ["LlavaLlamaForCausalLM"], "model_type": "llava_llama", "torch_dtype": "bfloat16",
        "vocab_size": c["vocabulary"], "hidden_size": c["hidden"], "intermediate_size": c["mlp"], "num_hidden_layers": c["layers"],
        "num_attention_heads": c["heads"], "num_key_value_heads": c["heads"], "hidden_act": "silu", "attention_bias": False,
        "attention_dropout": 0.0, "initializer_range": 0.02, "max_position_embeddings": c["context"], "rms_norm_eps": 1e-5,
        "rope_theta": c["rope_theta"], "rope_scaling": None, "pretraining_tp": 1, "use_cache": True, "tie_word_embeddings": False,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, "transformers_version": "4.37.2",
        "mm_vision_tower": "vision_tower", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
        "mm_projector_type": "mlp2x_gelu", "mm_hidden_size": c["tower_width"], "mm_patch_merge_type": "spatial_unpad",
        "image_aspect_ratio": "anyres", "image_grid_pinpoints": c["pinpoints"], "vis_token_granularity": c["granularities"],
        "router_select": True, "filtered_text_num": c["filtered_text_num"], "tokenizer_padding_side": "right",
        "tokenizer_model_max_length": c["context"], "mm_use_im_start_end": False, "mm_use_im_patch_token": False,
    }


def tower_config(model: DemoModel) -> dict:
    c = model.config
    return {
        "architectures": ["CLIPVisionModel"], "model_type": "clip_vision_model", "hidden_act": "quick_gelu",
        "hidden_size": c["tower_width"], "intermediate_size": c["tower_mlp"], "num_hidden_layers": c["tower_layers"],
        "num_attention_heads": c["tower_heads"], "num_channels": 3, "image_size": c["tile"], "patch_size": c["patch"],
        "projection_dim": c["tower_width"], "attention_dropout": 0.0, "initializer_factor": 1.0, "initializer_range": 0.02,
        "layer_norm_eps": 1e-5, "torch_dtype": "bfloat16", "transformers_version": "4.37.2",
    }


def preprocessor_config(edge: int) -> dict:
    return {
        "image_processor_type": "CLIPImageProcessor", "do_resize": True, "size": {"shortest_edge": edge}, "resample": 3,
        "do_center_crop": True, "crop_size": {"height": edge, "width": edge}, "do_rescale": True, "rescale_factor": 1 / 255,
        "do_normalize": True, "image_mean": list(IMAGE_MEAN), "image_std": list(IMAGE_STD), "do_convert_rgb": True,
    }


def _special(content: str) -> dict:
    return {"content": content, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}


def write_checkpoint(model: DemoModel, tokenizer_model: Path, folder: Path) -> None:
    """Write the whole checkpoint folder, weights in bfloat16."""
    (folder / "vision_tower").mkdir(parents=True, exist_ok=True)
    names = upstream_names(model)
    tensors = {names[n]: t.detach().cpu().to(torch.bfloat16).contiguous() for n, t in model.state_dict().items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    shutil.copyfile(tokenizer_model, folder / "tokenizer.model")
    marks = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>", "pad_token": "<unk>"}
    added = {str(i): {**_special(mark), "special": True} for i, mark in enumerate(("<unk>", "<s>", "</s>"))}
    tokenizer_config = {
        "tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "added_tokens_decoder": added, **marks,
        "clean_up_tokenization_spaces": False, "legacy": True, "model_max_length": model.config["context"],
        "sp_model_kwargs": {}, "spaces_between_special_tokens": False, "use_default_system_prompt": False,
    }
    documents = {
        "config.json": language_config(model), "tokenizer_config.json": tokenizer_config,
        "special_tokens_map.json": {name: _special(mark) for name, mark in marks.items()},
        "vision_tower/config.json": tower_config(model),
        "vision_tower/preprocessor_config.json": preprocessor_config(model.config["tile"]),
    }
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document, indent=1) + "\n")


def read_checkpoint(folder: Path) -> tuple[DemoModel, Tokenizer]:
    """The model of a checkpoint folder, its bfloat16 weights cast to float32."""
    language = json.loads((folder / "config.json").read_text())
    tower = json.loads((folder / "vision_tower" / "config.json").read_text())
    model = DemoModel({
        "tile": tower["image_size"], "patch": tower["patch_size"], "pinpoints": language["image_grid_pinpoints"],
        "granularities": language["vis_token_granularity"], "filtered_text_num": language["filtered_text_num"],
        "tower_width": tower["hidden_size"], "tower_mlp": tower["intermediate_size"], "tower_layers": tower["num_hidden_layers"],
        "tower_heads": tower["num_attention_heads"], "hidden": language["hidden_size"], "mlp": language["intermediate_size"],
        "layers": language["num_hidden_layers"], "heads": language["num_attention_heads"], "vocabulary": language["vocab_size"],
        "context": language["max_position_embeddings"], "rope_theta": language["rope_theta"],
    })
    tensors = load_file(folder / "model.safetensors")
    model.load_state_dict({name: tensors[theirs].float() for name, theirs in upstream_names(model).items()})
    return model.eval(), Tokenizer(folder / "tokenizer.model")


def write_router(model: DemoModel, path: Path) -> None:
    """The router alone, for the ablation table."""
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t.detach().cpu().to(torch.bfloat16).contiguous() for n, t in model.router.state_dict().items()}, path)


def read_router(model: DemoModel, path: Path) -> None:
    """Another router for the model, which may look at more or fewer text tokens."""
    tensors = {n: t.float() for n, t in load_file(path).items()}
    model.config["filtered_text_num"] = len(tensors["voter"]) - sum(model.granularities)
    model.router = Router(model.config["hidden"], model.granularities, model.config["filtered_text_num"])
    model.router.load_state_dict(tensors)
    model.router.eval()
