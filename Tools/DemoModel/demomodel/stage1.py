"""Stage 1: multi-granularity visual instruction tuning with the tower frozen.

The paper's loss is the mean over the five granularities; here each step draws one, which estimates that mean.
"""

from __future__ import annotations

import random
from collections import defaultdict

import numpy as np
import torch
from torch import nn

from .model import DemoModel
from .packing import Batch, answer_losses, picture_batch, visual_prefixes
from .progress import Progress
from .questions import ask
from .shards import Shard
from .tokenizer import Tokenizer


def draw_batch(shard: Shard, rng: random.Random, pictures: int, questions: int, shares: dict, single_tile: bool, drop: float) -> Batch:
    """Random pictures of one tiling (so that their sequences are about equally long) with fresh questions."""
    if not hasattr(shard, "by_grid"):
        shard.by_grid = defaultdict(list)
        for i, record in enumerate(shard.records):
            shard.by_grid[tuple(record["grid"])].append(i)
    grids = sorted(shard.by_grid)
    grid = rng.choices(grids, [len(shard.by_grid[g]) for g in grids])[0]
    chosen = rng.sample(shard.by_grid[grid], pictures)
    asked = [ask(shard.scenes[i], rng, questions, shares) for i in chosen]
    return picture_batch(shard, chosen, asked, single_tile, drop, np.random.default_rng(rng.getrandbits(32)))


def run(model: DemoModel, tokenizer: Tokenizer, shards: dict[str, Shard], settings: dict, seed: int, progress: Progress) -> None:
    """Train projector, newline and LLM through the legs of the curriculum."""
    for parameter in [*model.vision.parameters(), *model.router.parameters()]:
        parameter.requires_grad_(False)
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, settings["rate"], weight_decay=0.02, betas=(0.9, 0.98))
    legs = settings["legs"]
    steps = sum(leg[2] for leg in legs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings["rate"], steps, pct_start=0.04, anneal_strategy="cos", cycle_momentum=False)
    start = progress.resume(model=model, optimizer=optimizer, schedule=schedule)
    for step in range(start, steps):
        passed = 0
        for name, single_tile, length, *drop in legs:
            if step < passed + length:
                break
            passed += length
        rng = random.Random(f"{seed}-stage1-{step}")
        share = (step - passed) / length
        dropped = drop[0] + (drop[1] - drop[0]) * share if drop else 0.0
        batch = draw_batch(shards[name], rng, settings["picture_batch"], settings["questions"], settings["shares"], single_tile, dropped)
        granularity = rng.choices(model.granularities, settings["weights"])[0]
        with torch.autocast(model.device.type, torch.bfloat16, enabled=settings["bf16"]):
            with torch.no_grad():
                features = model.tower(batch.tiles)
            projected = model.projector(features)
            prefixes = visual_prefixes(model, projected, batch, granularity)
            losses, correct = answer_losses(model, tokenizer, prefixes, batch.questions)
            tokens = torch.tensor([[len(tokenizer.answer(q.answer)) for q in qs] for qs in batch.questions], device=losses.device)
            loss = (losses * tokens).sum() / losses.numel()  # summed over an answer: its one telling token is not diluted
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        progress.line(step + 1, steps, {"loss": losses.mean().item(), **_accuracies(batch, correct, granularity)})
    progress.save(steps)
    for parameter in model.parameters():
        parameter.requires_grad_(True)


def _accuracies(batch: Batch, correct: torch.Tensor, granularity: int) -> dict[str, float]:
    """Accuracy by level, the fine ones by granularity."""
    by_level: dict[str, list[float]] = defaultdict(list)
    for questions, row in zip(batch.questions, correct.tolist()):
        for question, right in zip(questions, row):
            by_level[f"{question.level}@{granularity:03}"].append(float(right))
    return {name: float(np.mean(values)) for name, values in by_level.items()}
