#!/usr/bin/env python3
"""Write the tokenizer fixture: encodings, decodings and whole prompts by sentencepiece itself.

    python write_text.py TOKENIZER.model -o tokenizer.json

Encodings and decodings are of bare text; only the prompts go through template and chunking.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path
from typing import Any

import sentencepiece

from oracle.prompts import History, Tokenizer, apply_template

STRINGS = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n ", "\t", "\r\n", "a", " a", "a ", " a ", "  two  spaces  ",
    "Hello, world!", "What is in the picture?", "the the the", "\nWhat is in the picture? ASSISTANT:",
    "ALL CAPS and MiXeD cAsE", "don't can't won't", "“curly” ‘quotes’ — and – dashes…",
    "1234567890", "3.14159e-10", "100 000", "0x1F", "a1b2c3", "2024-01-31T23:59:59Z",
    "-" * 7, "-" * 33, "=" * 10, "*" * 5, "_" * 9, "a" * 50, "ab" * 20, "." * 17,
    "for (int i = 0; i < n; ++i) { x[i] += y; }", "https://example.org/a?b=c&d=%20#e", "C:\\path\\file.txt",
    "</s>", "<s>", "<unk>", "a</s>b", "<s>hello</s>", " <unk> ", "<0x41>", "<0x0A>", "<image>", "<pad>",
    "▁", "▁▁", "a▁b", "▁ ▁", "\u00a0", "a\u00a0b", "\u3000", "\u200b", "\u2028", "\ufeffbom",
    "\x00", "a\x00b", "\x01\x02\x1f", "\x7f", "\x1b[31mred\x1b[0m",
    "é", "e\u0301", "ñandú", "Straße", "İstanbul ıI", "naïve café", "ﬁ ﬂ ﬀ", "½ ² ™", "Å \u212b",
    "Привет, мир", "Ελληνικά", "שלום עולם", "مرحبا بالعالم", "नमस्ते", "สวัสดี", "안녕하세요",
    "こんにちは世界", "你好，世界。",
    "😀", "👍🏽", "👩‍👩‍👧‍👦", "🇨🇭🇯🇵", "a😀b", "😀 😀", "☃︎ ☃️", "\U0010ffff", "\ufffd", "\ufffe", "𝔘𝔫𝔦𝔠𝔬𝔡𝔢",
    "mixed: café 你好 😀 <tag> \t end ", "line one\nline two\n\n  indented\n", "trailing newline\n",
    "A chat between a curious user and an artificial intelligence assistant.",
    "supercalifragilisticexpialidocious", "thethethethe", "tttttthhhhhheeeeee", "tion" * 9, "in" * 15,
]  # fmt: skip

PROMPTS: list[tuple[bool, str, History]] = [
    (True, "What is in the picture?", []),
    (False, "What is the capital of France?", []),
    (True, "", []),
    (False, "", []),
    (True, "  Leading and trailing spaces  ", []),
    (True, "First line\nSecond line\n", []),
    (True, "Größe? 你好 😀", []),
    (False, "\n", []),
    (True, "And now?", [("What is in the picture?", "A temple by the water.")]),
    (True, "Why?", [("Is it day?", "Yes."), ("Is it warm?", "It seems so.\nThe trees are green.")]),
    (False, "And of Spain?", [("What is the capital of France?", "Paris 🇫🇷")]),
    (False, "Go on.", [("", ""), ("Say nothing.", " ")]),
    (True, "Does the word ASSISTANT: or USER: in a message matter?", []),
]


def random_strings(pieces: sentencepiece.SentencePieceProcessor, count: int, seed: int) -> list[str]:
    """Strings glued together from pieces of the vocabulary, where merges compete with one another."""
    generator = random.Random(seed)
    vocabulary = [pieces.id_to_piece(i) for i in range(3 + 256, pieces.get_piece_size())]
    strings = []
    for _ in range(count):
        glued = "".join(generator.choices(vocabulary, k=generator.randint(1, 12)))
        strings.append(glued.replace("▁", " "))
    return strings


def id_sequences(pieces: sentencepiece.SentencePieceProcessor, seed: int) -> list[list[int]]:
    """Sequences to decode: round trips, special ids, and byte pieces that are not whole characters."""
    byte = {value: pieces.piece_to_id(f"<0x{value:02X}>") for value in range(256)}

    def of_bytes(data: bytes) -> list[int]:
        return [byte[value] for value in data]

    emoji = of_bytes("😀".encode())
    a_piece, space_piece = pieces.piece_to_id("a"), pieces.piece_to_id("▁")
    sequences = [pieces.encode(text) for text in STRINGS]
    sequences += [emoji[:length] for length in range(1, 5)]
    sequences += [
        [], [1], [2], [0], [1, a_piece, 2], [a_piece, 0, a_piece], [2, a_piece], [1, space_piece, a_piece],
        [space_piece], [space_piece, space_piece], [space_piece, space_piece, a_piece], [a_piece, space_piece],
        [a_piece, *emoji[:2]], [*emoji[:3], a_piece], [*emoji[:2], *emoji], emoji[1:], [byte[0xFF], a_piece],
        of_bytes(b"\xe4\xbd\xa0\xe5"), of_bytes(b"\xc0\xaf"), of_bytes(b"\xed\xa0\x80"), of_bytes(b"\xf4\x90\x80\x80"),
        of_bytes(b"abc\x00def"), of_bytes(b" leading"), [byte[0x20], a_piece], [1, byte[0x20], a_piece],
        [*emoji[:2], 2, *emoji[2:]], [*emoji[:2], 1, a_piece],
    ]  # fmt: skip
    generator = random.Random(seed)
    for _ in range(40):
        sequences.append([generator.randrange(pieces.get_piece_size()) for _ in range(generator.randint(1, 10))])
    return sequences


def text_fixture(tokenizer_path: Path) -> dict[str, Any]:
    """The whole fixture as one JSON document."""
    tokenizer = Tokenizer(tokenizer_path)
    pieces = tokenizer.pieces
    texts = STRINGS + random_strings(pieces, count=120, seed=7)
    prompts = []
    for with_image, prompt, history in PROMPTS:
        text = apply_template(prompt, history, with_image)
        prompts.append(
            {
                "with_image": with_image,
                "prompt": prompt,
                "history": [list(turn) for turn in history],
                "text": text,
                "input_ids": tokenizer.encode_prompt(text),
            }
        )
    return {
        "sentencepiece": sentencepiece.__version__,
        "encode": [{"text": text, "ids": pieces.encode(text)} for text in texts],
        "decode": [{"ids": ids, "text": pieces.decode(ids) if ids else ""} for ids in id_sequences(pieces, seed=11)],
        "prompts": prompts,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    arguments.output.write_text(json.dumps(text_fixture(arguments.tokenizer), indent=1) + "\n")


if __name__ == "__main__":
    main()
