"""Pretraining of the LLM on symbolic scenes: it learns to look a word up among the picture's rows before it sees pictures.

Stands in for what a real LLM brings along. A visual row is a noisy sum of the embeddings of the words for what lies under the patch
(role, colour, kind or digit, light), as the aligned projector will give it. The scenes are made on the fly and never drawn.
"""

from __future__ import annotations

import random

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from .align import LENGTH, WORDS, label_table, word_directions, word_ids
from .draw import object_map
from .model import DemoModel
from .packing import Batch, accuracies, answer_losses, summed_loss, visual_prefixes
from .progress import Progress
from .questions import ask
from .scene import Scene, make_scene
from .tiling import tile_objects
from .tokenizer import Tokenizer

TEXT_SHARE = 0.7  # of the direction all embeddings share, against the word's own part
LOOKED_UP = (("colour",), ("digit",), ("kind",), ("colour",))  # what the heads compare, besides the role


def initialise(model: DemoModel, tokenizer: Tokenizer) -> None:
    """Start where a lookup is only to be refined, not to be found.

    Embeddings are far apart but share one direction that visual rows lack; the output table has the words without it. In the first
    layer every position gathers the words just before it. In the next two, a head's queries and keys are the words of its list, so
    that a position finds the visual rows with the same words; values are copied. The rest is random.
    """
    embedding, width = model.language.get_input_embeddings().weight, model.config["hidden"]
    heads = model.config["heads"]
    size = width // heads
    half = size // 2

    ids = {name: torch.tensor(word_ids(tokenizer, names)) for name, names in WORDS.items()}

    def random_rotation() -> torch.Tensor:
        return torch.linalg.qr(torch.randn(width, width, device=embedding.device)).Q

    with torch.no_grad():
        text = F.normalize(torch.randn(width, device=embedding.device), dim=0)
        words = torch.randn_like(embedding)
        words = F.normalize(words - (words @ text)[:, None] * text, dim=-1)
        embedding.copy_(words + TEXT_SHARE * text)
        model.language.lm_head.weight.copy_(words)
        content = torch.eye(width, device=embedding.device) - text[:, None] * text
        for number, layer in enumerate(model.language.model.layers):
            attention, mlp = layer.self_attn, layer.mlp
            query, key = torch.zeros(2, width, width, device=embedding.device)
            values = random_rotation()
            for head in range(heads):
                first = head * size
                slow = [first + i for i in (*range(half // 2, half), *range(half + half // 2, size))]  # they hardly turn
                if number == 0:
                    # The cosine of the distance, for two medium speeds of rotation: near is high, thirty and more is low.
                    for pair in (3, 4):
                        query[first + pair] = key[first + pair] = 0.7 * text
                elif number <= 2:
                    sought = words[torch.cat([ids[name] for name in ("role", *LOOKED_UP[head % len(LOOKED_UP)])])][: len(slow) - 1]
                    query[slow[: len(sought)]] = key[slow[: len(sought)]] = 1.6 * sought
                    query[slow[-1]], key[slow[-1]] = 6.0 * text, -6.0 * text  # words are not what is looked for
            if number > 2:
                query, key = random_rotation(), random_rotation()
            attention.q_proj.weight.copy_(query + 0.01 * torch.randn_like(query))
            attention.k_proj.weight.copy_(key + 0.01 * torch.randn_like(key))
            attention.v_proj.weight.copy_(values @ content + 0.01 * torch.randn_like(values))
            attention.o_proj.weight.copy_((1.5, 1.0, 1.0, 0.05)[min(number, 3)] * values.T + 0.01 * torch.randn_like(values))
            nn.init.normal_(mlp.gate_proj.weight, 0, width**-0.5)
            nn.init.normal_(mlp.up_proj.weight, 0, width**-0.5)
            nn.init.normal_(mlp.down_proj.weight, 0, 0.004)


class SymbolicRows:
    """Makes the rows of a scene's patches from the embeddings of their words."""

    def __init__(self, model: DemoModel, tokenizer: Tokenizer) -> None:
        self.embedding = model.language.get_input_embeddings().weight
        self.ids = {name: torch.tensor(word_ids(tokenizer, words)) for name, words in WORDS.items()}

    def rows(self, labels: np.ndarray, noise: float, rng: np.random.Generator) -> torch.Tensor:
        """Labels [patches, names in the order of WORDS, −100 for none] → rows [patches, width]."""
        embedding = word_directions(self.embedding)
        count, width = len(labels), embedding.shape[1]
        total = torch.zeros(count, width)
        for column, ids in enumerate(self.ids.values()):
            label = labels[:, column]
            mistaken = rng.random(count) < 0.15 * noise
            label = np.where(mistaken & (label >= 0), rng.integers(0, len(ids), count), label)
            weight = np.where(label >= 0, rng.uniform(1 - 0.4 * noise, 1 + 0.4 * noise, count), 0.0)
            total += torch.from_numpy(weight).float()[:, None] * embedding[ids[torch.from_numpy(label.clip(0))]]
        # A patch on an edge shows a part of its neighbour.
        neighbour, part = total[torch.from_numpy(rng.integers(0, count, count))], 0.0
        if count == 256:
            step = int(rng.choice((1, -1, 16, -16)))
            neighbour, part = total.roll(step, 0), noise
        mix = torch.from_numpy(part * rng.uniform(0, 0.5, count) * (rng.random(count) < 0.4)).float()[:, None]
        total = (1 - mix) * total + mix * neighbour
        total = F.normalize(total, dim=-1) + noise * torch.from_numpy(rng.normal(0, 0.5 * width**-0.5, (count, width))).float()
        return LENGTH * F.normalize(total, dim=-1)


def symbolic_batch(rows: SymbolicRows, model: DemoModel, rng: random.Random, settings: dict, leg: dict, drop: float, noise: float) -> tuple[Batch, torch.Tensor]:
    """Scenes with questions, and their rows [pictures, patches, width]."""
    numbers = np.random.default_rng(rng.getrandbits(32))
    edge, side = model.config["tile"], model.side
    projected, questions, kept = [], [], []
    for _ in range(settings["pictures"]):
        scene = make_scene(rng, tuple(leg["tags"]), 1.0)
        objects = tile_objects(object_map(scene), (edge, edge), [[edge, edge]], edge, side)[:1]
        labels = label_table(scene)[objects.reshape(-1)]
        projected.append(rows.rows(labels, noise, numbers))
        questions.append(ask(scene, rng, settings["questions"], leg["shares"], plain=leg["plain"]))
        kept.append(((objects > 1) & (objects < 255)) | (numbers.random(objects.shape) >= drop))
    count = len(questions)
    return Batch(torch.empty(0), [1] * count, [(edge, edge)] * count, [None] * count, questions, kept), torch.stack(projected)


def run(model: DemoModel, tokenizer: Tokenizer, settings: dict, seed: int, progress: Progress) -> None:
    """Train the LLM and the newline row; the input embeddings stay, because the projector is aligned to them."""
    initialise(model, tokenizer)
    model.language.get_input_embeddings().weight.requires_grad_(False)
    parameters = [model.newline, *(p for p in model.language.parameters() if p.requires_grad)]
    optimizer = torch.optim.AdamW(parameters, settings["rate"], weight_decay=0.02, betas=(0.9, 0.98))
    legs, rows = settings["legs"], SymbolicRows(model, tokenizer)
    steps = sum(leg["steps"] for leg in legs)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["rate"], steps, pct_start=0.05, cycle_momentum=False)
    start = progress.resume(model=model, optimizer=optimizer, schedule=schedule)
    for step in range(start, steps):
        passed = 0
        for leg in legs:
            if step < passed + leg["steps"]:
                break
            passed += leg["steps"]
        share = (step - passed) / leg["steps"]
        drop = leg["drop"][0] + (leg["drop"][1] - leg["drop"][0]) * share
        rng = random.Random(f"{seed}-pretrain-{step}")
        batch, projected = symbolic_batch(rows, model, rng, settings, leg, drop, leg["noise"])
        granularity = rng.choices(model.granularities, leg["weights"])[0]
        with torch.autocast(model.device.type, torch.bfloat16, enabled=settings["bf16"]):
            prefixes = visual_prefixes(model, projected.to(model.device), batch, granularity)
            losses, correct = answer_losses(model, tokenizer, prefixes, batch.questions)
        loss = summed_loss(tokenizer, losses, batch.questions)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        progress.line(step + 1, steps, {"loss": losses.mean().item(), **accuracies(batch.questions, correct, granularity)})
    progress.save(steps)
    for parameter in model.parameters():
        parameter.requires_grad_(True)
