"""What a generated checkpoint looks like: its dimensions, its config.json and its tensors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

BUILT_IN_TOWER = "openai/clip-vit-large-patch14-336"
TOWER_FOLDER = "vision_tower"


@dataclass
class Spec:
    """Dimensions and options of one checkpoint. The defaults are those of the conformance kit."""

    hidden: int = 128
    intermediate: int = 344
    layers: int = 2
    heads: int = 4
    kv_heads: int | None = None
    vocabulary: int = 1024
    tied: bool = False
    rms_norm_eps: float = 1e-5
    rope_theta: float = 10000.0
    maximum_length: int = 4096

    tower: str = TOWER_FOLDER
    tower_hidden: int = 64
    tower_intermediate: int = 128
    tower_layers: int = 3
    tower_heads: int = 4
    tower_activation: str = "quick_gelu"
    tower_eps: float = 1e-5
    image_size: int = 96
    patch_size: int = 4
    select_layer: int = -2

    router: bool = True
    granularities: list[int] = field(default_factory=lambda: [36, 72, 144, 288, 576])
    text_rows: int = 32
    merge_type: str | None = "spatial_unpad"
    aspect_ratio: str | None = "anyres"

    dtype: str = "float32"
    shards: int = 1
    recycle: bool = False
    seed: int = 0

    @property
    def patches(self) -> int:
        return (self.image_size // self.patch_size) ** 2

    @property
    def has_newline(self) -> bool:
        return "unpad" in (self.merge_type or "")


@dataclass(frozen=True)
class Tensor:
    """A tensor to be made: normal values around `mean`, spread `std`, rows of varying loudness."""

    name: str
    shape: tuple[int, ...]
    std: float
    mean: float = 0.0
    row_spread: float = 0.0

    @property
    def count(self) -> int:
        total = 1
        for size in self.shape:
            total *= size
        return total


def _linear(
    name: str, rows: int, columns: int, *, gain: float = 0.9, bias: bool = True, spread: float = 0.0
) -> list[Tensor]:
    """A matrix that keeps the size of what passes through it, and maybe a bias."""
    tensors = [Tensor(f"{name}.weight", (rows, columns), gain / columns**0.5, row_spread=spread)]
    return tensors + ([Tensor(f"{name}.bias", (rows,), 0.05)] if bias else [])


def _layer_norm(name: str, width: int) -> list[Tensor]:
    return [Tensor(f"{name}.weight", (width,), 0.1, mean=1.0), Tensor(f"{name}.bias", (width,), 0.05)]


def _language(spec: Spec) -> list[Tensor]:
    width, inner = spec.hidden, spec.intermediate
    kv_width = width // spec.heads * (spec.kv_heads or spec.heads)
    residual = 0.9 / max(1.0, spec.layers / 2) ** 0.5
    tensors = [Tensor("model.embed_tokens.weight", (spec.vocabulary, width), 0.08)]
    for number in range(spec.layers):
        layer = f"model.layers.{number}"
        tensors.append(Tensor(f"{layer}.input_layernorm.weight", (width,), 0.1, mean=1.0))
        for name, rows, columns, gain in (
            ("self_attn.q_proj", width, width, 1.2),
            ("self_attn.k_proj", kv_width, width, 1.2),
            ("self_attn.v_proj", kv_width, width, 0.9),
            ("self_attn.o_proj", width, width, residual),
            ("mlp.gate_proj", inner, width, 0.9),
            ("mlp.up_proj", inner, width, 0.9),
            ("mlp.down_proj", width, inner, residual),
        ):
            tensors += _linear(f"{layer}.{name}", rows, columns, gain=gain, bias=False, spread=0.25)
        tensors.append(Tensor(f"{layer}.post_attention_layernorm.weight", (width,), 0.1, mean=1.0))
    tensors.append(Tensor("model.norm.weight", (width,), 0.1, mean=1.0))
    if not spec.tied:
        tensors += _linear("lm_head", spec.vocabulary, width, gain=1.2, bias=False)
    return tensors


def _tower(spec: Spec) -> list[Tensor]:
    root, width, inner = "model.vision_tower.vision_tower.vision_model", spec.tower_hidden, spec.tower_intermediate
    patch_values = 3 * spec.patch_size**2
    tensors = [
        Tensor(f"{root}.embeddings.class_embedding", (width,), 0.1),
        Tensor(
            f"{root}.embeddings.patch_embedding.weight",
            (width, 3, spec.patch_size, spec.patch_size),
            1.0 / patch_values**0.5,
        ),
        Tensor(f"{root}.embeddings.position_embedding.weight", (spec.patches + 1, width), 0.05),
        *_layer_norm(f"{root}.pre_layrnorm", width),
    ]
    for number in range(spec.tower_layers):
        layer = f"{root}.encoder.layers.{number}"
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            tensors += _linear(f"{layer}.self_attn.{name}", width, width, gain=0.7)
        tensors += _linear(f"{layer}.mlp.fc1", inner, width, gain=0.7)
        tensors += _linear(f"{layer}.mlp.fc2", width, inner, gain=0.7)
        tensors += _layer_norm(f"{layer}.layer_norm1", width)
        tensors += _layer_norm(f"{layer}.layer_norm2", width)
    return tensors + _layer_norm(f"{root}.post_layernorm", width)


def _router(spec: Spec) -> list[Tensor]:
    root, width, choices = "model.router", spec.hidden, len(spec.granularities)
    attention = f"{root}.merger.self_attn"
    return [
        Tensor(f"{attention}.in_proj_weight", (3 * width, width), 0.9 / width**0.5),
        Tensor(f"{attention}.in_proj_bias", (3 * width,), 0.05),
        *_linear(f"{attention}.out_proj", width, width),
        *_linear(f"{root}.merger.linear1", width, width),
        *_linear(f"{root}.merger.linear2", width, width),
        *_layer_norm(f"{root}.merger.norm1", width),
        *_layer_norm(f"{root}.merger.norm2", width),
        *_linear(f"{root}.router.0", width, width, gain=1.5),
        *_linear(f"{root}.router.2", choices, width, gain=1.5),
        Tensor(f"{root}.voter", (sum(spec.granularities) + spec.text_rows, 1), 1.0),
        *_layer_norm(f"{root}.norm", choices),
    ]


def tensors_of(spec: Spec) -> list[Tensor]:
    """Every tensor of the checkpoint, in the order in which the shards hold them."""
    tensors = _language(spec) + _tower(spec)
    tensors += _linear("model.mm_projector.0", spec.hidden, spec.tower_hidden)
    tensors += _linear("model.mm_projector.2", spec.hidden, spec.hidden)
    if spec.has_newline:
        tensors.append(Tensor("model.image_newline", (spec.hidden,), 0.1))
    return tensors + (_router(spec) if spec.router else [])


def config_of(spec: Spec) -> dict[str, Any]:
    """`config.json` of the checkpoint."""
    config: dict[str, Any] = {
        "architectures": ["LlavaLlamaForCausalLM"],
        "model_type": "llava_llama",
        "hidden_size": spec.hidden,
        "intermediate_size": spec.intermediate,
        "num_hidden_layers": spec.layers,
        "num_attention_heads": spec.heads,
        "num_key_value_heads": spec.kv_heads or spec.heads,
        "vocab_size": spec.vocabulary,
        "max_position_embeddings": 4096,
        "hidden_act": "silu",
        "rms_norm_eps": spec.rms_norm_eps,
        "rope_theta": spec.rope_theta,
        "rope_scaling": None,
        "attention_bias": False,
        "tie_word_embeddings": spec.tied,
        "torch_dtype": spec.dtype,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        "mm_vision_tower": spec.tower,
        "mm_vision_select_layer": spec.select_layer,
        "mm_vision_select_feature": "patch",
        "mm_projector_type": "mlp2x_gelu",
        "mm_hidden_size": spec.tower_hidden,
        "tokenizer_padding_side": "right",
        "tokenizer_model_max_length": spec.maximum_length,
        "mm_use_im_start_end": False,
        "mm_use_im_patch_token": False,
    }
    if spec.merge_type is not None:
        config["mm_patch_merge_type"] = spec.merge_type
    if spec.aspect_ratio is not None:
        config["image_aspect_ratio"] = spec.aspect_ratio
    if spec.aspect_ratio == "anyres":
        side = spec.image_size
        canvases = [(1, 2), (2, 1), (2, 2), (3, 1), (1, 3)]
        config["image_grid_pinpoints"] = [[columns * side, rows * side] for columns, rows in canvases]
    if spec.router:
        config["vis_token_granularity"] = spec.granularities
        config["router_select"] = True
        config["filtered_text_num"] = spec.text_rows
    return config


def tower_config_of(spec: Spec) -> dict[str, Any]:
    """`vision_tower/config.json`."""
    return {
        "architectures": ["CLIPVisionModel"],
        "model_type": "clip_vision_model",
        "hidden_size": spec.tower_hidden,
        "intermediate_size": spec.tower_intermediate,
        "num_hidden_layers": spec.tower_layers,
        "num_attention_heads": spec.tower_heads,
        "num_channels": 3,
        "image_size": spec.image_size,
        "patch_size": spec.patch_size,
        "hidden_act": spec.tower_activation,
        "layer_norm_eps": spec.tower_eps,
        "torch_dtype": spec.dtype,
    }


def preprocessor_config_of(spec: Spec) -> dict[str, Any]:
    """`vision_tower/preprocessor_config.json`."""
    return {
        "image_processor_type": "CLIPImageProcessor",
        "crop_size": {"height": spec.image_size, "width": spec.image_size},
        "size": {"shortest_edge": spec.image_size},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "resample": 3,
        "rescale_factor": 1 / 255,
    }
