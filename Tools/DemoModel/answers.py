"""Answer `evaluation.jsonl` of a generated folder with PyTorch, greedily, at every granularity and at the router's choice:
`answers.py --checkpoint FOLDER --data FOLDER --out FOLDER [--compare RESULTS]`.

Writes OUT/answers-auto.jsonl, OUT/answers-16.jsonl, …, in the form of upstream's evaluation and of `gristmill evaluate`. With
--compare, a folder that `gristmill evaluate -o` wrote, it says how many answers are the same. Goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch

from demomodel.checkpoint import read_checkpoint
from demomodel.testset import greedy, picture_features


def line(item: dict, text: str) -> str:
    return json.dumps({"question_id": item["question_id"], "prompt": item["text"], "text": text.strip(), "answer_id": "",
                       "model_id": "PyTorch", "metadata": {}}) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, default=Path(__file__).parent / "checkpoint")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=8, help="tokens of an answer")
    parser.add_argument("--compare", type=Path)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    model, tokenizer = read_checkpoint(arguments.checkpoint)
    asked = [json.loads(text) for text in (arguments.data / "evaluation.jsonl").read_text().splitlines()]
    names = [str(granularity) for granularity in model.granularities] + ["auto"]
    files = {name: (arguments.out / f"answers-{name}.jsonl").open("a+") for name in names}
    for file in files.values():
        file.seek(0)
    done = min(len(file.readlines()) for file in files.values())
    seen = None
    for item in asked[done:]:
        if seen is None or seen[0] != item["image"]:
            projected, size, grid = picture_features(model, arguments.data / item["image"])
            prefixes = [model.assemble(model.pool(projected, g), model.rows_index(g, size, grid)) for g in model.granularities]
            seen = (item["image"], projected, prefixes)
        texts = [greedy(model, tokenizer, prefix, item["text"], arguments.limit) for prefix in seen[2]]
        with torch.no_grad():
            choice = int(model.router_logits(seen[1], [tokenizer.prompt(item["text"])])[0].argmax())
        for name, text in zip(names, texts + [texts[choice]]):
            files[name].write(line(item, text))
            files[name].flush()
    for file in files.values():
        file.close()
    if arguments.compare:
        for name in names:
            pairs = zip((arguments.out / f"answers-{name}.jsonl").open(), (arguments.compare / f"answers-{name}.jsonl").open(), strict=True)
            same = sum(json.loads(a)["text"] == json.loads(b)["text"] for a, b in pairs)
            print(f"{name}: {same} of {len(asked)} answers are the same")


if __name__ == "__main__":
    main()
