"""Draw fresh pictures with questions and answers: `generate.py --seed N --count M --out FOLDER`.

Writes FOLDER/NNNN.jpg, FOLDER/questions.jsonl (image, question, answer, level, topic) FOLDER/probes.json, and
FOLDER/evaluation.jsonl, the same questions for `gristmill evaluate`.
"""

from __future__ import annotations

import argparse
import json
import random
from pathlib import Path

from demomodel.draw import jpeg, render
from demomodel.questions import ask
from demomodel.scene import make_scene

LEVELS = ("coarse", "medium", "fine")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", required=True, help="anything; the same seed draws the same set")
    parser.add_argument("--count", type=int, required=True, help="pictures")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--split", choices=("train", "validation", "test", "foreign"), default="test",
                        help="which fonts and textures; foreign: other shades and photographs, too, in front of which nothing was trained")
    parser.add_argument("--tags", type=int, nargs=2, default=(6, 10), metavar=("FEWEST", "MOST"))
    parser.add_argument("--each", type=int, default=2, help="questions of each level a picture")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    probes, asked = [], []
    with (arguments.out / "questions.jsonl").open("w") as lines:
        for number in range(arguments.count):
            rng = random.Random(f"generate-{arguments.seed}-{number}")
            scene = make_scene(rng, tuple(arguments.tags))
            name = f"{number:04}.jpg"
            (arguments.out / name).write_bytes(jpeg(render(scene, rng, arguments.split), rng))
            for level in LEVELS:
                for question in ask(scene, rng, arguments.each, {level: 1.0}):
                    record = {"image": name, "question": question.text, "answer": question.answer,
                              "level": question.level, "topic": question.topic}
                    lines.write(json.dumps(record) + "\n")
                    probes.append({"image": name, "prompt": question.text})
                    asked.append({"question_id": len(asked), "image": name, "text": question.text, "category": question.level,
                                  "answer": question.answer})
    (arguments.out / "probes.json").write_text(json.dumps(probes, indent=1) + "\n")
    (arguments.out / "evaluation.jsonl").write_text("".join(json.dumps(item) + "\n" for item in asked))


if __name__ == "__main__":
    main()
