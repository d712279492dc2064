"""Drawing a scene as a photograph-like picture, and its object map for the tower's warm-up."""

from __future__ import annotations

import io
import math
import random
from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from .scene import BACKGROUNDS, COLOURS, Item, Scene

# Fonts come with matplotlib: DejaVu (Bitstream Vera licence) and STIX (SIL Open Font Licence). No face is in two splits.
FONTS = {
    "train": ("DejaVuSans.ttf", "DejaVuSans-Bold.ttf", "DejaVuSans-BoldOblique.ttf", "DejaVuSansMono.ttf", "DejaVuSansMono-Oblique.ttf",
              "DejaVuSansMono-BoldOblique.ttf", "DejaVuSerif-Bold.ttf", "DejaVuSerif-Italic.ttf", "DejaVuSerif-BoldItalic.ttf",
              "STIXGeneral.ttf", "STIXGeneralItalic.ttf", "STIXGeneralBolIta.ttf"),
    "validation": ("DejaVuSerif.ttf",),
    "test": ("DejaVuSansMono-Bold.ttf", "STIXGeneralBol.ttf", "DejaVuSans-Oblique.ttf"),
    "foreign": ("cmss10.ttf", "cmtt10.ttf", "cmr10.ttf"),
}
TEXTURES = {
    "train": ("plain", "plaster", "stripes", "gradient"),
    "validation": ("plaster", "boards"),
    "test": ("plain", "boards", "spots"),
    "foreign": ("photograph",),
}
# Other shades of the same names, for the domain that nothing was trained on.
FOREIGN_COLOURS = {
    "red": (176, 52, 62), "green": (74, 178, 110), "blue": (70, 108, 226), "yellow": (232, 206, 92),
    "orange": (228, 142, 74), "purple": (148, 88, 190), "white": (232, 236, 240), "black": (42, 40, 46),
    "pink": (232, 150, 190), "cyan": (96, 206, 206),
}
# Photographs that may be used for anything, see NOTICE.
PHOTOGRAPHS = Path(__file__).resolve().parents[3] / "Sources" / "GristConversion" / "Calibration" / "Samples"


@lru_cache(maxsize=256)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name), size)


