#!/usr/bin/env python3
"""Writes the golden .grist files: Formats/accept/*.grist, each with the bytes every tensor and file must read as in a
.json of the same name (or why that one cannot be read), and Formats/reject/*.grist with the words of the refusal in
reject/expected.json.

Independent of the Swift writer on purpose: only the layout is shared. Needs xxhash and zstandard:

    python3 Tools/formats/write_golden.py            # writes
    python3 Tools/formats/write_golden.py --check    # compares with what is there
"""
import argparse
import base64
import hashlib
import json
import math
import random
import struct
import sys
from pathlib import Path

import xxhash
import zstandard

FORMATS = Path(__file__).resolve().parent.parent.parent / "Formats"
MAGIC = b"GRIST\r\n\x1a"
SEGMENT, CHUNK = 65536, 64
SLOTS, HEADER = (4096, 8192), 12288
RAW, ZSTD, PLANES16, PLANES32 = range(4)
FREE = 255


def aligned(data: bytearray, alignment: int) -> None:
    data.extend(bytes(-len(data) % alignment))


def zstd(payload: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=1, write_content_size=True).compress(payload)


def rotate(payload: bytes, width: int) -> list[bytes]:
    """Every element rotated left by one bit, cut into planes, most significant first."""
    bits, kind = 8 * width, {2: "<H", 4: "<I"}[width]
    words = [word for (word,) in struct.iter_unpack(kind, payload)]
    words = [(word << 1 | word >> (bits - 1)) & ((1 << bits) - 1) for word in words]
    return [bytes(word >> (8 * plane) & 0xFF for word in words) for plane in reversed(range(width))]


def store(payload: bytes, codec: int) -> bytes:
    if codec == RAW:
        return payload
    if codec == ZSTD:
        return zstd(payload)
    top, *rest = rotate(payload, 2 if codec == PLANES16 else 4)
    packed = zstd(top)
    return struct.pack("<I", len(packed)) + packed + b"".join(rest)


def plain(element: str) -> dict:
    return {"kind": "plain", "element": element}


def grouped(bits: int, group: int, layout: str = "tile16", exponent: int = 0) -> dict:
    return {
        "kind": "grouped", "bits": bits, "codes": "symmetric", "rotation": "none", "group_axis": 1, "group_size": group, "scale": "f16",
        "scale_exponent": exponent, "layout": layout,
    }


