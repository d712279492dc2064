"""Read a checkpoint folder: its configuration, its tokenizer file and its tensors as float32."""

from __future__ import annotations

import ast
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

TOWER_PREFIX = "model.vision_tower.vision_tower.vision_model."

# What `mm_vision_tower` may name without a folder that describes it.
BUILT_IN_TOWERS: dict[str, dict[str, Any]] = {
    "openai/clip-vit-large-patch14-336": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_channels": 3,
        "image_size": 336,
        "patch_size": 14,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-5,
    }
}


@dataclass
class Settings:
    """`config.json` and the tower's configuration, with the defaults of absent keys filled in."""

    raw: dict[str, Any]
    tower: dict[str, Any]
    generation: dict[str, Any]

    @property
    def patches(self) -> int:
        """Visual tokens of one unpooled tile."""
        return (self.tower["image_size"] // self.tower["patch_size"]) ** 2

    @property
    def has_router(self) -> bool:
        return bool(self.raw.get("router_select", False))

    @property
    def granularities(self) -> list[int]:
        """The router's choices in its output order; empty where the checkpoint has none."""
        return list(self.raw.get("vis_token_granularity") or [])

    @property
    def merge_type(self) -> str:
        return self.raw.get("mm_patch_merge_type", "flat")

    @property
    def aspect_ratio(self) -> str | None:
        return self.raw.get("image_aspect_ratio")

    @property
    def pinpoints(self) -> list[tuple[int, int]]:
        """Candidate canvas sizes as (width, height)."""
        value = self.raw.get("image_grid_pinpoints") or []
        if isinstance(value, str):
            value = ast.literal_eval(value)
        return [(int(width), int(height)) for width, height in value]

    @property
    def filtered_text_count(self) -> int:
        return int(self.raw.get("filtered_text_num", 32))

    @property
    def maximum_length(self) -> int | None:
        return self.raw.get("tokenizer_model_max_length")


def read_settings(folder: Path, tower_folder: Path | None = None) -> Settings:
    """Read `config.json` and find the tower's configuration in its folder, beside it or among the built-in ones."""
    raw = json.loads((folder / "config.json").read_text())
    generation_path = folder / "generation_config.json"
    generation = json.loads(generation_path.read_text()) if generation_path.is_file() else {}
    name = raw.get("mm_vision_tower") or raw.get("vision_tower")
    beside = (tower_folder or folder / str(name)) / "config.json"
    if beside.is_file():
        tower = json.loads(beside.read_text())
        tower = tower.get("vision_config", tower)
    elif name in BUILT_IN_TOWERS:
        tower = BUILT_IN_TOWERS[name]
    else:
        raise ValueError(f"{folder}: nothing is known of the vision tower {name!r}")
    return Settings(raw, tower, generation)


def _read_file(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    if path.suffix == ".bin":
        for name, value in torch.load(path, weights_only=True).items():
            tensors[name] = value.to(torch.float32)
        return
    with safe_open(path, framework="pt") as file:
        for name in file.keys():
            tensors[name] = file.get_tensor(name).to(torch.float32)


def _read_folder(folder: Path, tensors: dict[str, torch.Tensor]) -> None:
    """One file, or the shards of an index; safetensors before pickled weights."""
    for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"):
        path = folder / name
        if not path.is_file():
            continue
        if path.suffix != ".json":
            _read_file(path, tensors)
            return
        weight_map: dict[str, str] = json.loads(path.read_text())["weight_map"]
        for shard in sorted(set(weight_map.values())):
            _read_file(folder / shard, tensors)
        missing = sorted(set(weight_map) - set(tensors))
        if missing:
            raise ValueError(f"{path}: no shard holds {missing[0]}")
        return
    raise ValueError(f"{folder}: no weights")


def read_tensors(folder: Path, settings: Settings, tower_folder: Path | None = None) -> dict[str, torch.Tensor]:
    """Every tensor of the checkpoint as float32, from one file or from the shards of an index.

    A tower that was frozen in training may be missing from the checkpoint itself; its
    weights are then taken from the folder that `mm_vision_tower` names.
    """
    tensors: dict[str, torch.Tensor] = {}
    _read_folder(folder, tensors)
    if not any(name.startswith(TOWER_PREFIX) for name in tensors):
        frozen: dict[str, torch.Tensor] = {}
        _read_folder(tower_folder or folder / str(settings.raw["mm_vision_tower"]), frozen)
        for name, value in frozen.items():
            if name.startswith("vision_model."):
                tensors[TOWER_PREFIX + name.removeprefix("vision_model.")] = value
    return tensors


def below(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """The tensors whose name starts with `prefix`, with the prefix taken off."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