def _smooth(rng: np.random.Generator, width: int, height: int, cells: int, amount: float) -> np.ndarray:
    """Low-frequency noise: a small random field blown up."""
    shape = (max(2, cells * height // max(width, height)), max(2, cells * width // max(width, height)))
    field = Image.fromarray(rng.normal(0, amount, shape).astype(np.float32))
    return np.asarray(field.resize((width, height), Image.BICUBIC))


@lru_cache(maxsize=None)
def _photographs() -> list[Image.Image]:
    return [Image.open(path).convert("L") for path in sorted(PHOTOGRAPHS.glob("*.jpg"))]


def _photograph(width: int, height: int, rng: np.random.Generator) -> np.ndarray:
    """A random window of a random photograph, as light and shade around 0."""
    whole = _photographs()[rng.integers(len(_photographs()))]
    scale = min(whole.width / width, whole.height / height) * rng.uniform(0.6, 1.0)
    w, h = int(width * scale), int(height * scale)
    x, y = int(rng.uniform(0, whole.width - w)), int(rng.uniform(0, whole.height - h))
    pixels = np.asarray(whole.resize((width, height), Image.BICUBIC, box=(x, y, x + w, y + h)), np.float32)
    return 40 * (pixels - pixels.mean()) / max(float(pixels.std()), 1.0)


def _backdrop(scene: Scene, width: int, height: int, texture: str, rng: np.random.Generator) -> Image.Image:
    base = np.array(BACKGROUNDS[scene.background], np.float32) + rng.normal(0, 7, 3)
    light = _smooth(rng, width, height, 4, 9)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    if texture == "plaster":
        light = light + _smooth(rng, width, height, 24, 8)
    elif texture in ("stripes", "boards"):
        angle = rng.uniform(0, math.pi)
        wave = np.sin((x * math.cos(angle) + y * math.sin(angle)) * 2 * math.pi / rng.uniform(0.04, 0.12) / width)
        light = light + 6 * (wave if texture == "stripes" else np.sign(wave) * (np.abs(wave) > 0.3))
    elif texture == "gradient":
        light = light + rng.uniform(-18, 18) * (x / width - 0.5) + rng.uniform(-18, 18) * (y / height - 0.5)
    elif texture == "photograph":
        light = light + _photograph(width, height, rng)
    elif texture == "spots":
        light = light + 14 * (_smooth(rng, width, height, 30, 1.0) > 1.2)
    pixels = base + light[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _polygon(kind: str, cx: float, cy: float, r: float, angle: float) -> list[tuple[float, float]]:
    """Corners of the polygonal shapes, turned by ``angle`` degrees."""
    if kind == "star":
        points = [(r * (1 if i % 2 == 0 else 0.42), math.pi * (i / 5 - 0.5)) for i in range(10)]
    elif kind == "triangle":
        points = [(1.12 * r, math.pi * (2 * i / 3 - 0.5)) for i in range(3)]
    elif kind == "square":
        points = [(1.3 * r, math.pi * (i / 2 + 0.25)) for i in range(4)]
    elif kind == "diamond":
        points = [((1.0 if i % 2 else 0.66) * r, math.pi * i / 2) for i in range(4)]
    elif kind == "cross":
        a, b = 0.34 * r, r
        corners = [(-a, -b), (a, -b), (a, -a), (b, -a), (b, a), (a, a), (a, b), (-a, b), (-a, a), (-b, a), (-b, -a), (-a, -a)]
        points = [(math.hypot(px, py), math.atan2(py, px)) for px, py in corners]
    else:  # heart
        points = []
        for i in range(24):
            t = 2 * math.pi * i / 24
            px, py = 16 * math.sin(t) ** 3, -(13 * math.cos(t) - 5 * math.cos(2 * t) - 2 * math.cos(3 * t) - math.cos(4 * t))
            points.append((r * math.hypot(px, py) / 16, math.atan2(py, px)))
    turn = math.radians(angle)
    return [(cx + d * math.cos(a + turn), cy + d * math.sin(a + turn)) for d, a in points]


def _draw_shape(draw: ImageDraw.ImageDraw, item: Item, scale: float, fill) -> None:
    """One large shape or symbol."""
    x0, y0, x1, y1 = (v * scale for v in item.box)
    cx, cy, r = (x0 + x1) / 2, (y0 + y1) / 2, (x1 - x0) / 2
    if item.kind == "circle":
        draw.ellipse((x0, y0, x1, y1), fill=fill)
    elif item.kind == "ring":
        draw.ellipse((x0, y0, x1, y1), outline=fill, width=max(1, round(0.36 * r)))
    elif item.kind == "moon":
        outer = [(cx + r * math.cos(math.pi * (0.28 + 1.44 * i / 20)), cy + r * math.sin(math.pi * (0.28 + 1.44 * i / 20)))
                 for i in range(21)]
        inner = [(cx + 0.42 * r + 0.74 * r * math.cos(math.pi * (1.72 - 1.44 * i / 20)),
                  cy + 0.78 * r * math.sin(math.pi * (1.72 - 1.44 * i / 20))) for i in range(21)]
        draw.polygon(outer + inner, fill=fill)
    else:
        draw.polygon(_polygon(item.kind, cx, cy, r, item.angle), fill=fill)


def _draw_glyph(draw: ImageDraw.ImageDraw, item: Item, scale: float, font_name: str, size: float, ink) -> None:
    x0, y0, x1, y1 = (v * scale for v in item.box)
    font = _font(font_name, max(6, round(size * scale)))
    draw.text(((x0 + x1) / 2, (y0 + y1) / 2), item.kind, font=font, fill=ink, anchor="mm")


def render(scene: Scene, rng: random.Random, split: str, scale: float | None = None) -> Image.Image:
    """The finished picture, noise and exposure included (JPEG compression is the caller's)."""
    noise = np.random.default_rng(rng.getrandbits(32))
    scale = scale or rng.uniform(1.5, 2.6)
    width, height = round(scene.width * scale), round(scene.height * scale)
    picture = _backdrop(scene, width, height, rng.choice(TEXTURES[split]), noise)
    draw = ImageDraw.Draw(picture)
    font_name, font_size = rng.choice(FONTS[split]), rng.uniform(15.4, 17.0)

    colours = FOREIGN_COLOURS if split == "foreign" else COLOURS

    def tint(name: str, spread: float = 10) -> tuple[int, int, int]:
        return tuple(int(np.clip(c + rng.gauss(0, spread), 0, 255)) for c in colours[name])

    for board in scene.boards:
        shade = rng.choice((40, 70, 190))
        draw.rectangle([v * scale for v in board], fill=(shade, shade, shade))
    strip = [item.box for item in scene.items if item.role == "strip"]
    if strip:
        draw.rectangle([v * scale for v in (strip[0][0] - 2, strip[0][1], strip[-1][2] + 2, strip[0][3])], fill=(244, 242, 232))
    for item in scene.items:
        if item.role in ("large", "symbol"):
            _draw_shape(draw, item, scale, tint(item.colour))
        elif item.role == "tag":
            plate = tint(item.colour)
            draw.rounded_rectangle([v * scale for v in item.box], radius=1.2 * scale, fill=plate)
            dark = 0.3 * plate[0] + 0.59 * plate[1] + 0.11 * plate[2] > 130
            _draw_glyph(draw, item, scale, font_name, font_size, (10, 10, 10) if dark else (250, 250, 250))
        else:
            _draw_glyph(draw, item, scale, font_name, font_size, (20, 20, 24))
    if rng.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(0.25 * scale))
    pixels = np.asarray(picture).astype(np.float32)
    exposure = rng.uniform(0.92, 1.05) if scene.bright else rng.uniform(0.42, 0.55)
    pixels = pixels * exposure * (1 + rng.gauss(0, 0.02)) + noise.normal(0, rng.uniform(2, 7), pixels.shape[:2] + (1,))
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def jpeg(picture: Image.Image, rng: random.Random) -> bytes:
    """The picture as JPEG bytes at a random quality."""
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=rng.randint(82, 95), subsampling=rng.choice((0, 2)))
    return out.getvalue()


def object_map(scene: Scene) -> np.ndarray:
    """One byte a square unit: 0 for background, 1 + index of the item that covers it."""
    canvas = Image.new("L", (round(scene.width), round(scene.height)), 0)
    draw = ImageDraw.Draw(canvas)
    for i, item in enumerate(scene.items):
        if item.role in ("large", "symbol"):
            _draw_shape(draw, item, 1.0, i + 1)
        else:
            draw.rectangle(item.box, fill=i + 1)
    return np.asarray(canvas)
