"""Writes Tests/Fixtures/keras-hub: small random LLaMA and CLIP of KerasHub as Keras saves them, and what transformers computes
with the same weights.

    write_keras_hub.py OUTPUT

llama/             LlamaBackbone, grouped keys, a head of its own: config.json and model.weights.h5, as save_to_preset has them
llama3.keras       Llama3CausalLM, LLaMA 3's rotary scaling, compiled: with the optimizer's state
clip/              CLIPBackbone, as llama/
encoder.keras      CLIPVisionEncoder alone, with GELU
expected.json      per LLaMA: token ids, and the hidden state after each, after the final norm; per tower: pixels planar
                   [3, side, side], and the patches' hidden states after its last layer

Stops where KerasHub itself computes anything else. Needs keras, keras-hub, torch and transformers.
"""

import argparse
import json
import os
import pathlib
import tempfile
import shutil

os.environ["KERAS_BACKEND"] = "torch"

import keras  # noqa: E402
import keras_hub  # noqa: E402
import numpy as np  # noqa: E402
import torch  # noqa: E402
import transformers  # noqa: E402

TOLERANCE = 1e-5


def randomize(model, rng):
    for variable in model.weights:
        if "int" in str(variable.dtype):
            # Positions. A new model has zeros there; real ones count.
            variable.assign(np.arange(variable.shape[-1])[None])
            continue
        shape = variable.shape
        values = rng.standard_normal(shape).astype(np.float32) * (0.3 if len(shape) > 1 else 0.1)
        is_scale = "scale" in variable.path or "gamma" in variable.path
        variable.assign(values + 1 if is_scale else values)


def array(variable):
    return torch.from_numpy(np.asarray(keras.ops.convert_to_numpy(variable), dtype=np.float32).copy())


def llama_of(backbone):
    """transformers' LLaMA with the backbone's weights, put over by hand."""
    scaling = {}
    if backbone.rope_frequency_adjustment_factor is not None:
        scaling = {
            "rope_type": "llama3", "factor": backbone.rope_frequency_adjustment_factor,
            "low_freq_factor": backbone.rope_low_freq_factor, "high_freq_factor": backbone.rope_high_freq_factor,
            "original_max_position_embeddings": backbone.rope_pretraining_sequence_length,
        }
    config = transformers.LlamaConfig(
        vocab_size=backbone.vocabulary_size, hidden_size=backbone.hidden_dim, intermediate_size=backbone.intermediate_dim,
        num_hidden_layers=backbone.num_layers, num_attention_heads=backbone.num_query_heads,
        num_key_value_heads=backbone.num_key_value_heads, rms_norm_eps=backbone.layer_norm_epsilon,
        rope_parameters={"rope_type": "default", "rope_theta": float(backbone.rope_max_wavelength), **scaling},
        attn_implementation="eager")
    model = transformers.LlamaModel(config).eval()
    with torch.no_grad():
        model.embed_tokens.weight.copy_(array(backbone.token_embedding.embeddings))
        model.norm.weight.copy_(array(backbone.layer_norm.scale))
        for ours, theirs in zip(model.layers, backbone.transformer_layers):
            attention = theirs._self_attention_layer
            for name, dense in (
                ("q_proj", attention._query_dense), ("k_proj", attention._key_dense), ("v_proj", attention._value_dense)):
                getattr(ours.self_attn, name).weight.copy_(array(dense.kernel).flatten(1).T)
            ours.self_attn.o_proj.weight.copy_(array(attention._output_dense.kernel).flatten(0, 1).T)
            ours.mlp.gate_proj.weight.copy_(array(theirs._feedforward_gate_dense.kernel).T)
            ours.mlp.up_proj.weight.copy_(array(theirs._feedforward_intermediate_dense.kernel).T)
            ours.mlp.down_proj.weight.copy_(array(theirs._feedforward_output_dense.kernel).T)
            ours.input_layernorm.weight.copy_(array(theirs._self_attention_layernorm.scale))
            ours.post_attention_layernorm.weight.copy_(array(theirs._feedforward_layernorm.scale))
    return model


def llama_case(backbone, rng):
    ids = rng.integers(3, backbone.vocabulary_size, 11)
    with torch.no_grad():
        states = llama_of(backbone)(torch.from_numpy(ids)[None]).last_hidden_state[0].numpy()
    theirs = keras.ops.convert_to_numpy(backbone({"token_ids": ids[None], "padding_mask": np.ones((1, len(ids)))}))[0]
    assert np.abs(states - theirs).max() < TOLERANCE, np.abs(states - theirs).max()
    return {"ids": ids.tolist(), "states": np.round(states, 7).tolist()}


