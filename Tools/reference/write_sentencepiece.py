"""Writes Tests/Fixtures/sentencepiece: small SentencePiece models of every kind, and what the library makes of 10,000 lines.

    write_sentencepiece.py OUTPUT

The models are trained here on Tests/Fixtures/tokenizers/lines.bin; sentencepiece and protobuf come from PyPI.

NAME.model          a tokenizer
NAME-expected.json  what each line becomes: SHA-256 of the ids of every hundred lines, the ids of the first fifty, SHA-256 of the
                    text of all ids, and random ids with their text

Spelled-out `<unk>`, `<s>` and `</s>` become their ids, and what is between them is encoded for itself, as transformers' slow
tokenizer does it. BOS and EOS are dropped before decoding.
"""

import argparse
import hashlib
import io
import json
import pathlib
import random
import re
import struct

import sentencepiece
from sentencepiece import sentencepiece_model_pb2 as proto

ROOT = pathlib.Path(__file__).parents[2]
LINES = ROOT / "Tests/Fixtures/tokenizers/lines.bin"
COMMON = dict(character_coverage=0.999, hard_vocab_limit=False, max_sentence_length=100_000, num_threads=1, bos_id=1, eos_id=2, unk_id=0)
MODELS = {
    "unigram-nfkc": dict(model_type="unigram", vocab_size=900, normalization_rule_name="nmt_nfkc"),
    "unigram-bytes": dict(
        model_type="unigram", vocab_size=900, byte_fallback=True, normalization_rule_name="identity",
        user_defined_symbols=["<word>", "Int", "=>"], remove_extra_whitespaces=False),
    "bpe-bytes": dict(
        model_type="bpe", vocab_size=1200, byte_fallback=True, normalization_rule_name="identity", split_digits=True,
        user_defined_symbols=["<word>", "Int", "\u2581("], remove_extra_whitespaces=False),
    "bpe-blanks-behind": dict(
        model_type="bpe", vocab_size=900, treat_whitespace_as_suffix=True, normalization_rule_name="identity"),
    "bpe-no-prefix": dict(
        model_type="bpe", vocab_size=900, add_dummy_prefix=False, normalization_rule_name="identity",
        allow_whitespace_only_pieces=True, remove_extra_whitespaces=False, byte_fallback=True),
    "characters": dict(model_type="char", vocab_size=400, normalization_rule_name="identity"),
    "words": dict(model_type="word", vocab_size=800, normalization_rule_name="identity"),
}


def train(texts, **settings):
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=out, minloglevel=2, **COMMON, **settings)
    return out.getvalue()


def with_unused(model, every):
    """Pieces that only lead to others."""
    made = proto.ModelProto.FromString(model)
    normal = [p for p in made.pieces if p.type == p.NORMAL and len(p.piece) > 1]
    for piece in normal[::every]:
        piece.type = piece.UNUSED
    made.denormalizer_spec.Clear()
    return made.SerializeToString()


def encode(tokenizer, text):
    ids = []
    for part in re.split(r"(<unk>|</?s>)", text):
        special = {"<unk>": tokenizer.unk_id(), "<s>": tokenizer.bos_id(), "</s>": tokenizer.eos_id()}.get(part)
        ids += [special] if special is not None else tokenizer.encode(part) if part else []
    return ids


def decode(tokenizer, ids):
    return tokenizer.decode([i for i in ids if i not in (tokenizer.bos_id(), tokenizer.eos_id())])


def expected(tokenizer, texts):
    rng = random.Random(36)
    encoded = [encode(tokenizer, text) for text in texts]
    digests = []
    for start in range(0, len(texts), 100):
        block = hashlib.sha256()
        for ids in encoded[start : start + 100]:
            block.update(struct.pack(f"<{len(ids) + 1}I", *ids, 0xFFFFFFFF))
        digests.append(block.hexdigest())
    decoded = hashlib.sha256("\n".join(decode(tokenizer, ids) for ids in encoded).encode()).hexdigest()
    size = tokenizer.get_piece_size()
    draws = [[rng.randrange(size) for _ in range(rng.randint(1, 12))] for _ in range(200)]
    return {
        "sentencepiece": sentencepiece.__version__, "pieces": size, "digests": digests, "ids": encoded[:50], "decoded": decoded,
        "draws": [{"ids": ids, "text": decode(tokenizer, ids)} for ids in draws],
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    texts = [line.decode("utf-8", "replace") for line in LINES.read_bytes().split(b"\n")]
    # Most alphabets stay unknown.
    learnt = [text for text in texts if all(" " <= c < "\u0180" or c == "\u2581" for c in text)]
    models = {name: train(learnt, **settings) for name, settings in MODELS.items()}
    models["bpe-unused"] = with_unused(models["bpe-bytes"], 7)
    models["unigram-unused"] = with_unused(models["unigram-bytes"], 5)
    for name, model in models.items():
        (options.output / f"{name}.model").write_bytes(model)
        document = expected(sentencepiece.SentencePieceProcessor(model_proto=model), texts)
        (options.output / f"{name}-expected.json").write_text(json.dumps(document, ensure_ascii=False) + "\n")
        print(name, document["pieces"], sum(map(len, document["ids"])))


if __name__ == "__main__":
    main()
