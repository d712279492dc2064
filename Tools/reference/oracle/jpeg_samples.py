"""Small JPEG files of every kind a decoder should meet, made from two photographs."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

from PIL import Image

from .pixels import BICUBIC

# Where an Adobe marker keeps its colour transform, counted from its 0xFFEE.
ADOBE_TRANSFORM_OFFSET = 15
YCCK_TRANSFORM = 2


def _encode(image: Image.Image, **options: Any) -> bytes:
    stream = io.BytesIO()
    image.save(stream, "JPEG", **{"quality": 80, **options})
    return stream.getvalue()


def _adobe_marker(data: bytes | bytearray) -> int:
    position = data.find(b"\xff\xee")
    if position < 0 or data[position + 4 : position + 9] != b"Adobe":
        raise ValueError("no Adobe marker where one was expected")
    return position


def _without_adobe_marker(data: bytes) -> bytes:
    position = _adobe_marker(data)
    length = 2 + int.from_bytes(data[position + 2 : position + 4], "big")
    return data[:position] + data[position + length :]


def _ycck(image: Image.Image, **options: Any) -> bytes:
    """A YCCK file: YCbCr planes of the inverted inks are stored as four plain channels, then relabelled."""
    cyan, magenta, yellow, black = image.convert("CMYK").split()
    planes = [*Image.merge("RGB", (cyan, magenta, yellow)).convert("YCbCr").split()]
    planes.append(black.point(lambda value: 255 - value))
    stored = Image.merge("CMYK", [plane.point(lambda value: 255 - value) for plane in planes])
    data = bytearray(_encode(stored, **options))
    data[_adobe_marker(data) + ADOBE_TRANSFORM_OFFSET] = YCCK_TRANSFORM
    return bytes(data)


def _rotated_exif() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def _gamut(size: tuple[int, int]) -> Image.Image:
    """Saturated colours in hard-edged blocks: clamping and chroma upsampling at their worst."""
    image = Image.new("RGB", size)
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255), (255, 0, 255), (255,) * 3, (0,) * 3]
    for y in range(size[1]):
        for x in range(size[0]):
            image.putpixel((x, y), colours[(x // 5 + 3 * (y // 3)) % len(colours)])
    return image


def make_samples(photographs: Path) -> dict[str, bytes]:
    """File name → content. Names that start with `broken-` must be refused by a decoder."""
    with Image.open(photographs / "china.jpg") as file:
        china = file.convert("RGB").resize((160, 107), BICUBIC)
    with Image.open(photographs / "flower.jpg") as file:
        flower = file.convert("RGB").resize((150, 201), BICUBIC)
    cmyk = china.convert("CMYK")
    plain = _encode(flower)
    return {
        "gray.jpg": _encode(china.convert("L")),
        "gray-odd.jpg": _encode(china.convert("L").crop((3, 5, 62, 36)), quality=60),
        "sampling-444.jpg": _encode(china, subsampling="4:4:4"),
        "sampling-422.jpg": _encode(china, subsampling="4:2:2"),
        "sampling-420.jpg": _encode(china, subsampling="4:2:0"),
        "sampling-420-odd.jpg": _encode(flower.crop((0, 0, 101, 67)), subsampling="4:2:0"),
        "quality-100.jpg": _encode(flower.crop((40, 40, 97, 93)), quality=100, subsampling="4:4:4"),
        "quality-5.jpg": _encode(flower, quality=5),
        "progressive.jpg": _encode(china, progressive=True),
        "progressive-444.jpg": _encode(flower, progressive=True, subsampling="4:4:4"),
        "restart-rows.jpg": _encode(flower, restart_marker_rows=1),
        "restart-blocks.jpg": _encode(china, restart_marker_blocks=3),
        "rgb-adobe.jpg": _encode(china.crop((20, 10, 90, 70)), keep_rgb=True),
        "saturated-444.jpg": _encode(_gamut((61, 43)), subsampling="4:4:4", quality=90),
        "saturated-420.jpg": _encode(_gamut((61, 43)), subsampling="4:2:0", quality=90),
        "saturated-422.jpg": _encode(_gamut((61, 43)), subsampling="4:2:2", quality=40),
        "cmyk-adobe.jpg": _encode(cmyk),
        "cmyk-adobe-sampled.jpg": _encode(cmyk.crop((7, 9, 90, 70)), subsampling="4:2:0"),
        "cmyk-no-adobe.jpg": _without_adobe_marker(_encode(cmyk.crop((0, 0, 77, 55)))),
        "ycck.jpg": _ycck(china),
        "ycck-sampled.jpg": _ycck(china.crop((7, 9, 90, 70)), subsampling="4:2:0"),
        "exif-rotated.jpg": _encode(china, exif=_rotated_exif()),
        "trailing-bytes.jpg": plain + b"\x00trailing bytes that are no part of the image\xff\xd8",
        "size-1x1.jpg": _encode(Image.new("RGB", (1, 1), (200, 30, 90))),
        "size-1x50.jpg": _encode(flower.crop((70, 20, 71, 70))),
        "size-2x3.jpg": _encode(flower.crop((70, 20, 72, 23))),
        "size-50x1.jpg": _encode(china.crop((20, 60, 70, 61))),
        "size-333x7.jpg": _encode(china.resize((333, 7), BICUBIC)),
        "size-17x600.jpg": _encode(flower.resize((17, 600), BICUBIC), quality=70),
        "broken-truncated.jpg": plain[: len(plain) * 6 // 10],
        "broken-header-only.jpg": plain[:200],
        "broken-not-a-jpeg.jpg": b"This is a text file that calls itself a photograph.\n",
        "broken-empty.jpg": b"",
    }
