"""A generated folder of pictures and questions, answered by a checkpoint at every granularity."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import torch
from PIL import Image

from .model import DemoModel
from .packing import answer_losses
from .questions import Question
from .tiling import anyres_tiles
from .tokenizer import Tokenizer


@dataclass
class Answered:
    """One question: right or wrong at each granularity, the prompt's visual rows at each, and what router scores need."""

    image: str
    question: Question
    correct: list[bool]
    losses: list[float]
    visual_tokens: list[int]


@dataclass
class PictureState:
    """What a picture needs so that any router can be scored: its projected features and its questions' prompts."""

    projected: torch.Tensor
    answered: list[Answered]


def read_questions(folder: Path) -> dict[str, list[Question]]:
    """questions.jsonl by picture."""
    result: dict[str, list[Question]] = {}
    for line in (folder / "questions.jsonl").read_text().splitlines():
        record = json.loads(line)
        result.setdefault(record["image"], []).append(Question(record["topic"], record["question"], record["answer"]))
    return result


@torch.no_grad()
def picture_features(model: DemoModel, path: Path) -> tuple[torch.Tensor, tuple[int, int], tuple[int, int]]:
    """Projected features of a picture's tiles, its size and its tile grid."""
    picture = Image.open(path).convert("RGB")
    tiles, grid = anyres_tiles(picture, model.config["pinpoints"], model.config["tile"])
    return model.projector(model.tower(torch.from_numpy(tiles))), picture.size, grid


@torch.no_grad()
def answer_all(model: DemoModel, tokenizer: Tokenizer, folder: Path) -> list[PictureState]:
    """Every question of the folder at every granularity. "Correct" means greedy decoding gives exactly the answer."""
    states = []
    for image, questions in read_questions(folder).items():
        projected, size, grid = picture_features(model, folder / image)
        columns, tokens = [], []
        for granularity in model.granularities:
            prefix = model.assemble(model.pool(projected, granularity), model.rows_index(granularity, size, grid))
            columns.append(answer_losses(model, tokenizer, [prefix], [questions]))
            tokens.append(len(prefix))
        answered = [
            Answered(image, q, [bool(c[1][0, i]) for c in columns], [float(c[0][0, i]) for c in columns], tokens)
            for i, q in enumerate(questions)
        ]
        states.append(PictureState(projected, answered))
    return states


@torch.no_grad()
def choices(model: DemoModel, tokenizer: Tokenizer, states: list[PictureState]) -> list[int]:
    """The router's choice for every question, in order."""
    result = []
    for state in states:
        prompts = [tokenizer.prompt(a.question.text) for a in state.answered]
        result += model.router_logits(state.projected, prompts).argmax(-1).tolist()
    return result


@torch.no_grad()
def greedy(model: DemoModel, tokenizer: Tokenizer, visual: torch.Tensor, question: str, limit: int = 8) -> str:
    """Greedy answer behind a picture's rows."""
    embed = model.language.get_input_embeddings()

    def rows(ids) -> torch.Tensor:
        return embed(torch.tensor(ids, device=model.device))

    inputs, cache, answer = torch.cat([rows(tokenizer.before), visual, rows(list(tokenizer.after(question)))])[None], None, []
    for _ in range(limit):
        output = model.language(inputs_embeds=inputs, past_key_values=cache, use_cache=True)
        token = int(output.logits[0, -1].argmax())
        if token == 2:
            break
        answer.append(token)
        cache, inputs = output.past_key_values, rows([token])[None]
    return tokenizer.decode(answer)


@torch.no_grad()
def generate(model: DemoModel, tokenizer: Tokenizer, path: Path, question: str, granularity: int | None = None, limit: int = 8) -> tuple[str, int]:
    """Greedy answer to one question, as inference does it: (answer, granularity)."""
    projected, size, grid = picture_features(model, path)
    if granularity is None:
        choice = int(model.router_logits(projected, [tokenizer.prompt(question)])[0].argmax())
        granularity = model.granularities[choice]
    visual = model.assemble(model.pool(projected, granularity), model.rows_index(granularity, size, grid))
    return greedy(model, tokenizer, visual, question, limit), granularity
