"""Writes a small random LLaVA-NeXT or LLaVA-1.5 as transformers saves it, and what transformers computes with it.

    write_huggingface.py next OUTPUT     LlavaNextForConditionalGeneration
    write_huggingface.py llava OUTPUT    LlavaForConditionalGeneration
    write_huggingface.py mistral OUTPUT  MistralForCausalLM, with a window shorter than its prompts

Run once with transformers 4.57 and once with 5, for the two ways in which they lay checkpoints out. Pictures go through
the PIL image processor, text through transformers' own LLaMA tokenizer made from the conformance kit's tokenizer.model.
"""

import argparse
import json
import pathlib
import shutil

import torch
import transformers
from PIL import Image

ROOT = pathlib.Path(__file__).parents[2]
KIT = ROOT / "Tests/Fixtures/conformance"
PICTURES = ["china.jpg", "china_portrait.jpg", "flower_panorama.jpg", "flower_tiny.jpg"]
PROMPTS = ["What is this?", "Describe the colours, please.\nBriefly!"]
NEW_TOKENS = 8


def tokenizer():
    from transformers import LlamaTokenizerFast

    made = LlamaTokenizerFast.from_pretrained(KIT / "small-f32")
    made.add_special_tokens({"additional_special_tokens": ["<image>"]})
    return made


def image_processor(kind, side):
    name = {"next": "LlavaNextImageProcessor", "llava": "CLIPImageProcessor"}[kind]
    # transformers 5 calls the PIL one so; in 4 the plain name is it.
    made = getattr(transformers, name + "Pil", None) or getattr(transformers, name)
    options = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    if kind == "next":
        options["image_grid_pinpoints"] = PINPOINTS
    return made(**options)


# Height first. The order decides between equals, so it is no symmetric list.
PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]


def build(kind, vocabulary, image_token):
    vision = transformers.CLIPVisionConfig(
        hidden_size=32, intermediate_size=64, num_hidden_layers=3, num_attention_heads=2, image_size=56, patch_size=14,
        projection_dim=16)
    text = transformers.LlamaConfig(
        vocab_size=vocabulary, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, rms_norm_eps=1e-5, max_position_embeddings=1024)
    common = {"vision_config": vision, "text_config": text, "image_token_index": image_token, "image_seq_length": 16}
    torch.manual_seed(2411)
    if kind == "next":
        config = transformers.LlavaNextConfig(image_grid_pinpoints=PINPOINTS, **common)
        model = transformers.LlavaNextForConditionalGeneration(config)
    else:
        model = transformers.LlavaForConditionalGeneration(transformers.LlavaConfig(**common))
    return widen(model)


def widen(model):
    """Wider than the initializer makes them, so that logits differ by more than noise."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08 if "embed" in name else 1.2 / parameter.shape[-1] ** 0.5)
            elif name.endswith("bias") or "newline" in name or "class_embedding" in name:
                parameter.normal_(0, 0.05)
    return model.eval()


def mistral(output):
    words = tokenizer()
    torch.manual_seed(2411)
    # Heads wider than the hidden size divided by them, as Mistral NeMo has.
    model = widen(transformers.MistralForCausalLM(transformers.MistralConfig(
        vocab_size=(len(words) + 63) // 64 * 64, hidden_size=48, intermediate_size=80, num_hidden_layers=3, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, rms_norm_eps=1e-5, max_position_embeddings=1024, sliding_window=9)))
    model.set_attn_implementation("eager")
    cases = []
    for prompt in ["Why?", "Describe the colours, please.\nBriefly! And then say what else there is to be seen, if anything."] + ["a cat " * 60]:
        ids = words(f"[INST] {prompt} [/INST]", return_tensors="pt")["input_ids"]
        with torch.no_grad():
            logits = model(ids).logits[0, -1]
            answer = model.generate(ids, do_sample=False, max_new_tokens=24)[0]
        cases.append({
            "prompt": prompt, "input_ids": ids[0].tolist(), "last_logits": [round(x, 6) for x in logits.tolist()],
            "greedy": answer[ids.shape[1]:].tolist()})
    shutil.rmtree(output, ignore_errors=True)
    model.save_pretrained(output)
    shutil.copy(KIT / "small-f32/tokenizer.model", output)
    (output / "generation_config.json").unlink(missing_ok=True)
    (output / "expected.json").write_text(json.dumps({"transformers": transformers.__version__, "cases": cases}) + "\n")
    print(transformers.__version__, output, [len(c["input_ids"]) for c in cases], cases[0]["greedy"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["next", "llava", "mistral"])
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    if options.kind == "mistral":
        return mistral(options.output)
    words = tokenizer()
    image_token = words.convert_tokens_to_ids("<image>")
    # Padded beyond the tokenizer, as real checkpoints are.
    model = build(options.kind, (len(words) + 63) // 64 * 64, image_token)
    pictures = image_processor(options.kind, 56)
    processor_class = transformers.LlavaNextProcessor if options.kind == "next" else transformers.LlavaProcessor
    processor = processor_class(
        image_processor=pictures, tokenizer=words, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1)
    cases = []
    for picture in PICTURES:
        for prompt in PROMPTS:
            text = f"USER: <image>\n{prompt} ASSISTANT:"
            image = Image.open(KIT / "images" / picture).convert("RGB")
            inputs = processor(text=text, images=image, return_tensors="pt")
            with torch.no_grad():
                logits = model(**inputs).logits[0, -1]
                answer = model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)[0]
            ids = inputs["input_ids"][0].tolist()
            cases.append({
                "image": picture, "prompt": prompt, "text": text,
                # The picture's places as one, as Gristmill writes them.
                "input_ids": [i for n, i in enumerate(ids) if i != image_token or n == 0 or ids[n - 1] != image_token],
                "image_rows": ids.count(image_token), "last_logits": [round(x, 6) for x in logits.tolist()],
                "greedy": answer[len(ids):].tolist(),
            })
    shutil.rmtree(options.output, ignore_errors=True)
    model.save_pretrained(options.output)
    pictures.save_pretrained(options.output)
    shutil.copy(KIT / "small-f32/tokenizer.model", options.output)
    (options.output / "generation_config.json").unlink(missing_ok=True)
    document = {"transformers": transformers.__version__, "image_token": image_token, "cases": cases}
    (options.output / "expected.json").write_text(json.dumps(document) + "\n")
    print(transformers.__version__, options.output, [c["image_rows"] for c in cases], cases[0]["input_ids"][:12], cases[0]["greedy"])


if __name__ == "__main__":
    main()
