"""Writes Tests/Fixtures/hdf5: what h5py writes, and what it reads back. Needs h5py, numpy and
safetensors.

product.h5     every element type × layout × filters × byte order that Gristmill reads
expected.json  of each dataset: element type, shape, SHA-256 of its bytes, little-endian, row-major, as h5py reads them
refused/       one file for each thing that is refused; the name says which
chunks.h5      small chunks, and chunks from end to end
flat.h5        the tensors of Tests/Fixtures/checkpoints/crop, each a compressed dataset under the tensor's name
"""

import argparse
import hashlib
import itertools
import json
import pathlib

import h5py
import numpy as np
import safetensors.numpy

CHECKPOINT = pathlib.Path(__file__).parents[2] / "Tests/Fixtures/checkpoints/crop/model.safetensors"
TYPES = {
    "f16": "f2", "f32": "f4", "f64": "f8",
    "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8",
    "u8": "u1", "u16": "u2", "u32": "u4", "u64": "u8",
}
FILTERS = {
    "plain": {},
    "gzip": {"compression": "gzip"},
    "shuffle": {"shuffle": True},
    "fletcher32": {"fletcher32": True},
    "gzip-shuffle": {"compression": "gzip", "shuffle": True},
    "gzip-fletcher32": {"compression": "gzip", "fletcher32": True},
    "shuffle-fletcher32": {"shuffle": True, "fletcher32": True},
    "all": {"compression": "gzip", "shuffle": True, "fletcher32": True},
}
SHAPE = (7, 5, 3)
CHUNK = (3, 5, 2)


def values(dtype, rng):
    if np.dtype(dtype).kind == "f":
        return rng.standard_normal(SHAPE).astype(dtype)
    information = np.iinfo(np.dtype(dtype).newbyteorder("="))
    return rng.integers(information.min, information.max, SHAPE, dtype=information.dtype, endpoint=True).astype(dtype)


def compact(file, name, data):
    creation = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    creation.set_layout(h5py.h5d.COMPACT)
    links = h5py.h5p.create(h5py.h5p.LINK_CREATE)
    links.set_create_intermediate_group(True)
    dataset = h5py.h5d.create(
        file.id, name.encode(), h5py.h5t.py_create(data.dtype), h5py.h5s.create_simple(data.shape), creation, links)
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.ascontiguousarray(data))


def write_product(path):
    rng = np.random.default_rng(14)
    with h5py.File(path, "w", libver="earliest") as file:
        for (name, code), order in itertools.product(TYPES.items(), ("<", ">")):
            if order == ">" and code.endswith("1"):
                continue
            dtype = np.dtype(order + code)
            folder = f"{name}/{'little' if order == '<' else 'big'}"
            compact(file, f"{folder}/compact", values(dtype, rng))
            file.create_dataset(f"{folder}/contiguous", data=values(dtype, rng))
            for kind, options in FILTERS.items():
                file.create_dataset(f"{folder}/chunked/{kind}", data=values(dtype, rng), chunks=CHUNK, **options)
        edge = file.create_group("edge")
        edge["scalar"] = np.float32(1.5)
        edge.create_dataset("empty", data=np.zeros((0, 4), np.float32))
        edge.create_dataset("empty-chunked", data=np.zeros((0, 4), np.float32), chunks=(2, 4), maxshape=(None, 4))
        edge.create_dataset("one-chunk", data=rng.standard_normal(SHAPE), chunks=SHAPE, compression="gzip")
        edge.create_dataset("zeros", data=np.zeros((512, 512), np.float32), chunks=(256, 512), compression=9)
        edge["truth"] = np.array([True, False, True])
        edge["tied"] = edge["one-chunk"]
        edge["naïve 名"] = np.arange(3, dtype=np.int32)
        # As Keras stores bfloat16: opaque pairs of bytes, and an attribute that says what they are.
        bits = (rng.standard_normal(SHAPE).astype("<f4").view("<u4") >> 16).astype("<u2")
        brain = edge.create_dataset("bfloat16", data=bits.view("V2"))
        brain.attrs["dtype"] = "bfloat16"
        packed = edge.create_dataset("bfloat16-gzip", data=bits.view("V2"), chunks=CHUNK, compression="gzip", shuffle=True)
        packed.attrs["dtype"] = "bfloat16"


