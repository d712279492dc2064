"""Published checkpoints of the LLaVA and LLaMA kind, shrunken: for each what its side files say, as far as it is known
(shared facts and public copies; Docs/families.md tells how each was seen), with sizes that a CPU answers in a second.

Texts of templates are our own, written to render what the published ones render.
"""

LLAVA = (
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': ' }}{% endif %}"
    "{# Pictures come first. #}{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}"
    "{% endfor %}{% if message['role'] != 'assistant' %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ part['text'] + ' ' }}{% endfor %}{% else %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ part['text'] + ' ' }}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")
LLAVA_MISTRAL = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ '<<SYS>>\n' + message['content'][0]['text'] + '\n<</SYS>>\n\n' }}"
    "{% elif message['role'] == 'user' %}{{ '[INST] ' }}{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"
    "{{ ' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '<\\s> ' }}"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}")
LLAVA_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' }}{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\n' }}{% endfor %}{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}"
    "{{ '<|im_end|>' + '\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
LLAVA_LLAMA_3 = (
    "{% for message in messages %}{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] | selectattr('type', 'equalto', 'text') %}{{ part['text'] }}{% endfor %}{{ '<|eot_id|>' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
ZEPHYR = (
    "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n"
    "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n"
    "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}")
LLAMA_2 = (
    "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
    "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
    "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
    "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ ' '  + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}")
MISTRAL = (
    "{{ bos_token }}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}"
    "{% elif message['role'] == 'assistant' %}{{ message['content'] + eos_token}}{% endif %}{% endfor %}")
LLAMA_3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|start_header_id|>' + message['role'] + "
    "'<|end_header_id|>\n\n'+ message['content'] | trim + '<|eot_id|>' %}{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}"
    "{{ content }}{% endfor %}{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}")
LLAMA_32 = (
    "{{- bos_token }}\n{%- if not date_string is defined %}\n    {%- if strftime_now is defined %}\n"
    "        {%- set date_string = strftime_now(\"%d %b %Y\") %}\n    {%- else %}\n        {%- set date_string = \"26 Jul 2024\" %}\n    {%- endif %}\n{%- endif %}\n"
    "{%- if not tools is defined %}\n    {%- set tools = none %}\n{%- endif %}\n"
    "{%- if messages[0]['role'] == 'system' %}\n    {%- set system_message = messages[0]['content']|trim %}\n    {%- set messages = messages[1:] %}\n"
    "{%- else %}\n    {%- set system_message = \"\" %}\n{%- endif %}\n"
    "{{- \"<|start_header_id|>system<|end_header_id|>\\n\\n\" }}\n{%- if tools is not none %}\n    {{- \"Environment: ipython\\n\" }}\n{%- endif %}\n"
    "{{- \"Cutting Knowledge Date: December 2023\\n\" }}\n{{- \"Today Date: \" + date_string + \"\\n\\n\" }}\n{{- system_message }}\n{{- \"<|eot_id|>\" }}\n"
    "{%- for message in messages %}\n    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}\n"
    "        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}\n    {%- endif %}\n{%- endfor %}\n"
    "{%- if add_generation_prompt %}\n    {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}\n{%- endif %}\n")
SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "You are a helpful AI assistant named SmolLM<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
DEEPSEEK = (
    "{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, system_prompt='') %}"
    "{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}"
    "{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{{'<｜User｜>' + message['content']}}{%- endif %}"
    "{%- if message['role'] == 'assistant' and message['content'] is not none %}{% set content = message['content'] %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<｜Assistant｜>' + content + '<｜end▁of▁sentence｜>'}}{%- endif %}{%- endfor %}"
    "{% if add_generation_prompt %}{{'<｜Assistant｜><think>\\n'}}{% endif %}")

VISION = {
    "hidden_size": 32, "image_size": 56, "intermediate_size": 64, "model_type": "clip_vision_model", "num_attention_heads": 2,
    "num_hidden_layers": 3, "patch_size": 14, "projection_dim": 16, "vocab_size": 32000}
# Height first, the published lists over six.
PINPOINTS = [[56, 112], [112, 56], [112, 112], [168, 56], [56, 168]]
CLIP_MEAN = [0.48145466, 0.4578275, 0.40821073]
CLIP_STD = [0.26862954, 0.26130258, 0.27577711]


