"""Stage 1: multi-granularity visual instruction tuning; tower and projector are frozen.

The paper's loss is the mean over the five granularities; here each step draws one, which estimates that mean. The projector stays as it was aligned:
where it learns along, it packs a tag's colour and digit into the coarse rows, and all granularities come out equal.
"""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import torch
from torch import nn

from .model import DemoModel
from .packing import Batch, accuracies, answer_losses, picture_batch, summed_loss, visual_prefixes
from .progress import Progress
from .questions import ask, list_all
from .shards import Shard
from .tokenizer import Tokenizer

LISTING_WEIGHT = 0.5


def pictures_by_grid(shard: Shard) -> dict[tuple[int, int], list[int]]:
    result: dict[tuple[int, int], list[int]] = defaultdict(list)
    for i, record in enumerate(shard.records):
        result[tuple(record["grid"])].append(i)
    return result


def draw_batch(shard: Shard, by_grid: dict, rng: random.Random, leg: dict, drop: float) -> Batch:
    """Random pictures of one tiling (so that their sequences are about equally long), each with fresh listings and questions."""
    grids = sorted(by_grid)
    grid = rng.choices(grids, [len(by_grid[g]) for g in grids])[0]
    chosen = rng.sample(by_grid[grid], leg["pictures"])
    scenes = [shard.scenes[i] for i in chosen]
    asked = [list_all(scene, rng, leg["listings"]) + ask(scene, rng, leg["questions"], leg["shares"]) for scene in scenes]
    return picture_batch(shard, chosen, asked, leg["global_only"], drop, np.random.default_rng(rng.getrandbits(32)))


def run(
    model: DemoModel, tokenizer: Tokenizer, shards: dict[str, Shard], legs: list[dict], settings: dict, seed: int, progress: Progress,
    until: int | None = None,
) -> None:
    """Train LLM and newline through the legs of the curriculum, one learning-rate cycle over all of them; up to step ``until`` only, where it is given."""
    for part in (model.vision, model.projector, model.router):
        part.requires_grad_(False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, settings["rate"], weight_decay=0.02, betas=(0.9, 0.98))
    steps = sum(leg["steps"] for leg in legs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["rate"], steps, pct_start=0.04, anneal_strategy="cos", cycle_momentum=False)
    by_grid = {name: pictures_by_grid(shard) for name, shard in shards.items()}
    start = progress.resume(model=model, optimizer=optimizer, schedule=schedule)
    end = steps if until is None else until
    for step in range(start, end):
        passed = 0
        for leg in legs:
            if step < passed + leg["steps"]:
                break
            passed += leg["steps"]
        rng = random.Random(f"{seed}-stage1-{step}")
        drop = leg["drop"][0] + (leg["drop"][1] - leg["drop"][0]) * (step - passed) / leg["steps"]
        batch = draw_batch(shards[leg["shard"]], by_grid[leg["shard"]], rng, leg, drop)
        granularity = rng.choices(model.granularities, leg["weights"])[0]
        with torch.autocast(model.device.type, torch.bfloat16, enabled=settings["bf16"]):
            with torch.no_grad():
                projected = model.projector(model.tower(batch.tiles))
            prefixes = visual_prefixes(model, projected, batch, granularity)
            losses, correct = answer_losses(model, tokenizer, prefixes, batch.questions)
            kinds = [[LISTING_WEIGHT if q.level == "listing" else 1.0 for q in asked] for asked in batch.questions]
            loss = summed_loss(tokenizer, losses, batch.questions, torch.tensor(kinds, device=losses.device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        progress.line(step + 1, end, {"loss": losses.mean().item(), **accuracies(batch.questions, correct, granularity)})
    progress.save(end)
    model.requires_grad_(True)
