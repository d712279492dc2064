"""Makes up chat templates out of the constructs that public ones use."""

FILTERS = [
    "trim", "upper", "lower", "title", "capitalize", "length", "string", "first", "last", "list", "tojson", "join(', ')",
    "default('d')", "d('e', true)", "replace('a', 'b')", "replace(' ', '_', 1)", "int", "float", "abs", "sort", "reverse | list",
    "unique | list", "selectattr('role', 'equalto', 'user') | list", "rejectattr('role', 'in', ['user', 'tool']) | list",
    "map(attribute='role') | list", "map('upper') | list", "select('string') | list", "reject('none') | list",
    "tojson(indent=2)", "dictsort", "items | list", "indent(2)", "indent(width=3, first=true)", "wordcount", "min", "max", "sum",
    "batch(2) | list", "round(1)", "escape", "safe", "count", "join", "selectattr('content') | map(attribute='role') | join('/')",
    "select('defined') | list", "slice(2) | list", "groupby('role') | list | length", "center(9)", "truncate(7)", "e", "urlencode",
    "striptags", "format(1)", "attr('x')", "map('length') | sum", "sort(reverse=true)", "sort(attribute='role')",
]
TESTS = [
    "defined", "not defined", "none", "not none", "string", "mapping", "iterable", "sequence", "number", "integer", "float",
    "boolean", "true", "false", "odd", "even", "divisibleby 3", "equalto 'user'", "sameas true", "in [1, 'user']", "eq 1",
    "undefined", "lower", "upper", "callable", "gt 1", "ne 'x'", "not in 'abc'",
]
METHODS = [
    ".strip()", ".upper()", ".lower()", ".split()", ".split(' ')", ".split('a', 1)", ".lstrip('\\n')", ".rstrip()",
    ".startswith('w')", ".endswith('?')", ".replace('a', 'o')", ".title()", ".capitalize()", ".find('i')", ".count('i')",
    ".splitlines()", ".items()", ".keys() | list", ".values() | list", ".get('role')", ".get('x', 'none')", ".isdigit()",
    ".isspace()", ".join(['p', 'q'])", ".partition(' ')", ".rsplit(' ', 1)", ".zfill(5)", ".format(1, a=2)", ".index('i')",
    ".removeprefix('w')", ".isalpha()", ".swapcase()", ".center(6)", ".ljust(6) + '|'", ".strip('wh?')", ".startswith(('a', 'w'))",
    ".casefold()", ".isupper()", ".encode", ".append(1)", ".pop()", ".copy()", ".isalnum()", ".rfind('i')",
]
LITERALS = [
    "1", "0", "-3", "2.5", "1e3", "'text'", "\"a b\"", "''", "true", "false", "none", "[1, 2, 3]", "['b', 'a', 'b']", "(1, 'x')",
    "{'a': 1, 'b': [2]}", "[]", "{}", "'line\\nnext'", "'tab\\t\\'q\\''", "True", "None", "10_000", "[[1, 2], [3]]", "'é☃'",
    "range(3) | list", "0.1", "1.0", "()", "(2,)", "1e16", "123456789012",
]
NAMES = [
    "messages", "messages[0]", "messages[0]['role']", "messages[0].content", "messages[-1]['content']", "bos_token", "eos_token",
    "add_generation_prompt", "missing", "messages[1:]", "messages[::-1]", "tools", "messages | length", "messages[0].missing", "x",
    "y", "ns.v", "m", "m.role", "loop.index", "loop.first", "loop.last", "loop.index0", "loop.length", "m.content", "loop.nextitem",
]
OPERATORS = ["+", "-", "*", "~", "==", "!=", "<", ">", "<=", ">=", "and", "or", "//", "%", "/", "in", "not in", "**"]


