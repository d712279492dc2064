"""Train routers otherwise on the frozen model of a finished checkpoint: `ablate.py --work FOLDER NAME…`.

NAME is `alpha-A` (ranking + A · cross-entropy, 32 filtered text tokens), `k-K` (K filtered text tokens, alpha 0.1) or `cost-C` (visual tokens at the
price C; in the others they have none, as in the paper), as often as wanted; `all` is the card's four (alpha-0.1 is k-32, too). Routers come to
FOLDER/routers; `evaluate.py --routers FOLDER/routers routers` makes a table of them. The model's feedback is gathered once, and each step goes on where it
was stopped. With `--export` the checkpoint is written once more, to FOLDER/checkpoint, with the last of the routers named.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import torch

from demomodel import stage2
from demomodel.checkpoint import read_checkpoint, read_router, write_checkpoint, write_router
from demomodel.model import Router
from demomodel.progress import Progress
from demomodel.shards import Shard, build_shard

ALL = ("alpha-0", "alpha-0.1", "alpha-1", "k-8")


def gathered(model, tokenizer, config: dict, work: Path) -> stage2.Feedback:
    """The model's feedback on training pictures, with as many text rows as any router wants."""
    path = work / "feedback.pt"
    if not path.exists():
        seed, count, split, fewest, most, square = config["data"]["shards"]["full"]
        folder = work / "data" / "full"
        if not (folder / "index.jsonl").exists():
            build_shard(folder, seed, count, split, (fewest, most), square, config["model"], config["data"]["workers"])
        feedback = stage2.gather_feedback(model, tokenizer, Shard(folder, config["model"]), config["stage2"], config["seed"], False,
                                          Progress("feedback", work, 20, float("inf")))
        torch.save((feedback.projected, feedback.text, feedback.losses), path)
    return stage2.Feedback(*torch.load(path, weights_only=True))


def train(name: str, config: dict, checkpoint: Path, work: Path) -> None:
    kind, _, number = name.partition("-")
    model, tokenizer = read_checkpoint(checkpoint)
    feedback = gathered(model, tokenizer, config, work)
    rows = int(number) if kind == "k" else model.config["filtered_text_num"]
    if rows > model.config["filtered_text_num"]:
        raise SystemExit(f"{name}: the feedback holds {model.config['filtered_text_num']} text rows a question")
    settings = {**config["stage2"], "alpha": float(number)} if kind == "alpha" else config["stage2"]
    torch.manual_seed(config["seed"])
    model.config["filtered_text_num"] = rows
    model.router = Router(model.config["hidden"], model.granularities, rows)
    # Rows come in falling order of likeness, so that fewer are the first of many.
    told = stage2.Feedback(feedback.projected, [text[:, :rows] for text in feedback.text], feedback.losses)
    told = stage2.with_cost(told, model.granularities, float(number) if kind == "cost" else 0)
    stage2.train_router(model.train(), told, settings, config["seed"], True, settings["alpha"] > 0, Progress(f"router-{name}", work))
    write_router(model, work / "routers" / f"{name}.safetensors")


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=here / "checkpoint")
    parser.add_argument("--config", type=Path, default=here / "config.toml")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--export", action="store_true", help="write FOLDER/checkpoint, with the last router named")
    parser.add_argument("names", nargs="+")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    config = tomllib.loads(arguments.config.read_text())
    names = ALL if "all" in arguments.names else arguments.names
    routers = {name: arguments.work / "routers" / f"{name}.safetensors" for name in names}
    for name, path in routers.items():
        if not path.exists():
            train(name, config, arguments.checkpoint, arguments.work)
    if arguments.export:
        model, _ = read_checkpoint(arguments.checkpoint)
        read_router(model, routers[names[-1]])
        write_checkpoint(model, arguments.checkpoint / "tokenizer.model", arguments.work / "checkpoint")


if __name__ == "__main__":
    main()
