"""jinja2, set up as transformers sets it up for chat templates, and conversations to render with it."""

import datetime
import json

import jinja2
import jinja2.ext
from jinja2.sandbox import ImmutableSandboxedEnvironment

DATE = datetime.datetime(2026, 7, 31)
ODD = [
    "", " ", "\n", "  two  blanks \n", "naïve café", "日本語の文", "🧑‍🌾👍🏽", "e\u0301 \u00a0\u2003x", "<image>", "{{ 1 }}{% if %}",
    "</think>\n\nyes", "a\tb\r\nc", "\"quoted\" 'text' \\ back", "<|im_end|>", "\u0000\u001f", "ǅ ß ı İ", "1,234.50", "\ufeffx",
    "[INST] no [/INST]", "# Title\n* item\n", "<tool_response>\n3\n</tool_response>", "/no_think", "\u2028\u2029\x85\x0b\x0c",
]
TOOLS = [
    {"type": "function", "function": {
        "name": "weather", "description": "Tells the weather \"now\".",
        "parameters": {"type": "object", "required": ["place"], "properties": {
            "place": {"type": "string", "description": "Where: <b>é</b>"},
            "unit": {"type": ["string", "null"], "enum": ["C", "F"], "default": None},
            "days": {"type": "array", "items": {"type": "integer"}}}}}},
    {"type": "function", "function": {"name": "stop", "description": "", "parameters": {"type": "object", "properties": {}}}},
]


class Generation(jinja2.ext.Extension):
    """`{% generation %}`, whose inside shows as it is."""
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_show"), [], [], body).set_lineno(line)

    def _show(self, caller):
        return caller()


def environment():
    made = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    made.filters["tojson"] = tojson
    made.globals["raise_exception"] = raise_exception
    made.globals["strftime_now"] = DATE.strftime
    return made


def conversation(draw):
    """What a template sees."""
    def text():
        return draw.choice(ODD) if draw.random() < 0.4 else " ".join(
            draw.choice(["what", "is", "this", "ein", "Bild", "of", "a", "mill?"]) for _ in range(draw.randint(1, 6)))

    parts = draw.random() < 0.4

    def content(image=False):
        if not parts:
            return ("<image>\n" if image else "") + text()
        made = [{"type": "text", "text": text()} for _ in range(draw.choice([1, 1, 1, 2]))]
        return ([{"type": "image"}] if image else []) + made

    messages = [{"role": "system", "content": content()}] if draw.random() < 0.5 else []
    tools = draw.random() < 0.25
    for turn in range(draw.randint(1, 4)):
        messages.append({"role": "user", "content": content(turn == 0 and draw.random() < 0.6)})
        if tools and draw.random() < 0.6:
            arguments = draw.choice([{"place": text()}, {"place": "x", "days": [1, 2]}, {}])
            call = {"id": f"call{turn:05}", "type": "function", "function": {"name": "weather", "arguments": arguments}}
            messages.append({"role": "assistant", "content": draw.choice([None, "", text()]), "tool_calls": [call]})
            messages.append({"role": "tool", "name": "weather", "tool_call_id": call["id"], "content": text()})
        answer = {"role": "assistant", "content": content()}
        if draw.random() < 0.2:
            answer["reasoning_content"] = text()
        messages.append(answer)
    if draw.random() < 0.8:
        messages.append({"role": "user", "content": content()})
    names = {
        "messages": messages, "tools": TOOLS if tools else None, "documents": None,
        "add_generation_prompt": draw.random() < 0.7, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>",
        "pad_token": "<pad>"}
    if draw.random() < 0.2:
        names["enable_thinking"] = draw.random() < 0.5
    return names


def judge(made, template, names, compiled={}):
    try:
        if template not in compiled:
            compiled.clear()
            compiled[template] = made.from_string(template)
        return {"text": compiled[template].render(**json.loads(json.dumps(names)))}
    except Exception as error:
        return {"error": f"{type(error).__name__}: {error}"}
