#!/usr/bin/env python3
"""Convert an AVG-LLaVA checkpoint's language model with llama.cpp's own converter.

    python language.py LLAMA.CPP FOLDER [options of convert_hf_to_gguf.py]

The converter leaves tower, projector and newline out by itself. It does not know the router, so its tensors are hidden
from it; FOLDER is the checkpoint with a config.json that says LlamaForCausalLM (see `language_folder` in stages.py).
"""

import sys
from pathlib import Path

ROUTER = "model.router."

source, *arguments = sys.argv[1:]
sys.path.insert(0, source)
sys.argv = [str(Path(source) / "convert_hf_to_gguf.py"), *arguments]

import convert_hf_to_gguf  # noqa: E402
from conversion.base import TextModel  # noqa: E402

keep = TextModel.filter_tensors.__func__


def without_router(cls, item):
    return None if item[0].startswith(ROUTER) else keep(cls, item)


TextModel.filter_tensors = classmethod(without_router)
convert_hf_to_gguf.main()