def expression(draw, depth=0):
    kind = draw.random()
    if depth > 3 or kind < 0.34:
        return draw.choice(NAMES if draw.random() < 0.65 else LITERALS)
    if kind < 0.5:
        return f"({expression(draw, depth + 1)} | {draw.choice(FILTERS)})"
    if kind < 0.6:
        return f"({expression(draw, depth + 1)} is {draw.choice(TESTS)})"
    if kind < 0.72:
        return f"({expression(draw, depth + 1)}){draw.choice(METHODS)}"
    if kind < 0.84:
        return f"({expression(draw, depth + 1)} {draw.choice(OPERATORS)} {expression(draw, depth + 1)})"
    if kind < 0.88:
        return f"({expression(draw, depth + 1)} if {expression(draw, depth + 1)} else {expression(draw, depth + 1)})"
    if kind < 0.91:
        return f"(not {expression(draw, depth + 1)})"
    if kind < 0.94:
        low, high = draw.choice(["", "1", "-2", "0"]), draw.choice(["", "2", "-1"])
        return f"({draw.choice(NAMES)})[{low}:{high}{draw.choice(['', ':2', ':-1', ''])}]"
    if kind < 0.97:
        return f"({expression(draw, depth + 1)})[{draw.choice(['0', '-1', '1', chr(39) + 'role' + chr(39), chr(39) + 'a' + chr(39)])}]"
    return f"[{expression(draw, depth + 1)}, {expression(draw, depth + 1)}]"


def tag(draw, inside):
    return "{%" + draw.choice(["", "", "-", "+"]) + " " + inside + " " + draw.choice(["", "", "-"]) + "%}"


def block(draw, depth=0):
    kind = draw.random()
    blank = draw.choice(["", "", "\n", "  ", "\n  ", " \n\n", "\t"])
    if kind < 0.2:
        return blank + draw.choice(["word", "<|x|>", " { ", "# no", "%}", "}} ", "\r\n", "'q'", "a\n  b"])
    if kind < 0.55 or depth > 3:
        return blank + "{{" + draw.choice(["", "", "-"]) + " " + expression(draw) + " " + draw.choice(["", "", "-"]) + "}}"
    if kind < 0.6:
        return blank + "{#" + draw.choice(["", "-"]) + " note " + draw.choice(["", "-"]) + "#}"
    if kind < 0.72:
        more = tag(draw, "elif " + expression(draw)) + body(draw, depth) if draw.random() < 0.3 else ""
        more += tag(draw, "else") + body(draw, depth) if draw.random() < 0.5 else ""
        return blank + tag(draw, "if " + expression(draw)) + body(draw, depth) + more + tag(draw, "endif")
    if kind < 0.84:
        what = draw.choice(["messages", "messages", "messages[1:]", "[1, 2, 3]", "range(4)", "'abc'", "messages | reverse", "tools", expression(draw)])
        guard = " if " + expression(draw) if draw.random() < 0.15 else ""
        target = "m"
        if draw.random() < 0.15:
            target, what = "x, y", draw.choice(["{'a': 1, 'b': 2}.items()", "[(1, 2), (3, 4)]", "messages[0].items()", "messages[0] | items"])
        inner = body(draw, depth)
        if draw.random() < 0.15:
            inner += tag(draw, "if loop.index > 1") + tag(draw, draw.choice(["break", "continue"])) + tag(draw, "endif") + "z"
        other = tag(draw, "else") + body(draw, depth) if draw.random() < 0.15 else ""
        return blank + tag(draw, f"for {target} in {what}{guard}") + inner + other + tag(draw, "endfor")
    if kind < 0.92:
        return blank + tag(draw, draw.choice([
            f"set x = {expression(draw)}", f"set y = {expression(draw)}", f"set ns.v = {expression(draw)}",
            f"set ns = namespace(v={expression(draw)})", "set x, y = 1, 'two'"]))
    if kind < 0.94:
        return blank + tag(draw, "set x") + body(draw, depth) + tag(draw, "endset")
    if kind < 0.965:
        return (blank + tag(draw, "macro f(a, b='B')") + "{{ a }}" + body(draw, depth) + "{{ b }}" + tag(draw, "endmacro")
            + "{{ f(" + draw.choice(["1", "'q', 'r'", "b=2", "a=3", "", "messages[0].role, b=[1]"]) + ") }}")
    if kind < 0.98:
        return blank + tag(draw, "generation") + body(draw, depth) + tag(draw, "endgeneration")
    if kind < 0.99:
        return blank + tag(draw, f"filter {draw.choice(['upper', 'trim', 'indent(2)'])}") + body(draw, depth) + tag(draw, "endfilter")
    return blank + tag(draw, "with x = 1") + body(draw, depth) + tag(draw, "endwith")


def body(draw, depth=0):
    return "".join(block(draw, depth + 1) for _ in range(draw.randint(1, 3)))


def template(draw):
    start = "{% set ns = namespace(v=1) %}" if draw.random() < 0.5 else ""
    return start + "".join(block(draw) for _ in range(draw.randint(1, 5))) + draw.choice(["", "\n"])
