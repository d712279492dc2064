"""From tiles to projected features: the CLIP tower and the two-layer projector."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from transformers import CLIPVisionConfig, CLIPVisionModel

from .checkpoint import TOWER_PREFIX, Settings, below


class Vision:
    """Tower and projector of one checkpoint."""

    def __init__(self, settings: Settings, tensors: dict[str, Tensor]) -> None:
        self.layer = int(settings.raw.get("mm_vision_select_layer", -2))
        if settings.raw.get("mm_vision_select_feature", "patch") != "patch":
            raise ValueError("only mm_vision_select_feature 'patch' is known")
        if settings.raw.get("mm_projector_type", "linear") != "mlp2x_gelu":
            raise ValueError("only mm_projector_type 'mlp2x_gelu' is known")
        facts = {key: value for key, value in settings.tower.items() if key in _TOWER_KEYS}
        model = CLIPVisionModel._from_config(CLIPVisionConfig(**facts), attn_implementation="eager")
        core = getattr(model, "vision_model", model)
        weights = below(tensors, TOWER_PREFIX)
        weights.pop("embeddings.position_ids", None)
        core.load_state_dict(weights, strict=True)
        self.tower = model.to(torch.float32).eval()
        self.projector = below(tensors, "model.mm_projector.")

    def features(self, pixels: Tensor) -> Tensor:
        """[tiles, 3, side, side] → [tiles, patches, hidden], class token dropped."""
        states = self.tower(pixels, output_hidden_states=True).hidden_states
        patches = states[self.layer][:, 1:]
        inner = functional.linear(patches, self.projector["0.weight"], self.projector["0.bias"])
        inner = functional.gelu(inner)
        return functional.linear(inner, self.projector["2.weight"], self.projector["2.bias"])


_TOWER_KEYS = {
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_channels",
    "image_size",
    "patch_size",
    "hidden_act",
    "layer_norm_eps",
}
