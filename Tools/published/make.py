"""Writes shrunken copies of published checkpoints, and what their judges compute with them.

    make.py OUTPUT [ROW …]

Each copy lies in a folder of its published name, so that what is told by the name is told. `expected.json` beside it holds, for
texts and for four pictures, the ids, the last logits and the greedy tokens of the judge: transformers for its own families, the
oracle of Tools/reference for upstream's naming. Needs what Tools/reference/requirements.txt names.
"""

import json
import pathlib
import shutil
import sys

ROOT = pathlib.Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Tools/reference"))
sys.path.insert(0, str(pathlib.Path(__file__).parent))

import sentencepiece
import torch
import transformers
from PIL import Image
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, processors

from rows import ROWS, VISION, processor

KIT = ROOT / "Tests/Fixtures/conformance"
PICTURES = ["china.jpg", "china_portrait.jpg", "flower_panorama.jpg", "flower_tiny.jpg"]
PROMPTS = ["What is this?", "Describe the colours, please.\nBriefly! 你好, 3 cats and a dog."]
NEW_TOKENS = 8
LLAMA_3_TOKENS = [
    "<|begin_of_text|>", "<|end_of_text|>", "<|finetune_right_pad_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>",
    "<|python_tag|>"]


# Tokenizers.

def pieces(folder, symbols=()):
    """A SentencePiece model like LLaMA's, with words of its own."""
    words = folder / "words.txt"
    words.write_text("\n".join(p.read_text() for p in sorted((ROOT / "Docs").glob("*.md"))))
    sentencepiece.SentencePieceTrainer.train(
        input=str(words), model_prefix=str(folder / "tokenizer"), vocab_size=1200, model_type="bpe", byte_fallback=True,
        character_coverage=0.999, normalization_rule_name="identity", remove_extra_whitespaces=False, split_digits=True,
        allow_whitespace_only_pieces=True, user_defined_symbols=list(symbols), minloglevel=2, pad_id=-1)
    words.unlink()
    (folder / "tokenizer.vocab").unlink()


def byte_level(source, folder, special, begin):
    document = json.loads((ROOT / f"Tests/Fixtures/tokenizers/{source}.json").read_text())
    document["added_tokens"] = []
    made = Tokenizer.from_str(json.dumps(document))
    made.add_special_tokens([AddedToken(token, normalized=False, special=True) for token in special])
    if begin:
        made.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{begin} $A", pair=f"{begin} $A {begin} $B", special_tokens=[(begin, made.token_to_id(begin))])])
    made.save(str(folder / "tokenizer.json"))


def fast(folder, extra=()):
    """tokenizer.json of a LLaMA's tokenizer.model, as transformers converts it."""
    made = transformers.LlamaTokenizerFast.from_pretrained(folder)
    if extra:
        made.add_special_tokens({"additional_special_tokens": list(extra)})
    made.backend_tokenizer.save(str(folder / "tokenizer.json"))


def write_tokenizer(kind, folder):
    """The tokenizer's files, and its settings."""
    llama = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "tokenizer_class": "LlamaTokenizer", "add_bos_token": True,
             "add_eos_token": False, "legacy": False, "clean_up_tokenization_spaces": False, "model_max_length": 1000000000000000019884624838656}
    if kind in ("sentencepiece", "sentencepiece-fast", "llava"):
        shutil.copy(KIT / "small-f32/tokenizer.model", folder)
        (folder / "tokenizer_config.json").write_text(json.dumps(llama))
        if kind != "sentencepiece":
            fast(folder, ["<image>", "<pad>"] if kind == "llava" else [])
        if kind == "llava":
            # Published without SentencePiece's own file.
            (folder / "tokenizer.model").unlink()
            return llama | {"pad_token": "<pad>", "image_token": "<image>", "extra_special_tokens": {"image_token": "<image>"}, "processor_class": "LlavaProcessor", "padding_side": "left"}
        return llama
    if kind in ("yi", "yi-slow"):
        pieces(folder, ["<|im_start|>", "<|im_end|>", "<|im_sep|>"])
        settings = llama | {"eos_token": "<|im_end|>", "legacy": True}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
        if kind == "yi":
            fast(folder, ["<|im_start|>", "<|im_end|>", "<image>", "<pad>"])
            (folder / "tokenizer.model").unlink()
            return settings | {"pad_token": "<pad>", "image_token": "<image>", "extra_special_tokens": {"image_token": "<image>"}}
        return settings
    common = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True, "model_max_length": 131072}
    if kind in ("llama-3", "llama-3-llava"):
        extra = ["<image>", "<pad>"] if kind == "llama-3-llava" else []
        byte_level("llama-3", folder, LLAMA_3_TOKENS + extra, "<|begin_of_text|>")
        settings = common | {"bos_token": "<|begin_of_text|>", "eos_token": "<|end_of_text|>" if extra else "<|eot_id|>"}
        return settings | ({"pad_token": "<pad>", "image_token": "<image>", "extra_special_tokens": {"image_token": "<image>"}} if extra else {})
    if kind == "deepseek":
        special = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<｜User｜>", "<｜Assistant｜>", "<think>", "</think>"]
        byte_level("llama-3", folder, special, special[0])
        return common | {"bos_token": special[0], "eos_token": special[1], "tokenizer_class": "LlamaTokenizerFast", "legacy": True, "add_bos_token": True, "add_eos_token": False}
    if kind == "smollm":
        byte_level("byte-level", folder, ["<|endoftext|>", "<|im_start|>", "<|im_end|>"], None)
        return common | {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "pad_token": "<|im_end|>", "unk_token": "<|endoftext|>", "tokenizer_class": "GPT2Tokenizer"}
    raise ValueError(kind)


