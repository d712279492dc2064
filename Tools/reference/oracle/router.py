"""The visual granularity router: text filter, merger across tiles, vote."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from .scaler import pool

HEADS = 8
EPSILON = 1e-5


@dataclass
class Routing:
    """What the router saw and decided."""

    logits: Tensor
    choice: int
    similarities: Tensor
    kept: list[int]


def text_similarities(ids: Tensor, text: Tensor, overview: Tensor) -> Tensor:
    """Mean cosine similarity of each text token with the tokens of the unpooled global tile.

    Computed once per distinct id, so that equal tokens have equal similarities to the last bit.
    """
    distinct, inverse = torch.unique(ids, return_inverse=True)
    first = torch.tensor([int((ids == token).nonzero()[0]) for token in distinct])
    rows = text[first]
    rows = rows / rows.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    patches = overview / overview.norm(dim=-1, keepdim=True).clamp_min(1e-8)
    return (rows @ patches.T).mean(dim=-1)[inverse]


class Router:
    """The router of one checkpoint; `weights` are named without their `model.router.` prefix."""

    def __init__(self, weights: dict[str, Tensor], granularities: list[int], text_rows: int) -> None:
        self.weights = weights
        self.granularities = granularities
        self.text_rows = text_rows

    def _linear(self, rows: Tensor, name: str) -> Tensor:
        return functional.linear(rows, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, rows: Tensor, name: str) -> Tensor:
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return functional.layer_norm(rows, weight.shape, weight, bias, EPSILON)

    def _attention_across_tiles(self, rows: Tensor) -> Tensor:
        """Every position of [tiles, positions, hidden] attends to the same position of all tiles."""
        tiles, positions, hidden = rows.shape
        joined = functional.linear(
            rows,
            self.weights["merger.self_attn.in_proj_weight"],
            self.weights["merger.self_attn.in_proj_bias"],
        )
        query, key, value = (
            part.reshape(tiles, positions, HEADS, hidden // HEADS).permute(1, 2, 0, 3)
            for part in joined.chunk(3, dim=-1)
        )
        scores = query @ key.transpose(-1, -2) / math.sqrt(hidden // HEADS)
        mixed = scores.softmax(dim=-1) @ value
        mixed = mixed.permute(2, 0, 1, 3).reshape(tiles, positions, hidden)
        return self._linear(mixed, "merger.self_attn.out_proj")

    def _merge(self, rows: Tensor) -> Tensor:
        rows = self._norm(rows + self._attention_across_tiles(rows), "merger.norm1")
        inner = self._linear(rows, "merger.linear1").relu()
        return self._norm(rows + self._linear(inner, "merger.linear2"), "merger.norm2")

    def route(self, features: Tensor, ids: Tensor, text: Tensor) -> Routing:
        """Choose a granularity for [tiles, patches, hidden] given the text's ids and embeddings."""
        similarities = text_similarities(ids, text, features[0])
        order = similarities.argsort(descending=True, stable=True)[: self.text_rows]
        filtered = torch.zeros(self.text_rows, text.shape[-1])
        filtered[: len(order)] = text[order]

        tiles = features.shape[0]
        pooled = [pool(features, granularity) for granularity in self.granularities]
        rows = torch.cat([*pooled, filtered.expand(tiles, -1, -1)], dim=1)

        inner = functional.gelu(self._linear(self._merge(rows), "router.0"))
        votes = self._linear(inner, "router.2")
        weighted = (votes * self.weights["voter"]).sum(dim=1).mean(dim=0)
        logits = self._norm(weighted, "norm")
        return Routing(logits, self.granularities[int(logits.argmax())], similarities, order.tolist())