def clip_of(encoder):
    config = transformers.CLIPVisionConfig(
        hidden_size=encoder.hidden_dim, intermediate_size=encoder.intermediate_dim, num_hidden_layers=encoder.num_layers,
        num_attention_heads=encoder.num_heads, image_size=encoder.image_shape[0], patch_size=encoder.patch_size,
        hidden_act=encoder.intermediate_activation, attn_implementation="eager")
    model = transformers.CLIPVisionModel(config).eval()
    tower = getattr(model, "vision_model", model)
    with torch.no_grad():
        embeddings = tower.embeddings
        embeddings.class_embedding.copy_(array(encoder.embedding.class_embedding))
        embeddings.patch_embedding.weight.copy_(array(encoder.embedding.patch_embedding.kernel).permute(3, 2, 0, 1))
        embeddings.position_embedding.weight.copy_(array(encoder.embedding.position_embedding.embeddings))
        tower.pre_layrnorm.weight.copy_(array(encoder.pre_layer_norm.gamma))
        tower.pre_layrnorm.bias.copy_(array(encoder.pre_layer_norm.beta))
        for ours, theirs in zip(tower.encoder.layers, encoder.encoder_layers):
            for name, dense in (
                ("q_proj", theirs.attention._query_dense), ("k_proj", theirs.attention._key_dense),
                ("v_proj", theirs.attention._value_dense)):
                getattr(ours.self_attn, name).weight.copy_(array(dense.kernel).flatten(1).T)
                getattr(ours.self_attn, name).bias.copy_(array(dense.bias).flatten())
            ours.self_attn.out_proj.weight.copy_(array(theirs.attention._output_dense.kernel).flatten(0, 1).T)
            ours.self_attn.out_proj.bias.copy_(array(theirs.attention._output_dense.bias))
            for name, dense in (("fc1", theirs.dense_1), ("fc2", theirs.dense_2)):
                getattr(ours.mlp, name).weight.copy_(array(dense.kernel).T)
                getattr(ours.mlp, name).bias.copy_(array(dense.bias))
            for name, norm in (("layer_norm1", theirs.layer_norm_1), ("layer_norm2", theirs.layer_norm_2)):
                getattr(ours, name).weight.copy_(array(norm.gamma))
                getattr(ours, name).bias.copy_(array(norm.beta))
        tower.post_layernorm.weight.copy_(array(encoder.layer_norm.gamma))
        tower.post_layernorm.bias.copy_(array(encoder.layer_norm.beta))
    return model, tower


def clip_case(encoder, rng):
    side = encoder.image_shape[0]
    pixels = rng.standard_normal((side, side, 3)).astype(np.float32)
    model, tower = clip_of(encoder)
    with torch.no_grad():
        output = model(torch.from_numpy(pixels).permute(2, 0, 1)[None], output_hidden_states=True)
        last = output.hidden_states[-1]
        normed = tower.post_layernorm(last)[0].numpy()
    theirs = keras.ops.convert_to_numpy(encoder({"images": pixels[None]}))[0]
    assert np.abs(normed - theirs).max() < TOLERANCE, np.abs(normed - theirs).max()
    return {
        "pixels": np.round(pixels.transpose(2, 0, 1).reshape(-1), 7).tolist(),
        "states": np.round(last[0, 1:].numpy(), 7).tolist(),
    }


def save_preset(model, folder):
    with tempfile.TemporaryDirectory() as scratch:
        model.save_to_preset(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("config.json", "model.weights.h5"):
            shutil.copy(pathlib.Path(scratch) / name, folder / name)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    output = parser.parse_args().output
    output.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(14)
    size = {"vocabulary_size": 1024, "hidden_dim": 32, "intermediate_dim": 48}
    llama = keras_hub.models.LlamaBackbone(num_layers=3, num_query_heads=4, num_key_value_heads=2, **size)
    randomize(llama, rng)
    save_preset(llama, output / "llama")
    llama3 = keras_hub.models.Llama3Backbone(
        num_layers=2, num_query_heads=4, num_key_value_heads=4, rope_max_wavelength=500_000,
        rope_frequency_adjustment_factor=8.0, rope_low_freq_factor=1.0, rope_high_freq_factor=4.0,
        rope_pretraining_sequence_length=64, layer_norm_epsilon=1e-5, **size)
    randomize(llama3, rng)
    task = keras_hub.models.Llama3CausalLM(backbone=llama3)
    task.compile(optimizer=keras.optimizers.SGD(momentum=0.9))
    task.optimizer.build(task.trainable_variables)
    task.save(output / "llama3.keras")

    def encoder(**changes):
        settings = {
            "patch_size": 4, "hidden_dim": 16, "num_layers": 3, "num_heads": 2, "intermediate_dim": 40,
            "intermediate_activation": "quick_gelu", "image_shape": (16, 16, 3), **changes}
        return keras_hub.models.CLIPVisionEncoder(**settings)

    text = keras_hub.models.CLIPTextEncoder(
        vocabulary_size=32, embedding_dim=16, hidden_dim=16, num_layers=1, num_heads=2, intermediate_dim=16, max_sequence_length=8)
    clip = keras_hub.models.CLIPBackbone(vision_encoder=encoder(), text_encoder=text, projection_dim=8)
    randomize(clip, rng)
    save_preset(clip, output / "clip")
    alone = encoder(intermediate_activation="gelu", num_layers=2, num_heads=4, patch_size=8)
    randomize(alone, rng)
    alone.save(output / "encoder.keras")
    document = {
        "keras": keras.__version__, "keras_hub": keras_hub.__version__, "transformers": transformers.__version__,
        "llama": llama_case(llama, rng), "llama3.keras": llama_case(llama3, rng),
        "clip": clip_case(clip.vision_encoder, rng), "encoder.keras": clip_case(alone, rng),
    }
    (output / "expected.json").write_text(json.dumps(document) + "\n")


if __name__ == "__main__":
    main()