def element_type(dataset):
    if dataset.attrs.get("dtype") == "bfloat16":
        return "bf16"
    if dataset.dtype == bool:
        return "bool"
    return next(name for name, code in TYPES.items() if np.dtype(code) == dataset.dtype.newbyteorder("="))


def describe(path):
    entries = {}
    with h5py.File(path, "r") as file:

        def visit(name):
            dataset = file[name]
            if not isinstance(dataset, h5py.Dataset):
                return
            data = dataset[()]
            if dataset.dtype.kind in "iuf":
                data = np.asarray(data).astype(dataset.dtype.newbyteorder("<"))
            entries[name] = {
                "type": element_type(dataset), "shape": list(dataset.shape),
                "sha256": hashlib.sha256(np.asarray(data).tobytes()).hexdigest(),
            }

        # visit() passes over a second name of one dataset.
        def walk(group, prefix):
            for key in group:
                name = prefix + key
                if isinstance(group[key], h5py.Group):
                    walk(group[key], name + "/")
                else:
                    visit(name)

        walk(file, "")
    return entries


def write_refused(folder):
    folder.mkdir(parents=True, exist_ok=True)
    data = np.arange(12, dtype=np.float32).reshape(3, 4)

    def write(name, make, **options):
        with h5py.File(folder / f"{name}.h5", "w", **options) as file:
            file["weight"] = data
            make(file)

    def set_item(key, value):
        return lambda file: file.__setitem__(key, value)

    write("soft-link", set_item("other", h5py.SoftLink("/weight")))
    write("external-link", set_item("other", h5py.ExternalLink("secret.h5", "/weight")))
    write("compound", set_item("other", np.zeros(3, dtype=[("a", "f4"), ("b", "i4")])))
    write("text", set_item("other", "a text"))
    write("fixed-text", set_item("other", np.array([b"ab", b"cd"])))
    write("opaque", set_item("other", np.zeros(3, dtype="V2")))
    write("complex", set_item("other", np.zeros(3, dtype="c8")))
    write("null", set_item("other", h5py.Empty("f4")))
    write("array-type", lambda f: f.create_dataset("other", (2,), dtype=np.dtype(("f4", (3,)))))
    write("enumeration", lambda f: f.create_dataset("other", (2,), dtype=h5py.enum_dtype({"A": 0, "B": 1})))
    write("variable-length", lambda f: f.create_dataset("other", (2,), dtype=h5py.vlen_dtype("f4")))
    write("reference", lambda f: f.create_dataset("other", data=f["weight"].ref, dtype=h5py.ref_dtype))
    write("lzf", lambda f: f.create_dataset("other", data=data, chunks=(3, 4), compression="lzf"))
    write("scale-offset", lambda f: f.create_dataset("other", data=np.arange(9), chunks=(9,), scaleoffset=0))
    write("never-written", lambda f: f.create_dataset("other", (1024, 1024), dtype="f4"))
    write("external-storage", lambda f: f.create_dataset("other", (4,), "f4", external=[("secret.bin", 0, 16)]))

    def partial(file):
        file.create_dataset("other", (8, 4), dtype="f4", chunks=(2, 4))[0:2] = 1

    write("partly-written", partial)

    def virtual(file):
        layout = h5py.VirtualLayout(shape=(3, 4), dtype="f4")
        layout[:] = h5py.VirtualSource("secret.h5", "weight", shape=(3, 4))
        file.create_virtual_dataset("other", layout)

    write("virtual", virtual, libver=("v110", "v110"))

    def cycle(file):
        group = file.create_group("group")
        group["again"] = group

    write("cycle", cycle)

    def deep(file):
        group = file
        for _ in range(80):
            group = group.create_group("g")
        group["other"] = data

    write("deep", deep)

    # Three chunks are listed, as there should be, but the second claims the place of the third: row 2 would read as zeros.
    write("misplaced-chunk", lambda f: f.create_dataset("other", data=np.ones((6, 4), np.float32), chunks=(2, 4)))
    path = folder / "misplaced-chunk.h5"
    content = bytearray(path.read_bytes())
    node = next(i for i in range(len(content)) if content[i : i + 5] == b"TREE\x01")
    key = node + 24 + (8 + 3 * 8 + 8) + 8
    assert int.from_bytes(content[key : key + 8], "little") == 2
    content[key : key + 8] = (4).to_bytes(8, "little")
    path.write_bytes(content)

    # The layout's second extent of a chunk, 4, becomes 5: rows would be read with a stride that they do not have.
    write("chunk-too-long", lambda f: f.create_dataset("other", data=np.arange(24, dtype=np.float32).reshape(6, 4), chunks=(2, 4)))
    path = folder / "chunk-too-long.h5"
    content = bytearray(path.read_bytes())
    extents = b"".join(n.to_bytes(4, "little") for n in (2, 4, 4))
    place = content.index(extents)
    assert content.count(extents) == 1
    content[place + 4] = 5
    path.write_bytes(content)

    # As older Keras lists a model's layers and their variables: in fixed texts, in texts of any length, and in parts.
    def listed(file, layers, weights, parts=1):
        group = file.create_group("model_weights")
        pieces = np.array_split(np.array(layers), parts)
        for n, piece in enumerate(pieces):
            group.attrs["layer_names" + (str(n) if parts > 1 else "")] = piece
        dense = group.create_group("dense")
        dense.attrs["weight_names"] = weights
        dense["dense/kernel:0"] = data
        group.create_group("dropout").attrs["weight_names"] = np.zeros(0)

    write("listed-layer-missing", lambda f: listed(f, [b"dense", b"dropout", b"gone"], [b"dense/kernel:0"]))
    write("listed-layer-missing-in-parts", lambda f: listed(f, [b"dense", b"dropout", b"gone"], [b"dense/kernel:0"], 2))
    write("listed-variable-missing", lambda f: listed(f, [b"dense", b"dropout"], ["dense/kernel:0", "dense/bias:0"]))
    write("listed-numbers", lambda f: listed(f, [1, 2], [b"dense/kernel:0"]))

    def aliases(file):
        big = file.create_dataset("big", data=np.zeros(4096, np.float64))
        for i in range(200):
            file[f"again{i}"] = big

    write("aliases", aliases)


