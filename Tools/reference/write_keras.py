"""Writes the tensors of a checkpoint as Keras writes them, from real Keras layers that carry them.

    write_keras.py OUTPUT [--checkpoint FOLDER] [--shard-size GIGABYTES]

FOLDER is Tests/Fixtures/checkpoints/four-choices where none is named; in float16 or float32.

model.weights.h5      Keras 3's own format
model.keras           the whole model in an archive
sharded/              the same in shards, with model.weights.json
legacy.h5             the older one, `model_weights/` with `layer_names` and `weight_names`

Linear weights sit in Dense layers (kernels [in, out]), the patch embedding in a Conv2D ([rows, columns, colours, out]), norms
with a bias in LayerNormalization, tables in Embedding, the rest in a layer of one variable. `keras.map` and
`keras-legacy.map` beside the output are how Gristmill reads them. Needs keras, torch, h5py and safetensors.
"""

import argparse
import os
import pathlib

os.environ["KERAS_BACKEND"] = "torch"

import h5py  # noqa: E402
import keras  # noqa: E402
import safetensors.numpy  # noqa: E402
from keras.src.legacy.saving import legacy_h5_format  # noqa: E402

CHECKPOINT = pathlib.Path(__file__).parents[2] / "Tests/Fixtures/checkpoints/four-choices"


class Single(keras.layers.Layer):
    """A layer of one variable."""

    def __init__(self, value, name=None):
        super().__init__(name=name)
        self.value = self.add_weight(shape=value.shape, name="value")
        self.value.assign(value)
        self.built = True


class Group(keras.layers.Layer):
    """Layers under the names of their attributes; numbered ones in a list."""

    def __init__(self, tree, prefix, carry):
        super().__init__()
        for name, child in tree.items():
            if isinstance(child, dict) and child and all(key.isdigit() for key in child):
                members = [carry(child[key], f"{prefix}{name}.{key}.") for key in sorted(child, key=int)]
                setattr(self, name, members)
            else:
                setattr(self, name, carry(child, f"{prefix}{name}."))
        self.built = True


def carry(tree, prefix=""):
    """The layer for a module's subtree: {'weight': array, 'bias': array}, deeper dictionaries, or one array."""
    # The older format knows a layer by its name alone, in which torch's backend allows no dot.
    name = prefix.removesuffix(".").replace(".", "-")
    if not isinstance(tree, dict):
        return Single(tree, name)
    leaf = all(not isinstance(value, dict) for value in tree.values()) and "weight" in tree
    if not leaf:
        return Group(tree, prefix, carry)
    weight, bias = tree["weight"], tree.get("bias")
    if weight.ndim == 4:
        layer = keras.layers.Conv2D(weight.shape[0], weight.shape[2:], use_bias=bias is not None, name=name)
        layer.build((None, *weight.shape[2:], weight.shape[1]))
        layer.set_weights([weight.transpose(2, 3, 1, 0)])
    elif weight.ndim == 2 and "embed" in prefix:
        layer = keras.layers.Embedding(*weight.shape, name=name)
        layer.build(None)
        layer.set_weights([weight])
    elif weight.ndim == 2:
        layer = keras.layers.Dense(weight.shape[0], use_bias=bias is not None, name=name)
        layer.build((None, weight.shape[1]))
        layer.set_weights([weight.T] + ([] if bias is None else [bias]))
    elif bias is not None:
        layer = keras.layers.LayerNormalization(name=name)
        layer.build((None, weight.shape[0]))
        layer.set_weights([weight, bias])
    else:
        layer = Single(weight, name)
    return layer


class Carrier(keras.Model):
    def __init__(self, tree):
        super().__init__()
        for name, child in tree.items():
            setattr(self, name, carry(child, name + "."))
        self.built = True

    def get_config(self):
        return {}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    parser.add_argument("--checkpoint", type=pathlib.Path, default=CHECKPOINT)
    parser.add_argument("--shard-size", type=float, default=2e-4)
    options = parser.parse_args()
    output = options.output
    tensors = safetensors.numpy.load_file(options.checkpoint / "model.safetensors")
    # As the checkpoint is.
    keras.config.set_dtype_policy(str(next(iter(tensors.values())).dtype))
    (output / "sharded").mkdir(parents=True, exist_ok=True)
    tree = {}
    for name, value in tensors.items():
        *path, last = name.split(".")
        node = tree
        for part in path:
            node = node.setdefault(part, {})
        node[last] = value
    model = Carrier(tree)
    model.save_weights(output / "model.weights.h5")
    model.save_weights(output / "sharded/model.weights.json", max_shard_size=options.shard_size)
    model.save(output / "model.keras")
    with h5py.File(output / "legacy.h5", "w") as file:
        legacy_h5_format.save_weights_to_hdf5_group(file.create_group("model_weights"), model)
    print(f"written by Keras {keras.__version__}:", *sorted(str(p.relative_to(output)) for p in output.rglob("*") if p.is_file()))


if __name__ == "__main__":
    main()
