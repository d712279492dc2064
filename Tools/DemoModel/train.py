"""Train the demo model: `train.py --config config.toml --work FOLDER STEP…`, steps in order:
data, tokenizer, warmup, align, stage1, stage2, export (or all). Each step goes on where an interrupted run stopped.
"""

from __future__ import annotations

import argparse
import copy
import tomllib
from pathlib import Path

import torch

from demomodel import align, stage1, stage2, warmup
from demomodel.checkpoint import write_checkpoint, write_router
from demomodel.model import DemoModel
from demomodel.progress import Progress
from demomodel.shards import Shard, build_shard
from demomodel.tokenizer import Tokenizer, train_tokenizer

STEPS = ("data", "tokenizer", "warmup", "align", "stage1", "stage2", "export")
# Which terms of the loss a router is trained with, and whether visual tokens have their price. The first is exported; the
# others are the paper's ablation, which knows no price.
ROUTERS = {"priced": (True, True, True), "ranking+ce": (True, True, False), "ranking": (True, False, False), "ce": (False, True, False)}


class Run:
    """One configuration, one work folder."""

    def __init__(self, config: dict, work: Path) -> None:
        self.config, self.work, self.seed = config, work, config["seed"]
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        if self.device == "cpu" and not torch.ops.mkldnn._is_mkldnn_bf16_supported():  # emulated, bfloat16 is slower than float32
            for step in self.config.values():
                if isinstance(step, dict) and "bf16" in step:
                    step["bf16"] = False
        work.mkdir(parents=True, exist_ok=True)

    def model(self, loaded: str | None) -> DemoModel:
        """A model seeded by the configuration, with the weights a step left behind."""
        torch.manual_seed(self.seed)
        model = DemoModel(self.config["model"])
        if loaded:
            model.load_state_dict(torch.load(self.work / f"{loaded}.pt", map_location="cpu", weights_only=True))
        return model.to(self.device)

    def shard(self, name: str) -> Shard:
        return Shard(self.work / "data" / name, self.config["model"])

    def tokenizer_path(self) -> Path:
        return self.work / "tokenizer.model"

    def data(self) -> None:
        for name, (seed, count, split, fewest, most, square) in self.config["data"]["shards"].items():
            if not (self.work / "data" / name / "index.jsonl").exists():
                print(f"data: drawing {count} pictures of {name}", flush=True)
                build_shard(self.work / "data" / name, seed, count, split, (fewest, most), square, self.config["model"], self.config["data"]["workers"])

    def tokenizer(self) -> None:
        train_tokenizer(self.tokenizer_path(), self.config["model"]["vocabulary"], self.seed)

    def warmup(self) -> None:
        model = self.model(None)
        shards = [self.shard("dense"), self.shard("full")]
        warmup.run(model, shards, self.config["warmup"], self.seed, Progress("warmup", self.work))
        torch.save(model.state_dict(), self.work / "warmup.pt")

    def align(self) -> None:
        model = self.model("warmup")
        shards = [self.shard("dense"), self.shard("full")]
        align.run(model, Tokenizer(self.tokenizer_path()), shards, self.config["align"], self.seed, Progress("align", self.work))
        torch.save(model.state_dict(), self.work / "align.pt")

    def stage1(self) -> None:
        model = self.model("align")
        settings = self.config["stage1"]
        shards = {name: self.shard(name) for name in sorted({leg["shard"] for leg in settings["legs"]})}
        stage1.run(model, Tokenizer(self.tokenizer_path()), shards, settings["legs"], settings, self.seed, Progress("stage1", self.work))
        torch.save(model.state_dict(), self.work / "stage1.pt")

    def stage2(self) -> None:
        model = self.model("stage1")
        settings, tokenizer = self.config["stage2"], Tokenizer(self.tokenizer_path())
        feedback = stage2.gather_feedback(model, tokenizer, self.shard("full"), settings, self.seed, settings["bf16"],
                                          Progress("feedback", self.work, 20, float("inf")))
        untrained = copy.deepcopy(model.router.state_dict())
        write_router(model, self.work / "routers" / "none.safetensors")
        for name, (ranking, cross_entropy, priced) in reversed(ROUTERS.items()):
            model.router.load_state_dict(untrained)
            told = stage2.with_cost(feedback, model.granularities, settings["cost"] if priced else 0)
            stage2.train_router(model, told, settings, self.seed, ranking, cross_entropy, Progress(f"router-{name}", self.work))
            write_router(model, self.work / "routers" / f"{name}.safetensors")
        torch.save(model.state_dict(), self.work / "stage2.pt")

    def export(self) -> None:
        write_checkpoint(self.model("stage2"), self.tokenizer_path(), self.work / "checkpoint")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=Path(__file__).parent / "config.toml")
    parser.add_argument("--work", type=Path, required=True, help="where data, states and results go")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("steps", nargs="+", choices=[*STEPS, "all"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    run = Run(tomllib.loads(arguments.config.read_text()), arguments.work)
    for step in STEPS:
        if step in arguments.steps or "all" in arguments.steps:
            getattr(run, step)()


if __name__ == "__main__":
    main()
