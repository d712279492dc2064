"""Writes Tests/Fixtures/torch: files of torch.save, what torch reads out of them, and files that no torch should write.

    write_torch.py OUTPUT                  NAME-VERSION.bin for the torch at hand, and expected.json
    write_torch.py OUTPUT --hostile        hostile/NAME.bin and hostile.json, which needs no torch

Run it with as many versions of torch as there are, into the same folder: 1.6 and later write zip archives, and differ in what
they put beside the tensors.
"""

import argparse
import hashlib
import io
import json
import pathlib
import pickle
import struct
import zipfile
from collections import OrderedDict


def digest(tensor):
    import torch

    flat = tensor.detach().contiguous()
    raw = flat.view(torch.uint8) if flat.dim() else flat.reshape(1).view(torch.uint8)
    return hashlib.sha256(bytes(raw.flatten().tolist())).hexdigest()


def states():
    """Names of files, and what is saved in them."""
    import torch

    torch.manual_seed(7)
    base = torch.randn(6, 10)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8,
             torch.uint8]
    types = OrderedDict((str(kind).split(".")[1], (torch.arange(12).reshape(3, 4) * 3 - 5).to(kind)) for kind in kinds)
    types["bool"] = torch.arange(12).reshape(3, 4) % 3 == 0
    for name in ["float8_e4m3fn", "float8_e5m2", "uint16", "uint32", "uint64"]:
        if hasattr(torch, name):
            types[name] = torch.arange(12).reshape(3, 4).to(torch.float32).to(getattr(torch, name))
    layer = torch.nn.Linear(4, 3)
    layer.register_buffer("mask", torch.ones(2, 2))
    yield "types", types
    yield "views", {
        "transposed": base.t(), "column": base[:, 3], "row": base[2], "window": base[1:4, 2:9:3], "whole": base,
        "expanded": base[0, :1].expand(5, 4), "scalar": base[3, 3], "empty": base[:0], "none": torch.empty(3, 0, 2),
        "permuted": torch.randn(2, 3, 4, 5).permute(3, 1, 0, 2), "diagonal": base.diagonal(), "one": base[2:3, 4:5],
    }
    yield "parameters", {"w": torch.nn.Parameter(base), "shared": base.reshape(10, 6), **layer.state_dict()}
    yield "module", layer.state_dict()
    tagged = torch.nn.Parameter(torch.ones(3))
    tagged.kept = True
    yield "nested", {"epoch": 3, "lr": 1e-4, "state_dict": {"a.weight": base, "tagged": tagged, "note": "text"}, "optimizer": {"state": {}}}
    yield "odd-names", {"größe.weight": base[:1], "a b\n": base[:2], "": base[:3], 5: base}


def write(output):
    import torch

    version = torch.__version__.split("+")[0]
    path = output / "expected.json"
    expected = json.loads(path.read_text()) if path.exists() else {}
    for name, state in states():
        file = f"{name}-{version}.bin"
        torch.save(state, output / file)
        loaded = torch.load(output / file, **({"weights_only": False} if version >= "1.13" else {}))
        loaded = loaded.get("state_dict", loaded)
        expected[file] = {
            key: {"shape": list(value.shape), "type": str(value.dtype).split(".")[1], "sha256": digest(value)}
            for key, value in loaded.items() if isinstance(key, str) and torch.is_tensor(value)}
    torch.save({"w": torch.ones(2)}, output / f"old-form-{version}.bin", _use_new_zipfile_serialization=False)
    if version > "2":
        # As 1.6 wrote them: no byte order, and nothing to tell archives apart.
        source = zipfile.ZipFile(output / f"views-{version}.bin")
        with zipfile.ZipFile(output / "views-as-1.6.bin", "w") as archive:
            for member in source.infolist():
                root, _, rest = member.filename.partition("/")
                if rest.startswith("data") or rest == "version":
                    archive.writestr("archive/" + rest, b"3\n" if rest == "version" else source.read(member))
        expected["views-as-1.6.bin"] = expected[f"views-{version}.bin"]
    path.write_text(json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False) + "\n")
    print(version, len(expected))


# Pickles by hand: what torch would never write.

def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def number(value):
    return b"J" + struct.pack("<i", value) if -2**31 <= value < 2**31 else b"\x8a\x08" + struct.pack("<q", value)


def called(name, *arguments):
    module, _, function = name.rpartition(".")
    return f"c{module}\n{function}\n".encode() + b"(" + b"".join(arguments) + b"tR"


