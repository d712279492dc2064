"""Average pooling against maximum and stride: `pooling.py --work FOLDER --data TEST KIND…`, KIND `average`, `maximum`, `stride` or `all`.

Tower and projector are a finished checkpoint's; the LLM is trained anew, for all kinds alike by the legs that see the finest grid only,
and from there by the legs of all grids with each kind of its own. Prints a table for each: right answers at every fixed grid. Every leg
goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import shutil
import tomllib
from pathlib import Path

import torch

from demomodel import stage1
from demomodel.align import aligned_share, spread_embeddings
from demomodel.checkpoint import read_checkpoint
from demomodel.model import DemoModel
from demomodel.progress import Progress
from demomodel.shards import Shard, build_shard
from demomodel.tokenizer import Tokenizer
from evaluate import Report

KINDS = ("average", "maximum", "stride")


def beginning(checkpoint: Path, config: dict) -> tuple[DemoModel, Tokenizer]:
    """The model as stage 1 finds it: tower and projector of the checkpoint, the embeddings that the projector was aligned to, a fresh LLM."""
    finished, tokenizer = read_checkpoint(checkpoint)
    torch.manual_seed(config["seed"])
    model = DemoModel(config["model"])
    spread_embeddings(model)
    model.vision.load_state_dict(finished.vision.state_dict())
    model.projector.load_state_dict(finished.projector.state_dict())
    return model, tokenizer


def shards(config: dict, work: Path) -> dict[str, Shard]:
    """The training pictures of stage 1, drawn where they are not there."""
    result = {}
    for name in sorted({leg["shard"] for leg in config["stage1"]["legs"]}):
        folder = work / "data" / name
        if not (folder / "index.jsonl").exists():
            seed, count, split, fewest, most, square = config["data"]["shards"][name]
            build_shard(folder, seed, count, split, (fewest, most), square, config["model"], config["data"]["workers"])
        result[name] = Shard(folder, config["model"])
    return result


def train(kind: str, config: dict, checkpoint: Path, work: Path) -> tuple[DemoModel, Tokenizer]:
    model, tokenizer = beginning(checkpoint, config)
    pictures, settings, seed = shards(config, work), config["stage1"], config["seed"]
    share = aligned_share(model, tokenizer, pictures["full"], config["align"], seed)
    if share < 0.9:
        raise SystemExit(f"only {100 * share:.0f} % of the marks lie nearest their own colour's word: this torch draws other embeddings from the seed than the checkpoint's did")
    legs = settings["legs"]
    finest = [leg["weights"][:-1] == [0] * (len(leg["weights"]) - 1) for leg in legs]
    shared = sum(leg["steps"] for leg in legs[: finest.index(False)])
    progress = Progress(f"pooling-{kind}", work)
    if not progress.path.exists():
        common = Progress("pooling-shared", work)
        stage1.run(model, tokenizer, pictures, legs, settings, seed, common, until=shared)
        shutil.copyfile(common.path, progress.path)
    model.config["pooling"] = kind
    stage1.run(model, tokenizer, pictures, legs, settings, seed, progress)
    return model.eval(), tokenizer


def main() -> None:
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, default=here / "checkpoint")
    parser.add_argument("--config", type=Path, default=here / "config.toml")
    parser.add_argument("--data", type=Path, required=True, help="pictures and questions nobody has trained on, by generate.py")
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("kinds", nargs="+", choices=[*KINDS, "all"])
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    arguments.work.mkdir(parents=True, exist_ok=True)
    config = tomllib.loads(arguments.config.read_text())
    if not torch.cuda.is_available() and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        config["stage1"]["bf16"] = config["align"]["bf16"] = False
    for kind in KINDS if "all" in arguments.kinds else arguments.kinds:
        model, tokenizer = train(kind, config, arguments.checkpoint, arguments.work)
        print(f"\n{kind}\n", flush=True)
        Report(model, tokenizer, arguments.data, None).fixed(None)


if __name__ == "__main__":
    main()
