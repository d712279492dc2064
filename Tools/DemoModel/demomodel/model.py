"""AVG-LLaVA in PyTorch: CLIP tower, projector, granularity scaler, router and LLaMA, from transformers' modules."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModel, LlamaConfig, LlamaForCausalLM

from .tiling import pooling, unpad_window

IMAGE_MEAN = (0.48145466, 0.4578275, 0.40821073)
IMAGE_STD = (0.26862954, 0.26130258, 0.27577711)


class Merger(nn.Module):
    """One post-norm transformer layer whose attention runs across the tiles, position by position."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.self_attn = nn.MultiheadAttention(width, 8)
        self.linear1, self.linear2 = nn.Linear(width, width), nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """[tiles, positions, width] → the same; the first axis is the sequence."""
        rows = self.norm1(rows + self.self_attn(rows, rows, rows, need_weights=False)[0])
        return self.norm2(rows + self.linear2(F.relu(self.linear1(rows))))


class Router(nn.Module):
    """Scores the granularities from pooled tokens of all of them and the filtered text tokens."""

    def __init__(self, width: int, granularities: list[int], text_tokens: int) -> None:
        super().__init__()
        self.merger = Merger(width)
        self.router = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, len(granularities)))
        self.voter = nn.Parameter(torch.empty(sum(granularities) + text_tokens, 1))
        nn.init.normal_(self.voter[: sum(granularities)], 1 / sum(granularities), 1e-3)
        nn.init.normal_(self.voter[sum(granularities) :], 2 / text_tokens, 1e-2)
        self.norm = nn.LayerNorm(len(granularities))
        self.visual = sum(granularities)

    def votes(self, rows: torch.Tensor, voter: torch.Tensor) -> torch.Tensor:
        """[tiles, positions, width] → [granularities]: weighted over positions, mean over tiles."""
        return (self.router(self.merger(rows)) * voter).sum(1).mean(0)

    def visual_votes(self, rows: torch.Tensor) -> torch.Tensor:
        return self.votes(rows, self.voter[: self.visual])

    def text_votes(self, rows: torch.Tensor) -> torch.Tensor:
        """Text rows [questions, text_tokens, width] → [questions, granularities].

        A text row is the same on every tile, so attention over the tiles returns what one tile gives.
        """
        questions, length, width = rows.shape
        merged = self.router(self.merger(rows.reshape(1, questions * length, width)))
        return (merged.reshape(questions, length, -1) * self.voter[self.visual :]).sum(1)


