"""Alignment: the projector learns to put a patch's features where the LLM's words for them are.

Stands in for LLaVA's projector pretraining on captions. The tower and all else are frozen; each patch must be nearest, by cosine,
to the embeddings of its own role, colour, kind, digit and place words. The text filter compares exactly these cosines,
and a question's word then finds its patches by content. The LLM's output table starts as a copy of its input table.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from .model import DemoModel
from .progress import Progress
from .scene import BACKGROUND_NAMES, COLOUR_NAMES, DIGIT_WORDS, KINDS, PLACES
from .shards import Shard
from .tokenizer import Tokenizer
from .warmup import IGNORE, tile_batch

WORDS = {
    "role": ("background", "shape", "symbol", "tag", "strip"), "colour": COLOUR_NAMES + BACKGROUND_NAMES,
    "kind": KINDS, "digit": DIGIT_WORDS, "place": PLACES, "bright": ("dark", "bright"),
}
SHARPNESS = 12.0


def word_ids(tokenizer: Tokenizer, words: tuple[str, ...]) -> list[int]:
    """The one piece that stands for each word."""
    ids = []
    for word in words:
        pieces = tokenizer.pieces.encode(word)
        if len(pieces) != 1:
            raise ValueError(f"{word!r} is not one piece of the vocabulary")
        ids.append(pieces[-1])
    return ids


def spread_embeddings(model: DemoModel) -> None:
    """Random word embeddings, far apart; the LLM's output table starts as their copy."""
    embedding = model.language.get_input_embeddings().weight
    with torch.no_grad():
        embedding.normal_(0, embedding.shape[1] ** -0.5)
        model.language.lm_head.weight.copy_(embedding)


@torch.no_grad()
def aligned_share(model: DemoModel, tokenizer: Tokenizer, shard: Shard, settings: dict, seed: int) -> float:
    """The share of a batch's marks that the projector puts nearest to their own colour's word among the colours."""
    tiles, labels = tile_batch(shard, np.random.default_rng([seed, 21]), settings["tiles"])
    words = model.language.get_input_embeddings().weight[word_ids(tokenizer, COLOUR_NAMES)]
    direction = F.normalize(model.projector(model.tower(tiles)), dim=-1)
    nearest = (direction @ F.normalize(words, dim=-1).T).argmax(-1)
    marked = (labels["digit"] != IGNORE) & (labels["colour"] != IGNORE)
    return (nearest.cpu() == labels["colour"])[marked].float().mean().item()


def run(model: DemoModel, tokenizer: Tokenizer, shards: list[Shard], settings: dict, seed: int, progress: Progress) -> None:
    """Train the projector; spread the embeddings first so that words are far apart."""
    embedding = model.language.get_input_embeddings().weight
    candidates = {name: word_ids(tokenizer, words) for name, words in WORDS.items()}
    spread_embeddings(model)
    optimizer = torch.optim.AdamW(model.projector.parameters(), settings["rate"], weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["rate"], settings["steps"], cycle_momentum=False)
    start = progress.resume(model=model, optimizer=optimizer, schedule=schedule)
    for step in range(start, settings["steps"]):
        rng = np.random.default_rng([seed, 20, step])
        tiles, labels = tile_batch(shards[step % len(shards)], rng, settings["tiles"])
        with torch.no_grad(), torch.autocast(model.device.type, torch.bfloat16, enabled=settings["bf16"]):
            features = model.tower(tiles).float()
        projected = model.projector(features)
        direction, loss, accuracy = F.normalize(projected, dim=-1), 0.0, {}
        for name, ids in candidates.items():
            label = labels[name].to(model.device)
            keep = label != IGNORE
            words = F.normalize(embedding[ids].detach(), dim=-1)
            logits = SHARPNESS * direction[keep] @ words.T
            # A background and a paint of the same name share one word, so the target is the word and not the label.
            first = torch.tensor([ids.index(i) for i in ids], device=model.device)
            logits = logits.masked_fill(first != torch.arange(len(ids), device=model.device), -1e4)
            target = first[label[keep]]
            loss = loss + F.cross_entropy(logits, target)
            accuracy[name] = (logits.argmax(-1) == target).float().mean().item()
        length = projected.norm(dim=-1)
        loss = loss + 0.1 * (length - 2).square().mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.line(step + 1, settings["steps"], {"loss": loss.item(), **accuracy})
    progress.save(settings["steps"])
