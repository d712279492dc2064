"""Scenes: what a generated picture shows, before it is drawn.

All lengths are in *units*. One unit is one pixel of a high-resolution tile (the picture's short side is
always ``SHORT_SIDE`` units, the tile edge), so a size in units says how much of a vision patch (8 units) a mark covers,
whatever the size of the JPEG.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

SHORT_SIDE = 128
STRIP_DIGITS, STRIP_PITCH, STRIP_HEIGHT = 2, 13.5, 16.5
TAG_WIDTH, TAG_HEIGHT = 14.8, 15.4

BACKGROUNDS = {
    "grey": (128, 130, 132), "brown": (122, 88, 58), "blue": (92, 138, 190),
    "green": (92, 146, 88), "pink": (214, 158, 172), "yellow": (214, 196, 112),
}
COLOURS = {
    "red": (214, 34, 34), "green": (28, 160, 56), "blue": (36, 72, 214), "yellow": (246, 222, 36),
    "orange": (246, 134, 24), "purple": (130, 44, 168), "white": (248, 248, 248), "black": (20, 20, 20),
    "pink": (250, 130, 196), "cyan": (40, 214, 226),
}
LARGE_SHAPES = ("circle", "square", "triangle")
SYMBOLS = ("star", "cross", "heart", "ring", "diamond", "moon")
DIGITS = "0123456789"
DIGIT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
PLACES = ("left", "right", "top", "bottom", "middle")
BACKGROUND_NAMES = tuple(BACKGROUNDS)
COLOUR_NAMES = tuple(COLOURS)
KINDS = LARGE_SHAPES + SYMBOLS


@dataclass
class Item:
    """One drawn object: ``role`` is "large", "symbol", "tag" or "strip" (one item a digit)."""

    role: str
    kind: str
    colour: str
    box: tuple[float, float, float, float]
    angle: float = 0.0


@dataclass
class Scene:
    """A picture's content. ``side`` is where the large shape stands; ``strip`` the digits of the paper strip."""

    width: float
    height: float
    background: str
    bright: bool
    side: str
    items: list[Item] = field(default_factory=list)
    strip: str = ""
    boards: list[tuple[float, float, float, float]] = field(default_factory=list)


def _overlaps(box: tuple, others: list[tuple], gap: float) -> bool:
    return any(
        box[0] < o[2] + gap and o[0] < box[2] + gap and box[1] < o[3] + gap and o[1] < box[3] + gap for o in others
    )


def _place(rng: random.Random, scene: Scene, w: float, h: float, taken: list[tuple], gap: float = 3.0) -> tuple | None:
    """A free box of the given size, or None after sixty tries."""
    for _ in range(60):
        x, y = rng.uniform(3, scene.width - w - 3), rng.uniform(3, scene.height - h - 3)
        box = (x, y, x + w, y + h)
        if not _overlaps(box, taken, gap):
            taken.append(box)
            return box
    return None


def _large_box(rng: random.Random, scene: Scene) -> tuple[float, float, float, float]:
    """The large shape's box: its centre lies clearly on the side the scene names."""
    size = rng.uniform(40, 50)
    cx, cy = scene.width / 2 + rng.uniform(-6, 6), scene.height / 2 + rng.uniform(-6, 6)
    margin = size / 2 + rng.uniform(2, 8)
    if scene.side == "left":
        cx = margin
    elif scene.side == "right":
        cx = scene.width - margin
    elif scene.side == "top":
        cy = margin
    elif scene.side == "bottom":
        cy = scene.height - margin
    return (cx - size / 2, cy - size / 2, cx + size / 2, cy + size / 2)


def _add_panel(rng: random.Random, scene: Scene, colours: list[str], taken: list[tuple]) -> None:
    """A tight block of tags, each a coloured plate with a digit; takes its colours from the list."""
    count = len(colours)
    columns = min(count, rng.choice((2, 3, 3, 4)))
    rows = -(-count // columns)
    pitch_x, pitch_y = rng.uniform(15.4, 16.6), rng.uniform(16.0, 17.2)
    box = _place(rng, scene, columns * pitch_x, rows * pitch_y, taken)
    if box is None:
        return
    if rng.random() < 0.5:
        scene.boards.append((box[0] - 1.5, box[1] - 1.5, box[2] + 1.5, box[3] + 1.5))
    for i, colour in enumerate(colours):
        x, y = box[0] + (i % columns) * pitch_x, box[1] + (i // columns) * pitch_y
        x, y = x + rng.uniform(-0.4, 0.4), y + rng.uniform(-0.4, 0.4)
        scene.items.append(Item("tag", rng.choice(DIGITS), colour, (x, y, x + TAG_WIDTH, y + TAG_HEIGHT)))


def make_scene(rng: random.Random, tags: tuple[int, int], aspect: float | None = None) -> Scene:
    """A random scene with ``tags[0]`` to ``tags[1]`` tags. ``aspect`` is width / height (random when None)."""
    if aspect is None:
        aspect = rng.choice((1.0, rng.uniform(1.25, 2.0), 1 / rng.uniform(1.25, 2.0)))
    width, height = (SHORT_SIDE * aspect, SHORT_SIDE) if aspect >= 1 else (SHORT_SIDE, SHORT_SIDE / aspect)
    sides = ["left", "right"] if aspect > 1.1 else ["top", "bottom"] if aspect < 0.9 else ["left", "right", "top", "bottom"]
    scene = Scene(width, height, rng.choice(BACKGROUND_NAMES), rng.random() < 0.5, rng.choice(sides + ["middle"]))
    taken: list[tuple] = []
    box = _large_box(rng, scene)
    taken.append(box)
    scene.items.append(Item("large", rng.choice(LARGE_SHAPES), rng.choice(COLOUR_NAMES), box))

    count = rng.randint(*tags)
    if count <= len(COLOUR_NAMES):  # every colour at most once, so that a tag can be asked for by its colour
        colours = rng.sample(COLOUR_NAMES, count)
        split = count > 6 and max(aspect, 1 / aspect) > 1.2
        half = rng.randint(4, count - 3) if split else count
        cuts = [colours[:half], colours[half:]] if split else [colours]
    else:  # warm-up pictures, full of tags
        colours = rng.choices(COLOUR_NAMES, k=count)
        cuts = [colours[i : i + 9] for i in range(0, count, 9)]
    for part in cuts:
        _add_panel(rng, scene, part, taken)

    if rng.random() < 0.7:
        box = _place(rng, scene, STRIP_DIGITS * STRIP_PITCH + 4, STRIP_HEIGHT, taken)
        if box is not None:
            scene.strip = "".join(rng.choice(DIGITS) for _ in range(STRIP_DIGITS))
            for i, digit in enumerate(scene.strip):
                x = box[0] + 2 + i * STRIP_PITCH
                scene.items.append(Item("strip", digit, "white", (x, box[1], x + STRIP_PITCH, box[3])))

    used = rng.sample(COLOUR_NAMES, rng.randint(2, 4))
    for colour, kind in zip(used, rng.sample(SYMBOLS, len(used))):
        size = rng.uniform(18, 23)
        box = _place(rng, scene, size, size, taken, gap=2.0)
        if box is not None:
            scene.items.append(Item("symbol", kind, colour, box, rng.uniform(-12, 12)))
    return scene
