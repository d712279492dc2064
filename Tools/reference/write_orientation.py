"""Writes Tests/Fixtures/orientation: small JPEGs, PNGs and WebPs whose EXIF or XMP data say how they are to be turned, or that have stray bytes
between segments, and what Pillow makes of them.

    write_orientation.py OUTPUT

Run by itself; needs Pillow.
"""

import hashlib
import io
import json
import pathlib
import struct
import sys
import zlib

from PIL import Image, ImageOps


def picture():
    image = Image.new("RGB", (40, 24))
    image.putdata([(x * 6, y * 10, (x * y) % 256) for y in range(24) for x in range(40)])
    return image


def saved(kind="JPEG", **options):
    buffer = io.BytesIO()
    picture().save(buffer, kind, quality=90, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(before=b"", behind=b""):
    """Chunks before the pixels, and behind them."""
    plain = saved("PNG")
    first = plain.index(b"IDAT") - 4
    return plain[:first] + before + plain[first:-12] + behind + plain[-12:]


def tiff(order, value, kind=3, tag=0x0112):
    field = struct.pack(order + ("HHIHH" if kind == 3 else "HHII"), tag, kind, 1, value, *([0] if kind == 3 else []))
    return (b"MM\0*" if order == ">" else b"II*\0") + struct.pack(order + "IH", 8, 1) + field + b"\0\0\0\0"


def segment(kind, data):
    return b"\xff" + bytes([kind]) + struct.pack(">H", len(data) + 2) + data


def xmp(text):
    return segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + text)


def files():
    plain = saved()
    body = plain[2:]
    for value in range(1, 9):
        yield f"exif-{value}.jpg", saved(exif=b"Exif\0\0" + tiff(">", value))
    yield "little.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff("<", 6)) + body
    yield "long.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff("<", 8, kind=4)) + body
    yield "nine.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff("<", 9)) + body
    yield "other-tag.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff("<", 6, tag=0x0110)) + body
    yield "xmp.jpg", b"\xff\xd8" + xmp(b'<x tiff:Orientation="6"/>') + body
    yield "xmp-element.jpg", b"\xff\xd8" + xmp(b"<tiff:Orientation>3</tiff:Orientation>") + body
    yield "both.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff(">", 8)) + xmp(b'<x tiff:Orientation="6"/>') + body
    yield "cut-exif.jpg", b"\xff\xd8" + segment(0xE1, b"Exif\0\0" + tiff(">", 6)[:12]) + body
    yield "plain.jpg", plain
    # Bytes between segments, which libjpeg and Pillow skip.
    length = struct.unpack(">H", body[2:4])[0] + 2
    yield "stray.jpg", b"\xff\xd8" + body[:length] + b"\0\x01stray" + body[length:]
    turned = segment(0xE1, b"Exif\0\0" + tiff(">", 6))
    yield "stray-turned.jpg", b"\xff\xd8" + body[:length] + b"x\0" + turned + b"\0" + body[length:]

    xml = b'<x tiff:Orientation="6"/>'
    hexadecimal = b"\nexif\n      32\n" + (b"Exif\0\0" + tiff(">", 5)).hex().encode() + b"\n"
    international = b"XML:com.adobe.xmp\0"
    for value in (1, 3, 6, 8):
        yield f"exif-{value}.png", png(chunk(b"eXIf", tiff(">", value)))
        yield f"exif-{value}.webp", saved("WEBP", exif=tiff("<", value))
    yield "behind.png", png(behind=chunk(b"eXIf", tiff("<", 6)))
    yield "prefixed.png", png(chunk(b"eXIf", b"Exif\0\0" + tiff("<", 6)))
    yield "profile.png", png(chunk(b"tEXt", b"Raw profile type exif\0" + hexadecimal))
    yield "profile-packed.png", png(chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(hexadecimal)))
    yield "xmp.png", png(chunk(b"iTXt", international + b"\0\0\0\0" + xml))
    yield "xmp-packed.png", png(chunk(b"iTXt", international + b"\1\0en\0\0" + zlib.compress(xml)))
    yield "both.png", png(chunk(b"eXIf", tiff(">", 8)) + chunk(b"iTXt", international + b"\0\0\0\0" + xml))
    yield "plain.png", png()
    yield "prefixed.webp", saved("WEBP", exif=b"Exif\0\0" + tiff(">", 8))
    yield "xmp.webp", saved("WEBP", xmp=xml)
    yield "plain.webp", saved("WEBP")


def main():
    output = pathlib.Path(sys.argv[1])
    output.mkdir(parents=True, exist_ok=True)
    expected = {}
    for name, data in files():
        (output / name).write_bytes(data)
        stored = Image.open(output / name).convert("RGB")
        turned = ImageOps.exif_transpose(Image.open(output / name)).convert("RGB")
        expected[name] = {
            "size": list(turned.size), "stored": hashlib.sha256(stored.tobytes()).hexdigest(),
            "turned": hashlib.sha256(turned.tobytes()).hexdigest()}
    (output / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
    print(len(expected), "pictures")


if __name__ == "__main__":
    main()