def ids_of(value, find):
    """Settings with tokens for their ids."""
    if isinstance(value, dict):
        return {key: ids_of(item, find) for key, item in value.items()}
    if isinstance(value, list):
        return [ids_of(item, find) for item in value]
    if isinstance(value, str) and value.startswith("<") and value.endswith(">"):
        return find(value)
    return value


# Weights.

def widened(model):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08 if "embed" in name else 1.2 / parameter[0].numel() ** 0.5)
            elif name.endswith("bias") or "newline" in name or "class_embedding" in name:
                parameter.normal_(0, 0.05)
    return model.eval()


def old_names(state):
    """transformers 5's names as 4.36 to 4.51 wrote them."""
    def rename(name):
        name = name.removeprefix("model.")
        if name.startswith("language_model."):
            return "language_model.model." + name.removeprefix("language_model.")
        if name.startswith("lm_head."):
            return "language_model." + name
        if name.startswith("vision_tower.") and not name.startswith("vision_tower.vision_model."):
            return "vision_tower.vision_model." + name.removeprefix("vision_tower.")
        return name
    return {rename(name): tensor for name, tensor in state.items()}


def save_weights(state, folder, how):
    state = {name: tensor.detach().clone().contiguous() for name, tensor in state.items()}
    if how in ("safetensors", "old", "new"):
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        return
    if how == "bin":
        torch.save(state, folder / "pytorch_model.bin")
        return
    names, count, weight_map = sorted(state), 2, {}
    stem, end = ("pytorch_model", "bin") if how == "bin-shards" else ("model", "safetensors")
    for shard in range(count):
        file = f"{stem}-{shard + 1:05d}-of-{count:05d}.{end}"
        part = {name: state[name] for name in names[shard::count]}
        if end == "bin":
            torch.save(part, folder / file)
        else:
            save_file(part, folder / file, metadata={"format": "pt"})
        weight_map |= {name: file for name in part}
    index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in state.values())}, "weight_map": weight_map}
    (folder / f"{stem}.{end}.index.json").write_text(json.dumps(index))


# Judges.

def case_of(image, prompt, ids, image_token, logits, greedy):
    merged = [i for n, i in enumerate(ids) if i != image_token or n == 0 or ids[n - 1] != image_token]
    return {"image": image, "prompt": prompt, "input_ids": [-200 if i == image_token else i for i in merged],
            "last_logits": [round(x, 6) for x in logits.tolist()], "greedy": greedy}


