"""Converts every checkpoint that make.py wrote, as it lies, and compares its answers with the judges'.

    compare.py FOLDER [--gristmill PROGRAM] [ROW …]

A row passes when the checkpoint converts without a flag (`--vision-tower` where no tower is inside), and the folder and the file
give the judge's ids, its last logits within 2e-4 and its greedy tokens, for texts and pictures. Exits 1 when one does not.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).parents[2]
PICTURES = ROOT / "Tests/Fixtures/conformance/images"


def compare(program, folder, document):
    source = folder / document["folder"]
    tower = ["--vision-tower", str(folder / document["vision_tower"])] if document.get("vision_tower") else []
    with tempfile.TemporaryDirectory() as scratch:
        file = pathlib.Path(scratch) / "m.grist"
        converted = subprocess.run([program, "convert", str(source), "-o", str(file), "--recipe", "source", *tower], capture_output=True, text=True)
        if document["refused"]:
            # What nobody knows is kept by name, and not run.
            asked = subprocess.run([program, "run", str(source), "--prompt", "Hi"], capture_output=True, text=True)
            told = asked.stderr.strip().splitlines()[-1].removeprefix(f"gristmill: {source}/")
            return ("refused" if asked.returncode == 65 and document["refused"] in asked.stderr else "NOT REFUSED"), told
        if converted.returncode:
            return "NOT CONVERTED", converted.stderr.strip().splitlines()[-1]
        worst, template = 0.0, ""
        for model, options in [(str(source), tower), (str(file), [])]:
            for case in document["cases"]:
                image = ["--image", str(PICTURES / case["image"])] if case["image"] else []
                run = subprocess.run(
                    [program, "run", model, "--prompt", case["prompt"], *image, "--json", "--logits", "--max-new-tokens", "8", "--activations", "f32",
                     "--threads", "1", *options], capture_output=True, text=True)
                where = f"{'file' if model == str(file) else 'folder'}, {case['image']}, {case['prompt'][:12]!r}"
                if run.returncode:
                    return "NO ANSWER", f"{where}: {run.stderr.strip().splitlines()[-1]}"
                answer = json.loads(run.stdout)
                template = answer["template"]
                if answer["input_ids"] != case["input_ids"]:
                    return "OTHER IDS", f"{where}: {answer['input_ids'][:24]} for {case['input_ids'][:24]}"
                difference = max(abs(a - b) for a, b in zip(answer["logits_last"], case["last_logits"], strict=True))
                worst = max(worst, difference)
                if not difference < 2e-4:
                    return "OTHER LOGITS", f"{where}: {difference:.2g}"
                greedy = [token for token in case["greedy"] if token not in document["ends"]]
                if answer["tokens"] != greedy:
                    return "OTHER TOKENS", f"{where}: {answer['tokens']} for {greedy}"
        return "ok", f"{template}, {len(document['cases'])} cases, logits to {worst:.0e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("rows", nargs="*")
    parser.add_argument("--gristmill", default=str(ROOT / ".build/release/gristmill"))
    options = parser.parse_args()
    bad = 0
    for path in sorted((options.folder / "expected").glob("*.json")):
        document = json.loads(path.read_text())
        if options.rows and not any(part in document["name"] for part in options.rows):
            continue
        verdict, detail = compare(options.gristmill, options.folder, document)
        bad += verdict not in ("ok", "refused")
        print(f"{verdict:14} {document['name']:46} {detail}", flush=True)
    raise SystemExit(bad > 0)


if __name__ == "__main__":
    main()
