"""Rotary frequencies as transformers computes them: `write_rope.py TESTS/FIXTURES/rope.json`.

Each case is a configuration in one of the two spellings and the inverse frequencies of LlamaRotaryEmbedding, which the tests of GristSources
are held to.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding

LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}
CASES = [
    {},
    {"rope_theta": 500000.0},
    {"rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}},
    {"rope_parameters": {"rope_theta": 1000000.0, "rope_type": "linear", "factor": 4.0}},
    {"rope_theta": 20000.0, "rope_scaling": {"type": "linear", "factor": 2.5}},
    {"rope_theta": 500000.0, "rope_scaling": LLAMA3},
    {"rope_parameters": {"rope_theta": 500000.0, **LLAMA3, "factor": 32.0}},
    {"rope_parameters": {"rope_theta": 10000.0, **LLAMA3, "original_max_position_embeddings": 512, "high_freq_factor": 16.0}},
]
DIMENSIONS = (64, 128, 80)


def main() -> None:
    cases = []
    for settings in CASES:
        for dimension in DIMENSIONS:
            config = LlamaConfig(hidden_size=4 * dimension, num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=131072, **json.loads(json.dumps(settings)))
            frequencies = LlamaRotaryEmbedding(config).inv_freq.tolist()
            cases.append({"config": {**settings, "max_position_embeddings": 131072}, "dimension": dimension, "inverse_frequencies": frequencies})
    Path(sys.argv[1]).write_text("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


if __name__ == "__main__":
    main()
