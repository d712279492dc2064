"""Training pictures on disk: tiles and object maps as memory-mapped arrays, scenes as JSON lines."""

from __future__ import annotations

import dataclasses
import io
import json
import random
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from .draw import jpeg, object_map, render
from .scene import Item, Scene, make_scene
from .tiling import anyres_tiles, tile_objects


def scene_to_json(scene: Scene) -> dict:
    return dataclasses.asdict(scene)


def scene_from_json(record: dict) -> Scene:
    items = [Item(**{**item, "box": tuple(item["box"])}) for item in record["items"]]
    return Scene(**{**record, "items": items})


def _make_one(job: tuple) -> tuple:
    seed, split, tags, square, pinpoints, edge, patches = job
    rng = random.Random(seed)
    scene = make_scene(rng, tags, 1.0 if square else None)
    picture = Image.open(io.BytesIO(jpeg(render(scene, rng, split), rng))).convert("RGB")
    tiles, grid = anyres_tiles(picture, pinpoints, edge)
    objects = tile_objects(object_map(scene), picture.size, pinpoints, edge, patches)
    return tiles, objects, {"size": picture.size, "grid": grid, "scene": scene_to_json(scene)}


def build_shard(folder: Path, seed: int, count: int, split: str, tags: tuple[int, int], square: bool, model: dict, workers: int) -> None:
    """Draw ``count`` pictures into ``folder`` (tiles.bin, objects.bin, index.jsonl)."""
    folder.mkdir(parents=True, exist_ok=True)
    edge, patches = model["tile"], model["tile"] // model["patch"]
    jobs = [(f"{split}-{seed}-{i}", split, tags, square, model["pinpoints"], edge, patches) for i in range(count)]
    first = 0
    with (folder / "tiles.bin").open("wb") as tiles_file, (folder / "objects.bin").open("wb") as objects_file, \
            (folder / "index.part").open("w") as index, ProcessPoolExecutor(workers) as pool:
        for tiles, objects, record in pool.map(_make_one, jobs, chunksize=32):
            tiles_file.write(tiles.tobytes())
            objects_file.write(objects.tobytes())
            index.write(json.dumps({**record, "first": first, "tiles": len(tiles)}) + "\n")
            first += len(tiles)
    (folder / "index.part").rename(folder / "index.jsonl")


class Shard:
    """A folder of drawn pictures."""

    def __init__(self, folder: Path, model: dict) -> None:
        edge, patches = model["tile"], model["tile"] // model["patch"]
        self.records = [json.loads(line) for line in (folder / "index.jsonl").open()]
        self.scenes = [scene_from_json(record["scene"]) for record in self.records]
        self.tiles = np.memmap(folder / "tiles.bin", np.uint8, "r").reshape(-1, edge, edge, 3)
        self.objects = np.memmap(folder / "objects.bin", np.uint8, "r").reshape(-1, patches, patches)

    def __len__(self) -> int:
        return len(self.records)

    def rows(self, picture: int) -> slice:
        """Where the picture's tiles lie in ``tiles`` and ``objects``."""
        record = self.records[picture]
        return slice(record["first"], record["first"] + record["tiles"])
