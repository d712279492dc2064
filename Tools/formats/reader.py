#!/usr/bin/env python3
"""A second reader of .grist files, written from Formats/grist-v1.md and nothing else.

    python3 Tools/formats/reader.py MODEL.grist                      # what is in it, every chunk checked
    python3 Tools/formats/reader.py MODEL.grist --values NAME        # a tensor's values, as numpy prints them
    python3 Tools/formats/reader.py --golden                         # Formats/accept and reject
    python3 Tools/formats/reader.py --against GRISTMILL MODEL.grist… # every tensor, beside what that program exports

Needs numpy, xxhash, zstandard and jsonschema.
"""
import argparse
import base64
import hashlib
import json
import math
import mmap
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import xxhash
import zstandard
from jsonschema import Draft202012Validator

FORMATS = Path(__file__).resolve().parent.parent.parent / "Formats"
MAGIC = b"GRIST\r\n\x1a"
SLOTS, HEADER, SEGMENT, CHUNK = (4096, 8192), 12288, 65536, 64
FREE = 255
BITS = {
    "f64": 64, "f32": 32, "f16": 16, "bf16": 16, "f8_e4m3": 8, "f8_e5m2": 8, "f8_e8m0": 8, "f8_e4m3fnuz": 8,
    "f8_e5m2fnuz": 8, "f6_e2m3": 6, "f6_e3m2": 6, "f4": 4, "c64": 64, "i64": 64, "i32": 32, "i16": 16, "i8": 8,
    "u64": 64, "u32": 32, "u16": 16, "u8": 8, "bool": 8,
}


class Refused(Exception):
    """The file is not read."""


class Unusable(Exception):
    """A tensor is not read; the rest of the file is."""


def require(condition: bool, what: str) -> None:
    if not condition:
        raise Refused(what)


