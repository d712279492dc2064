"""Named checkpoints: the 7B shape, a small one for comparing file sizes, and the test fixtures."""

from __future__ import annotations

from dataclasses import replace

from spec import BUILT_IN_TOWER, Spec

_SMALL = Spec(hidden=64, intermediate=172, tower_hidden=32, tower_intermediate=64)
_SMALLER = replace(_SMALL, hidden=48, intermediate=128)

PRESETS: dict[str, Spec] = {
    # The real model's shape, about 14 GB.
    "7b": Spec(
        hidden=4096, intermediate=11008, layers=32, heads=32, vocabulary=32000,
        tower=BUILT_IN_TOWER, tower_hidden=1024, tower_intermediate=4096, tower_layers=24, tower_heads=16,
        image_size=336, patch_size=14, dtype="bfloat16", shards=3, recycle=True, seed=7,
    ),
    # About 25 MB: large enough that headers and norms do not dominate a quantized file.
    "demo-size": Spec(
        hidden=320, intermediate=864, layers=6, heads=5, tower_hidden=256, tower_intermediate=1024,
        tower_layers=4, dtype="float16", seed=8,
    ),
    # Test fixtures, each on one corner of what a checkpoint may be.
    "bf16-sharded": replace(
        _SMALL, kv_heads=2, dtype="bfloat16", shards=3, rope_theta=500000.0, rms_norm_eps=1e-6, seed=11,
    ),
    "f16-tied": Spec(
        hidden=72, intermediate=150, heads=4, tied=True, dtype="float16", tower_hidden=40, tower_intermediate=72,
        maximum_length=1000, seed=12,
    ),
    "other-grid": replace(
        _SMALL, image_size=64, patch_size=4, granularities=[16, 32, 64, 128, 256], text_rows=20,
        tower_activation="gelu", tower_eps=1e-4, dtype="bfloat16", seed=13,
    ),
    "four-choices": replace(
        _SMALL, image_size=60, patch_size=5, granularities=[18, 36, 72, 144], text_rows=64,
        kv_heads=1, dtype="float16", seed=17,
    ),
    "llava15-pad": replace(
        _SMALLER, router=False, merge_type="flat", aspect_ratio="pad", dtype="float16", seed=14,
    ),
    "next-spatial": replace(
        _SMALLER, router=False, merge_type="spatial", select_layer=-1, dtype="bfloat16", seed=15,
    ),
    "crop": replace(
        _SMALLER, router=False, merge_type=None, aspect_ratio=None, kv_heads=2, dtype="float16", seed=16,
    ),
}  # fmt: skip
