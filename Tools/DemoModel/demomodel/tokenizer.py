"""SentencePiece tokenizer of the question language, and the vicuna_v1 prompt."""

from __future__ import annotations

import random
from functools import lru_cache
from pathlib import Path

import sentencepiece as spm

from .questions import ask, list_all
from .scene import make_scene

BOS, EOS = 1, 2
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
BEFORE = SYSTEM + " USER: "
SHARES = {"coarse": 1.0, "medium": 1.0, "fine": 1.0}


def prompt_text(question: str) -> str:
    """The whole prompt, as upstream's vicuna_v1 template writes it."""
    return BEFORE + "<image>\n" + question + " ASSISTANT:"


def train_tokenizer(path: Path, vocabulary: int, seed: int) -> None:
    """Train on generated questions and the template around them."""
    rng = random.Random(seed)

    def sentences():
        for _ in range(400):
            yield BEFORE
        for _ in range(4000):
            scene = make_scene(rng, (6, 10))
            for question in [*ask(scene, rng, 4, SHARES), *list_all(scene, rng, 1)]:
                yield f"{question.text}"
                yield f"USER:\n{question.text} ASSISTANT: {question.answer}"

    with path.open("wb") as model:
        spm.SentencePieceTrainer.train(
            sentence_iterator=sentences(), model_writer=model, model_type="bpe", vocab_size=vocabulary, byte_fallback=True,
            normalization_rule_name="identity", remove_extra_whitespaces=False, add_dummy_prefix=True, split_digits=True,
            character_coverage=1.0, unk_id=0, bos_id=BOS, eos_id=EOS, pad_id=-1, hard_vocab_limit=False, num_threads=1,
            required_chars="abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.,:;?!'-",
            minloglevel=2)


class Tokenizer:
    """Encodes prompts the way inference does: the text before and after the picture are chunks of their own."""

    def __init__(self, path: Path) -> None:
        self.pieces = spm.SentencePieceProcessor(model_file=str(path))
        self.before: list[int] = [BOS, *self.pieces.encode(BEFORE)]
        self.after = lru_cache(maxsize=200_000)(self._after)

    def _after(self, question: str) -> tuple[int, ...]:
        return tuple(self.pieces.encode("\n" + question + " ASSISTANT:"))

    def answer(self, text: str) -> list[int]:
        return [*self.pieces.encode(text), EOS]

    def prompt(self, question: str) -> list[int]:
        """All the prompt's tokens without the picture: what the router's text filter sees."""
        return [*self.before, *self.after(question)]

    def decode(self, ids: list[int]) -> str:
        return self.pieces.decode(ids).strip()
