"""Picture → tiles, and how the tiles' token maps are put together: AVG-LLaVA's "anyres" geometry."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image


def best_resolution(size: tuple[int, int], pinpoints: list) -> tuple[int, int]:
    """The pinpoint (width, height) that keeps most of the picture, then wastes least; the first wins ties."""
    width, height = size
    best, best_key = None, None
    for w, h in pinpoints:
        scale = min(w / width, h / height)
        effective = min(int(width * scale) * int(height * scale), width * height)
        key = (effective, -(w * h - effective))
        if best_key is None or key > best_key:
            best, best_key = (w, h), key
    return best


def fitted_size(size: tuple[int, int], target: tuple[int, int]) -> tuple[int, int]:
    """The picture's size once it is resized to fit the target."""
    (width, height), (w, h) = size, target
    if w / width < h / height:
        return w, min(math.ceil(height * (w / width)), h)
    return min(math.ceil(width * (h / height)), w), h


def anyres_tiles(picture: Image.Image, pinpoints: list, edge: int) -> tuple[np.ndarray, tuple[int, int]]:
    """Tiles as uint8 [n, edge, edge, 3], the squeezed whole picture first, and the grid (columns, rows)."""
    target = best_resolution(picture.size, pinpoints)
    fitted = fitted_size(picture.size, target)
    canvas = Image.new("RGB", target, (0, 0, 0))
    offset = ((target[0] - fitted[0]) // 2, (target[1] - fitted[1]) // 2)
    canvas.paste(picture.resize(fitted, Image.BICUBIC), offset)
    columns, rows = target[0] // edge, target[1] // edge
    tiles = [np.asarray(picture.resize((edge, edge), Image.BICUBIC))]
    for row in range(rows):
        for column in range(columns):
            box = (column * edge, row * edge, (column + 1) * edge, (row + 1) * edge)
            tiles.append(np.asarray(canvas.crop(box)))
    return np.stack(tiles), (columns, rows)


def tile_objects(objects: np.ndarray, size: tuple[int, int], pinpoints: list, edge: int, patches: int) -> np.ndarray:
    """The object map sampled at every patch centre of every tile: uint8 [n, patches, patches], 255 on the black border."""
    target = best_resolution(size, pinpoints)
    fitted = fitted_size(size, target)
    offset = ((target[0] - fitted[0]) // 2, (target[1] - fitted[1]) // 2)
    map_h, map_w = objects.shape
    centre = (np.arange(patches) + 0.5) * edge / patches

    def sample(xs: np.ndarray, ys: np.ndarray) -> np.ndarray:
        """``xs``, ``ys``: relative positions in the picture; outside [0, 1) is border."""
        inside = ((ys >= 0) & (ys < 1))[:, None] & ((xs >= 0) & (xs < 1))[None, :]
        px, py = np.clip((xs * map_w).astype(int), 0, map_w - 1), np.clip((ys * map_h).astype(int), 0, map_h - 1)
        return np.where(inside, objects[py[:, None], px[None, :]], 255).astype(np.uint8)

    maps = [sample(centre / edge, centre / edge)]
    for row in range(target[1] // edge):
        for column in range(target[0] // edge):
            xs = (centre + column * edge - offset[0]) / fitted[0]
            ys = (centre + row * edge - offset[1]) / fitted[1]
            maps.append(sample(xs, ys))
    return np.stack(maps)


def pooling(granularity: int, patches: int) -> tuple[int, int]:
    """Pooling window (rows, columns) that makes ``granularity`` tokens of a tile's ``patches`` tokens."""
    if granularity * 2 == patches:
        return 1, 2
    if granularity * 8 == patches:
        return 2, 4
    k = int(math.sqrt(patches / granularity))
    return k, k


def unpad_window(size: tuple[int, int], map_width: int, map_height: int) -> tuple[slice, slice]:
    """Rows and columns of the joined token map that show the picture and not the black border."""
    width, height = size
    if width / height > map_width / map_height:
        pad = (map_height - int(height * (map_width / width))) // 2
        return slice(pad, map_height - pad), slice(0, map_width)
    pad = (map_width - int(width * (map_height / height))) // 2
    return slice(0, map_height), slice(pad, map_width - pad)