class File:
    """A .grist file in the making. What `damage` methods change is sealed by `bytes()`."""

    def __init__(self) -> None:
        self.data = bytearray(HEADER)
        self.table: list[list[int]] = []  # offset, stored, payload, checksum, codec
        self.expected: dict[str, bytes | dict] = {}
        self.manifest = {
            "minor": 0, "requires": [],
            "provenance": {
                "tool": "write_golden.py", "architecture": "unknown", "recipe": "source", "overrides": [],
                "packing": "zstd", "fingerprint": "0" * 64, "sources": [],
                "lineage": [{"tool": "write_golden.py", "recipe": "source", "lossy": False}], "ignored_keys": [],
            },
            "segments": [], "tensors": [], "files": [],
        }
        self.header: dict[str, int] = {}
        self.version = 1
        self.generation = 1
        self.reserved = self.slot_reserved = 0
        self.unused = bytes(32)
        self.index_padding = 0

    def segment(self, name: str) -> "File":
        self.manifest["segments"].append({"name": name, "first": len(self.table), "count": 0})
        return self

    def chunk(self, payload: bytes, codec: int, stored: bytes | None = None) -> None:
        segment = self.manifest["segments"][-1]
        aligned(self.data, SEGMENT if segment["count"] == 0 else CHUNK)
        stored = store(payload, codec) if stored is None else stored
        self.table.append([len(self.data), len(stored), len(payload), xxhash.xxh3_64_intdigest(stored), codec])
        self.data += stored
        segment["count"] += 1

    def run(self, payload: bytes, units: int, unit_bytes: int, per_chunk: int, codec: int) -> dict:
        assert len(payload) == units * unit_bytes, (len(payload), units, unit_bytes)
        first = len(self.table)
        for unit in range(0, units, per_chunk):
            self.chunk(payload[unit * unit_bytes:(unit + per_chunk) * unit_bytes], codec)
        return {"first": first, "count": len(self.table) - first, "units": per_chunk}

    def tensor(self, name: str, shape: list[int], scheme: dict, payload: bytes, *, units: int, per_chunk: int,
               codec: int = RAW, source: str = "f32", error: float = 0.0, worst: float | None = None) -> "File":
        run = self.run(payload, units, len(payload) // units if units else 0, per_chunk, codec)
        self.manifest["tensors"].append({
            "name": name, "source_name": "upstream." + name, "shape": shape, "scheme": scheme, "source_element": source, "relative_error": error,
            **({} if worst is None else {"worst_row_error": worst}), "chunks": run,
        })
        self.expected[name] = payload
        return self

    def file(self, name: str, payload: bytes, codec: int = ZSTD) -> "File":
        run = self.run(payload, len(payload), 1, 1 << 20, codec)
        self.manifest["files"].append({
            "name": name, "bytes": len(payload), "sha256": hashlib.sha256(payload).hexdigest(), "chunks": run,
        })
        self.expected["file " + name] = payload
        return self

    def unusable(self, name: str, says: str) -> "File":
        """A tensor that readers of 1.0 cannot use: `says` is in what they say of it."""
        self.expected[name] = {"unusable": says}
        return self

    def index(self) -> tuple[int, bytes, int]:
        """Offset, bytes, and the length of the text."""
        aligned(self.data, CHUNK)
        text = json.dumps(self.manifest, separators=(",", ":"), ensure_ascii=False).encode()
        if self.index_padding and len(text) % CHUNK == 0:
            text += b" "
        index = bytearray(text)
        index.extend(bytes([self.index_padding]) * (-len(index) % CHUNK))
        for offset, stored, payload, checksum, codec in self.table:
            index += struct.pack("<QIIQQ", offset, stored, payload, checksum, codec)
        return len(self.data), bytes(index), len(text)

    def close(self) -> None:
        """Ends a generation: writes its index and its slot; what comes then is an addition to the file."""
        offset, index, length = self.index()
        self.data += index
        fields = {
            "generation": self.generation, "length": len(self.data), "manifest_offset": offset,
            "manifest_length": length, "chunks": len(self.table), "index": xxhash.xxh3_64_intdigest(index),
        } | self.header
        if self.generation == 1:
            superblock = MAGIC + struct.pack("<IIQ", self.version, self.reserved, fields["index"]) + self.unused
            self.data[:64] = superblock + struct.pack("<Q", xxhash.xxh3_64_intdigest(superblock))
        slot = struct.pack(
            "<QQQQIIQQ", fields["generation"], fields["length"], fields["manifest_offset"], fields["manifest_length"],
            fields["chunks"], self.slot_reserved, 0, fields["index"])
        place = SLOTS[0 if self.generation % 2 else 1]
        self.data[place:place + 64] = slot + struct.pack("<Q", xxhash.xxh3_64_intdigest(slot))
        self.closed = (offset, index)

    def add(self, name: str, payload: bytes, segment: str = "records") -> "File":
        """Adds a file to what is there, or takes another's place, as a later writer does."""
        self.close()
        offset, index = self.closed
        self.generation += 1
        self.table.append([offset, len(index), len(index), xxhash.xxh3_64_intdigest(index), FREE])
        self.manifest["segments"][-1]["count"] += 1
        for old in [file for file in self.manifest["files"] if file["name"] == name]:
            self.manifest["files"].remove(old)
            for entry in self.table[old["chunks"]["first"]:][:old["chunks"]["count"]]:
                entry[2], entry[4] = entry[1], FREE
        self.segment(segment).file(name, payload)
        if not payload:
            self.manifest["segments"].pop()
        return self

    def bytes(self) -> bytes:
        self.close()
        return bytes(self.data)


def floats(count: int, width: int) -> bytes:
    """Values with few exponents, so that their planes pack."""
    words = [struct.unpack("<I", struct.pack("<f", math.sin(index) + 2.5))[0] for index in range(count)]
    return b"".join(struct.pack("<I", word)[4 - width:] for word in words)


def halves(values: list[float]) -> bytes:
    return b"".join(struct.pack("<e", value) for value in values)


def tiles(rows: int, columns: int, bits: int, group: int, tile_rows: int) -> bytes:
    """One chunk's payload for a matrix of known codes and scales: the codes of every tile, then their scales.

    Code of row r, column c: (3r + 5c) mod 15 − 7, for int8 times 9. Scale of row r, group g: 2^-(g+1) · (1 + r/32)."""
    code = lambda r, c: ((3 * r + 5 * c) % 15 - 7) * (9 if bits == 8 else 1) if r < rows and c < columns else 0
    padded = -(-columns // 8) * 8
    groups = -(-columns // group)
    codes, scales = bytearray(), bytearray()
    for tile in range(-(-rows // tile_rows)):
        members = range(tile * tile_rows, (tile + 1) * tile_rows)
        for block in range(0, padded, 8 if bits == 4 else 4):
            for row in members:
                for i in range(4):
                    if bits == 8:
                        codes.append(code(row, block + i) & 0xFF)
                    else:
                        codes.append(code(row, block + i) + 8 | code(row, block + 4 + i) + 8 << 4)
        for g in range(groups):
            scales += halves([2.0 ** -(g + 1) * (1 + row / 32) if row < rows else 0 for row in members])
    return bytes(codes + scales)


def small() -> File:
    """What most rejected files damage: no chunks, and so no 64 KiB of padding before the first."""
    golden = File()
    golden.tensor("a", [0, 4], plain("u8"), b"", units=0, per_chunk=1, source="u8")
    return golden.tensor("e", [7, 0], plain("f32"), b"", units=0, per_chunk=1)


def matrix() -> File:
    """With a matrix that has no chunk: only for what is refused before chunks are looked at."""
    return small().tensor("m", [5, 40], grouped(8, 32), b"", units=0, per_chunk=1)


def chunks() -> File:
    """With chunks: two of one tensor, one of a matrix, one packed."""
    golden = File().segment("tensors")
    golden.tensor("a", [10, 4], plain("u8"), bytes(range(40)), units=10, per_chunk=7, source="u8")
    golden.tensor("m", [5, 40], grouped(8, 32), tiles(5, 40, 8, 32, 16), units=1, per_chunk=1, error=0.01)
    return golden.file("config.json", b'{"hidden_size": 64}\n' * 9)


def accepted() -> dict[str, File]:
    everything = File().segment("one")
    everything.tensor("plain.bf16", [48, 16], plain("bf16"), floats(768, 2), units=48, per_chunk=20, codec=PLANES16)
    everything.segment("two")
    everything.tensor("grouped.int8", [17, 70], grouped(8, 64), tiles(17, 70, 8, 64, 16), units=2, per_chunk=2)
    everything.file("config.json", b"{}", RAW)
    plains = File().segment("tensors")
    for element, width in [("f64", 8), ("f32", 4), ("f16", 2), ("bf16", 2), ("i64", 8), ("i32", 4), ("i8", 1),
                           ("u8", 1), ("bool", 1)]:
        plains.tensor(element, [3, 5], plain(element), bytes(range(15 * width)), units=3, per_chunk=3, source=element)
    plains.tensor("scalar", [], plain("f32"), b"\0\0\x80?", units=1, per_chunk=1)
    plains.tensor("vector", [5], plain("u8"), b"abcde", units=5, per_chunk=2, source="u8")
    plains.tensor("cube", [2, 3, 4], plain("u8"), bytes(range(24)), units=2, per_chunk=1, source="u8")
    plains.tensor("empty", [0, 7], plain("f32"), b"", units=0, per_chunk=1)
    plains.tensor("empty-inside", [7, 0], plain("f32"), b"", units=0, per_chunk=9)
    plains.tensor("größe/重み \"quoted\"", [1], plain("u8"), b"\x07", units=1, per_chunk=1, source="u8")
    packed = File().segment("tensors")
    packed.tensor("planes16-f16", [512], plain("f16"), halves([1 + i / 512 for i in range(512)]), units=512,
                  per_chunk=300, codec=PLANES16, source="f16")
    packed.tensor("planes16-one-element", [1], plain("bf16"), b"\x80\xbf", units=1, per_chunk=1, codec=PLANES16)
    packed.tensor("planes32", [300], plain("f32"), floats(300, 4), units=300, per_chunk=300, codec=PLANES32)
    packed.tensor("planes32-special", [6], plain("f32"), struct.pack(
        "<6I", 0, 0x80000000, 0x7F800000, 0xFF800000, 0x7FC00001, 1), units=6, per_chunk=6, codec=PLANES32)
    packed.tensor("zstd", [1000], plain("u8"), b"abcd" * 250, units=1000, per_chunk=1000, codec=ZSTD, source="u8")
    packed.tensor("zstd-zeros", [2000], plain("u8"), bytes(2000), units=2000, per_chunk=2000, codec=ZSTD, source="u8")
    matrices = File().segment("tensors")
    for bits in (4, 8):
        for group, rows, columns in [(32, 3, 40), (64, 18, 70), (128, 16, 136)]:
            matrices.tensor(f"int{bits}-g{group}", [rows, columns], grouped(bits, group, exponent=-2),
                            tiles(rows, columns, bits, group, 16), units=-(-rows // 16), per_chunk=2, error=0.125, worst=0.25)
        matrices.tensor(f"int{bits}-rows", [7, 33], grouped(bits, 32, "row"), tiles(7, 33, bits, 32, 1), units=7,
                        per_chunk=7, codec=ZSTD)
    return {
        "no-tensors": File(), "zero-size-tensors": small(), "element-types-and-shapes": plains,
        "packed-planes-and-zstd": packed, "grouped-int4-int8": matrices, "two-segments-a-file": everything,
        "added-once": chunks().add("record", b"the first record " * 9),
        "added-and-replaced": chunks().add("record", b"the first record").add("config.json", b"{}").add("record", b""),
        "later-members": later_members(), "unused-bytes": unused_bytes(), "reserved-schemes": reserved_schemes(),
        "several-planes": several_planes(), "codec-unknown": codec_unknown(),
    }


def later_members() -> File:
    """Members that version 1.0 does not know, everywhere: they are passed over."""
    golden = chunks()
    m = golden.manifest
    m["minor"] = 7
    for place in [m, m["provenance"], m["provenance"]["lineage"][0], m["segments"][0], m["tensors"][0],
                  m["tensors"][0]["chunks"], m["files"][0]]:
        place["later"] = {"anything": [1, None]}
    return golden


def unused_bytes() -> File:
    """Bytes that readers of 1.0 do not look at."""
    golden = chunks()
    golden.unused = bytes(range(1, 33))
    for entry in golden.table:
        entry[4] |= 0xDEADBEEF << 32
    return golden


def reserved_schemes() -> File:
    """What has its place in version 1 and is not read by 1.0, beside what is."""
    golden = File().segment("tensors")
    golden.tensor("known", [4], plain("u8"), b"abcd", units=4, per_chunk=4, source="u8")
    unknown = "a storage scheme this version does not know"
    for bits in (2, 3, 5, 6):
        padded = tiles(16, 64, 8, 64, 16)[:16 * 64 * bits // 8] + tiles(16, 64, 8, 64, 16)[16 * 64:]
        golden.tensor(f"int{bits}", [16, 64], grouped(bits, 64), padded, units=1, per_chunk=1).unusable(
            f"int{bits}", unknown)
    for name, scheme in {
        "entropy": {"kind": "entropy", "coder": "tans", "of": grouped(4, 64)},
        "table-not-rising": grouped(4, 64) | {"codes": "table", "table": [0] * 16},
        "table-without-values": grouped(4, 64) | {"codes": "table"},
        "table-of-8-bits": grouped(8, 64) | {"codes": "table", "table": list(range(-8, 8))},
        "codes-unknown": grouped(8, 64) | {"codes": "entropy"}, "rotation-unknown": grouped(8, 64) | {"rotation": "dct8"},
        "scale-unknown": grouped(8, 64) | {"scale": "e8m0"}, "groups-of-48": grouped(8, 48),
        "layout-unknown": grouped(8, 64) | {"layout": "tile32"}, "field-unknown": grouped(8, 64) | {"zero_points": "u8"},
        "element-unknown": plain("f5"), "kind-missing": {},
    }.items():
        says = {"table-not-rising": "sixteen whole numbers in rising order", "kind-missing": "must be a string",
                "table-without-values": "must be an array of whole numbers",
                "field-unknown": "is not known to this version"}.get(name, unknown)
        golden.tensor(name, [16, 64], scheme, bytes(range(64)), units=1, per_chunk=1).unusable(name, says)
    golden.tensor("shared", [4], {"kind": "shared", "tensor": "known"}, b"", units=0, per_chunk=1, source="u8")
    return golden.unusable("shared", unknown)


def several_planes() -> File:
    """A base that is used, and what would make it exact."""
    golden = File().segment("tensors")
    golden.tensor("m", [5, 40], grouped(8, 32), tiles(5, 40, 8, 32, 16), units=1, per_chunk=1, error=0.01)
    run = golden.run(b"residual" * 25, 5, 40, 3, ZSTD)
    golden.manifest["tensors"][0]["planes"] = [
        {"role": "residual", "scheme": {"kind": "entropy", "coder": "tans", "of": plain("i8")}, "chunks": run}]
    return golden


def codec_unknown() -> File:
    """A chunk packed in a way of a later version: what it belongs to cannot be used, all else can."""
    golden = chunks()
    golden.table[1][4] = 9
    return golden.unusable("a", "is stored in a way this version does not know")


def rejected() -> dict[str, tuple[bytes, str]]:
    cases: dict[str, tuple[bytes, str]] = {}

    def case(name, says, change=lambda golden: None, after=lambda data: data, of=small) -> None:
        golden = of()
        change(golden)
        cases[name] = (bytes(after(bytearray(golden.bytes()))), says)

    def flip(offset: int):
        def after(data):
            data[offset] ^= 1
            return data
        return after

    def entry(index: int, field: int, change):
        def apply(golden):
            golden.table[index][field] = change(golden.table[index][field])
        return apply

    def manifest(change):
        return lambda golden: change(golden.manifest)

    def scheme(name, says, **fields):
        case(name, says, manifest(lambda m: m["tensors"][2]["scheme"].update(fields)), of=matrix)

    case("empty", "not a .grist file", after=lambda data: b"")
    case("safetensors", "not a .grist file", after=lambda data: struct.pack("<Q", 2) + b"{}")
    case("text-mode-transfer", "not a .grist file", after=lambda data: data.replace(b"\r\n", b"\n"))
    case("header-cut-off", "too short for a .grist header", after=lambda data: data[:40])
    case("version-0", "a .grist version this program does not read", lambda g: setattr(g, "version", 0))
    case("version-2", "a .grist version this program does not read", lambda g: setattr(g, "version", 2))
    reserved = "bytes that are reserved for later versions are not zero"
    case("header-reserved", reserved, lambda g: setattr(g, "reserved", 1))
    case("slot-reserved", reserved, lambda g: setattr(g, "slot_reserved", 1 << 31))
    case("slot-checksum", "the header's checksum does not fit", after=flip(SLOTS[0] + 17))
    case("slot-of-another-generation", "the header's checksum does not fit", lambda g: g.header.update(generation=2))
    case("slot-of-no-generation", "the header's checksum does not fit", lambda g: g.header.update(generation=0))
    case("header-padding", "padding that must be zero is not", after=flip(64))
    case("slot-padding", "padding that must be zero is not", after=flip(SLOTS[1] - 1))
    case("slots-cut-off", "the file is cut short", after=lambda data: data[:HEADER - 1])
    case("header-checksum", "the header's checksum does not fit", after=flip(17))
    case("older-state-only", "the file is cut short", after=lambda data: data[:-1],
         of=lambda: chunks().add("record", b"one"))
    case("cut-short", "the file is cut short", after=lambda data: data[:-32])
    outside = "the header points outside the file"
    case("manifest-beyond-file", outside, lambda g: g.header.update(manifest_offset=1 << 40))
    case("manifest-misaligned", outside, lambda g: g.header.update(manifest_offset=HEADER + 8))
    case("manifest-in-the-header", outside, lambda g: g.header.update(manifest_offset=HEADER - 64))
    case("manifest-length-absurd", outside, lambda g: g.header.update(manifest_length=(1 << 64) - 1))
    case("chunk-count-lies", outside, lambda g: g.header.update(chunks=5))
    case("index-checksum", "the index's checksum does not fit", after=flip(HEADER + 100))
    case("index-padding", "padding that must be zero is not", lambda g: setattr(g, "index_padding", 1))
    case("shape-lies", "its chunks do not hold what its shape asks for",
         manifest(lambda m: m["tensors"][0].update(shape=[10, 4])))
    case("shape-overflows", "its scheme cannot hold its shape",
         manifest(lambda m: m["tensors"][0].update(shape=[1 << 62, 1 << 62])))
    case("shape-overflows-though-empty", "its scheme cannot hold its shape",
         manifest(lambda m: m["tensors"][0].update(shape=[1 << 62, 1 << 62, 0])))
    case("shape-negative", "must be an array of whole numbers", manifest(lambda m: m["tensors"][0].update(shape=[-1])))
    case("tensor-twice", "two tensors have the same name", manifest(lambda m: m["tensors"][1].update(name="a")))
    case("segment-of-nothing", "does not follow the one before it", lambda g: g.segment("s"))
    case("chunk-not-there", "it names chunks that are not there",
         manifest(lambda m: m["tensors"][1]["chunks"].update(first=9)))
    case("feature-unknown", "the file asks for something that this version does not know",
         manifest(lambda m: m.update(requires=["sparse"])))
    case("manifest-member-missing", "must be an array", manifest(lambda m: m.pop("files")))
    scheme("scheme-rotation-of-40-columns", "its scheme cannot hold its shape", rotation="hadamard64")
    case("chunk-checksum", "the checksum of chunk 0 does not fit", after=flip(SEGMENT + 3), of=chunks)
    case("chunk-reserved", reserved, entry(0, 4, lambda codec: 1 << 8), of=chunks)
    case("chunk-free-in-use", "it names a chunk that is free", entry(2, 4, lambda codec: FREE), of=chunks)
    case("chunk-shared", "it shares a chunk with another",
         manifest(lambda m: m["tensors"][1]["chunks"].update(first=1)), of=chunks)
    case("padding-between-chunks", "padding that must be zero is not", after=flip(SEGMENT + 28), of=chunks)
    case("plane-shares-a-chunk", "it shares a chunk with another",
         manifest(lambda m: m["tensors"][0]["planes"][0]["chunks"].update(first=0)), of=several_planes)
    case("chunk-units-absurd", "must be a whole number from 1 to 4294967295",
         manifest(lambda m: m["tensors"][1]["chunks"].update(units=(1 << 63) - 1)), of=chunks)
    case("zstd-expands-much", "it claims to unpack to far more than it is", entry(4, 2, lambda payload: 17 << 20),
         of=lambda: chunks().file("noise", random.Random(1).randbytes(4096)))
    case("zstd-bomb", "its lengths do not fit together", entry(3, 2, lambda payload: 0xFFFFFFFF), of=chunks)

    def cut_frame(golden):
        start, stored = golden.table[3][:2]
        golden.data[start + stored - 1:] = b""
        golden.table[3][1] = stored - 1
        golden.table[3][3] = xxhash.xxh3_64_intdigest(bytes(golden.data[start:]))

    case("zstd-cut-off", "a chunk does not unpack", cut_frame, of=chunks)
    return cases


def outputs() -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for name, golden in accepted().items():
        files[f"accept/{name}.grist"] = golden.bytes()
        expected = {key: value if isinstance(value, dict) else base64.b64encode(value).decode()
                    for key, value in golden.expected.items()}
        files[f"accept/{name}.json"] = (json.dumps(expected, indent=1, ensure_ascii=False) + "\n").encode()
    expected = {}
    for name, (data, says) in rejected().items():
        files[f"reject/{name}.grist"] = data
        expected[name] = says
    files["reject/expected.json"] = (json.dumps(expected, indent=1) + "\n").encode()
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare with what is there instead of writing")
    check = parser.parse_args().check
    wrong = 0
    for name, data in outputs().items():
        path = FORMATS / name
        if check:
            if not path.exists() or path.read_bytes() != data:
                print(f"{path} differs", file=sys.stderr)
                wrong += 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
