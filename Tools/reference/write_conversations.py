"""Writes Tests/Fixtures/huggingface/conversations.json: conversations with several pictures, turns and a system message, what
transformers makes of them with the small checkpoints beside it, and how published templates write them down.

    write_conversations.py

Run by itself; needs torch and transformers.
"""

import json
import pathlib

import torch
import transformers
from PIL import Image
from transformers.utils.chat_template_utils import render_jinja_template

from write_huggingface import KIT, image_processor, tokenizer
from write_templates import TEMPLATES

FIXTURES = pathlib.Path(__file__).parents[2] / "Tests/Fixtures/huggingface"
IN_ORDER = (
    "{% for m in messages %}[{{ m.role }}]{% for c in m.content %}{% if c.type == 'image' %}<image>{% else %}{{ c.text }}"
    "{% endif %}{% endfor %}{% endfor %}[assistant]")
PLAIN, CHINA, WIDE, TALL = "flower_tiny.jpg", "china.jpg", "flower_panorama.jpg", "china_portrait.jpg"
NEW_TOKENS = 8


def text(words):
    return {"type": "text", "text": words}


def image(path):
    return {"type": "image", "path": path}


def user(*parts):
    return {"role": "user", "content": list(parts)}


def said(words):
    return {"role": "assistant", "content": [text(words)]}


SYSTEM = {"role": "system", "content": [text("You look at pictures.")]}
CONVERSATIONS = [
    [user(image(CHINA), image(WIDE), text("Which is wider?"))],
    [user(image(PLAIN), text("What is it?")), said("A flower."), user(image(TALL), text("And that?"))],
    [user(text("Look:"), image(CHINA), text("and"), image(CHINA), text("Are they equal?"))],
    [user(text("I will show you something.")), said("Please do."), user(text("Here"), image(WIDE))],
    [SYSTEM, user(image(TALL), text("Who are you?")), said("An eye."), user(text("Whose?"))],
    [SYSTEM, user(text("Hello")), said("Hi."), user(text("Bye"))],
    [user(image(PLAIN), image(PLAIN), image(TALL), text("Count them."), text("Briefly!"))],
]


def pictures(messages):
    parts = [part for message in messages for part in message["content"] if part["type"] == "image"]
    return [Image.open(KIT / "images" / part["path"]).convert("RGB") for part in parts]


def rendered(messages, template):
    return render_jinja_template([messages], chat_template=template, add_generation_prompt=True)[0][0]


def answers(checkpoint, template):
    kind = checkpoint.split("-")[0]
    words = tokenizer()
    token = words.convert_tokens_to_ids("<image>")
    classes = {"next": ("LlavaNextForConditionalGeneration", "LlavaNextProcessor"),
               "llava": ("LlavaForConditionalGeneration", "LlavaProcessor")}[kind]
    model = getattr(transformers, classes[0]).from_pretrained(FIXTURES / checkpoint, dtype=torch.float32).eval()
    processor = getattr(transformers, classes[1])(
        image_processor=image_processor(kind, 56), tokenizer=words, patch_size=14,
        vision_feature_select_strategy="default", num_additional_image_tokens=1)
    for messages in CONVERSATIONS:
        prompt = rendered(messages, template)
        inputs = processor(text=prompt, images=pictures(messages) or None, return_tensors="pt")
        with torch.no_grad():
            logits = model(**inputs).logits[0, -1]
            answer = model.generate(**inputs, do_sample=False, max_new_tokens=NEW_TOKENS)[0]
        ids = inputs["input_ids"][0].tolist()
        yield {
            "text": prompt, "input_ids": shortened(ids, token, len(pictures(messages)), inputs, prompt),
            "image_rows": ids.count(token), "last_logits": [round(x, 6) for x in logits.tolist()],
            "greedy": answer[len(ids):].tolist()}


def shortened(ids, token, count, inputs, prompt):
    """Each picture's places as one, as Gristmill writes them: cut where texts stand between, and into equal halves where
    none does, which holds for the conversations above."""
    pieces, result = prompt.split("<image>"), []
    runs, index = [], 0
    while index < len(ids):
        if ids[index] != token:
            result.append(ids[index])
            index += 1
            continue
        end = index
        while end < len(ids) and ids[end] == token:
            end += 1
        # Pictures that stand side by side have empty texts between them.
        side = 1
        while sum(runs) + side < count and pieces[sum(runs) + side] == "":
            side += 1
        result += [token] * side
        runs.append(side)
        index = end
    assert sum(runs) == count, (runs, count)
    return result


def main():
    document = {"transformers": transformers.__version__, "conversations": CONVERSATIONS, "answers": [], "rendered": []}
    for checkpoint in ("next-5", "llava-5"):
        for template in (TEMPLATES["llava"][0], IN_ORDER):
            document["answers"].append(
                {"checkpoint": checkpoint, "template": template, "cases": list(answers(checkpoint, template))})
            print(checkpoint, [case["image_rows"] for case in document["answers"][-1]["cases"]])
    for name, forms in TEMPLATES.items():
        document["rendered"].append(
            {"name": name, "template": forms[0], "texts": [rendered(messages, forms[0]) for messages in CONVERSATIONS]})
    document["image_token"] = tokenizer().convert_tokens_to_ids("<image>")
    (FIXTURES / "conversations.json").write_text(json.dumps(document, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
