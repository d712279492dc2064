"""A server under test, and what `gristmill run` answers to the same questions."""

import base64
import contextlib
import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
IMAGES = os.path.join(ROOT, "Tests/Fixtures/conformance/images")
KIT = os.path.join(ROOT, "Tests/Fixtures/conformance/small-f32")


def model(gristmill, folder):
    path = os.path.join(folder, "kit.grist")
    subprocess.run([gristmill, "convert", KIT, "-o", path, "--recipe", "int4-all", "--calibrate", "none", "--quiet", "--force"],
                   check=True)
    return path


def record(gristmill, path):
    """Puts a record into a model's file, for the server to verify it by."""
    with tempfile.TemporaryDirectory() as folder:
        probes = os.path.join(folder, "probes.json")
        with open(probes, "w") as file:
            json.dump([{"image": os.path.join(IMAGES, "flower_tiny.jpg"), "prompt": "What is it?"}], file)
        subprocess.run([gristmill, "record", KIT, "--probes", probes, "--into", path, "--max-new-tokens", "2", "--quiet"], check=True)


def data_url(name):
    path = name if os.path.isabs(name) else os.path.join(IMAGES, name)
    kind = {".jpg": "jpeg", ".png": "png", ".webp": "webp"}[os.path.splitext(path)[1]]
    with open(path, "rb") as file:
        return f"data:image/{kind};base64," + base64.b64encode(file.read()).decode()


def converse(gristmill, path, messages, tokens=12):
    """What the command answers to a conversation."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(messages, file)
        file.flush()
        command = [gristmill, "run", path, "--conversation", file.name, "--max-new-tokens", str(tokens), "--json"]
        return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def run(gristmill, path, question, image=None, tokens=12, extra=()):
    """What the command answers."""
    command = [gristmill, "run", path, "--prompt", question, "--max-new-tokens", str(tokens), "--json", *extra]
    if image:
        command += ["--image", os.path.join(IMAGES, image)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


@contextlib.contextmanager
def server(program, path, *options):
    process = subprocess.Popen([program, path, "--port", "0", *options], stderr=subprocess.PIPE, text=True)
    try:
        line = process.stderr.readline()
        address = re.search(r"http://\S+", line)
        if not address:
            raise SystemExit(f"the server did not start: {line}{process.stderr.read()}")
        base = address.group()
        for _ in range(600):
            try:
                with urllib.request.urlopen(base + "/health") as answer:
                    if json.load(answer)["status"] == "ready":
                        break
            except urllib.error.URLError:
                pass
            time.sleep(0.1)
        yield base, process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise SystemExit("the server did not stop within 30 seconds")


def content(question, image=None):
    parts = [{"type": "text", "text": question}]
    if image:
        parts.append({"type": "image_url", "image_url": {"url": data_url(image)}})
    return parts


def resident(process):
    with open(f"/proc/{process.pid}/status") as file:
        return int(re.search(r"VmRSS:\s+(\d+)", file.read()).group(1)) * 1024