def decoder(kv=4, **more):
    return {
        "hidden_act": "silu", "hidden_size": 64, "initializer_range": 0.02, "intermediate_size": 160, "num_attention_heads": 4,
        "num_hidden_layers": 2, "num_key_value_heads": kv, "rms_norm_eps": 1e-05, "rope_scaling": None, "use_cache": True, **more}


def processor(kind, **more):
    return {
        "crop_size": {"height": 56, "width": 56}, "do_center_crop": True, "do_convert_rgb": True, "do_normalize": True,
        "do_rescale": True, "do_resize": True, "image_mean": CLIP_MEAN, "image_processor_type": kind, "image_std": CLIP_STD,
        "resample": 3, "rescale_factor": 0.00392156862745098, "size": {"shortest_edge": 56}, **more}


def hub(architecture, text, template, tokenizer, **more):
    """A LLaVA of transformers' own."""
    is_next = "Next" in architecture
    row = {
        "judge": "transformers", "class": architecture, "tokenizer": tokenizer, "template": template, "weights": "old",
        "config": {
            "architectures": [architecture], "ignore_index": -100, "image_token_index": "<image>", "pad_token_id": "<pad>",
            "model_type": "llava_next" if is_next else "llava", "projector_hidden_act": "gelu", "text_config": text,
            "tie_word_embeddings": False, "torch_dtype": "float16", "transformers_version": "4.36.0.dev0",
            "vision_config": VISION, "vision_feature_layer": -2, "vision_feature_select_strategy": "default"},
        "preprocessor": processor("LlavaNextImageProcessor", aspect_ratio_setting="anyres", image_grid_pinpoints=PINPOINTS, do_pad=True)
        if is_next else processor("CLIPImageProcessor", processor_class="LlavaProcessor"),
        "processor": {
            "image_token": "<image>", "num_additional_image_tokens": 1, "patch_size": 14, "vision_feature_select_strategy": "default",
            "processor_class": "LlavaNextProcessor" if is_next else "LlavaProcessor"},
        "generation": {"_from_model_config": True, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": "<pad>"}}
    if is_next:
        row["config"] |= {"image_grid_pinpoints": PINPOINTS, "use_image_newline_parameter": True}
    for key, value in more.items():
        row[key] = row[key] | value if isinstance(value, dict) and isinstance(row.get(key), dict) else value
    return row


def text(architecture, tokenizer, template, config, **more):
    return {
        "judge": "transformers", "class": architecture, "tokenizer": tokenizer, "template": template, "weights": "safetensors",
        "config": {
            "architectures": [architecture], "model_type": "mistral" if "Mistral" in architecture else "llama", "bos_token_id": 1,
            "eos_token_id": 2, "torch_dtype": "bfloat16", "transformers_version": "4.42.3", "tie_word_embeddings": False, **config},
        "generation": {"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.42.3"}} | more


def upstream(config, tokenizer="sentencepiece", **more):
    row = {
        "judge": "oracle", "tokenizer": tokenizer, "template": None, "weights": "safetensors", "tower": "inside",
        "config": {
            "architectures": ["LlavaLlamaForCausalLM"], "bos_token_id": 1, "eos_token_id": 2, "freeze_mm_mlp_adapter": False,
            "freeze_mm_vision_resampler": False, "image_aspect_ratio": "pad", "max_position_embeddings": 4096, "mm_hidden_size": 32,
            "mm_projector_type": "mlp2x_gelu", "mm_resampler_type": None, "mm_use_im_patch_token": False, "mm_use_im_start_end": False,
            "mm_vision_select_feature": "patch", "mm_vision_select_layer": -2, "mm_vision_tower": "openai/clip-vit-large-patch14-336",
            "model_type": "llava", "pad_token_id": 0, "pretraining_tp": 1, "tie_word_embeddings": False, "torch_dtype": "float16",
            "transformers_version": "4.31.0", "tune_mm_mlp_adapter": False, "unfreeze_mm_vision_tower": False, "use_mm_proj": True,
            **decoder(), **config},
        "generation": {"bos_token_id": 1, "eos_token_id": 2, "transformers_version": "4.31.0"}}
    return row | more


ANYRES = {
    "image_aspect_ratio": "anyres", "image_crop_resolution": 224, "image_split_resolution": 224, "mm_patch_merge_type": "spatial_unpad",
    "image_grid_pinpoints": [[w, h] for h, w in PINPOINTS], "mm_projector_lr": None, "mm_vision_tower_lr": 2e-06,
    "tokenizer_model_max_length": 4096, "tokenizer_padding_side": "right", "unfreeze_mm_vision_tower": True, "model_type": "llava_llama"}
MISTRAL_TEXT = {"model_type": "mistral", "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None, "vocab_size": "padded", **decoder(kv=2)}
LLAMA_3_ENDS = {"bos_token_id": "<|begin_of_text|>", "eos_token_id": "<|end_of_text|>"}
LLAMA_31 = {
    **decoder(kv=2), "attention_bias": False, "attention_dropout": 0.0, "max_position_embeddings": 131072, "mlp_bias": False, "rope_theta": 500000.0,
    "rope_scaling": {"factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8192, "rope_type": "llama3"},
    "bos_token_id": "<|begin_of_text|>", "eos_token_id": ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"]}
SAMPLED = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "transformers_version": "4.42.3"}

ROWS = {
    "llava-hf/llava-1.5-7b-hf": hub(
        "LlavaForConditionalGeneration", {"_name_or_path": "lmsys/vicuna-7b-v1.5", "architectures": ["LlamaForCausalLM"],
        "max_position_embeddings": 4096, "model_type": "llama", "torch_dtype": "float16", "vocab_size": "padded", **decoder()}, LLAVA, "llava"),
    "llava-hf/llava-1.5-13b-hf": hub(
        "LlavaForConditionalGeneration", {"max_position_embeddings": 4096, "model_type": "llama", "vocab_size": "padded", **decoder()}, LLAVA, "llava",
        weights="new"),
    "llava-hf/llava-1.5-7b-hf (transformers 5)": hub(
        "LlavaForConditionalGeneration", {"max_position_embeddings": 4096, "model_type": "llama", "vocab_size": "padded", **decoder()}, LLAVA, "llava",
        weights="new", preprocessor=None, processor={"image_processor": processor("LlavaImageProcessor", do_pad=True, image_mean=[0.5, 0.4, 0.6])}),
    "llava-hf/bakLlava-v1-hf": hub(
        "LlavaForConditionalGeneration", {**MISTRAL_TEXT, "sliding_window": 32, "rope_theta": 10000.0}, LLAVA, "llava"),
    "llava-hf/llava-v1.6-mistral-7b-hf": hub("LlavaNextForConditionalGeneration", MISTRAL_TEXT, LLAVA_MISTRAL, "llava"),
    "llava-hf/llava-v1.6-vicuna-7b-hf": hub(
        "LlavaNextForConditionalGeneration", {"max_position_embeddings": 4096, "model_type": "llama", "vocab_size": "padded", **decoder()}, LLAVA, "llava"),
    "llava-hf/llava-v1.6-vicuna-13b-hf": hub(
        "LlavaNextForConditionalGeneration", {"max_position_embeddings": 4096, "model_type": "llama", "vocab_size": "padded", **decoder()}, LLAVA, "llava",
        weights="new"),
    "llava-hf/llava-v1.6-34b-hf": hub(
        "LlavaNextForConditionalGeneration", {"max_position_embeddings": 4096, "model_type": "llama", "rope_theta": 5000000.0, "vocab_size": "padded",
        "bos_token_id": 1, "eos_token_id": "<|im_end|>", **decoder(kv=2)}, LLAVA_CHATML, "yi", generation={"eos_token_id": "<|im_end|>"}),
    "llava-hf/llama3-llava-next-8b-hf": hub(
        "LlavaNextForConditionalGeneration", {"max_position_embeddings": 8192, "model_type": "llama", "rope_theta": 500000.0, "vocab_size": "padded",
        **LLAMA_3_ENDS, **decoder(kv=2)}, LLAVA_LLAMA_3, "llama-3-llava",
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": "<|eot_id|>"}),
    "xtuner/llava-llama-3-8b-v1_1-transformers": hub(
        "LlavaForConditionalGeneration", {"max_position_embeddings": 8192, "model_type": "llama", "rope_theta": 500000.0, "vocab_size": "padded",
        **LLAMA_3_ENDS, **decoder(kv=2)}, None, "llama-3-llava", judged_by=LLAVA_LLAMA_3,
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": "<|eot_id|>"}),
    "llava-hf/vip-llava-7b-hf": hub("VipLlavaForConditionalGeneration", {"model_type": "llama", **decoder()}, LLAVA, "llava",
        config={"vision_feature_layers": [-2, -5, -8]}, refused="this version cannot run the architecture"),
    "TinyLlama/TinyLlama-1.1B-Chat-v1.0": text(
        "LlamaForCausalLM", "sentencepiece-fast", ZEPHYR, {**decoder(kv=2), "max_position_embeddings": 2048, "attention_bias": False, "pretraining_tp": 1},
        generation={"bos_token_id": 1, "eos_token_id": 2, "max_length": 2048, "pad_token_id": 0}),
    "meta-llama/Llama-2-7b-chat-hf": text(
        "LlamaForCausalLM", "sentencepiece", LLAMA_2, {**decoder(), "max_position_embeddings": 4096, "pretraining_tp": 1},
        generation={"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0, **SAMPLED}),
    "lmsys/vicuna-7b-v1.5": text(
        "LlamaForCausalLM", "sentencepiece", None, {**decoder(), "_name_or_path": "vicuna-7b-v1.5", "max_position_embeddings": 4096, "pad_token_id": 0},
        weights="bin", judged_by="A chat between a curious user and an artificial intelligence assistant. The assistant gives helpful, detailed, "
        "and polite answers to the user's questions. USER: {{ messages[0]['content'] }} ASSISTANT:"),
    "meta-llama/Meta-Llama-3-8B-Instruct": text(
        "LlamaForCausalLM", "llama-3", LLAMA_3, {**decoder(kv=2), **LLAMA_3_ENDS, "max_position_embeddings": 8192, "rope_theta": 500000.0},
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": ["<|end_of_text|>", "<|eot_id|>"], **SAMPLED}),
    "meta-llama/Llama-3.1-8B-Instruct": text(
        "LlamaForCausalLM", "llama-3", LLAMA_32.replace('strftime_now is defined', 'false'), LLAMA_31,
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": LLAMA_31["eos_token_id"], **SAMPLED}),
    "meta-llama/Llama-3.1-8B": text(
        "LlamaForCausalLM", "llama-3", None, {**LLAMA_31, "eos_token_id": "<|end_of_text|>"}, judged_by=LLAMA_3.replace("bos_token + ", ""),
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": "<|end_of_text|>", **SAMPLED}),
    "meta-llama/Llama-3.2-1B-Instruct": text(
        "LlamaForCausalLM", "llama-3", LLAMA_32, {**LLAMA_31, "tie_word_embeddings": True, "head_dim": 16},
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": LLAMA_31["eos_token_id"], **SAMPLED}),
    "mistralai/Mistral-7B-v0.1": text(
        "MistralForCausalLM", "sentencepiece-fast", None, {**decoder(kv=2), "max_position_embeddings": 32768, "rope_theta": 10000.0, "sliding_window": 24},
        judged_by="[INST] {{ messages[0]['content'] }} [/INST]"),
    "mistralai/Mistral-7B-Instruct-v0.2": text(
        "MistralForCausalLM", "sentencepiece-fast", MISTRAL, {**decoder(kv=2), "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None,
        "attention_dropout": 0.0}),
    "mistralai/Mistral-7B-Instruct-v0.3": text(
        "MistralForCausalLM", "sentencepiece-fast", MISTRAL, {**decoder(kv=2), "max_position_embeddings": 32768, "rope_theta": 1000000.0, "sliding_window": None,
        "attention_dropout": 0.0}, others={"consolidated.safetensors": b"", "params.json": b"{}"}),
    "HuggingFaceTB/SmolLM2-135M-Instruct": text(
        "LlamaForCausalLM", "smollm", SMOLLM, {**decoder(kv=2), "attention_bias": False, "attention_dropout": 0.0, "mlp_bias": False, "is_llama_config": True,
        "max_position_embeddings": 8192, "pretraining_tp": 1, "rope_interleaved": False, "rope_theta": 100000, "tie_word_embeddings": True,
        "bos_token_id": "<|im_start|>", "eos_token_id": "<|im_end|>", "pad_token_id": "<|im_end|>",
        "transformers.js_config": {"kv_cache_dtype": {"fp16": "float16", "q4f16": "float16"}}},
        generation={"_from_model_config": True, "bos_token_id": "<|im_start|>", "eos_token_id": "<|im_end|>", "pad_token_id": "<|im_end|>"}),
    "deepseek-ai/DeepSeek-R1-Distill-Llama-8B": text(
        "LlamaForCausalLM", "deepseek", DEEPSEEK, {**LLAMA_31, "bos_token_id": "<｜begin▁of▁sentence｜>", "eos_token_id": "<｜end▁of▁sentence｜>"},
        generation={"bos_token_id": "<｜begin▁of▁sentence｜>", "eos_token_id": "<｜end▁of▁sentence｜>", "do_sample": True, "temperature": 0.6, "top_p": 0.95}),
    "liuhaotian/llava-v1.5-7b": upstream({"_name_or_path": "llava-v1.5-7b", "max_length": 4096}, weights="bin-shards", tower="bin",
        conversation="llava_v1", others={"mm_projector.bin": b"PK"}),
    "liuhaotian/llava-v1.5-13b": upstream({"_name_or_path": "llava-v1.5-13b"}, weights="bin-shards", tower="bin", conversation="llava_v1"),
    "liuhaotian/llava-v1.6-vicuna-7b": upstream({**ANYRES, "_name_or_path": "./checkpoints/vicuna-7b-v1-5"}, conversation="llava_v1"),
    "liuhaotian/llava-v1.6-vicuna-13b": upstream({**ANYRES}, conversation="llava_v1", weights="shards"),
    "liuhaotian/llava-v1.6-mistral-7b": upstream(
        {**ANYRES, **decoder(kv=2), "architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral", "rope_theta": 1000000.0, "sliding_window": None,
        "max_position_embeddings": 32768}, conversation="mistral_instruct"),
    "liuhaotian/llava-v1.6-34b": upstream(
        {**ANYRES, **decoder(kv=2), "rope_theta": 5000000.0, "eos_token_id": "<|im_end|>"}, "yi-slow", conversation="chatml_direct",
        generation={"bos_token_id": 1, "eos_token_id": "<|im_end|>"}),
    "lmms-lab/llama3-llava-next-8b": upstream(
        {**ANYRES, **decoder(kv=2), **LLAMA_3_ENDS, "rope_theta": 500000.0, "max_position_embeddings": 8192, "mm_spatial_pool_stride": None, "mm_spatial_pool_mode": None,
        "pos_skipping_range": 4096, "use_pos_skipping": False, "mm_tunable_parts": "mm_vision_tower,mm_mlp_adapter,mm_language_model",
        "vision_tower_pretrained": None, "_name_or_path": "meta-llama/Meta-Llama-3-8B-Instruct"}, "llama-3", conversation="llava_llama_3",
        generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": ["<|end_of_text|>", "<|eot_id|>"], **SAMPLED}),
    "xtuner/llava-llama-3-8b-v1_1-hf": upstream(
        {**decoder(kv=2), **LLAMA_3_ENDS, "rope_theta": 500000.0, "max_position_embeddings": 8192, "image_aspect_ratio": "pad"}, "llama-3",
        weights="shards", conversation="llava_llama_3", generation={"bos_token_id": "<|begin_of_text|>", "eos_token_id": "<|eot_id|>"}),
    "DeepLearnXMU/AVG-LLaVA": upstream(
        {**ANYRES, "architectures": ["LlavaAVGLlamaForCausalLM"], "model_type": "llava_llama", "router_select": True, "filtered_text_num": 8,
        "vis_token_granularity": [1, 2, 4, 8, 16], "image_grid_pinpoints": str([[w, h] for h, w in PINPOINTS]), "_name_or_path": "llava-v1.6-vicuna-7b"},
        conversation="vicuna_v1"),
    "microsoft/llava-med-v1.5-mistral-7b": upstream(
        {**decoder(kv=2), "architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral", "rope_theta": 1000000.0, "sliding_window": None,
        "max_position_embeddings": 32768, "tokenizer_model_max_length": 2048, "tokenizer_padding_side": "right"}, conversation="mistral_instruct"),
    "SkunkworksAI/BakLLaVA-1": upstream(
        {**decoder(kv=2), "architectures": ["LlavaMistralForCausalLM"], "model_type": "llava_mistral", "rope_theta": 10000.0, "sliding_window": 40,
        "max_position_embeddings": 32768}, weights="bin-shards", tower="bin", conversation="vicuna_v1"),
    "Lin-Chen/ShareGPT4V-7B": upstream(
        {"architectures": ["Share4VLlamaForCausalLM"], "model_type": "share4v", "mm_vision_tower": "Lin-Chen/ShareGPT4V-7B_Pretrained_vit-large336-l12"},
        weights="bin-shards", tower="bin", conversation="vicuna_v1"),
    "mtgv/MobileVLM-1.7B": upstream(
        {"architectures": ["MobileLlamaForCausalLM"], "model_type": "mobilevlm", "mm_projector_type": "ldpnet"}, conversation="vicuna_v1",
        refused="this version cannot run the architecture"),
}
