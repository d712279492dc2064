#!/usr/bin/env python3
"""Write the expected.json of a checkpoint: what the oracle computes for a list of cases.

    python write_expected.py CHECKPOINT IMAGES CASES.json -o expected.json

CASES.json is a list of {"image": name in IMAGES or null, "prompt": text, "history":
[[user, assistant], …]}; `history` may be left out. The keys are those of the conformance
kit plus `filter`, `similarities` and `tile_sha256` (see README.md).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from oracle.model import ReferenceModel
from oracle.record import make_record


def expected_records(checkpoint: Path, images: Path, cases: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Run every case on the checkpoint."""
    model = ReferenceModel(checkpoint)
    return [make_record(model, images, case) for case in cases]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("cases", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    arguments = parser.parse_args()
    cases = json.loads(arguments.cases.read_text())
    records = expected_records(arguments.checkpoint, arguments.images, cases)
    arguments.output.write_text(json.dumps(records, ensure_ascii=False))


if __name__ == "__main__":
    main()
