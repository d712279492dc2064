"""The granularity scaler and the layout of the chosen grid in the prompt."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional


def pooling(patches: int, granularity: int) -> tuple[int, int]:
    """The (rows, columns) of tokens that become one token."""
    if granularity * 2 == patches:
        return 1, 2
    if granularity * 8 == patches:
        return 2, 4
    side = int(math.sqrt(patches / granularity))
    return side, side


def grid_shape(tokens: int) -> tuple[int, int]:
    """Rows and columns of a grid of `tokens`: square if it can be, else about twice as tall as wide."""
    side = math.isqrt(tokens)
    if side * side == tokens:
        return side, side
    rows = 2 * int(math.sqrt(tokens / 2))
    return rows, tokens // rows


def pool(features: Tensor, granularity: int) -> Tensor:
    """[tiles, patches, hidden] → [tiles, granularity, hidden] by averaging over the grid."""
    tiles, patches, hidden = features.shape
    side = math.isqrt(patches)
    grid = features.reshape(tiles, side, side, hidden).permute(0, 3, 1, 2)
    pooled = functional.avg_pool2d(grid, pooling(patches, granularity))
    return pooled.flatten(2).transpose(1, 2)


def crop_padding(grid: Tensor, image_size: tuple[int, int]) -> Tensor:
    """Drop the rows or columns of [rows, columns, hidden] that show only the canvas's black border."""
    rows, columns, _ = grid.shape
    width, height = image_size
    if width / height > columns / rows:
        kept = int(height * (columns / width))
        border = (rows - kept) // 2
        return grid[border : rows - border]
    kept = int(width * (rows / height))
    border = (columns - kept) // 2
    return grid[:, border : columns - border]


def merge_tiles(
    tokens: Tensor,
    merge_type: str,
    canvas_grid: tuple[int, int] | None,
    image_size: tuple[int, int],
    newline: Tensor | None,
) -> Tensor:
    """Lay the tokens of all tiles, [tiles, n, hidden], out as the rows that enter the prompt.

    `canvas_grid` is the canvas in tiles as (rows, columns), or None where there is no canvas.
    """
    if merge_type == "flat":
        return tokens.flatten(0, 1)
    if not merge_type.startswith("spatial"):
        raise ValueError(f"mm_patch_merge_type {merge_type!r} is not one the oracle knows")
    unpad = "unpad" in merge_type
    if unpad and newline is None:
        raise ValueError("the checkpoint lacks model.image_newline, which unpad needs")
    overview = tokens[0]
    if len(tokens) == 1 or canvas_grid is None:
        return overview if newline is None or not unpad else torch.cat([overview, newline[None]])

    grid_rows, grid_columns = canvas_grid
    rows, columns = grid_shape(tokens.shape[1])
    canvas = tokens[1:].reshape(grid_rows, grid_columns, rows, columns, -1)
    canvas = canvas.permute(0, 2, 1, 3, 4).reshape(grid_rows * rows, grid_columns * columns, -1)
    if unpad and newline is not None:
        canvas = crop_padding(canvas, image_size)
        line_ends = newline.expand(canvas.shape[0], 1, -1)
        canvas = torch.cat([canvas, line_ends], dim=1)
    return torch.cat([overview, canvas.flatten(0, 1)])
