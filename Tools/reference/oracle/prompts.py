"""From a message to `input_ids`: upstream's conversations and the tokenizer, chunk by chunk."""

from __future__ import annotations

import re
from pathlib import Path

import sentencepiece
import tokenizers

IMAGE_ID = -200
IMAGE_MARK = "<image>"
TURN_END = "</s>"
SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)

HUMAN = SYSTEM.replace("user", "human")
ASSISTANT = (
    "You are a helpful language and vision assistant. You are able to understand the visual content that the user provides, "
    "and assist the user with a variety of tasks using natural language."
)

History = list[tuple[str, str]]


def apply_template(prompt: str, history: History, with_image: bool, conversation: str = "vicuna_v1") -> str:
    """The text of a conversation that waits for the assistant's next answer.

    `history` holds finished (user, assistant) turns. The image belongs to the first message.
    """
    messages = [user for user, _ in history] + [prompt]
    if with_image:
        messages[0] = f"{IMAGE_MARK}\n{messages[0]}"
    answers = [answer for _, answer in history]
    if conversation in ("llava_llama_2", "mistral_instruct"):
        separator = "<s>" if conversation == "llava_llama_2" else ""
        if conversation == "llava_llama_2":
            messages[0] = f"<<SYS>>\n{ASSISTANT}\n<</SYS>>\n\n{messages[0]}"
        turns = [f"{separator}[INST] {message} [/INST]" for message in messages]
        text = "".join(turn + (f" {answers[n]} </s>" if n < len(answers) else "") for n, turn in enumerate(turns))
        return text.lstrip(separator) if separator else text
    if conversation == "chatml_direct":
        text = "<|im_start|>system\nAnswer the questions.<|im_end|>"
        for n, message in enumerate(messages):
            text += f"<|im_start|>user\n{message}<|im_end|><|im_start|>assistant\n"
            text += f"{answers[n]}<|im_end|>" if n < len(answers) else ""
        return text
    if conversation == "llava_llama_3":
        text = f"<|begin_of_text|><|start_header_id|>system<|end_header_id|>\n\n{ASSISTANT}<|eot_id|>"
        for n, message in enumerate(messages):
            text += f"<|start_header_id|>user<|end_header_id|>\n\n{message.strip()}<|eot_id|><|start_header_id|>assistant<|end_header_id|>\n\n"
            text += f"{answers[n].strip()}<|eot_id|>" if n < len(answers) else ""
        return text
    text = f"{HUMAN if conversation == 'llava_v1' else SYSTEM} "
    for message, (_, answer) in zip(messages[:-1], history, strict=True):
        text += f"USER: {message} ASSISTANT: {answer}{TURN_END}"
    return f"{text}USER: {messages[-1]} ASSISTANT:"


class FastTokenizer:
    """`tokenizer.json`, asked as upstream's `tokenizer_image_token` asks: what begins every text is kept once."""

    def __init__(self, path: Path) -> None:
        self.words = tokenizers.Tokenizer.from_file(str(path))

    def encode_prompt(self, text: str) -> list[int]:
        chunks = [self.words.encode(chunk).ids for chunk in text.split(IMAGE_MARK)]
        begin = chunks[0][0]
        ids = [begin, *chunks[0][1:]]
        for chunk in chunks[1:]:
            ids += [IMAGE_ID, *chunk[1:]]
        return ids


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
