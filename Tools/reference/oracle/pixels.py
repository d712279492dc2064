"""From an image file to tiles, and from tiles to the tower's input. Pillow does the pixel work."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from PIL import Image

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
BICUBIC = Image.Resampling.BICUBIC


def load_rgb(path: Path) -> Image.Image:
    """Decode to 8-bit RGB. The EXIF orientation is deliberately left alone."""
    with Image.open(path) as image:
        return image.convert("RGB")


def best_pinpoint(size: tuple[int, int], pinpoints: list[tuple[int, int]]) -> tuple[int, int]:
    """The canvas that keeps most of the image, then wastes least; the first one wins a tie."""
    width, height = size
    best: tuple[int, int] | None = None
    best_rank: tuple[int, int] | None = None
    for canvas_width, canvas_height in pinpoints:
        scale = min(canvas_width / width, canvas_height / height)
        area = int(width * scale) * int(height * scale)
        effective = min(area, width * height)
        rank = (effective, effective - canvas_width * canvas_height)
        if best_rank is None or rank > best_rank:
            best, best_rank = (canvas_width, canvas_height), rank
    if best is None:
        raise ValueError("anyres needs at least one pinpoint")
    return best


def fit_on_canvas(image: Image.Image, canvas: tuple[int, int]) -> Image.Image:
    """Resize to fit inside `canvas`, keep the aspect ratio, and centre on black."""
    width, height = image.size
    canvas_width, canvas_height = canvas
    horizontal, vertical = canvas_width / width, canvas_height / height
    if horizontal < vertical:
        fitted = (canvas_width, min(math.ceil(height * horizontal), canvas_height))
    else:
        fitted = (min(math.ceil(width * vertical), canvas_width), canvas_height)
    result = Image.new("RGB", canvas, (0, 0, 0))
    offset = ((canvas_width - fitted[0]) // 2, (canvas_height - fitted[1]) // 2)
    result.paste(image.resize(fitted, BICUBIC), offset)
    return result


def anyres_tiles(image: Image.Image, pinpoints: list[tuple[int, int]], side: int) -> list[Image.Image]:
    """The whole image squeezed to one tile, then the canvas cut row by row."""
    canvas = fit_on_canvas(image, best_pinpoint(image.size, pinpoints))
    tiles = [image.resize((side, side), BICUBIC)]
    for top in range(0, canvas.height, side):
        for left in range(0, canvas.width, side):
            tiles.append(canvas.crop((left, top, left + side, top + side)))
    return tiles


def padded_tile(image: Image.Image, side: int) -> Image.Image:
    """Expand to a square with the mean colour, then resize."""
    width, height = image.size
    longest = max(width, height)
    square = Image.new("RGB", (longest, longest), tuple(int(mean * 255) for mean in MEAN))
    square.paste(image, ((longest - width) // 2, (longest - height) // 2))
    return square.resize((side, side), BICUBIC)


def cropped_tile(image: Image.Image, side: int) -> Image.Image:
    """Resize the shortest edge to `side`, then cut out the centre."""
    width, height = image.size
    longest = int(side * max(width, height) / min(width, height))
    resized = image.resize((side, longest) if width <= height else (longest, side), BICUBIC)
    left, top = (resized.width - side) // 2, (resized.height - side) // 2
    return resized.crop((left, top, left + side, top + side))


def tiles_of(
    image: Image.Image, aspect_ratio: str | None, pinpoints: list[tuple[int, int]], side: int
) -> list[Image.Image]:
    """The tiles of an RGB image under `image_aspect_ratio`; the global tile comes first."""
    if aspect_ratio == "anyres":
        return anyres_tiles(image, pinpoints, side)
    if aspect_ratio == "pad":
        return [padded_tile(image, side)]
    if aspect_ratio is None:
        return [cropped_tile(image, side)]
    raise ValueError(f"image_aspect_ratio {aspect_ratio!r} is not one the oracle knows")


def normalised(tiles: list[Image.Image]) -> np.ndarray:
    """Tiles as float32 [tiles, 3, side, side]: scaled to 0…1, then standardised per channel.

    The scaled value is the float32 nearest to x/255. (x times a float32 1/255 would be off by
    one unit in the last place for many x, and the kit's pixel sums show that upstream is not.)
    """
    pixels = np.stack([np.asarray(tile, dtype=np.uint8) for tile in tiles])
    scaled = pixels.astype(np.float32) / np.float32(255)
    standard = (scaled - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(standard.transpose(0, 3, 1, 2))
