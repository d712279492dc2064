"""Stage 2: ranking granularities from the frozen model's feedback (RGLF); only the router learns."""

from __future__ import annotations

import random
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from .model import DemoModel, Router
from .packing import answer_losses, picture_batch, visual_prefixes
from .progress import Progress
from .questions import ask
from .shards import Shard
from .tokenizer import Tokenizer


@dataclass
class Feedback:
    """What the frozen model says. For every picture: projected features (bfloat16), and for every question the
    filtered text rows and the answer's loss at each granularity [questions, granularities]."""

    projected: list[torch.Tensor]
    text: list[torch.Tensor]
    losses: list[torch.Tensor]


@torch.no_grad()
def gather_feedback(model: DemoModel, tokenizer: Tokenizer, shard: Shard, settings: dict, seed: int, bf16: bool, progress: Progress) -> Feedback:
    """Run the frozen model at all granularities over a part of the training pictures, with fresh questions."""
    rng = random.Random(f"{seed}-stage2")
    pictures = sorted(rng.sample(range(len(shard)), settings["pictures"]), key=lambda i: (shard.records[i]["grid"], i))
    feedback = Feedback([], [], [])
    size = settings["feedback_batch"]
    for at in range(0, len(pictures), size):
        chosen = pictures[at : at + size]
        asked = [ask(shard.scenes[i], rng, settings["questions"], settings["shares"]) for i in chosen]
        batch = picture_batch(shard, chosen, asked, single_tile=False)
        with torch.autocast(model.device.type, torch.bfloat16, enabled=bf16):
            projected = model.projector(model.tower(batch.tiles))
            columns = [answer_losses(model, tokenizer, visual_prefixes(model, projected, batch, g), asked)[0] for g in model.granularities]
        losses = torch.stack(columns, -1).float()
        for i, features in enumerate(projected.float().split(batch.counts)):
            feedback.projected.append(features.to(torch.bfloat16))
            prompts = [tokenizer.prompt(q.text) for q in asked[i]]
            feedback.text.append(torch.stack([model.filtered_rows(features[0], p) for p in prompts]))
            feedback.losses.append(losses[i])
        progress.line(at // size + 1, -(-len(pictures) // size), {f"loss@{g}": v for g, v in zip(model.granularities, losses.mean((0, 1)).tolist())})
    return feedback


def with_cost(feedback: Feedback, granularities: list[int], cost: float) -> Feedback:
    """The feedback with a price on visual tokens: ``cost`` times the granularity's share of the finest is added to each
    answer's loss. The paper ranks by loss alone; a model that answers a coarse question a little more surely from 256
    tokens than from 16 then spends them. With a price the cheapest of nearly equal ones comes first."""
    price = torch.tensor([cost * g / granularities[-1] for g in granularities])
    return Feedback(feedback.projected, feedback.text, [losses + price for losses in feedback.losses])


def ranking_loss(scores: torch.Tensor, losses: torch.Tensor, margin: float) -> torch.Tensor:
    """RGLF's pairwise ranking loss. ``scores``: log-softmax of the router; both [samples, granularities]."""
    order = losses.argsort(dim=-1, stable=True)
    losses, scores = losses.gather(-1, order), scores.gather(-1, order)
    total = scores.new_zeros(())
    for distance in range(1, losses.shape[-1]):
        gap = losses[:, distance:] - losses[:, :-distance]
        pairs = scores[:, distance:] - scores[:, :-distance] + margin * distance * gap
        total = total + pairs.clamp_min(0).mean()
    return total


def rglf_loss(logits: torch.Tensor, losses: torch.Tensor, settings: dict, ranking: bool, cross_entropy: bool) -> torch.Tensor:
    """Ranking + alpha · cross-entropy against the granularity of least loss, or one of the two alone."""
    total = logits.new_zeros(())
    if ranking:
        total = total + ranking_loss(logits.log_softmax(-1), losses, settings["margin"])
    if cross_entropy:
        total = total + (settings["alpha"] if ranking else 1.0) * F.cross_entropy(logits, losses.argmin(-1))
    return total


def train_router(model: DemoModel, feedback: Feedback, settings: dict, seed: int, ranking: bool, cross_entropy: bool, progress: Progress) -> Router:
    """Train the model's router on the feedback, from its present weights."""
    router = model.router
    optimizer = torch.optim.AdamW(router.parameters(), settings["rate"], weight_decay=0.01)
    per_epoch = len(feedback.losses) // settings["batch"]
    steps = per_epoch * settings["epochs"]
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, settings["rate"], steps, pct_start=0.1, cycle_momentum=False)
    start = progress.resume(router=router, optimizer=optimizer, schedule=schedule)
    for step in range(start, steps):
        order = random.Random(f"{seed}-epoch-{step // per_epoch}").sample(range(len(feedback.losses)), len(feedback.losses))
        at = step % per_epoch * settings["batch"]
        chosen = order[at : at + settings["batch"]]
        visual = _visual_votes(model, [feedback.projected[i] for i in chosen])
        text = router.text_votes(torch.cat([feedback.text[i] for i in chosen]).to(model.device))
        questions = feedback.losses[0].shape[0]
        logits = router.norm(visual.repeat_interleave(questions, 0) + text)
        losses = torch.cat([feedback.losses[i] for i in chosen]).to(model.device)
        loss = rglf_loss(logits, losses, settings, ranking, cross_entropy)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(router.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        choice = logits.argmax(-1)
        regret = (losses.gather(1, choice[:, None])[:, 0] - losses.min(1).values).mean()
        progress.line(step + 1, steps, {"loss": loss.item(), "regret": regret.item(),
                                        "agree": (choice == losses.argmin(1)).float().mean().item()})
    progress.save(steps)
    return router


def _visual_votes(model: DemoModel, projected: list[torch.Tensor]) -> torch.Tensor:
    """Visual votes [pictures, granularities]; pictures with the same number of tiles go through the merger together."""
    votes: list[torch.Tensor | None] = [None] * len(projected)
    for tiles in sorted({len(p) for p in projected}):
        members = [i for i, p in enumerate(projected) if len(p) == tiles]
        rows = torch.stack([model.all_granularities(projected[i].to(model.device).float()) for i in members], 1)
        count, positions, width = len(members), rows.shape[2], rows.shape[3]
        merged = model.router.router(model.router.merger(rows.reshape(tiles, count * positions, width)))
        merged = merged.reshape(tiles, count, positions, -1) * model.router.voter[: model.router.visual]
        for i, vote in zip(members, merged.sum(2).mean(0)):
            votes[i] = vote
    return torch.stack(votes)
