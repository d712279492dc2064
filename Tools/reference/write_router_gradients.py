"""Gradients of AVG-LLaVA's router by PyTorch's autograd, for Tests/Fixtures/alignment/router.safetensors.

A router of width 32 sees 4×4 patches a tile at 16, 8, 4, 2 and 1 tokens; two pictures, of one tile and of three, with two questions and one; all values
drawn from a seed. The modules are the demo model's, which are those of upstream (Tools/DemoModel/demomodel/model.py). For each choice of terms the file has
the loss and what reaches every weight; `logits` are before any step. `rates` are those of OneCycleLR up to 2e-3.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "DemoModel"))
from demomodel.model import Router  # noqa: E402
from demomodel.stage2 import rglf_loss  # noqa: E402
from demomodel.tiling import pooling  # noqa: E402

WIDTH, SIDE, TEXT = 32, 4, 6
GRANULARITIES = [1, 2, 4, 8, 16]
PICTURES = [(1, 2), (3, 1)]  # tiles, questions
SETTINGS = {"alpha": 0.25, "margin": 1.5}
PRICE = 0.05


def pooled(features: torch.Tensor) -> torch.Tensor:
    grid = features.transpose(1, 2).reshape(len(features), -1, SIDE, SIDE)
    rows = []
    for granularity in GRANULARITIES:
        window = pooling(granularity, SIDE * SIDE)
        rows.append(torch.nn.functional.avg_pool2d(grid, window).flatten(2).transpose(1, 2))
    return torch.cat(rows, 1)


def main() -> None:
    here = Path(__file__).resolve().parent.parent.parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=here / "Tests/Fixtures/alignment/router.safetensors")
    out = parser.parse_args().out
    torch.manual_seed(41)
    router = Router(WIDTH, GRANULARITIES, TEXT)
    for parameter in router.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    # Features are kept in bfloat16.
    features = [torch.randn(tiles, SIDE * SIDE, WIDTH).bfloat16().float() for tiles, _ in PICTURES]
    # The last question has fewer tokens than the router sees: zero rows follow.
    texts = [torch.randn(TEXT, WIDTH), torch.randn(TEXT, WIDTH), torch.randn(4, WIDTH)]
    losses = torch.rand(3, len(GRANULARITIES))
    losses[1, 3] = losses[1, 1]
    tensors = {f"features.{i}": value for i, value in enumerate(features)} | {f"text.{i}": value for i, value in enumerate(texts)}
    tensors["losses"] = losses
    for name, value in router.state_dict().items():
        tensors[f"weight.{name}"] = value.clone()
    price = torch.tensor([PRICE * g / GRANULARITIES[-1] for g in GRANULARITIES])
    rows = torch.stack([torch.nn.functional.pad(text, (0, 0, 0, TEXT - len(text))) for text in texts])
    for terms in ("both", "ranking", "cross-entropy"):
        visual = torch.cat([router.visual_votes(pooled(f))[None].expand(count, -1) for f, (_, count) in zip(features, PICTURES)])
        logits = router.norm(visual + router.text_votes(rows))
        loss = rglf_loss(logits, losses + price, SETTINGS, terms != "cross-entropy", terms != "ranking")
        router.zero_grad()
        loss.backward()
        tensors[f"{terms}.loss"] = loss.detach().reshape(1)
        for name, value in router.named_parameters():
            tensors[f"{terms}.{name}"] = value.grad.clone()
    tensors["logits"] = logits.detach()
    for steps in (6, 30):
        optimizer = torch.optim.AdamW(router.parameters(), 2e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, steps, pct_start=0.1, cycle_momentum=False)
        rates = []
        for _ in range(steps):
            rates.append(schedule.get_last_lr()[0])
            optimizer.step()
            schedule.step()
        tensors[f"rates.{steps}"] = torch.tensor(rates)
    out.parent.mkdir(parents=True, exist_ok=True)
    told = {"width": WIDTH, "side": SIDE, "text": TEXT, "granularities": GRANULARITIES, "pictures": PICTURES, **SETTINGS, "price": PRICE}
    save_file({name: value.detach().contiguous() for name, value in tensors.items()}, out, metadata={"router": json.dumps(told)})


if __name__ == "__main__":
    main()
