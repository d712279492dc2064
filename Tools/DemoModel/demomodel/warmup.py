"""Warm-up: the tower learns to say, patch by patch, what is there. Stands in for CLIP's pretraining.

Every patch carries labels of the object at its centre (role, colour, kind, digit, place), its row and column in the tile and the exposure; one
linear head each reads them off the features. The labels are local, so nothing rewards carrying a neighbour's marks.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .model import DemoModel
from .progress import Progress
from .scene import BACKGROUND_NAMES, COLOUR_NAMES, DIGITS, KINDS, PLACES, Scene
from .shards import Shard

IGNORE = -100
ROLES = ("background", "large", "symbol", "tag", "strip")
HEADS = {"role": 5, "colour": len(COLOUR_NAMES) + len(BACKGROUND_NAMES), "kind": len(KINDS), "digit": 10, "place": len(PLACES), "bright": 2, "row": 16, "column": 16}
WEIGHTS = {"role": 1.0, "colour": 1.0, "kind": 1.0, "digit": 1.5, "place": 0.5, "bright": 0.2, "row": 0.3, "column": 0.3}


def dense_labels(scene: Scene) -> np.ndarray:
    """Row per object number (0 background, 255 border): role, colour, kind, digit, place (where the large shape stands;
    which end of the strip)."""
    table = np.full((256, 5), IGNORE, np.int64)
    table[0] = (0, len(COLOUR_NAMES) + BACKGROUND_NAMES.index(scene.background), IGNORE, IGNORE, IGNORE)
    strip = 0
    for i, item in enumerate(scene.items):
        table[i + 1, 0] = ROLES.index(item.role)
        table[i + 1, 1] = COLOUR_NAMES.index(item.colour)
        if item.role in ("large", "symbol"):
            table[i + 1, 2] = KINDS.index(item.kind)
        else:
            table[i + 1, 3] = DIGITS.index(item.kind)
        if item.role == "large":
            table[i + 1, 4] = PLACES.index(scene.side)
        elif item.role == "strip":
            table[i + 1, 4] = strip
            strip += 1
    return table


class DenseHeads(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.heads = nn.ModuleDict({name: nn.Linear(width, count) for name, count in HEADS.items()})

    def loss(self, features: torch.Tensor, labels: dict[str, torch.Tensor]) -> tuple[torch.Tensor, dict[str, float]]:
        """Weighted sum of the heads' cross-entropies, and the accuracy of each."""
        features, total, accuracy = self.norm(features), 0.0, {}
        for name, head in self.heads.items():
            keep = labels[name] != IGNORE
            logits, target = head(features[keep]), labels[name][keep]
            if name in ("kind", "digit", "place"):
                accuracy[name] = (logits.argmax(-1) == target).float().mean().item()
            if name == "colour":
                on_tag = labels["digit"][keep] != IGNORE
                accuracy["tag colour"] = (logits.argmax(-1) == target)[on_tag].float().mean().item()
            total = total + WEIGHTS[name] * F.cross_entropy(logits, target)
        return total, accuracy


def tile_batch(shard: Shard, rng: np.random.Generator, count: int) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Random tiles of random pictures with their patch labels."""
    tiles, labels = [], []
    for picture in rng.integers(0, len(shard), count):
        rows = shard.rows(picture)
        row = rng.integers(rows.start + (1 if rng.random() < 0.7 else 0), rows.stop)
        tiles.append(shard.tiles[row])
        table = dense_labels(shard.scenes[picture])[shard.objects[row].reshape(-1)]
        bright = np.full((len(table), 1), int(shard.scenes[picture].bright))
        labels.append(np.concatenate([table, bright], 1))
    joined = torch.from_numpy(np.stack(labels))
    names = ("role", "colour", "kind", "digit", "place", "bright")
    result = {name: joined[..., i] for i, name in enumerate(names)}
    place = torch.arange(256).expand(count, 256)
    return torch.from_numpy(np.stack(tiles)), {**result, "row": place // 16, "column": place % 16}


def run(model: DemoModel, shards: list[Shard], settings: dict, seed: int, progress: Progress) -> DenseHeads:
    """Train the tower; the share of the first shard, full of marks, falls from all to none."""
    heads = DenseHeads(model.config["tower_width"]).to(model.device)
    parameters = [*model.vision.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, settings["rate"], weight_decay=0.01, betas=(0.9, 0.98))
    steps = settings["steps"]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["rate"], steps, pct_start=0.1)
    start = progress.resume(model=model, heads=heads, optimizer=optimizer, schedule=schedule)
    for step in range(start, steps):
        rng = np.random.default_rng([seed, 10, step])
        shard = shards[0] if rng.random() > step / steps else shards[1]
        tiles, labels = tile_batch(shard, rng, settings["tiles"])
        labels = {name: value.to(model.device) for name, value in labels.items()}
        with torch.autocast(model.device.type, torch.bfloat16, enabled=settings.get("bf16", False)):
            features = model.tower(tiles)
        loss, accuracy = heads.loss(features.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        progress.line(step + 1, steps, {"loss": loss.item(), **accuracy})
    progress.save(steps)
    return heads
