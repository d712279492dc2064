"""Follow `gristmill align` step for step in PyTorch: `follow.py --feedback FOLDER`.

The folder is that of an alignment of a file that holds the checkpoint's own weights (`convert --recipe source`), so that both begin with the same router.
Loss and gradient norm of every step, computed by autograd from the same feedback in the same order, stand against those in FOLDER/steps.jsonl, and the
weights at the end against FOLDER/training.safetensors. Ends with 1 where a step is farther off than 1e-4 or, before weights can have drifted apart, 1e-5.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from demomodel.checkpoint import read_checkpoint
from demomodel.stage2 import rglf_loss


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=here / "checkpoint")
    parser.add_argument("--feedback", type=Path, required=True)
    parser.add_argument("--alpha", type=float, default=0.1)
    parser.add_argument("--margin", type=float, default=1.0)
    parser.add_argument("--token-price", type=float, default=0.0)
    parser.add_argument("--terms", choices=("both", "ranking", "cross-entropy"), default="both")
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--weight-decay", type=float, default=0.01)
    parser.add_argument("--steps", type=int, help="follow so many; default: all, and the weights at the end")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    model, _ = read_checkpoint(arguments.checkpoint)
    router = model.router.float().train()
    granularities = model.granularities

    lines = [json.loads(line) for line in (arguments.feedback / "feedback.jsonl").read_text().splitlines()]
    heading, questions = lines[0], lines[1:]
    raw = np.fromfile(arguments.feedback / "features.bf16", np.uint16)
    features = torch.from_numpy(raw.astype(np.int32)).bitwise_left_shift(16).view(torch.float32)
    per_tile = heading["patches"] * heading["width"]
    samples: dict[str, list[dict]] = {}
    pictures: dict[str, torch.Tensor] = {}
    at = 0
    for question in questions:
        if question["picture"] not in samples:
            size = question["tiles"] * per_tile
            pictures[question["picture"]] = features[at : at + size].view(question["tiles"], heading["patches"], heading["width"])
            at += size
        samples.setdefault(question["picture"], []).append(question)
    order = list(samples)

    embed = model.language.get_input_embeddings().weight.detach().float()
    told = [json.loads(line) for line in (arguments.feedback / "steps.jsonl").read_text().splitlines()]
    optimizer = torch.optim.AdamW(router.parameters(), arguments.rate, weight_decay=arguments.weight_decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, arguments.rate, len(told), pct_start=0.1, cycle_momentum=False)
    settings = {"alpha": arguments.alpha, "margin": arguments.margin}
    price = torch.tensor([arguments.token_price * g / granularities[-1] for g in granularities])
    worst = {"loss": 0.0, "norm": 0.0}
    early = 0.0
    count = arguments.steps or len(told)
    for step in told[:count]:
        visual, text, losses = [], [], []
        for index in step["pictures"]:
            own = samples[order[index]]
            votes = router.visual_votes(model.all_granularities(pictures[order[index]]))
            for question in own:
                rows = embed[question["text"]]
                rows = torch.nn.functional.pad(rows, (0, 0, 0, model.config["filtered_text_num"] - len(rows)))
                visual.append(votes)
                text.append(rows)
                losses.append(torch.tensor(question["losses"]))
        logits = router.norm(torch.stack(visual) + router.text_votes(torch.stack(text)))
        loss = rglf_loss(logits, torch.stack(losses).float() + price, settings, arguments.terms != "cross-entropy", arguments.terms != "ranking")
        optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(router.parameters(), 1.0)
        optimizer.step()
        rate = optimizer.param_groups[0]["lr"]
        schedule.step()
        if abs(rate / step["rate"] - 1) > 1e-6:
            sys.exit(f"step {step['step']}: rate {step['rate']}, PyTorch's {rate}")
        for name, value in (("loss", loss.item()), ("norm", norm.item())):
            difference = abs(step[name] - value) / max(abs(value), 1e-6)
            worst[name] = max(worst[name], difference)
            if step["step"] < 3:
                early = max(early, difference)
    print(f"{count} steps: loss within {worst['loss']:.1e} of PyTorch's, gradient norm within {worst['norm']:.1e}; the first three within {early:.1e}")
    failed = worst["loss"] > 1e-4 or early > 1e-5
    if count == len(told):
        with safe_open(arguments.feedback / "training.safetensors", "pt") as file:
            kept = {name.removeprefix("weight.model.router."): file.get_tensor(name) for name in file.keys() if name.startswith("weight.")}
        errors = {}
        for name, value in router.state_dict().items():
            mine = kept[name].view_as(value)
            errors[name] = ((mine - value).norm() / value.norm()).item()
        name = max(errors, key=errors.get)
        print(f"weights at the end within {errors[name]:.1e} of PyTorch's, {name} the farthest")
    sys.exit(failed)


if __name__ == "__main__":
    main()