def judged_by_transformers(row, folder):
    torch.manual_seed(2411)
    config = transformers.AutoConfig.from_pretrained(folder)
    model = widened(getattr(transformers, row["class"])._from_config(config, attn_implementation="eager").to(torch.float32))
    state = model.state_dict()
    if config.get_text_config().tie_word_embeddings:
        state.pop("lm_head.weight", None)
    save_weights(old_names(state) if row["weights"] == "old" else state, folder, row["weights"])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    generation = transformers.GenerationConfig.from_pretrained(folder)
    generation.do_sample, generation.temperature, generation.top_p, generation.max_new_tokens = False, None, None, NEW_TOKENS
    generation.max_length = None
    template = row["template"] or row.get("judged_by")
    sees = "vision_config" in row["config"]
    cases = []
    if sees:
        settings = json.loads((folder / "processor_config.json").read_text()).get("image_processor") or json.loads((folder / "preprocessor_config.json").read_text())
        kind = settings["image_processor_type"] + "Pil"
        pictures = getattr(transformers, kind)(**settings)
        whole = transformers.LlavaNextProcessor if "Next" in row["class"] else transformers.LlavaProcessor
        both = whole(image_processor=pictures, tokenizer=tokenizer, patch_size=14, vision_feature_select_strategy="default",
                     num_additional_image_tokens=1, chat_template=template)
        image_token = tokenizer.convert_tokens_to_ids("<image>")
    for picture in [None] + (PICTURES if sees else []):
        for prompt in PROMPTS:
            if sees:
                parts = ([{"type": "image"}] if picture else []) + [{"type": "text", "text": prompt}]
                text = both.apply_chat_template([{"role": "user", "content": parts}], add_generation_prompt=True)
                images = Image.open(KIT / "images" / picture).convert("RGB") if picture else None
                inputs = both(text=text, images=images, return_tensors="pt")
            else:
                message = [{"role": "user", "content": prompt}]
                if row["template"]:
                    ids = tokenizer.apply_chat_template(message, add_generation_prompt=True, return_tensors="pt", return_dict=True)
                else:
                    # A conversation that the model does not bring is a text like any other.
                    text = tokenizer.apply_chat_template(message, chat_template=template, add_generation_prompt=True, tokenize=False)
                    ids = tokenizer(text, return_tensors="pt")
                inputs = {"input_ids": ids["input_ids"], "attention_mask": ids["attention_mask"]}
            with torch.no_grad():
                logits = model(**inputs).logits[0, -1]
                answer = model.generate(**inputs, generation_config=generation)[0]
            ids = inputs["input_ids"][0].tolist()
            cases.append(case_of(picture, prompt, ids, image_token if sees else None, logits, answer[len(ids):].tolist()))
    ends = generation.eos_token_id
    return cases, ends if isinstance(ends, list) else [ends]


def judged_by_oracle(row, folder, tower):
    from oracle.model import ReferenceModel

    model = ReferenceModel(folder, tower=tower, conversation=row["conversation"])
    cases = []
    for picture in [None, *PICTURES]:
        for prompt in PROMPTS:
            prepared = model.prepare(KIT / "images" / picture if picture else None, prompt, [])
            rows = model.prompt_rows(prepared, model.granularity_for(prepared))
            answer = model.language.generate(rows, NEW_TOKENS)
            cases.append(case_of(picture, prompt, prepared.ids, -200, answer.last_logits, answer.tokens))
    return cases, sorted(model.language.ends)


