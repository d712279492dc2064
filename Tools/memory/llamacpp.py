"""Decodes four tokens with llama.cpp and says how fast, one line a token; what was said last counts."""

import json
import sys
import time

import llama_cpp


def main(path, mode):
    llama_cpp.llama_backend_init()
    parameters = llama_cpp.llama_model_default_params()
    parameters.load_mode = {"mmap": 1, "direct": 4}[mode]
    # Weights repacked for the processor are a copy: with a mapped file that is what has no room.
    parameters.use_extra_bufts = mode == "direct"
    model = llama_cpp.llama_model_load_from_file(path.encode(), parameters)
    if not model:
        raise SystemExit("the model cannot be loaded")
    options = llama_cpp.llama_context_default_params()
    options.n_ctx, options.n_threads, options.n_threads_batch = 64, 2, 2
    context = llama_cpp.llama_init_from_model(model, options)

    def decode(token):
        tokens = (llama_cpp.llama_token * 1)(token)
        if llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(tokens, 1)):
            raise SystemExit("llama_decode failed")
        llama_cpp.llama_get_logits(context)

    decode(1)
    began = time.monotonic()
    for count in range(1, 5):
        decode(300 + count)
        print(json.dumps({"tokens_a_second": count / (time.monotonic() - began)}), flush=True)


main(*sys.argv[1:])
