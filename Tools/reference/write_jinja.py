"""Writes Tests/Fixtures/templates/rendered.json: templates of our own, and what jinja2 makes of them.

    write_jinja.py OUTPUT.json

Half are made by hand, with every construct found in published chat templates; half are made up by Tools/templates/generate.py.
Needs jinja2.
"""

import argparse
import json
import pathlib
import random
import sys
import warnings

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "templates"))
import generate
import oracle

TEMPLATES = [
    # A newline in quotes, parts by kind, marks for training: as llava-hf writes it.
    "{% for message in messages %}{% if message['role'] != 'system' %}{{ message['role'].upper() + ': '}}{% endif %}"
    "{# Pictures first #}{% for c in message['content'] | selectattr('type', 'equalto', 'image') %}{{ '<image>\n' }}{% endfor %}"
    "{% if message['role'] != 'assistant' %}{% for c in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{{ c['text'] + ' '}}{% endfor %}{% else %}{% for c in message['content'] | selectattr('type', 'equalto', 'text') %}"
    "{% generation %}{{ c['text'] + ' '}}{% endgeneration %}{% endfor %}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}",
    # Roles must take turns, or the conversation is refused.
    "{{ bos_token }}{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate: ' ~ m.role) }}{% endif %}"
    "{% if m.role == 'user' %}{{ '[INST] ' + m.content + ' [/INST]' }}{% else %}{{ m.content | trim + eos_token }}{% endif %}{% endfor %}",
    # The date, macros, namespaces, slices from behind, and blanks cut off.
    "{{- bos_token }}\n{%- set date = strftime_now('%d %b %Y') %}\n{%- set ns = namespace(seen=0, last='') %}\n"
    "{%- macro head(role, end='\\n\\n') %}\n<|{{ role }}|>{{ end }}\n{%- endmacro %}\n"
    "{%- if messages[0]['role'] == 'system' %}\n    {%- set system = messages[0]['content'] %}\n    {%- set messages = messages[1:] %}\n"
    "{%- else %}\n    {%- set system = '' %}\n{%- endif %}\n{{- head('system') + date + '\\n' ~ system }}\n"
    "{%- for m in messages[::-1] %}\n    {%- set ns.seen = ns.seen + 1 %}\n    {%- if loop.first %}{% set ns.last = m.role %}{% endif %}\n"
    "{%- endfor %}\n{{ ns.seen }} {{ ns.last }} {{ messages | length - ns.seen }}",
    # Tools, calls and JSON.
    "{%- if tools is defined and tools is not none %}{{ tools | tojson(indent=4) }}{% for tool in tools %}"
    "{%- set f = tool.function if 'function' in tool else tool %}\n{{ f.name }}({% for name, p in f.parameters.properties.items() %}"
    "{{ name }}: {{ p.type if p.type is string else p.type | join('|') }}{{ ', ' if not loop.last }}{% endfor %}){% endfor %}{% endif %}"
    "{%- for m in messages %}{% if m.tool_calls is defined %}{% for call in m.tool_calls %}\n{{ call.function.name }} "
    "{{ call.function.arguments | tojson }}{% endfor %}{% elif m.role == 'tool' %}\n-> {{ m.content | string | trim }}{% endif %}{% endfor %}",
    # Thinking cut out of earlier answers.
    "{% for m in messages %}{% set content = m.content if m.content is string else '' %}"
    "{% if '</think>' in content %}{% set content = content.split('</think>')[-1].lstrip('\\n') %}{% endif %}"
    "{{ loop.index }}/{{ loop.length }} {{ m.role | capitalize }}: {{ content }}{{ '\\n' if not loop.last else '' }}{% endfor %}",
    # A system message folded into the first question; defaults and tests.
    "{% set system = (messages | selectattr('role', 'equalto', 'system') | map(attribute='content') | list | first) | default('none', true) %}"
    "{% for m in messages if m.role != 'system' %}{% if loop.first %}<<{{ system }}>>{% endif %}{{ loop.cycle('a', 'b') }}"
    "{{ loop.previtem.role if loop.previtem is defined else '-' }}{{ loop.changed(m.role) }};{% else %}nobody{% endfor %}",
    # Recursion over what a schema holds.
    "{%- macro kind(p) -%}{%- if p.type == 'array' -%}list[{{ kind(p['items']) }}]{%- else -%}{{ p.type }}{%- endif -%}{%- endmacro -%}"
    "{{ kind({'type': 'array', 'items': {'type': 'array', 'items': {'type': 'int'}}}) }}",
    # Loop controls and blanks that tags take.
    "  {% for i in range(10) %}\n    {%- if i == 2 %}{% continue %}{% endif %}\n    {% if i > 4 %}\n{% break %}\n  {% endif %}\n{{ i }},\n{% endfor %}\n  end",
    "a\n  {%+ if true %}\nb\n  {% endif -%}\n  c {{- ' d ' -}} e{# x #}\n{#- y -#}\n f\n",
    "{% raw %}{{ not this }}{% endraw %} {% filter upper %}loud{% endfilter %} {% set x %}block {{ 1 }}{% endset %}{{ x }}"
    "{% with a=1, b=a %}{{ a }}{{ b }}{% endwith %}{% macro g() %}{% endmacro %}[{{ g() }}]",
    "{% macro f() %}[{{ caller('w') }}]{% endmacro %}{% call(q) f() %}<{{ q }}>{% endcall %}",
    "{{ {'b': 1, 'a': [1.0, none, true, 'é\"']} | tojson }} {{ 'x' * 3 }} {{ 7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 1e20 }} {{ 1 / 3 }}",
    "{{ messages[0].role[0] }} {{ messages[0]['content'][:3] }} {{ 'a-b-c'.split('-', 1) }} {{ '%s-%d' % ('x', 3) }} {{ 'ab' in 'cab' }}",
    "{% for c in 'añ😀' %}{{ c }}|{% endfor %}{{ 'İß'.lower() }} {{ 'ǆ'.title() }} {{ ' \u00a0x\u2003'.strip() }} {{ 'x\u2028y'.splitlines() }}",
    # What every kind of value is.
    "{% for x in ['', 'a', 1, 1.5, true, none, [], [1], (1, 2), {}, {'a': 1}, messages, messages[0], missing] %}{{ x is sequence }} "
    "{{ x is iterable }} {{ x is mapping }} {{ x is string }} {{ x is number }} {{ x is callable }} {{ x is boolean }}\n{% endfor %}",
]


def small(draw):
    names = oracle.conversation(draw)
    return names if len(json.dumps(names)) < 1500 else small(draw)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output")
    options = parser.parse_args()
    warnings.simplefilter("ignore", SyntaxWarning)
    draw, made = random.Random(35), oracle.environment()
    conversations = [small(draw) for _ in range(24)]
    cases = []
    for template in TEMPLATES:
        for number in range(len(conversations)):
            cases.append((template, number))
    while len(cases) < 2 * 24 * len(TEMPLATES):
        cases.append((generate.template(draw), draw.randrange(len(conversations))))
    written, templates = [], []
    for template, number in cases:
        # What stands in no text must not differ between versions: whether it is refused counts, not the words for it.
        result = oracle.judge(made, template, conversations[number])
        if template not in templates:
            templates.append(template)
        written.append([templates.index(template), number, result.get("text")])
    document = {"date": f"{oracle.DATE:%Y-%m-%d}", "conversations": conversations, "templates": templates, "cases": written}
    with open(options.output, "w", encoding="utf-8") as file:
        json.dump(document, file, ensure_ascii=True, separators=(",", ":"))
        file.write("\n")


main()