def write_flat(path):
    with h5py.File(path, "w") as file:
        for name, data in safetensors.numpy.load_file(CHECKPOINT).items():
            file.create_dataset(name, data=data, compression="gzip", shuffle=True)


def write_chunks(path):
    """Chunks of a few bytes, and chunks from end to end; every value is its place in row-major order."""
    data = np.arange(256 * 96, dtype=np.float32).reshape(256, 96)
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        file.create_dataset("small", data=data, chunks=(2, 8))
        file.create_dataset("column", data=data, chunks=(256, 1), compression="gzip", shuffle=True)
        file.create_dataset("cut", data=data, chunks=(100, 40), compression="gzip")


def write_optimizer(path):
    """Weights with an optimizer's state beside them, as Keras keeps them: whole models in HDF5, and Keras 3's archives."""
    with h5py.File(path, "w") as file:
        for name in ["model_weights/dense/kernel:0", "optimizer_weights/adam/m/dense/kernel:0", "optimizer/vars/0"]:
            file.create_dataset(name, data=np.arange(6, dtype=np.float32).reshape(2, 3))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=pathlib.Path)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    write_product(output / "product.h5")
    entries = describe(output / "product.h5")
    (output / "expected.json").write_text(json.dumps(entries, indent=1, ensure_ascii=False, sort_keys=True) + "\n")
    write_refused(output / "refused")
    write_flat(output / "flat.h5")
    write_chunks(output / "chunks.h5")
    write_optimizer(output / "optimizer.h5")
    print(f"{len(entries)} datasets, written by h5py {h5py.__version__} on HDF5 {h5py.version.hdf5_version}")


if __name__ == "__main__":
    main()
