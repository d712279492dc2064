#!/usr/bin/env python3
"""Write a seeded random checkpoint in AVG-LLaVA's own format. Needs numpy only.

    python make_checkpoint.py FOLDER --preset 7b
    python make_checkpoint.py FOLDER --hidden 256 --layers 4 --dtype bfloat16 --shards 2

The options start from a preset (or from the conformance kit's dimensions) and override it.
Tensors are made and written piece by piece, so memory stays small whatever the size.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import shutil
import struct
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from presets import PRESETS
from spec import TOWER_FOLDER, Spec, Tensor, config_of, preprocessor_config_of, tensors_of, tower_config_of
from values import ITEM_BYTES, SAFETENSORS_NAMES, Source

DEFAULT_TOKENIZER = Path(__file__).parents[2] / "Tests/Fixtures/conformance/small-f32/tokenizer.model"
TOKENIZER_COMPANIONS = ("tokenizer_config.json", "special_tokens_map.json")
WORKERS = 2


def split_into_shards(tensors: list[Tensor], count: int) -> list[list[Tensor]]:
    """Cut the list into `count` runs of about equal size."""
    total = sum(tensor.count for tensor in tensors)
    shards: list[list[Tensor]] = [[] for _ in range(count)]
    done = 0
    for tensor in tensors:
        shards[min(count - 1, done * count // total)].append(tensor)
        done += tensor.count
    return [shard for shard in shards if shard]


def header_of(tensors: list[Tensor], dtype: str) -> bytes:
    """The length-prefixed safetensors header, padded with spaces to a multiple of 8."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    offset = 0
    for tensor in tensors:
        end = offset + tensor.count * ITEM_BYTES[dtype]
        header[tensor.name] = {
            "dtype": SAFETENSORS_NAMES[dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def in_order(pool: ThreadPoolExecutor, jobs: Iterable[Callable[[], bytes]]) -> Iterator[bytes]:
    """Results in the order of the jobs, with only a few of them under way at once."""
    waiting: deque[Future[bytes]] = deque()
    for job in jobs:
        waiting.append(pool.submit(job))
        if len(waiting) > 2 * WORKERS:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def write_shard(path: Path, tensors: list[Tensor], source: Source) -> None:
    """Write one safetensors file."""
    tensors = sorted(tensors, key=lambda tensor: tensor.name)
    jobs = (job for tensor in tensors for job in source.pieces(tensor))
    with path.open("wb") as file, ThreadPoolExecutor(WORKERS) as pool:
        file.write(header_of(tensors, source.spec.dtype))
        for data in in_order(pool, jobs):
            file.write(data)


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, indent=2) + "\n")


def write_side_files(folder: Path, spec: Spec, tokenizer: Path) -> None:
    """Everything but the weights."""
    write_json(folder / "config.json", config_of(spec))
    if spec.tower == TOWER_FOLDER:
        (folder / TOWER_FOLDER).mkdir(exist_ok=True)
        write_json(folder / TOWER_FOLDER / "config.json", tower_config_of(spec))
        write_json(folder / TOWER_FOLDER / "preprocessor_config.json", preprocessor_config_of(spec))
    shutil.copyfile(tokenizer, folder / "tokenizer.model")
    for name in TOKENIZER_COMPANIONS:
        if (tokenizer.parent / name).is_file():
            shutil.copyfile(tokenizer.parent / name, folder / name)


def write_checkpoint(folder: Path, spec: Spec, tokenizer: Path = DEFAULT_TOKENIZER) -> int:
    """Write the checkpoint into `folder` and return the size of its weights in bytes."""
    folder.mkdir(parents=True, exist_ok=True)
    write_side_files(folder, spec, tokenizer)
    source = Source(spec)
    tensors = tensors_of(spec)
    total = sum(tensor.count for tensor in tensors) * ITEM_BYTES[spec.dtype]
    shards = split_into_shards(tensors, spec.shards)
    if len(shards) == 1:
        write_shard(folder / "model.safetensors", tensors, source)
        return total
    weight_map: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write_shard(folder / name, shard, source)
        weight_map |= {tensor.name: name for tensor in shard}
    index = {"metadata": {"total_size": total}, "weight_map": dict(sorted(weight_map.items()))}
    write_json(folder / "model.safetensors.index.json", index)
    return total


def parse_arguments() -> tuple[Path, Spec, Path]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--preset", choices=sorted(PRESETS))
    parser.add_argument("--tokenizer", type=Path, default=DEFAULT_TOKENIZER, help="tokenizer.model to copy")
    for option in dataclasses.fields(Spec):
        flag = "--" + option.name.replace("_", "-")
        if option.type == "bool":
            parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=None)
        elif option.name == "granularities":
            parser.add_argument(flag, type=int, nargs="+")
        elif option.name == "dtype":
            parser.add_argument(flag, choices=sorted(ITEM_BYTES))
        elif option.name in ("merge_type", "aspect_ratio"):
            parser.add_argument(flag, help="'none' leaves the key out of config.json")
        else:
            kind = next(kind for kind in (int, float, str) if kind.__name__ in str(option.type))
            parser.add_argument(flag, type=kind)
    arguments = vars(parser.parse_args())
    names = {option.name for option in dataclasses.fields(Spec)}
    overrides = {key: value for key, value in arguments.items() if key in names and value is not None}
    for key in ("merge_type", "aspect_ratio"):
        if overrides.get(key) == "none":
            overrides[key] = None
    base = PRESETS[arguments["preset"]] if arguments["preset"] else Spec()
    return arguments["folder"], dataclasses.replace(base, **overrides), arguments["tokenizer"]


def main() -> None:
    folder, spec, tokenizer = parse_arguments()
    total = write_checkpoint(folder, spec, tokenizer)
    print(f"{folder}: {total / 1e6:.1f} MB of weights in {spec.dtype}")


if __name__ == "__main__":
    main()
