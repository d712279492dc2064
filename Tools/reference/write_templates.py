"""Writes Tests/Fixtures/templates.json: the chat templates that LLaVA checkpoints ship, and what transformers renders with each.

    write_templates.py OUTPUT.json

Needs transformers and jinja2.
"""

import argparse
import json
import pathlib
import random

import transformers
from transformers.utils.chat_template_utils import render_jinja_template

IMAGES = (
    "{# Render all images first #}{% for content in message['content'] | selectattr('type', 'equalto', 'image') %}"
    "{{ '<image>\\n' }}{% endfor %}{# Render all text next #}")


def texts(after, generation):
    """The text parts, each followed by `after`; in the newer templates answers are marked for training."""
    every = "{% for content in message['content'] | selectattr('type', 'equalto', 'text') %}"
    show = "{{ content['text']" + (f" + '{after}'" if after else "") + ("}}" if after else " }}")
    if not generation:
        return f"{every}{show}{{% endfor %}}"
    return (
        f"{{% if message['role'] != 'assistant' %}}{every}{show}{{% endfor %}}{{% else %}}"
        f"{every}{{% generation %}}{show}{{% endgeneration %}}{{% endfor %}}{{% endif %}}")


def vicuna(generation):
    start = (
        "{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}" if generation else
        "{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}{% else %}"
        "{{ message['role'].upper() + ': '}}{% endif %}")
    return (
        "{% for message in messages %}" + start + IMAGES + texts(" ", generation)
        + "{% endfor %}{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}")


def mistral(system):
    start = (
        "{% if message['role'] == 'system' %}{{ '<<SYS>>\\n' + message['content'][0]['text'] + '\\n<</SYS>>\\n\\n' }}{% elif "
        if system else "{% if ")
    return (
        "{% for message in messages %}" + start + "message['role'] == 'user' %}{{ '[INST] ' }}" + IMAGES + texts("", False)
        + "{{' [/INST]' }}{% elif message['role'] == 'assistant' %}{{ ' ' + message['content'][0]['text'] + '<\\s> '}}"
        "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}{% endfor %}")


def chatml(generation):
    return (
        "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n'}}" + IMAGES + texts("", generation)
        + "{{'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")


def llama3(generation):
    return (
        "{% for message in messages %}{{'<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'}}" + IMAGES
        + texts("", generation) + "{{'<|eot_id|>'}}{% endfor %}"
        "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}")


# Checkpoint → template. Those of LLaVA-1.5 and LLaVA-NeXT on Vicuna are one; each had an earlier form.
TEMPLATES = {
    "llava": [vicuna(True), vicuna(False)], "mistral": [mistral(True), mistral(False)],
    "chatml": [chatml(True), chatml(False)], "llama3": [llama3(True), llama3(False)],
}
WORDS = [
    "What", "is", "this?", "Describe the\npicture.", "  two  blanks  ", "", "Größe", "東京", "🦙", "USER:", "ASSISTANT: no", "[INST]",
    "<|im_end|>", "{{ 7 * 7 }}", "{% if x %}", "'quoted'", '"twice"', "\\n", "\\", "<s>", "tab\there", "\r\n", "&amp; <b>",
]


def conversations(count):
    rng = random.Random(14)

    def words():
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 6)))

    for n in range(count):
        history = [[words(), words()] for _ in range(rng.choice([0, 0, 1, 1, 2, 4]))]
        yield {"history": history, "message": words(), "image": n % 3 != 0}


def messages(conversation):
    users = [user for user, _ in conversation["history"]] + [conversation["message"]]
    answers = [answer for _, answer in conversation["history"]]
    for n, user in enumerate(users):
        image = [{"type": "image"}] if n == 0 and conversation["image"] else []
        yield {"role": "user", "content": image + [{"type": "text", "text": user}]}
        if n < len(answers):
            yield {"role": "assistant", "content": [{"type": "text", "text": answers[n]}]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=pathlib.Path)
    options = parser.parse_args()
    asked = list(conversations(200))
    document = {"transformers": transformers.__version__, "conversations": asked, "templates": []}
    for name, forms in TEMPLATES.items():
        for form in forms:
            rendered, _ = render_jinja_template([list(messages(c)) for c in asked], chat_template=form, add_generation_prompt=True)
            document["templates"].append({"name": name, "template": form, "texts": rendered})
    options.output.write_text(json.dumps(document, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
