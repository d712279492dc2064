"""A language model as OpenVINO runs it: `openvino_model.py FOLDER OUTPUT int4-64|int4-128|int8`.

FOLDER holds a Llama as transformers reads it. Weights are rounded by NNCF without data, to symmetric codes as optimum-intel does it by
default; embeddings and head become int8 with int4, too. Takes optimum-intel and nncf, and 16 GB of memory for 2 billion weights."""

from __future__ import annotations

import sys
from pathlib import Path

from optimum.intel import OVModelForCausalLM, OVWeightQuantizationConfig


def main() -> None:
    folder, output, kind = sys.argv[1:]
    if kind == "int8":
        config = OVWeightQuantizationConfig(bits=8, sym=True)
    else:
        config = OVWeightQuantizationConfig(bits=4, sym=True, group_size=int(kind.removeprefix("int4-")), ratio=1.0)
    model = OVModelForCausalLM.from_pretrained(folder, export=True, compile=False, quantization_config=config)
    model.save_pretrained(output)
    print(sum(file.stat().st_size for file in Path(output).glob("*.bin")))


if __name__ == "__main__":
    main()
