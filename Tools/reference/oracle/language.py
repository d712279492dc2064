"""The decoder: transformers' LLaMA or Mistral in float32, fed with embeddings, decoded greedily."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

from .checkpoint import Settings


@dataclass
class Generation:
    """Logits after the prompt, and the greedy continuation with its margins."""

    last_logits: Tensor
    tokens: list[int]
    margins: list[float]


def margin(logits: Tensor) -> float:
    """Distance between the two best logits."""
    best = logits.topk(2).values
    return float(best[0] - best[1])


class Language:
    """Decoder of one checkpoint. Rotary tables are float32, as everything else is."""

    def __init__(self, settings: Settings, tensors: dict[str, Tensor]) -> None:
        raw = settings.raw
        if raw.get("rope_scaling"):
            raise ValueError("rope_scaling is not one of the things the oracle knows")
        is_mistral = "Mistral" in raw.get("architectures", [""])[0]
        more = {"sliding_window": raw.get("sliding_window", 4096)} if is_mistral else {}
        config = (MistralConfig if is_mistral else LlamaConfig)(
            **more,
            vocab_size=raw["vocab_size"],
            hidden_size=raw["hidden_size"],
            intermediate_size=raw["intermediate_size"],
            num_hidden_layers=raw["num_hidden_layers"],
            num_attention_heads=raw["num_attention_heads"],
            num_key_value_heads=raw.get("num_key_value_heads") or raw["num_attention_heads"],
            max_position_embeddings=raw.get("max_position_embeddings", 4096),
            rms_norm_eps=raw["rms_norm_eps"],
            rope_parameters={"rope_type": "default", "rope_theta": raw.get("rope_theta", 10000.0)},
            tie_word_embeddings=bool(raw.get("tie_word_embeddings", False)),
            pad_token_id=None,
        )
        kind = MistralForCausalLM if is_mistral else LlamaForCausalLM
        model = kind._from_config(config, attn_implementation="eager")
        names = set(model.state_dict())
        weights = {name: tensor for name, tensor in tensors.items() if name in names}
        if config.tie_word_embeddings:
            weights["lm_head.weight"] = tensors["model.embed_tokens.weight"]
        model.load_state_dict(weights, strict=True)
        self.model = model.to(torch.float32).eval()
        ends = settings.generation.get("eos_token_id") or raw.get("eos_token_id", 2)
        self.ends = set(ends if isinstance(ends, list) else [ends])

    def embed(self, ids: Tensor) -> Tensor:
        return self.model.model.embed_tokens(ids)

    def generate(self, rows: Tensor, count: int) -> Generation:
        """Run the prompt's rows, [positions, hidden], and continue for up to `count` tokens.

        Decoding stops after the end-of-sequence token, which is kept in the answer.
        """
        state = self.model(inputs_embeds=rows[None], use_cache=True, logits_to_keep=1)
        last = logits = state.logits[0, -1]
        tokens: list[int] = []
        margins: list[float] = []
        while len(tokens) < count:
            tokens.append(int(logits.argmax()))
            margins.append(margin(logits))
            if tokens[-1] in self.ends or len(tokens) == count:
                break
            state = self.model(
                input_ids=torch.tensor([tokens[-1:]]),
                past_key_values=state.past_key_values,
                use_cache=True,
            )
            logits = state.logits[0, -1]
        return Generation(last, tokens, margins)
