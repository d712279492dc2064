"""How fast OpenVINO runs CLIP-L at 336 pixels and LLaVA's projector: `openvino_tower.py FOLDER THREADS`.

Random weights, 23 layers, as LLaVA runs them. Three forms: int8 weights (NNCF, symmetric, as optimum-intel does it), with activations rounded
while they are multiplied in groups of 64 and of 128 (or not, dq=0), and statically quantized with NNCF, whose accuracy is another matter.
Prints one JSON document: seconds a tile by form, the best of one tile and of five at a time, medians of five."""

from __future__ import annotations

import json
import statistics
import sys
import time
from pathlib import Path

import nncf
import numpy as np
import openvino as ov
import torch
from transformers import CLIPVisionConfig, CLIPVisionModel


class Tower(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        config = CLIPVisionConfig(hidden_size=1024, intermediate_size=4096, num_hidden_layers=23, num_attention_heads=16, image_size=336, patch_size=14)
        self.clip = CLIPVisionModel(config)
        self.projector = torch.nn.Sequential(torch.nn.Linear(1024, 4096), torch.nn.GELU(), torch.nn.Linear(4096, 4096))

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        # The last norm belongs to the class token's output, which LLaVA does not take.
        return self.projector(self.clip(pixels).last_hidden_state[:, 1:])


def forms(folder: Path) -> dict[str, Path]:
    """The models, made where they are not there."""
    paths = {name: folder / f"openvino-tower-{name}.xml" for name in ("int8", "static")}
    if not all(path.exists() for path in paths.values()):
        torch.manual_seed(1)
        plain = ov.convert_model(Tower().eval(), example_input=torch.randn(1, 3, 336, 336), input=[-1, 3, 336, 336])
        ov.save_model(plain, folder / "openvino-tower.xml")
        for name, path in paths.items():
            model = ov.Core().read_model(folder / "openvino-tower.xml")
            if name == "int8":
                model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_SYM)
            else:
                samples = nncf.Dataset([np.random.default_rng(i).standard_normal((1, 3, 336, 336), dtype=np.float32) for i in range(8)])
                model = nncf.quantize(model, samples, model_type=nncf.ModelType.TRANSFORMER, subset_size=8)
            ov.save_model(model, path)
    return paths


def seconds(path: Path, threads: int, properties: dict) -> float:
    compiled = ov.Core().compile_model(path, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", **properties})
    best = []
    for tiles in (1, 5):
        pixels = np.random.default_rng(0).standard_normal((tiles, 3, 336, 336), dtype=np.float32)
        request = compiled.create_infer_request()
        times = []
        for turn in range(6):
            start = time.perf_counter()
            request.infer([pixels])
            times.append((time.perf_counter() - start) / tiles)
        best.append(statistics.median(times[1:]))
    return min(best)


def main() -> None:
    folder, threads = Path(sys.argv[1]), int(sys.argv[2])
    paths = forms(folder)
    found = {f"int8 weights, dq={group}": seconds(paths["int8"], threads, {"DYNAMIC_QUANTIZATION_GROUP_SIZE": group}) for group in (0, 64, 128)}
    found["static int8"] = seconds(paths["static"], threads, {})
    print(json.dumps(found))


if __name__ == "__main__":
    main()
