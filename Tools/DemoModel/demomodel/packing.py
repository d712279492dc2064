"""Many questions about one picture in one sequence: they share the picture's rows and do not see each other."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional as F

from .model import DemoModel
from .questions import Question
from .shards import Shard
from .tiling import pooling
from .tokenizer import Tokenizer


@dataclass
class Batch:
    """Pictures with their questions. ``tiles`` of all pictures lie one after another; ``counts`` says how many each has."""

    tiles: torch.Tensor
    counts: list[int]
    sizes: list[tuple[int, int]]
    grids: list[tuple[int, int] | None]
    questions: list[list[Question]]
    kept: list[np.ndarray]


def picture_batch(shard: Shard, pictures: list[int], questions: list[list[Question]], single_tile: bool,
                  drop: float = 0.0, rng: np.random.Generator | None = None) -> Batch:
    """Pictures of a shard; with ``single_tile`` only the squeezed whole picture of each.

    ``drop`` is the share of patches showing no mark (background, border, large shape) that are left out of the prompt: a
    curriculum for attention, which at first finds the few marks among few patches.
    """
    tiles, counts, sizes, grids, kept = [], [], [], [], []
    for picture in pictures:
        rows = shard.rows(picture)
        rows = slice(rows.start, rows.start + 1) if single_tile else rows
        tiles.append(shard.tiles[rows])
        keep = np.ones(shard.objects[rows].shape, bool)
        if drop > 0:
            objects = shard.objects[rows]
            keep = ((objects > 1) & (objects < 255)) | (rng.random(objects.shape) >= drop)
        kept.append(keep)
        counts.append(rows.stop - rows.start)
        sizes.append(tuple(shard.records[picture]["size"]))
        grids.append(None if single_tile else tuple(shard.records[picture]["grid"]))
    return Batch(torch.from_numpy(np.concatenate(tiles)), counts, sizes, grids, questions, kept)


def visual_prefixes(model: DemoModel, projected: torch.Tensor, batch: Batch, granularity: int) -> list[torch.Tensor]:
    """Each picture's rows as the prompt shows them at the granularity."""
    tokens = model.pool(projected, granularity).split(batch.counts)
    rows, columns = pooling(granularity, model.side**2)
    prefixes = []
    for pooled, size, grid, keep in zip(tokens, batch.sizes, batch.grids, batch.kept):
        index = model.rows_index(granularity, size, grid)
        if not keep.all():
            shown = keep.reshape(len(keep), model.side // rows, rows, model.side // columns, columns).any((2, 4)).reshape(-1)
            index = index[(index < 0) | shown[index]]
        prefixes.append(model.assemble(pooled, index))
    return prefixes


def answer_losses(model: DemoModel, tokenizer: Tokenizer, prefixes: list[torch.Tensor], questions: list[list[Question]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean negative log-likelihood of every answer, and whether greedy decoding would give it: two [pictures, questions].

    Every picture must have the same number of questions.
    """
    device, before = model.device, tokenizer.before
    embed = model.language.get_input_embeddings()
    shown = [len(before) + len(p) for p in prefixes]
    prefix_length = max(shown)
    blocks = [[(tokenizer.after(q.text), tokenizer.answer(q.answer)) for q in qs] for qs in questions]
    lengths = [sum(len(a) + len(b) for a, b in bs) for bs in blocks]
    total = prefix_length + max(lengths)
    count = len(prefixes)

    ids = torch.zeros(count, max(lengths), dtype=torch.long)
    targets = torch.full((count, max(lengths)), -100, dtype=torch.long)
    owner = torch.full((count, total), -1, dtype=torch.long)  # question a column belongs to; 0 is the shared prefix
    positions = torch.zeros(count, total, dtype=torch.long)
    for i, bs in enumerate(blocks):
        owner[i, : shown[i]] = 0
        positions[i, : shown[i]] = torch.arange(shown[i])
        at = 0
        for number, (prompt, answer) in enumerate(bs, 1):
            size = len(prompt) + len(answer)
            ids[i, at : at + size] = torch.tensor([*prompt, *answer])
            targets[i, at + len(prompt) - 1 : at + size - 1] = torch.tensor(answer)
            owner[i, prefix_length + at : prefix_length + at + size] = number
            positions[i, prefix_length + at : prefix_length + at + size] = shown[i] + torch.arange(size)
            at += size

    start = embed(torch.tensor(before, device=device))
    rows = torch.stack([F.pad(torch.cat([start, p.to(start.dtype)]), (0, 0, 0, prefix_length - n)) for p, n in zip(prefixes, shown)])
    inputs = torch.cat([rows, embed(ids.to(device))], 1)
    owner = owner.to(device)
    causal = torch.ones(total, total, dtype=torch.bool, device=device).tril()
    visible = ((owner[:, None, :] == owner[:, :, None]) | (owner[:, None, :] == 0)) & causal
    mask = torch.zeros(count, 1, total, total, dtype=_compute_type(model), device=device).masked_fill_(~visible[:, None], -1e4)
    hidden = model.language.model(inputs_embeds=inputs, attention_mask=mask, position_ids=positions.to(device), use_cache=False).last_hidden_state

    hidden, targets = hidden[:, prefix_length:], targets.to(device)
    keep = targets != -100
    logits = model.language.lm_head(hidden[keep]).float()
    losses = F.cross_entropy(logits, targets[keep], reduction="none")
    wrong = (logits.argmax(-1) != targets[keep]).float()
    picture = torch.arange(count, device=device)[:, None].expand_as(keep)[keep]
    slot = picture * len(questions[0]) + owner[:, prefix_length:][keep] - 1
    zeros = torch.zeros(count * len(questions[0]), device=device)
    tokens = zeros.index_add(0, slot, torch.ones_like(losses))
    mean = zeros.index_add(0, slot, losses) / tokens
    correct = zeros.index_add(0, slot, wrong) == 0
    return mean.view(count, -1), correct.view(count, -1)


def summed_loss(tokenizer: Tokenizer, losses: torch.Tensor, questions: list[list[Question]], weights: torch.Tensor | None = None) -> torch.Tensor:
    """Mean over the questions of the loss summed over an answer, so that its one telling token is not diluted."""
    tokens = torch.tensor([[len(tokenizer.answer(q.answer)) for q in qs] for qs in questions], device=losses.device)
    weights = torch.ones_like(losses) if weights is None else weights
    return (losses * tokens * weights).sum() / weights.sum()


def accuracies(questions: list[list[Question]], correct: torch.Tensor, granularity: int) -> dict[str, float]:
    """Accuracy by level, for the progress line."""
    by_level: dict[str, list[float]] = defaultdict(list)
    for asked, row in zip(questions, correct.tolist()):
        for question, right in zip(asked, row):
            by_level[f"{question.level}@{granularity:03}"].append(float(right))
    return {name: float(np.mean(values)) for name, values in by_level.items()}


def _compute_type(model: DemoModel) -> torch.dtype:
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else torch.float32
