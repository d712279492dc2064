#!/usr/bin/env python3
"""Checks the example of Formats/grist-v1.md: runs its script and its command, and compares every line of bytes and the
manifest on the page with the file that comes out.

    python3 Tools/formats/check_example.py GRISTMILL            # compares
    python3 Tools/formats/check_example.py GRISTMILL --write    # puts what came out into the page
"""
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "Formats" / "grist-v1.md"


def dumped(data: bytes, offset: int) -> str:
    """A line as hexdump -C shows it."""
    piece = data[offset:offset + 16]
    text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in piece)
    return f"    {offset:08x}  {piece[:8].hex(' ')}  {piece[8:].hex(' ')}  |{text}|"


def shown(value: object, indent: int = 0, room: int = 110) -> str:
    """JSON with line breaks where a line would be too long."""
    text = json.dumps(value, separators=(",", ":"))
    if len(text) + indent <= room or not isinstance(value, (dict, list)):
        return text
    if isinstance(value, list):
        return "[\n" + ",\n".join(" " * (indent + 1) + shown(item, indent + 1) for item in value) + "]"
    lines, line = [], ""
    for name, item in value.items():
        member = f'"{name}":' + shown(item, indent + 1)
        if line and len(line) + len(member.split("\n")[0]) + indent > room:
            lines.append(line)
            line = ""
        line += ("," if line else "") + member
        if "\n" in member:
            lines.append(line)
            line = ""
    return "{" + (",\n" + " " * (indent + 1)).join(filter(None, lines + [line])) + "}"


def main() -> int:
    writes = sys.argv[2:] == ["--write"]
    if len(sys.argv) != 2 and not writes:
        print(__doc__, file=sys.stderr)
        return 64
    whole = PAGE.read_text()
    start = whole.index("## An example, byte by byte")
    before, page = whole[:start], whole[start:]
    script = re.search(r"```python\n(.*?)```", page, re.S).group(1)
    command = re.search(r"^    gristmill (convert .*)$", page, re.M).group(1)
    manifest = json.loads(re.search(r"```json\n(.*?)```", page, re.S).group(1))
    program = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
        subprocess.run(["bash", "-c", f'"$0" {command} --quiet', program], cwd=folder, check=True)
        data = (Path(folder) / "tiny.grist").read_bytes()
    if writes:
        page = re.sub(r"^    ([0-9a-f]{8})  (?:[0-9a-f]{2} +){16}\|.{16}\|",
                      lambda match: dumped(data, int(match.group(1), 16)), page, flags=re.M)
        start, length = struct.unpack_from("<QQ", data, 4096 + 16)
        text = shown(json.loads(data[start:start + length]))
        page = re.sub(r"```json\n.*?```", lambda match: f"```json\n{text}\n```", page, flags=re.S)
        PAGE.write_text(before + page)
        print("written; look at the words, the length and the offsets of the chunk table")
        return 0
    wrong = []
    lines = re.findall(r"^    ([0-9a-f]{8})  ((?:[0-9a-f]{2} +){16})\|", page, re.M)
    for offset, text in lines:
        found = data[int(offset, 16):][:16]
        if found != bytes.fromhex(text):
            wrong.append(f"{offset}: {found.hex(' ')}")
    start, length = struct.unpack_from("<QQ", data, 4096 + 16)
    if json.loads(data[start:start + length]) != manifest:
        wrong.append(f"the manifest: {data[start:start + length].decode()}")
    if f"It has {len(data):,} bytes".replace(",", " ") not in page:
        wrong.append(f"the length: {len(data)}")
    for text in wrong:
        print(f"{PAGE.name} has something else than\n  {text}", file=sys.stderr)
    if not wrong:
        print(f"{PAGE.name}: {len(lines)} lines of bytes and the manifest are right")
    return 1 if wrong or not lines else 0


if __name__ == "__main__":
    sys.exit(main())