def upstream_weights(row, config, folder, tower_folder):
    """Language model, projector, router and tower in upstream's names."""
    torch.manual_seed(2411)
    kind = "Mistral" if "Mistral" in config["architectures"][0] else "Llama"
    keys = ["vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads"]
    language = widened(getattr(transformers, kind + "ForCausalLM")(
        getattr(transformers, kind + "Config")(**{key: config[key] for key in keys})))
    state = dict(language.state_dict())
    width, hidden = VISION["hidden_size"], config["hidden_size"]

    def drawn(*shape):
        return torch.randn(*shape) * (1.2 / shape[-1] ** 0.5 if len(shape) > 1 else 0.05)

    state |= {"model.mm_projector.0.weight": drawn(hidden, width), "model.mm_projector.0.bias": drawn(hidden),
              "model.mm_projector.2.weight": drawn(hidden, hidden), "model.mm_projector.2.bias": drawn(hidden)}
    if config["image_aspect_ratio"] == "anyres":
        state["model.image_newline"] = drawn(hidden)
    if config.get("router_select"):
        grids, router = config["vis_token_granularity"], "model.router."
        state |= {router + "merger.self_attn.in_proj_weight": drawn(3 * hidden, hidden), router + "merger.self_attn.in_proj_bias": drawn(3 * hidden)}
        for name in ["merger.self_attn.out_proj", "merger.linear1", "merger.linear2", "router.0"]:
            state |= {router + name + ".weight": drawn(hidden, hidden), router + name + ".bias": drawn(hidden)}
        state |= {router + "router.2.weight": drawn(len(grids), hidden), router + "router.2.bias": drawn(len(grids)),
                  router + "voter": drawn(sum(grids) + config["filtered_text_num"], 1)}
        for name, size in [("merger.norm1", hidden), ("merger.norm2", hidden), ("norm", len(grids))]:
            state |= {router + name + ".weight": 1 + 0.1 * torch.randn(size), router + name + ".bias": drawn(size)}
    # The tower is every checkpoint's.
    torch.manual_seed(336)
    settings = {key: value for key, value in VISION.items() if key not in ("model_type", "vocab_size")}
    tower = widened(transformers.CLIPVisionModel(transformers.CLIPVisionConfig(**settings)))
    vision = {"vision_model." + name.removeprefix("vision_model."): tensor for name, tensor in tower.state_dict().items()}
    if row["tower"] == "inside":
        state |= {"model.vision_tower.vision_tower." + name: tensor for name, tensor in vision.items()}
    # As openai/clip-vit-large-patch14-336 lies on the Hub: both towers, a buffer of positions, pickled.
    tower_folder.mkdir(parents=True, exist_ok=True)
    whole = {"architectures": ["CLIPModel"], "initializer_factor": 1.0, "logit_scale_init_value": 2.6592, "model_type": "clip", "projection_dim": 16,
             "text_config": {"hidden_size": 32, "model_type": "clip_text_model"}, "torch_dtype": "float32", "transformers_version": None,
             "vision_config": settings | {"model_type": "clip_vision_model", "dropout": 0.0}}
    (tower_folder / "config.json").write_text(json.dumps(whole))
    if row["tower"] == "inside":
        # The tower is shrunken too, so that its sizes have to be told.
        (folder / config["mm_vision_tower"]).mkdir(parents=True)
        (folder / config["mm_vision_tower"] / "config.json").write_text(json.dumps(whole))
    (tower_folder / "preprocessor_config.json").write_text(json.dumps(
        processor("x") | {"crop_size": 56, "size": 56, "feature_extractor_type": "CLIPFeatureExtractor", "image_processor_type": None}))
    patches = (settings["image_size"] // settings["patch_size"]) ** 2 + 1
    vision |= {"vision_model.embeddings.position_ids": torch.arange(patches)[None], "visual_projection.weight": drawn(16, width), "logit_scale": torch.tensor(2.65)}
    torch.save(vision, tower_folder / "pytorch_model.bin")
    (tower_folder / "tf_model.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    save_weights(state, folder, row["weights"])


def make(name, row, output):
    folder = output / name.replace(" (", "-").replace(")", "").replace(" ", "-")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    settings = write_tokenizer(row["tokenizer"], folder)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    slow = not (folder / "tokenizer.json").exists()
    if slow:
        words = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        find, size = words.piece_to_id, words.vocab_size()
    else:
        words = Tokenizer.from_file(str(folder / "tokenizer.json"))
        find, size = words.token_to_id, words.get_vocab_size()
    if row["tokenizer"] == "yi-slow":
        settings |= {"added_tokens_decoder": {str(find("<|im_end|>")): {"content": "<|im_end|>", "special": True}}}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    padded = (size + 63) // 64 * 64
    config = ids_of(row["config"], find)
    if "text_config" in config:
        config["text_config"]["vocab_size"] = padded
    else:
        config["vocab_size"] = padded
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    (folder / "generation_config.json").write_text(json.dumps(ids_of(row["generation"], find)))
    for file, key in [("preprocessor_config.json", "preprocessor"), ("processor_config.json", "processor")]:
        if row.get(key):
            (folder / file).write_text(json.dumps(row[key], indent=2))
    if row["template"]:
        if "vision_config" in row["config"]:
            (folder / "chat_template.jinja").write_text(row["template"])
            (folder / "chat_template.json").write_text(json.dumps({"chat_template": row["template"]}))
        else:
            (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": row["template"]}))
    for file, data in row.get("others", {}).items():
        (folder / file).write_bytes(data)
    (folder / "README.md").write_text(f"# {name}\n")
    document = {"name": name, "refused": row.get("refused"), "judge": row["judge"]}
    tower = output / "openai/clip-vit-large-patch14-336"
    if row["judge"] == "oracle":
        upstream_weights(row, config, folder, tower)
        document["vision_tower"] = str(tower.relative_to(output)) if row["tower"] == "bin" else None
    if not row.get("refused"):
        document["cases"], document["ends"] = (
            judged_by_oracle(row, folder, tower) if row["judge"] == "oracle" else judged_by_transformers(row, folder))
    elif row["judge"] == "transformers":
        save_file({"x": torch.zeros(1)}, folder / "model.safetensors")
    (output / "expected").mkdir(exist_ok=True)
    path = output / "expected" / (str(folder.relative_to(output)).replace("/", "--") + ".json")
    path.write_text(json.dumps(document | {"folder": str(folder.relative_to(output))}) + "\n")
    print(name, len(document.get("cases", [])), "cases", flush=True)


def main():
    output = pathlib.Path(sys.argv[1])
    for name, row in ROWS.items():
        if len(sys.argv) == 2 or any(part in name for part in sys.argv[2:]):
            make(name, row, output)


if __name__ == "__main__":
    main()
