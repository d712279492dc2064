"""Turn one case into an entry of `expected.json`."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import torch

from .language import margin
from .model import Prepared, ReferenceModel

Case = dict[str, Any]
Record = dict[str, Any]

GENERATED_TOKENS = 12
LOGITS_HEAD = 16


def tile_hashes(prepared: Prepared) -> list[str]:
    """SHA-256 of each tile's 8-bit RGB bytes, row by row."""
    tiles = prepared.image.tiles if prepared.image else []
    return [hashlib.sha256(tile.tobytes()).hexdigest() for tile in tiles]


def forced_record(model: ReferenceModel, prepared: Prepared, granularity: int) -> Record:
    """What the decoder says right after the prompt when the router is bypassed."""
    rows = model.prompt_rows(prepared, granularity)
    logits = model.language.generate(rows, 0).last_logits
    return {
        "sequence_length": len(rows),
        "top5": logits.topk(5).indices.tolist(),
        "last_logits_head": logits[:LOGITS_HEAD].tolist(),
        "argmax": int(logits.argmax()),
        "margin": margin(logits),
    }


def forcible(model: ReferenceModel, prepared: Prepared) -> list[int]:
    """The granularities a caller may force: those of the router, when there is an image."""
    if prepared.image is None or not model.settings.has_router:
        return []
    return model.settings.granularities


@torch.inference_mode()
def make_record(model: ReferenceModel, images: Path, case: Case) -> Record:
    """Run one case: {"image": name or null, "prompt": text, "history": [[user, assistant], …]}."""
    history = [(user, answer) for user, answer in case.get("history", [])]
    name = case.get("image")
    prepared = model.prepare(images / name if name else None, case["prompt"], history)
    image = prepared.image
    routing = image.routing if image else None
    rows = model.prompt_rows(prepared, model.granularity_for(prepared))
    answer = model.language.generate(rows, GENERATED_TOKENS)
    record: Record = {
        "image": name,
        "image_size": list(image.size) if image else None,
        "prompt": case["prompt"],
    }
    if history:
        record["history"] = [list(turn) for turn in history]
    record |= {
        "text": prepared.text,
        "input_ids": prepared.ids,
        "tiles": len(image.tiles) if image else 0,
        "tile_sha256": tile_hashes(prepared),
        "pixel_sum": image.pixel_sum if image else 0.0,
        "filter": routing.kept if routing else None,
        "similarities": routing.similarities.tolist() if routing else None,
        "router_logits": routing.logits.tolist() if routing else None,
        "router_choice": routing.choice if routing else None,
        "sequence_length": len(rows),
        "last_logits": answer.last_logits.tolist(),
        "top5": answer.last_logits.topk(5).indices.tolist(),
        "generated": answer.tokens,
        "generated_margins": answer.margins,
        "forced": {str(g): forced_record(model, prepared, g) for g in forcible(model, prepared)},
    }
    return record
