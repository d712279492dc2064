#!/usr/bin/env python3
"""Write the image fixture: sample JPEGs, and what Pillow makes of them and of the kit's photographs.

    python write_images.py PHOTOGRAPHS -o FOLDER

PHOTOGRAPHS is the kit's `images` folder. FOLDER receives the samples, `expected.json` (sizes,
SHA-256 of the decoded RGB bytes and of every tile) and `resize.json` (bicubic resizes in full).
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path
from typing import Any

import PIL
from PIL import Image, features

from oracle import pixels
from oracle.jpeg_samples import make_samples
from oracle.resize_cases import resize_cases

Pinpoints = list[tuple[int, int]]
SIDES = (96, 336)


def pinpoints_for(side: int) -> Pinpoints:
    """LLaVA-NeXT's five canvases, in tiles of `side` pixels."""
    return [(side, 2 * side), (2 * side, side), (2 * side, 2 * side), (3 * side, side), (side, 3 * side)]


def versions() -> dict[str, str | None]:
    """The libraries that made the numbers."""
    return {"pillow": PIL.__version__, "libjpeg_turbo": features.version("libjpeg_turbo")}


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tile_hashes(image: Image.Image, aspect_ratio: str | None, side: int) -> list[str]:
    tiles = pixels.tiles_of(image, aspect_ratio, pinpoints_for(side), side)
    return [sha256(tile.tobytes()) for tile in tiles]


def describe(path: Path) -> dict[str, Any]:
    """What Pillow makes of one file; `error` is true where it refuses it."""
    entry: dict[str, Any] = {"file_sha256": sha256(path.read_bytes())}
    try:
        with Image.open(path) as opened:
            mode = opened.mode
            image = opened.convert("RGB")
    except OSError:
        return entry | {"error": True}
    entry |= {"error": False, "mode": mode, "size": list(image.size), "rgb_sha256": sha256(image.tobytes())}
    for name, aspect_ratio in (("anyres", "anyres"), ("pad", "pad"), ("crop", None)):
        entry[name] = {str(side): tile_hashes(image, aspect_ratio, side) for side in SIDES}
    entry["canvas"] = {str(side): list(pixels.best_pinpoint(image.size, pinpoints_for(side))) for side in SIDES}
    return entry


def write_images(photographs: Path, folder: Path) -> None:
    """Write samples, expected.json and resize.json into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in make_samples(photographs).items():
        (folder / name).write_bytes(data)
    expected = {
        "versions": versions(),
        "pinpoints": {str(side): pinpoints_for(side) for side in SIDES},
        "samples": {path.name: describe(path) for path in sorted(folder.glob("*.jpg"))},
        "photographs": {path.name: describe(path) for path in sorted(photographs.glob("*.jpg"))},
    }
    (folder / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    resize = {"versions": versions(), "cases": resize_cases()}
    (folder / "resize.json").write_text(json.dumps(resize) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("photographs", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    write_images(arguments.photographs, arguments.output)


if __name__ == "__main__":
    main()
