#!/usr/bin/env python3
"""Checks the example of Formats/grist-v1.md: runs its script and its command, and compares every line of bytes and the
manifest on the page with the file that comes out.

    python3 Tools/formats/check_example.py GRISTMILL
"""
import json
import re
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent.parent / "Formats" / "grist-v1.md"


def main() -> int:
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 64
    page = PAGE.read_text()
    page = page[page.index("## An example, byte by byte"):]
    script = re.search(r"```python\n(.*?)```", page, re.S).group(1)
    command = re.search(r"^    gristmill (convert .*)$", page, re.M).group(1)
    manifest = json.loads(re.search(r"```json\n(.*?)```", page, re.S).group(1))
    program = str(Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", script], cwd=folder, check=True)
        subprocess.run(["bash", "-c", f'"$0" {command} --quiet', program], cwd=folder, check=True)
        data = (Path(folder) / "tiny.grist").read_bytes()
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