def up(value: int, multiple: int) -> int:
    return -(-value // multiple) * multiple


def pairs_once(pairs: list) -> dict:
    require(len({name for name, _ in pairs}) == len(pairs), "a member is there twice")
    return dict(pairs)


def integer(value, low: int, high: int) -> int:
    require(isinstance(value, int) and not isinstance(value, bool) and low <= value <= high, f"not a number: {value!r}")
    return value


class Grist:
    def __init__(self, path) -> None:
        with open(path, "rb") as file:
            size = file.seek(0, 2)
            self.data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
        data = self.data
        require(data[:8] == MAGIC, "not a .grist file")
        require(len(data) >= 64, "cut short")
        version, reserved, self.origin = struct.unpack_from("<IIQ", data, 8)
        require(version == 1, f"version {version}")
        require(xxhash.xxh3_64_intdigest(data[:56]) == struct.unpack_from("<Q", data, 56)[0], "superblock checksum")
        require(reserved == 0, "reserved bytes of the superblock")
        require(len(data) >= HEADER, "cut short")
        slots = [self.slot(place) for place in SLOTS]
        require(any(slots), "no slot")
        for start, end in zip([64, SLOTS[0] + 64, SLOTS[1] + 64], [*SLOTS, HEADER]):
            self.zeros(start, end)
        (self.generation, end, start, length, count, _, _, checksum) = max(filter(None, slots))
        require(end <= len(data), "cut short")
        table = up(start + length, CHUNK)
        require(length <= 1 << 28 and start % CHUNK == 0 and start >= HEADER and table + 32 * count == end, "the index")
        require(xxhash.xxh3_64_intdigest(data[start:end]) == checksum, "index checksum")
        self.zeros(start + length, table)
        self.index, self.end = start, end
        try:
            self.manifest = json.loads(data[start:start + length].decode(), object_pairs_hook=pairs_once)
        except ValueError as error:
            raise Refused(f"the manifest: {error}") from error
        try:
            self.read_manifest()
            self.read_chunks(table, count)
            self.read_owners()
        except (KeyError, TypeError, AttributeError) as error:
            raise Refused(f"a member is missing or of another kind: {error!r}") from error

    def slot(self, place: int):
        fields = struct.unpack_from("<QQQQIIQQ", self.data, place)
        if xxhash.xxh3_64_intdigest(self.data[place:place + 56]) != struct.unpack_from("<Q", self.data, place + 56)[0]:
            return None
        if fields[0] == 0 or SLOTS[0 if fields[0] % 2 else 1] != place:
            return None
        require(fields[5] == 0, "reserved bytes of a slot")
        return fields

    def zeros(self, start: int, end: int) -> None:
        require(not any(self.data[start:end]), f"padding at {start}")

    def read_manifest(self) -> None:
        manifest = self.manifest
        require(isinstance(manifest, dict) and isinstance(manifest["requires"], list), "the manifest")
        require(not manifest["requires"], f"it requires {manifest['requires']}")
        integer(manifest["minor"], 0, 2**32 - 1)
        for name in ("tool", "architecture", "recipe", "fingerprint"):
            require(isinstance(manifest["provenance"][name], str), name)
        require(manifest["provenance"]["packing"] in ("zstd", "raw"), "packing")
        for kind in ("tensors", "files"):
            names = [entry["name"] for entry in manifest[kind]]
            require(len(set(names)) == len(names), f"two {kind} of one name")
        for tensor in manifest["tensors"]:
            require(isinstance(tensor["scheme"], dict) and tensor["source_element"] in BITS, "a tensor")
            for extent in tensor["shape"]:
                integer(extent, 0, 2**63 - 1)
        self.tensors = {tensor["name"]: tensor for tensor in manifest["tensors"]}
        self.files = {file["name"]: file for file in manifest["files"]}

    def read_chunks(self, table: int, count: int) -> None:
        starts, following = set(), 0
        for segment in self.manifest["segments"]:
            require(segment["first"] == following and segment["count"] > 0, "segments")
            starts.add(following)
            following += segment["count"]
        require(following == count, "chunks of no segment")
        self.chunks, end = [], HEADER
        for index in range(count):
            offset, stored, payload, checksum, codec, reserved = struct.unpack_from(
                "<QIIQB3s", self.data, table + 32 * index)
            require(reserved == b"\0\0\0", "reserved bytes of a chunk")
            require(offset == up(end, SEGMENT if index in starts else CHUNK), f"chunk {index} is not where it must be")
            require(0 < stored <= self.index - offset and 0 < payload <= 65536 * stored, f"lengths of chunk {index}")
            require(codec not in (0, FREE) or stored == payload, f"lengths of chunk {index}")
            require(payload <= 16 << 20 or payload <= 8 * stored, f"lengths of chunk {index}")
            self.chunks.append((offset, stored, payload, checksum, codec))
            end = offset + stored
        require(up(end, CHUNK) == self.index, "something stands before the index")

    def read_owners(self) -> None:
        owners = [chunk[4] == FREE for chunk in self.chunks]

        def claim(run: dict, units: int | None, size: int = 0) -> None:
            first, count = integer(run["first"], 0, 2**32 - 1), integer(run["count"], 0, 2**32 - 1)
            per_chunk = integer(run["units"], 1, 2**32 - 1)
            require(first + count <= len(owners), "chunks that are not there")
            require(units is None or count == -(-units // per_chunk), "a run of another count")
            for index in range(first, first + count):
                require(not owners[index], f"chunk {index} belongs to two, or is free")
                owners[index] = True
                if units is not None:
                    here = min(per_chunk, units - (index - first) * per_chunk)
                    require(self.chunks[index][2] == here * size, f"chunk {index} is of another length")

        for tensor in self.manifest["tensors"]:
            for plane in tensor.get("planes", []):
                require(isinstance(plane["role"], str) and isinstance(plane["scheme"], dict), "a plane")
                claim(plane["chunks"], None)
            try:
                claim(tensor["chunks"], *units(tensor["scheme"], tensor["shape"]))
            except Unusable:
                claim(tensor["chunks"], None)
        for file in self.manifest["files"]:
            claim(file["chunks"], integer(file["bytes"], 0, 2**63 - 1), 1)
        require(all(owners), "a chunk of nobody")

    def stored(self, index: int) -> bytes:
        offset, stored, _, checksum, _ = self.chunks[index]
        bytes_ = self.data[offset:offset + stored]
        require(xxhash.xxh3_64_intdigest(bytes_) == checksum, f"checksum of chunk {index}")
        following = self.chunks[index + 1][0] if index + 1 < len(self.chunks) else self.index
        self.zeros(offset + stored, following)
        if index == 0:
            self.zeros(HEADER, offset)
        return bytes_

    def payload(self, index: int) -> bytes:
        stored, length, codec = self.stored(index), self.chunks[index][2], self.chunks[index][4]
        if codec == 0:
            return stored
        if codec == 1:
            return unpack(stored, length)
        if codec not in (2, 3):
            raise Unusable(f"codec {codec}")
        width = 2 if codec == 2 else 4
        count, rest = divmod(length, width)
        require(rest == 0 and len(stored) >= 4, "planes")
        packed = struct.unpack_from("<I", stored)[0]
        require(len(stored) == 4 + packed + (width - 1) * count, "planes")
        planes = [np.frombuffer(unpack(stored[4:4 + packed], count), np.uint8)]
        planes += list(np.frombuffer(stored, np.uint8, offset=4 + packed).reshape(width - 1, count))
        words = np.zeros(count, np.uint32)
        for plane in planes:
            words = words << 8 | plane
        bits = 8 * width
        words = words >> 1 | (words & 1) << (bits - 1)
        return words.astype("<u2" if width == 2 else "<u4").tobytes()

    def run(self, run: dict) -> list[bytes]:
        return [self.payload(index) for index in range(run["first"], run["first"] + run["count"])]

    def file(self, name: str) -> bytes:
        return b"".join(self.run(self.files[name]["chunks"]))

    def raw(self, name: str) -> bytes:
        """A tensor's payload, chunk after chunk."""
        tensor = self.tensors[name]
        units(tensor["scheme"], tensor["shape"])
        return b"".join(self.run(tensor["chunks"]))

    def values(self, name: str) -> np.ndarray:
        """A tensor's values: of a plain one its own type where numpy has it, else its bytes; f32 of codes."""
        tensor = self.tensors[name]
        scheme, shape = tensor["scheme"], tensor["shape"]
        units(scheme, shape)
        if scheme["kind"] == "plain":
            return plain(self.raw(name), scheme["element"], shape)
        rows = [codes_to_values(payload, scheme, shape, tensor["chunks"]["units"] * tile_rows(scheme) * index)
                for index, payload in enumerate(self.run(tensor["chunks"]))]
        return np.concatenate(rows).reshape(shape)

    def check(self) -> None:
        for index, chunk in enumerate(self.chunks):
            self.payload(index) if chunk[4] <= 3 else self.stored(index)


def unpack(frame: bytes, length: int) -> bytes:
    try:
        require(zstandard.frame_content_size(frame) == length, "a frame of another length")
        unpacker = zstandard.ZstdDecompressor().decompressobj()
        out = unpacker.decompress(frame)
        require(unpacker.eof and not unpacker.unused_data and len(out) == length, "a frame that does not end")
        return out
    except zstandard.ZstdError as error:
        raise Refused(f"a frame: {error}") from error


def tile_rows(scheme: dict) -> int:
    return 16 if scheme["layout"] == "tile16" else 1


def units(scheme: dict, shape: list[int]) -> tuple[int, int]:
    """How many units the payload of a tensor has, and the bytes of each."""
    elements = math.prod(shape)
    require(elements < 2**63 and all(math.prod(extent for extent in shape if extent) < 2**63 for _ in [0]), "the shape")
    if scheme.get("kind") == "plain":
        if set(scheme) != {"kind", "element"} or scheme["element"] not in BITS:
            raise Unusable(f"{scheme}")
        bits = elements * BITS[scheme["element"]]
        require(bits % 8 == 0, "no whole bytes")
        count = bits // 8 if BITS[scheme["element"]] % 8 else shape[0] if len(shape) >= 2 else elements
        return (count, bits // 8 // count) if elements else (0, 0)
    members = {"kind", "bits", "codes", "rotation", "group_axis", "group_size", "scale", "scale_exponent", "layout"}
    table = scheme.get("table")
    known = (
        scheme.get("kind") == "grouped" and set(scheme) - {"table"} == members and scheme["bits"] in (4, 8)
        and scheme["codes"] == ("symmetric" if table is None else "table") and scheme["group_axis"] == 1
        and scheme["group_size"] in (32, 64, 128) and scheme["scale"] == "f16"
        and scheme["scale_exponent"] in range(-120, 121) and scheme["rotation"] in ("none", "hadamard64")
        and scheme["layout"] in ("tile16", "row") and (table is None or scheme["bits"] == 4 and len(table) == 16
        and all(isinstance(value, int) and -127 <= value <= 127 for value in table) and sorted(set(table)) == table))
    if not known:
        raise Unusable(f"{scheme}")
    require(len(shape) >= 2 and elements > 0, "groups of no matrix")
    rows, columns = shape[0], elements // shape[0]
    require(scheme["rotation"] == "none" or columns % 64 == 0, "a turn of no whole blocks")
    height = tile_rows(scheme)
    return -(-rows // height), up(columns, 8) * height * scheme["bits"] // 8 + -(-columns // scheme["group_size"]) * height * 2


def plain(payload: bytes, element: str, shape: list[int]) -> np.ndarray:
    kinds = {"f64": "<f8", "f32": "<f4", "f16": "<f2", "i64": "<i8", "i32": "<i4", "i16": "<i2", "i8": "i1",
             "u64": "<u8", "u32": "<u4", "u16": "<u2", "u8": "u1", "bool": "u1", "c64": "<c8"}
    if element == "bf16":
        return (np.frombuffer(payload, "<u2").astype(np.uint32) << 16).view(np.float32).reshape(shape)
    if element in kinds:
        return np.frombuffer(payload, kinds[element]).reshape(shape)
    return np.frombuffer(payload, np.uint8)


def codes_to_values(payload: bytes, scheme: dict, shape: list[int], first_row: int) -> np.ndarray:
    """The rows of one chunk, from row `first_row` of the matrix on."""
    columns, height, group = math.prod(shape[1:]), tile_rows(scheme), scheme["group_size"]
    padded, groups, wide = up(columns, 8), -(-columns // group), scheme["bits"] == 8
    code_bytes = padded * height * scheme["bits"] // 8
    tiles = len(payload) // (code_bytes + groups * height * 2)
    codes = np.frombuffer(payload, np.uint8, tiles * code_bytes)
    scales = np.frombuffer(payload, "<f2", offset=tiles * code_bytes).astype(np.float32).reshape(tiles, groups, height)
    if wide:
        blocks = codes.view(np.int8).reshape(tiles, padded // 4, height, 4)
        values = blocks.transpose(0, 2, 1, 3).reshape(tiles * height, padded).astype(np.float32)
    else:
        blocks = codes.reshape(tiles, padded // 8, height, 1, 4)
        nibbles = np.concatenate([blocks & 15, blocks >> 4], axis=3)
        nibbles = nibbles.transpose(0, 2, 1, 3, 4).reshape(tiles * height, padded)
        table = np.array(scheme.get("table", range(-8, 8)), np.float32)
        values = table[nibbles]
    scales = np.repeat(scales.transpose(0, 2, 1).reshape(tiles * height, groups), group, axis=1)
    factor = np.float32(2.0 ** scheme["scale_exponent"])
    values = (values * (scales * factor)[:, :padded] if scales.shape[1] >= padded
              else values[:, :scales.shape[1]] * (scales * factor))[:, :columns]
    if scheme["rotation"] == "hadamard64":
        matrix = np.ones((1, 1))
        while len(matrix) < 64:
            matrix = np.block([[matrix, matrix], [matrix, -matrix]])
        values = (values.reshape(-1, 64).astype(np.float64) @ (matrix / 8)).astype(np.float32).reshape(values.shape)
    return values[:max(0, shape[0] - first_row)]


def golden() -> int:
    wrong = 0

    def say(name: str, what: str) -> None:
        nonlocal wrong
        wrong += 1
        print(f"{name}: {what}")

    accepted, rejected = (sorted((FORMATS / kind).glob("*.grist")) for kind in ("accept", "reject"))
    schema = json.loads((FORMATS / "grist.schema.json").read_text())
    for path in accepted:
        expected = json.loads(path.with_suffix(".json").read_text())
        grist = Grist(path)
        grist.check()
        for error in Draft202012Validator(schema).iter_errors(grist.manifest):
            say(path.name, f"the schema: {error.message}")
        for name, value in expected.items():
            kind, key = ("file", name[5:]) if name.startswith("file ") else ("tensor", name)
            try:
                found = grist.file(key) if kind == "file" else grist.raw(key)
                if isinstance(value, dict) or found != base64.b64decode(value):
                    say(path.name, f"{name} is something else")
            except Unusable:
                if not isinstance(value, dict):
                    say(path.name, f"{name} cannot be used")
    for path in rejected:
        try:
            grist = Grist(path)
            grist.check()
            for name in grist.files:
                grist.file(name)
            say(path.name, "was read")
        except Refused:
            pass
    print(f"{len(accepted)} files to accept, {len(rejected)} to reject: {wrong} wrong")
    return 1 if wrong else 0


def exported(program: str, path: str, folder: str) -> dict:
    """What `PROGRAM export --as f32` makes of a file: dtype, shape and bytes by name upstream."""
    out = Path(folder) / "out"
    subprocess.run([program, "export", path, "-o", str(out), "--as", "f32", "--quiet"], check=True)
    tensors = {}
    for file in sorted(out.rglob("*.safetensors")):
        data = file.read_bytes()
        length = struct.unpack_from("<Q", data)[0]
        for name, entry in json.loads(data[8:8 + length]).items():
            if name != "__metadata__":
                begin, end = entry["data_offsets"]
                tensors[name] = (entry["dtype"], entry["shape"], data[8 + length + begin:8 + length + end])
    return tensors


def against(program: str, paths: list[str]) -> int:
    wrong = 0
    for path in paths:
        grist, worst, count = Grist(path), 0.0, 0
        grist.check()
        with tempfile.TemporaryDirectory() as folder:
            theirs = exported(program, path, folder)
        for name, tensor in grist.tensors.items():
            dtype, shape, data = theirs.pop(tensor["source_name"])
            values = grist.values(name)
            count += 1
            if "source_layout" in tensor:
                # How it lay upstream is another test's business: the same values in some order.
                same = dtype == "F32" and np.array_equal(np.sort(values.ravel()), np.sort(np.frombuffer(data, "<f4")))
            elif dtype == "F32":
                ours = values.astype(np.float32).ravel()
                found = np.frombuffer(data, "<f4")
                difference = np.abs(ours - found)[np.isfinite(ours) & np.isfinite(found)]
                scale = np.abs(ours[np.isfinite(ours)]).max(initial=0) or 1
                error = float(difference.max(initial=0) / scale)
                worst = max(worst, error)
                same = error < 1e-6 and ours.size == found.size
                if tensor["scheme"]["kind"] == "plain" or tensor["scheme"]["rotation"] == "none":
                    same = ours.tobytes() == data
            else:
                same = data == grist.raw(name)
            if not same or "source_layout" not in tensor and shape != tensor["shape"]:
                wrong += 1
                print(f"{path}: {name} differs")
        for name in set(theirs) - {alias for tensor in grist.tensors.values() for alias in tensor.get("source_aliases", [])}:
            wrong += 1
            print(f"{path}: exported besides: {name}")
        print(f"{path}: {count} tensors, the largest difference {worst:.1e} of a tensor's largest value")
    return 1 if wrong else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="*")
    parser.add_argument("--values", metavar="NAME", help="print a tensor's values")
    parser.add_argument("--golden", action="store_true", help="read Formats/accept and Formats/reject")
    parser.add_argument("--against", metavar="GRISTMILL", help="compare with what this program exports")
    options = parser.parse_args()
    if options.golden:
        return golden()
    if options.against:
        return against(options.against, options.file)
    for path in options.file:
        try:
            grist = Grist(path)
            grist.check()
            if options.values:
                print(grist.values(options.values))
                continue
            print(f"{path}: generation {grist.generation}, {len(grist.chunks)} chunks, all whole")
            for name, tensor in grist.tensors.items():
                print(f"  {name} {tensor['shape']} {json.dumps(tensor['scheme'])}")
            for name, file in grist.files.items():
                same = hashlib.sha256(grist.file(name)).hexdigest() == file["sha256"]
                print(f"  {name}, {file['bytes']} bytes{'' if same else ', of another SHA-256'}")
        except (Refused, Unusable) as error:
            print(f"{path}: {error}", file=sys.stderr)
            return 65
    return 0


if __name__ == "__main__":
    sys.exit(main())
