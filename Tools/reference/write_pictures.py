"""Writes Tests/Fixtures/pictures: PNG and WebP files of every kind a decoder should meet, and what Pillow makes of them.

    write_pictures.py OUTPUT

Run by itself; needs Pillow. PNGs are put together chunk by chunk, since Pillow writes only some of their kinds; WebPs are
Pillow's, but for frames of animations, which are wrapped here. `expected.json` has, a file, its size and the SHA-256 of
`convert("RGB")`, or that Pillow refuses it. Files that Pillow takes though something is wrong with them are marked
`damaged`: Gristmill refuses those.
"""

import hashlib
import io
import itertools
import json
import pathlib
import random
import struct
import sys
import zlib

from PIL import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6
CHANNELS = {GREY: 1, RGB: 3, PALETTE: 1, GREY_ALPHA: 2, RGB_ALPHA: 4}
NAMES = {GREY: "grey", RGB: "rgb", PALETTE: "palette", GREY_ALPHA: "grey-alpha", RGB_ALPHA: "rgb-alpha"}
DEPTHS = {GREY: (1, 2, 4, 8, 16), RGB: (8, 16), PALETTE: (1, 2, 4, 8), GREY_ALPHA: (8, 16), RGB_ALPHA: (8, 16)}
# x, y, and the steps of Adam7's seven passes.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


def chunk(kind, data=b""):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def header(width, height, depth, color, interlaced=False):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, int(interlaced)))


