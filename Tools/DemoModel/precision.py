"""How firmly the demo model holds its choices: `precision.py --data FOLDER [--checkpoint FOLDER] [--pictures N]`.

The router's choices of the same weights computed by PyTorch in bfloat16 and float16, against those in float32: questions whose choice changes, and those of
them that are no ties (the float32 logits' margin is at least 0.02). What `gristmill record` finds in its own arithmetic can be held against it; single choices
differ, as every implementation rounds in another order.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from demomodel.checkpoint import read_checkpoint
from demomodel.testset import picture_features, read_questions


@torch.no_grad()
def logits(checkpoint: Path, data: Path, pictures: int | None, kind: torch.dtype) -> torch.Tensor:
    model, tokenizer = read_checkpoint(checkpoint)
    model.to(kind)
    tower = model.tower
    model.tower = lambda tiles: tower(tiles.to(kind))
    result = []
    for image, questions in list(read_questions(data).items())[:pictures]:
        projected, _, _ = picture_features(model, data / image)
        result.append(model.router_logits(projected, [tokenizer.prompt(q.text) for q in questions]).float())
    return torch.cat(result)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, default=Path(__file__).parent / "checkpoint")
    parser.add_argument("--pictures", type=int)
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    exact = logits(arguments.checkpoint, arguments.data, arguments.pictures, torch.float32)
    top = exact.topk(2).values
    firm = top[:, 0] - top[:, 1] >= 0.02
    for kind in (torch.bfloat16, torch.float16):
        changed = logits(arguments.checkpoint, arguments.data, arguments.pictures, kind).argmax(-1) != exact.argmax(-1)
        print(f"{kind}: {int(changed.sum())} of {len(exact)} choices changed, {int((changed & firm).sum())} beyond ties", flush=True)


if __name__ == "__main__":
    main()