def storage(kind="FloatStorage", key="0", count=4):
    return b"(" + text("storage") + f"ctorch\n{kind}\n".encode() + text(key) + text("cpu") + number(count) + b"tQ"


def tensor(held=None, offset=0, shape=(2, 2), strides=(2, 1), function="torch._utils._rebuild_tensor_v2"):
    def numbers(values):
        return b"(" + b"".join(map(number, values)) + b"t"

    return called(
        function, held or storage(), number(offset), numbers(shape), numbers(strides), b"\x89", called("collections.OrderedDict"))


def state(value, name="w"):
    return b"\x80\x02}" + text(name) + value + b"s."


class Runs:
    def __reduce__(self):
        return (exec, ("raise SystemExit('run')",))


def hostile():
    """Name, the pickle, other members (or the whole file), and how the refusal begins."""
    asked = "the pickled data ask for what no tensor needs"
    early = "the pickled data end too early"
    broken = "a tensor that is not written as torch writes one"
    missing = "the pickled data take what is not there"
    yield "system", state(called("os.system", text("true"))), asked
    yield "posix", state(called("posix.system", text("true"))), asked
    yield "exec", pickle.dumps({"w": Runs()}, protocol=2), asked
    yield "exec-4", pickle.dumps({"w": Runs()}, protocol=4), asked
    yield "getattr", state(called("builtins.getattr", text("a"), text("b"))), asked
    yield "torch-load", state(called("torch.serialization.load", text("x"))), asked
    yield "torch-hub", state(called("torch.hub.load", text("x"))), asked
    yield "numpy", state(called("numpy.core.multiarray._reconstruct", text("x"))), asked
    yield "quantized", state(called("torch._utils._rebuild_qtensor", text("x"))), asked
    yield "stack-global", b"\x80\x04" + text("os") + text("system") + b"\x93" + text("true") + b"\x85R.", asked
    yield "global-of-numbers", b"\x80\x04K\x01K\x02\x93.", "a class is named by two texts"
    yield "global-without-end", b"\x80\x02cos", "a name without an end"
    yield "called-text", state(text("os.system") + b")R"), "a call of something that is no class"
    yield "inside-hooks", state(called("torch._utils._rebuild_tensor_v2", storage(), number(0), b")", b")", b"\x89", called("os.system", text("true")))), asked
    yield "build", state(tensor() + called("os.system", text("true")) + b"b"), asked
    yield "object-ex", b"\x80\x04ccollections\nOrderedDict\n)}\x92.", "an operation that tensors do not need"
    yield "extension", b"\x80\x02\x82\x01.", "an operation that tensors do not need"
    yield "text-protocol", b"(dp0\nS'w'\np1\nI1\ns.", "an operation that tensors do not need"
    yield "protocol-9", b"\x80\x09}.", "a protocol that torch does not write"
    yield "empty", b"", early
    yield "without-stop", b"\x80\x02}", early
    yield "long-text", b"\x80\x02X\xff\xff\xff\xff", early
    yield "longer-text", b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7f", early
    yield "text-of-all-bits", b"\x80\x04\x8d" + b"\xff" * 8, early
    yield "negative-text", b"\x80\x02T\xff\xff\xff\xff.", early
    yield "no-utf-8", b"\x80\x02X\x02\0\0\0\xff\xfe.", "a text that is no UTF-8"
    yield "huge-number", b"\x80\x02\x8a\x10" + b"\x7f" * 16 + b".", "a whole number that counts nothing"
    yield "underflow", b"\x80\x02R.", missing
    yield "mark-missing", b"\x80\x02t.", missing
    yield "mark-crossed", b"\x80\x02K\x01(\x85.", missing
    yield "memo-missing", b"\x80\x02h\x07.", "the pickled data recall what was not kept"
    yield "memo-of-nothing", b"\x80\x02q\x07.", "the pickled data keep what is not there"
    yield "append-to-number", b"\x80\x02K\x01K\x02a.", "a list was expected"
    yield "set-in-list", b"\x80\x02]K\x01K\x02s.", "a dictionary was expected"
    yield "odd-dictionary", b"\x80\x02}(K\x01K\x02K\x03u.", "a dictionary was expected"
    yield "list-on-top", b"\x80\x02].", "the file holds no dictionary of tensors"
    yield "nothing-inside", b"\x80\x02}.", "the file holds no dictionary of tensors"
    yield "deep", b"\x80\x02" + b"]" * 200_000 + b"a" * 199_999 + b".", "the file holds no dictionary of tensors"
    yield "names-itself", b"\x80\x02}q\x00" + text("model") + b"h\x00s.", "the file holds no dictionary of tensors"
    yield "list-of-itself", b"\x80\x02]q\x00h\x00a.", "the file holds no dictionary of tensors"
    yield "operations", b"\x80\x02" + b"N0" * 2_500_000 + b".", "pickled data of more than"
    yield "no-storage", state(tensor(storage(key="9"))), "the archive lacks the storage"
    yield "storage-outside", state(tensor(storage(key="../0"))), "the archive lacks the storage"
    yield "storage-short", state(tensor(storage(count=5))), "the storage is shorter"
    yield "storage-of-all", state(tensor(storage(count=2**62))), "the storage is shorter"
    yield "storage-negative", state(tensor(storage(count=-1))), broken
    yield "storage-unknown", state(tensor(storage(kind="ComplexFloatStorage"))), asked
    yield "storage-untyped", state(tensor(b"(" + text("storage") + b"ctorch.storage\nUntypedStorage\n" + text("0") + text("cpu") + number(4) + b"tQ")), "values of a kind that is not supported"
    yield "reaches-beyond", state(tensor(shape=(2, 3), strides=(2, 1))), "the tensor reaches beyond its storage"
    yield "offset-beyond", state(tensor(offset=1)), "the tensor reaches beyond its storage"
    yield "offset-negative", state(tensor(offset=-1)), broken
    yield "stride-negative", state(tensor(strides=(-2, 1))), broken
    yield "stride-huge", state(tensor(strides=(2**62, 2**62))), "the tensor reaches beyond its storage"
    yield "shape-huge", state(tensor(shape=(2**62, 2**62), strides=(0, 0))), "the tensor reaches beyond its storage"
    yield "shape-expanded", state(tensor(shape=(2**60, 1), strides=(0, 0))), "a tensor far larger than its storage"
    yield "ranks-differ", state(tensor(strides=(1,))), broken
    yield "many-dimensions", state(tensor(shape=(1,) * 40, strides=(1,) * 40)), broken
    yield "no-identity", state(called("torch._utils._rebuild_tensor_v2", number(1), number(0), b")", b")", b"\x89", b"N")), broken
    yield "few-arguments", state(called("torch._utils._rebuild_tensor_v2", storage())), broken
    yield "parameters-in-parameters", state(b"ctorch._utils\n_rebuild_parameter\n(" * 6 + b"N" + b"tR" * 6), "the file holds no dictionary of tensors"


