#!/usr/bin/env python3
"""Write a GGUF file anew with as many layers as asked for, taken in turn from those it has.

    python gguf_layers.py LLAMA.CPP IN.gguf OUT.gguf LAYERS

For quantizers that take half an hour for a few layers: quantize one, and repeat it. How fast a model runs does not depend on its values.
"""

import re
import sys
from pathlib import Path

source, original, output, layers = sys.argv[1:]
sys.path.insert(0, str(Path(source) / "gguf-py"))

from gguf import GGUFReader, GGUFValueType, GGUFWriter  # noqa: E402

LAYER = re.compile(r"blk\.(\d+)\.(.*)")

reader = GGUFReader(original)
architecture = reader.fields["general.architecture"].contents()
writer = GGUFWriter(output, architecture)
for field in reader.fields.values():
    if field.name.startswith("GGUF.") or field.name == "general.architecture":
        continue
    value = int(layers) if field.name == f"{architecture}.block_count" else field.contents()
    inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
    writer.add_key_value(field.name, value, field.types[0], inner)

own = {tensor.name: tensor for tensor in reader.tensors}
count = reader.fields[f"{architecture}.block_count"].contents()
chosen = [(name, tensor) for name, tensor in own.items() if not LAYER.match(name)]
for layer in range(int(layers)):
    prefix = f"blk.{layer % count}."
    chosen += [(f"blk.{layer}.{name.removeprefix(prefix)}", tensor) for name, tensor in own.items() if name.startswith(prefix)]
for name, tensor in chosen:
    writer.add_tensor_info(name, tensor.data.shape, tensor.data.dtype, tensor.data.nbytes, raw_dtype=tensor.tensor_type)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_ti_data_to_file()
for _, tensor in chosen:
    writer.write_tensor_data(tensor.data)
writer.close()
