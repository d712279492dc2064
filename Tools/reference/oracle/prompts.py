"""From a message to `input_ids`: the vicuna_v1 template and SentencePiece, chunk by chunk."""

from __future__ import annotations

import re
from pathlib import Path

import sentencepiece

IMAGE_ID = -200
IMAGE_MARK = "<image>"
TURN_END = "</s>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

History = list[tuple[str, str]]


def apply_template(prompt: str, history: History, with_image: bool) -> str:
    """The text of a conversation that waits for the assistant's next answer.

    `history` holds finished (user, assistant) turns. The image belongs to the first message.
    """
    messages = [user for user, _ in history] + [prompt]
    if with_image:
        messages[0] = f"{IMAGE_MARK}\n{messages[0]}"
    text = f"{SYSTEM} "
    for message, (_, answer) in zip(messages[:-1], history, strict=True):
        text += f"USER: {message} ASSISTANT: {answer}{TURN_END}"
    return f"{text}USER: {messages[-1]} ASSISTANT:"


class Tokenizer:
    """`tokenizer.model` with the rules that surround it in a LLaVA prompt."""

    def __init__(self, path: Path) -> None:
        self.pieces = sentencepiece.SentencePieceProcessor(model_file=str(path))

    def encode_chunk(self, text: str) -> list[int]:
        """A chunk without an image: split at `</s>`, each part encoded on its own."""
        ids: list[int] = []
        for part in re.split(f"({re.escape(TURN_END)})", text):
            ids += [self.pieces.eos_id()] if part == TURN_END else self.pieces.encode(part)
        return ids

    def encode_prompt(self, text: str) -> list[int]:
        """The whole prompt: BOS once at the start, `IMAGE_ID` where `<image>` stands."""
        ids = [self.pieces.bos_id()]
        for number, chunk in enumerate(text.split(IMAGE_MARK)):
            if number:
                ids.append(IMAGE_ID)
            ids += self.encode_chunk(chunk)
        return ids
