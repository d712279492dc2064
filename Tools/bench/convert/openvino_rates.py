"""How fast OpenVINO GenAI runs a model that openvino_model.py wrote: `openvino_rates.py MODEL JSON`, in a Python that has it.

JSON: {"threads": 2, "prompts": [512], "depths": [0, 512], "tokens": 16, "backend": "PA" or "SDPA", "properties": {…}}. Random token ids; a
first, short prompt touches all weights and does not count, nor does the first of two of each length. Prints one JSON document with tokens a
second: of a prompt by the time to the first token, of decoding by the time of the tokens after it."""

from __future__ import annotations

import json
import random
import sys

import numpy as np
import openvino as ov
import openvino_genai as genai

WARM_UP = 33


def main() -> None:
    folder, asked = sys.argv[1], json.loads(sys.argv[2])
    properties = {"INFERENCE_NUM_THREADS": asked["threads"], "ATTENTION_BACKEND": asked["backend"], **asked["properties"]}
    if asked["backend"] == "PA":
        scheduler = genai.SchedulerConfig()
        scheduler.enable_prefix_caching = False
        scheduler.max_num_batched_tokens = asked.get("batch", 4096)
        scheduler.cache_size = 4
        properties["scheduler_config"] = scheduler
    pipeline = genai.LLMPipeline(folder, "CPU", **properties)
    random.seed(1)

    def generate(rows: int, tokens: int):
        ids = np.array([[random.randrange(3, 32000) for _ in range(rows)]], dtype=np.int64)
        config = genai.GenerationConfig(max_new_tokens=tokens, min_new_tokens=tokens, ignore_eos=True, do_sample=False)
        inputs = genai.TokenizedInputs(ov.Tensor(ids), ov.Tensor(np.ones_like(ids)))
        return pipeline.generate(inputs, config).perf_metrics

    generate(WARM_UP, 4)
    found = {"prompts": {}, "depths": {}}
    for rows in asked["prompts"]:
        generate(rows, 1)
        found["prompts"][rows] = 1000 * rows / generate(rows, 1).get_ttft().mean
    for rows in asked["depths"]:
        found["depths"][rows] = 1000 / generate(max(rows, 1), asked["tokens"] + 1).get_tpot().mean
    print(json.dumps(found))


if __name__ == "__main__":
    main()
