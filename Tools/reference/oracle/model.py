"""The whole model: image and conversation in, prompt rows, routing and answer out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from . import pixels, prompts, scaler
from .checkpoint import Settings, below, read_settings, read_tensors
from .language import Language
from .prompts import IMAGE_ID, FastTokenizer, History, Tokenizer
from .router import Router, Routing
from .vision import Vision


@dataclass
class PreparedImage:
    """The image of a case before a granularity is chosen for it; `routing` is None without a router."""

    tiles: list[Image.Image]
    size: tuple[int, int]
    pixel_sum: float
    features: Tensor
    routing: Routing | None


@dataclass
class Prepared:
    """Everything about a case that does not depend on the granularity."""

    text: str
    ids: list[int]
    image: PreparedImage | None


class ReferenceModel:
    """One checkpoint, ready to run in float32."""

    def __init__(self, folder: Path, tower: Path | None = None, conversation: str = "vicuna_v1") -> None:
        self.settings: Settings = read_settings(folder, tower)
        self.conversation = conversation
        tensors = read_tensors(folder, self.settings, tower)
        pieces = folder / "tokenizer.model"
        self.tokenizer = Tokenizer(pieces) if pieces.is_file() else FastTokenizer(folder / "tokenizer.json")
        self.vision = Vision(self.settings, tensors)
        self.language = Language(self.settings, tensors)
        self.newline = tensors.get("model.image_newline")
        self.router: Router | None = None
        if self.settings.has_router:
            self.router = Router(
                below(tensors, "model.router."),
                self.settings.granularities,
                self.settings.filtered_text_count,
            )

    @torch.inference_mode()
    def prepare(self, image_path: Path | None, prompt: str, history: History) -> Prepared:
        """Tokenise, tile, run the tower and, where there is one, the router."""
        text = prompts.apply_template(prompt, history, with_image=image_path is not None, conversation=self.conversation)
        ids = self.tokenizer.encode_prompt(text)
        image = None if image_path is None else self._prepare_image(image_path, ids)
        return Prepared(text, ids, image)

    def _prepare_image(self, path: Path, ids: list[int]) -> PreparedImage:
        image = pixels.load_rgb(path)
        side = self.settings.tower["image_size"]
        tiles = pixels.tiles_of(image, self.settings.aspect_ratio, self.settings.pinpoints, side)
        values = pixels.normalised(tiles)
        pixel_sum = float(values.astype(np.float64).sum())
        features = self.vision.features(torch.from_numpy(values))
        routing = None
        if self.router is not None:
            text_ids = torch.tensor([token for token in ids if token != IMAGE_ID])
            routing = self.router.route(features, text_ids, self.language.embed(text_ids))
        return PreparedImage(tiles, image.size, pixel_sum, features, routing)

    def _image_rows(self, image: PreparedImage, granularity: int) -> Tensor:
        tokens = image.features
        if granularity != self.settings.patches:
            tokens = scaler.pool(tokens, granularity)
        canvas_grid = None
        if self.settings.aspect_ratio == "anyres":
            width, height = pixels.best_pinpoint(image.size, self.settings.pinpoints)
            side = self.settings.tower["image_size"]
            canvas_grid = (height // side, width // side)
        return scaler.merge_tiles(tokens, self.settings.merge_type, canvas_grid, image.size, self.newline)

    @torch.inference_mode()
    def prompt_rows(self, prepared: Prepared, granularity: int | None) -> Tensor:
        """The rows fed to the decoder, [positions, hidden], with the image in its place."""
        ids = torch.tensor(prepared.ids)
        rows = self.language.embed(ids.clamp_min(0))
        if prepared.image is not None and granularity is not None:
            image_rows = self._image_rows(prepared.image, granularity)
            places = (ids == IMAGE_ID).nonzero().flatten().tolist()
            parts, start = [], 0
            for place in places:
                parts += [rows[start:place], image_rows]
                start = place + 1
            rows = torch.cat([*parts, rows[start:]])
        limit = self.settings.maximum_length
        return rows if limit is None else rows[:limit]

    def granularity_for(self, prepared: Prepared) -> int | None:
        """The router's choice; all patches where there is no router; None where there is no image."""
        if prepared.image is None:
            return None
        return prepared.image.routing.choice if prepared.image.routing else self.settings.patches