def packed(samples, depth):
    """A row of samples as bytes, the first in the highest bits."""
    if depth == 16:
        return struct.pack(f">{len(samples)}H", *samples)
    row = bytearray((len(samples) * depth + 7) // 8)
    for index, sample in enumerate(samples):
        row[index * depth // 8] |= sample << (8 - depth - index * depth % 8)
    return bytes(row)


def filtered(kind, row, above, step):
    """One of PNG's five filters."""
    result = bytearray()
    for index, byte in enumerate(row):
        left = row[index - step] if index >= step else 0
        up = above[index] if above else 0
        corner = above[index - step] if above and index >= step else 0
        estimate = left + up - corner
        nearest = min((abs(estimate - value), order, value) for order, value in enumerate((left, up, corner)))[2]
        guess = (0, left, up, (left + up) // 2, nearest)[kind]
        result.append((byte - guess) & 255)
    return bytes([kind]) + bytes(result)


def scanlines(pixels, depth, channels, filters):
    step = max(1, depth * channels // 8)
    above, lines = None, b""
    for row in pixels:
        bytes_of_row = packed([sample for pixel in row for sample in pixel], depth)
        lines += filtered(next(filters), bytes_of_row, above, step)
        above = bytes_of_row
    return lines


def image_data(pixels, depth, channels, interlaced, filters):
    if not interlaced:
        return scanlines(pixels, depth, channels, filters)
    data = b""
    for x, y, step_x, step_y in PASSES:
        rows = [row[x::step_x] for row in pixels[y::step_y]]
        if rows and rows[0]:
            data += scanlines(rows, depth, channels, filters)
    return data


def noise(width, height, depth, color, generator, limit=None):
    top = limit or 1 << depth
    return [[tuple(generator.randrange(top) for _ in range(CHANNELS[color])) for _ in range(width)] for _ in range(height)]


def png(width, height, depth, color, *, interlaced=False, before=b"", behind=b"", filters=None, pieces=1, seed=0, limit=None):
    generator = random.Random(seed * 1000 + depth * 10 + color)
    pixels = noise(width, height, depth, color, generator, limit)
    data = image_data(pixels, depth, CHANNELS[color], interlaced, itertools.cycle(filters or range(5)))
    stream = zlib.compress(data, 9)
    size = -(-len(stream) // pieces)
    parts = b"".join(chunk(b"IDAT", stream[start : start + size]) for start in range(0, len(stream), size))
    return SIGNATURE + header(width, height, depth, color, interlaced) + before + parts + behind + chunk(b"IEND")


def colors(count, seed=7):
    return bytes(random.Random(seed).randrange(256) for _ in range(3 * count))


def pngs():
    for color, depths in DEPTHS.items():
        for depth, interlaced in itertools.product(depths, (False, True)):
            palette = chunk(b"PLTE", colors(1 << depth)) if color == PALETTE else b""
            name = f"{NAMES[color]}-{depth}{'-interlaced' if interlaced else ''}.png"
            yield name, png(13, 11, depth, color, interlaced=interlaced, before=palette)
    for width, height in ((1, 1), (1, 9), (9, 1), (2, 2), (5, 3)):
        yield f"size-{width}x{height}-interlaced.png", png(width, height, 8, RGB, interlaced=True)
        yield f"size-{width}x{height}-bits.png", png(width, height, 1, GREY)
    for kind in range(5):
        yield f"filter-{kind}.png", png(9, 6, 8, RGB_ALPHA, filters=[kind])
    yield "palette-short.png", png(9, 6, 8, PALETTE, before=chunk(b"PLTE", colors(20)))
    yield "palette-short-4.png", png(9, 6, 4, PALETTE, before=chunk(b"PLTE", colors(3)))
    yield "palette-one.png", png(9, 6, 1, PALETTE, before=chunk(b"PLTE", colors(1)))
    yield "palette-suggested.png", png(9, 6, 8, RGB, before=chunk(b"PLTE", colors(5)))
    opaque = chunk(b"PLTE", colors(16))
    yield "transparent-palette.png", png(9, 6, 4, PALETTE, before=opaque + chunk(b"tRNS", bytes(range(0, 160, 10))))
    yield "transparent-palette-one.png", png(9, 6, 4, PALETTE, before=opaque + chunk(b"tRNS", b"\xff\xff\0"))
    yield "transparent-grey.png", png(9, 6, 4, GREY, before=chunk(b"tRNS", struct.pack(">H", 3)))
    yield "transparent-grey-16.png", png(9, 6, 16, GREY, before=chunk(b"tRNS", struct.pack(">H", 3)))
    yield "transparent-rgb.png", png(9, 6, 8, RGB, before=chunk(b"tRNS", struct.pack(">3H", 3, 4, 5)))
    yield "grey-16-dark.png", png(9, 6, 16, GREY, limit=300)
    yield "gamma.png", png(9, 6, 8, RGB, before=chunk(b"gAMA", struct.pack(">I", 100000)))
    yield "gamma-palette.png", png(9, 6, 8, PALETTE, before=chunk(b"gAMA", struct.pack(">I", 22000)) + chunk(b"PLTE", colors(256)))
    chroma = chunk(b"cHRM", struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000))
    yield "chromaticities.png", png(9, 6, 16, RGB, before=chroma + chunk(b"gAMA", struct.pack(">I", 45455)))
    yield "srgb.png", png(9, 6, 8, RGB, before=chunk(b"sRGB", b"\0"))
    yield "profile.png", png(9, 6, 8, RGB, before=chunk(b"iCCP", b"x\0\0" + zlib.compress(b"no profile")))
    yield "significant-bits.png", png(9, 6, 8, RGB, before=chunk(b"sBIT", b"\5\6\5"))
    yield "background.png", png(9, 6, 8, RGB_ALPHA, before=chunk(b"bKGD", struct.pack(">3H", 255, 0, 0)))
    yield "texts.png", png(9, 6, 8, GREY, before=chunk(b"tEXt", b"a\0b"), behind=chunk(b"zTXt", b"c\0\0" + zlib.compress(b"d" * 99)))
    yield "unknown-chunk.png", png(9, 6, 8, GREY, before=chunk(b"quUx", b"12345"), behind=chunk(b"tIME", bytes([7, 208, 1, 1, 0, 0, 0])))
    yield "many-idat.png", png(9, 6, 8, RGB, pieces=40)
    plain = png(9, 6, 8, RGB)
    first = plain.index(b"IDAT") - 4
    yield "empty-idat.png", plain[:first] + chunk(b"IDAT") + plain[first:-12] + chunk(b"IDAT") + plain[-12:]
    yield "trailing.png", plain + b"and more"
    yield "stored.png", SIGNATURE + header(3, 2, 8, RGB) + chunk(b"IDAT", zlib.compress((b"\0" + bytes(range(9))) * 2, 0)) + chunk(b"IEND")
    control = lambda number, width, height, x, y: chunk(
        b"fcTL", struct.pack(">IIIIIHHBB", number, width, height, x, y, 1, 10, 0, 0))
    frame = chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress((b"\0" + bytes(6)) * 2))
    animation = chunk(b"acTL", struct.pack(">II", 2, 0))
    yield "animation.png", png(9, 6, 8, RGB, before=animation + control(0, 9, 6, 0, 0), behind=control(1, 2, 2, 1, 1) + frame)
    still = chunk(b"acTL", struct.pack(">II", 1, 0))
    yield "animation-still.png", png(9, 6, 8, RGB, before=still, behind=control(0, 2, 2, 1, 1) + chunk(
        b"fdAT", struct.pack(">I", 1) + zlib.compress((b"\0" + bytes(6)) * 2)))


def broken_pngs():
    plain = png(9, 6, 8, RGB)
    first = plain.index(b"IDAT")
    for name, place in (("checksum-idat", len(plain) - 14), ("checksum-header", 30), ("data", first + 20)):
        changed = bytearray(plain)
        changed[place] ^= 1
        yield f"broken-{name}.png", bytes(changed)
    texts = bytearray(png(9, 6, 8, RGB, before=chunk(b"tEXt", b"a\0b")))
    texts[texts.index(b"tEXt") + 5] ^= 1
    yield "broken-checksum-text.png", bytes(texts)
    for length in (0, 4, 8, 20, 33, first + 2, first + 30, len(plain) - 12, len(plain) - 1):
        yield f"broken-cut-{length}.png", plain[:length]
    wrap = lambda stream, top=header(2, 1, 8, RGB): SIGNATURE + top + chunk(b"IDAT", stream) + chunk(b"IEND")
    row = zlib.compress(b"\0" + bytes(6))
    yield "broken-adler.png", wrap(row[:-1] + bytes([row[-1] ^ 1]))
    yield "broken-no-adler.png", wrap(row[:-4])
    yield "broken-short.png", wrap(zlib.compress(b"\0" + bytes(3)))
    yield "broken-filter.png", wrap(zlib.compress(b"\7" + bytes(6)))
    yield "broken-no-palette.png", wrap(zlib.compress(b"\0\0\1"), header(2, 1, 8, PALETTE))
    yield "broken-palette-size.png", png(9, 6, 8, PALETTE, before=chunk(b"PLTE", bytes(10)))
    yield "broken-palette-large.png", png(9, 6, 8, PALETTE, before=chunk(b"PLTE", bytes(771)))
    yield "broken-critical.png", png(9, 6, 8, RGB, before=chunk(b"ABCD", b"1"))
    yield "broken-no-data.png", SIGNATURE + header(2, 1, 8, RGB) + chunk(b"IEND")
    yield "broken-no-header.png", SIGNATURE + chunk(b"IDAT", row) + chunk(b"IEND")
    for name, values in (
        ("depth-3", (2, 1, 3, GREY, 0, 0, 0)), ("rgb-4", (2, 1, 4, RGB, 0, 0, 0)), ("palette-16", (2, 1, 16, PALETTE, 0, 0, 0)),
        ("color-5", (2, 1, 8, 5, 0, 0, 0)), ("compression", (2, 1, 8, RGB, 1, 0, 0)), ("filters", (2, 1, 8, RGB, 0, 1, 0)),
        ("interlace", (2, 1, 8, RGB, 0, 0, 2)), ("no-width", (0, 1, 8, RGB, 0, 0, 0)), ("no-height", (2, 0, 8, RGB, 0, 0, 0)),
        ("vast", (65535, 65535, 8, RGB, 0, 0, 0)), ("claims", (9000, 9000, 8, RGB, 0, 0, 0)),
    ):
        yield f"broken-{name}.png", wrap(row, chunk(b"IHDR", struct.pack(">IIBBBBB", *values)))


def picture(width, height, alpha=False, seed=3):
    """Slopes, an edge and some noise; where it is transparent it has colors, too."""
    generator = random.Random(seed)
    image = Image.new("RGBA", (width, height))
    image.putdata([
        ((x * 9 + generator.randrange(20)) % 256, (y * 11) % 256, 255 if x > y else 40,
         (x * 16 + y * 5) % 256 if (x // 3 + y) % 3 else 0)
        for y in range(height) for x in range(width)])
    return image if alpha else image.convert("RGB")


def webp(image, **options):
    stream = io.BytesIO()
    image.save(stream, "WEBP", **options)
    return stream.getvalue()


def riff(kind, data):
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def container(chunks):
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks


def animated(still, width, height, x, y, alpha=False):
    """A still's data as the one frame of an animation, at (x, y), which are even, on a canvas."""
    with Image.open(io.BytesIO(still)) as opened:
        frame_width, frame_height = opened.size
    # From the second chunk on where the first is the extended header.
    data = still[12:] if still[12:16] != b"VP8X" else still[30:]
    place = lambda value: struct.pack("<I", value)[:3]
    frame = place(x // 2) + place(y // 2) + place(frame_width - 1) + place(frame_height - 1) + place(100) + b"\0" + data
    top = riff(b"VP8X", bytes([2 | (16 if alpha else 0), 0, 0, 0]) + place(width - 1) + place(height - 1))
    return container(top + riff(b"ANIM", b"\x20\x40\x60\xff\0\0") + riff(b"ANMF", frame))


def webps():
    for quality in (1, 50, 95):
        yield f"lossy-{quality}.webp", webp(picture(37, 29), quality=quality)
    yield "lossy-fine.webp", webp(picture(61, 47), quality=80, method=6)
    yield "lossy-alpha.webp", webp(picture(24, 18, True), quality=60)
    yield "lossy-alpha-exact.webp", webp(picture(24, 18, True), quality=60, exact=True)
    yield "lossy-alpha-lossy.webp", webp(picture(24, 18, True), quality=60, alpha_quality=20)
    yield "lossless.webp", webp(picture(37, 29), lossless=True)
    yield "lossless-slow.webp", webp(picture(61, 47), lossless=True, method=6, quality=100)
    yield "lossless-alpha.webp", webp(picture(24, 18, True), lossless=True)
    yield "lossless-alpha-exact.webp", webp(picture(24, 18, True), lossless=True, exact=True)
    yield "lossless-few.webp", webp(picture(24, 18).quantize(4).convert("RGB"), lossless=True)
    yield "near-lossless.webp", webp(picture(37, 29), lossless=True, quality=40)
    for width, height in ((1, 1), (1, 17), (17, 1), (2, 3)):
        yield f"size-{width}x{height}-lossy.webp", webp(picture(width, height), quality=70)
        yield f"size-{width}x{height}-lossless.webp", webp(picture(width, height, True), lossless=True, exact=True)
    frames = [picture(24, 18, True, seed) for seed in range(3)]
    yield "animation.webp", webp(frames[0], save_all=True, append_images=frames[1:], duration=50, lossless=True)
    yield "animation-lossy.webp", webp(frames[0], save_all=True, append_images=frames[1:], duration=50, quality=50)
    yield "animation-mixed.webp", webp(frames[0], save_all=True, append_images=frames[1:], duration=50, allow_mixed=True)
    yield "animation-background.webp", webp(frames[0], save_all=True, append_images=frames[1:], background=(9, 99, 199, 255))
    small = picture(10, 8, True)
    yield "frame-aside.webp", animated(webp(small, lossless=True, exact=True), 24, 18, 6, 4, True)
    yield "frame-aside-lossy.webp", animated(webp(picture(10, 8), quality=60), 24, 18, 14, 10)
    yield "frame-aside-alpha.webp", animated(webp(small, quality=60, exact=True), 24, 18, 0, 10, True)
    yield "metadata.webp", webp(picture(24, 18), quality=60, xmp=b"<x/>", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0", icc_profile=b"none")
    yield "trailing.webp", webp(picture(24, 18), quality=60) + b"and more"


def broken_webps():
    lossy, lossless = webp(picture(37, 29), quality=50), webp(picture(37, 29), lossless=True)
    for name, whole in (("lossy", lossy), ("lossless", lossless)):
        for length in (12, 20, 30, len(whole) // 2, len(whole) - 1):
            yield f"broken-{name}-cut-{length}.webp", whole[:length]
    yield "broken-bits.webp", lossless[:24] + b"\xff" * 60 + lossless[84:]
    yield "broken-start.webp", lossy[:23] + b"\0\0\0" + lossy[26:]
    yield "broken-frame-outside.webp", animated(lossless, 24, 18, 0, 0)
    yield "broken-no-frame.webp", container(riff(b"VP8X", b"\2\0\0\0\5\0\0\5\0\0") + riff(b"ANIM", bytes(6)))


def judged(data):
    try:
        with Image.open(io.BytesIO(data)) as opened:
            image = opened.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        return {"refused": type(error).__name__}
    return {"size": list(image.size), "rgb_sha256": hashlib.sha256(image.tobytes()).hexdigest()}


def main():
    output = pathlib.Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, data in itertools.chain(pngs(), broken_pngs(), webps(), broken_webps()):
        (output / name).write_bytes(data)
        expected[name] = judged(data)
        if name.startswith("broken-") and "size" in expected[name]:
            expected[name]["damaged"] = True
    document = {"pillow": Image.__version__, "pictures": expected}
    (output / "expected.json").write_text(json.dumps(document, indent=1) + "\n")
    print(len(expected), "pictures,", sum("refused" in entry for entry in expected.values()), "of them refused")


if __name__ == "__main__":
    main()