class DemoModel(nn.Module):
    """The whole model. ``config`` is the [model] table of config.toml."""

    def __init__(self, config: dict) -> None:
        super().__init__()
        self.config = config
        self.granularities: list[int] = config["granularities"]
        self.side = config["tile"] // config["patch"]
        self.vision = CLIPVisionModel(CLIPVisionConfig(
            hidden_size=config["tower_width"], intermediate_size=config["tower_mlp"], num_hidden_layers=config["tower_layers"],
            num_attention_heads=config["tower_heads"], image_size=config["tile"], patch_size=config["patch"]))
        width = config["hidden"]
        self.projector = nn.Sequential(nn.Linear(config["tower_width"], width), nn.GELU(), nn.Linear(width, width))
        self.newline = nn.Parameter(torch.randn(width) * 0.1)
        self.router = Router(width, self.granularities, config["filtered_text_num"])
        self.language = LlamaForCausalLM(LlamaConfig(
            vocab_size=config["vocabulary"], hidden_size=width, intermediate_size=config["mlp"], num_hidden_layers=config["layers"],
            num_attention_heads=config["heads"], num_key_value_heads=config["heads"], max_position_embeddings=config["context"],
            rms_norm_eps=1e-5, rope_parameters={"rope_type": "default", "rope_theta": config["rope_theta"]}, tie_word_embeddings=False, bos_token_id=1, eos_token_id=2))
        self.register_buffer("mean", torch.tensor(IMAGE_MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(IMAGE_STD), persistent=False)

    @property
    def device(self) -> torch.device:
        return self.newline.device

    def tower(self, tiles: torch.Tensor) -> torch.Tensor:
        """uint8 [n, edge, edge, 3] → features [n, patches, width] after the last layer but one."""
        pixels = (tiles.to(self.device).float() * (1 / 255) - self.mean) / self.std
        hidden = self.vision.pre_layrnorm(self.vision.embeddings(pixels.permute(0, 3, 1, 2)))
        for layer in self.vision.encoder.layers[:-1]:
            hidden = layer(hidden, attention_mask=None)
            hidden = hidden[0] if isinstance(hidden, tuple) else hidden
        return hidden[:, 1:]

    def pool(self, projected: torch.Tensor, granularity: int) -> torch.Tensor:
        """[n, patches, width] → [n, granularity, width] on the grid: by average, as AVG-LLaVA does, or as the ablation's
        ``pooling`` in the configuration says, by maximum or by each window's first patch."""
        grid = projected.transpose(1, 2).reshape(len(projected), -1, self.side, self.side)
        window = pooling(granularity, self.side**2)
        match self.config.get("pooling", "average"):
            case "average":
                pooled = F.avg_pool2d(grid, window)
            case "maximum":
                pooled = F.max_pool2d(grid, window)
            case "stride":
                pooled = grid[:, :, :: window[0], :: window[1]]
            case other:
                raise ValueError(f"no pooling is called {other}")
        return pooled.flatten(2).transpose(1, 2)

    def rows_index(self, granularity: int, size: tuple[int, int], grid: tuple[int, int] | None) -> np.ndarray:
        """What the prompt shows of a picture: indices into its tiles' tokens in order, −1 for the newline row."""
        return _rows_index(granularity, self.side, tuple(size), None if grid is None else tuple(grid))

    def assemble(self, tokens: torch.Tensor, index: np.ndarray) -> torch.Tensor:
        """Pooled tokens [tiles, granularity, width] → the prompt's rows [length, width]."""
        table = torch.cat([tokens.reshape(-1, tokens.shape[-1]), self.newline[None]])
        rows = torch.from_numpy(index).to(table.device)
        return table[torch.where(rows < 0, len(table) - 1, rows)]

    def filter_text(self, global_tile: torch.Tensor, text: torch.Tensor) -> torch.Tensor:
        """Which of the text embeddings [n, width] are most like the picture: indices in falling order, at most k."""
        image = global_tile / global_tile.norm(dim=-1, keepdim=True).clamp_min(1e-8)
        words = text / text.norm(dim=-1, keepdim=True).clamp_min(1e-8)
        order = (words @ image.T).mean(1).sort(descending=True, stable=True).indices
        return order[: self.config["filtered_text_num"]]

    def filtered_rows(self, global_tile: torch.Tensor, tokens: list[int]) -> torch.Tensor:
        """The router's text rows [k, width] for the prompt's token ids (placeholder left out), zero rows at the end."""
        text = self.language.get_input_embeddings()(torch.tensor(tokens, device=self.device))
        kept = text[self.filter_text(global_tile, text)]
        return F.pad(kept, (0, 0, 0, self.config["filtered_text_num"] - len(kept)))

    def all_granularities(self, projected: torch.Tensor) -> torch.Tensor:
        """The router's visual rows: [tiles, sum of the granularities, width]."""
        return torch.cat([self.pool(projected, g) for g in self.granularities], 1)

    def router_logits(self, projected: torch.Tensor, prompts: list[list[int]]) -> torch.Tensor:
        """Router scores [prompts, granularities] of one picture for several prompts."""
        rows = torch.stack([self.filtered_rows(projected[0], tokens) for tokens in prompts])
        visual = self.router.visual_votes(self.all_granularities(projected))
        return self.router.norm(visual + self.router.text_votes(rows))


@lru_cache(maxsize=20000)
def _rows_index(granularity: int, side: int, size: tuple[int, int], grid: tuple[int, int] | None) -> np.ndarray:
    if grid is None:
        return np.append(np.arange(granularity), -1)
    window = pooling(granularity, side * side)
    h, w = side // window[0], side // window[1]
    columns, rows = grid
    tiles = np.arange(granularity, granularity * (1 + rows * columns)).reshape(rows, columns, h, w)
    joined = tiles.transpose(0, 2, 1, 3).reshape(rows * h, columns * w)
    joined = joined[unpad_window(size, columns * w, rows * h)]
    joined = np.concatenate([joined, np.full((len(joined), 1), -1)], 1)
    return np.concatenate([np.arange(granularity), joined.reshape(-1)])