def write_hostile(output):
    folder = output / "hostile"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.glob("*.bin"):
        path.unlink()
    expected = {}
    packed = zipfile.ZIP_DEFLATED

    def archive(name, members, expectation, compression=zipfile.ZIP_STORED):
        with zipfile.ZipFile(folder / f"{name}.bin", "w", compression) as made:
            for member, data in members:
                made.writestr(zipfile.ZipInfo(member), data, compression)
        expected[f"{name}.bin"] = expectation

    values = struct.pack("<4f", 1, 2, 3, 4)
    for name, pickled, expectation in hostile():
        if name in ("deep", "operations"):
            # Large, and made by the test itself.
            continue
        archive(name, [("archive/data.pkl", pickled), ("archive/data/0", values)], expectation)
    good = state(tensor())
    archive("script", [("archive/data.pkl", good), ("archive/constants.pkl", b""), ("archive/data/0", values)], "a program of TorchScript")
    archive("big-endian", [("archive/data.pkl", good), ("archive/byteorder", b"big"), ("archive/data/0", values)], "the values are big-endian")
    archive("packed", [("archive/data.pkl", good), ("archive/data/0", values * 64)], "a member that is packed", packed)
    archive("no-pickle", [("archive/data/0", values)], "the archive holds no data.pkl")
    archive("sound", [("archive/data.pkl", good), ("archive/data/0", values)], "")
    bytes_ = (folder / "sound.bin").read_bytes()
    (folder / "cut.bin").write_bytes(bytes_[:-30])
    expected["cut.bin"] = "no zip archive, or a truncated one"
    (folder / "pointer.bin").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:" + "a" * 64 + "\nsize 346335\n")
    expected["pointer.bin"] = "not a file of torch.save"
    (folder / "numpy.bin").write_bytes(b"\x93NUMPY\x01\x00v\x00")
    expected["numpy.bin"] = "no zip archive, or a truncated one"
    (output / "hostile.json").write_text(json.dumps(expected, indent=1, sort_keys=True) + "\n")
    print(len(expected), "hostile files")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--hostile", action="store_true")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    (write_hostile if options.hostile else write)(options.output)


if __name__ == "__main__":
    main()
