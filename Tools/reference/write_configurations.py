"""Default configurations as transformers writes them: `write_configurations.py TESTS/FIXTURES/configurations/FILE.json`.

The test "every key of transformers' configurations is on a list" reads the file. Run it under each version whose keys are to be known; the
file of each is named after it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import transformers
from transformers import CLIPConfig, CLIPVisionConfig, LlamaConfig


def main() -> None:
    documents = {"transformers": transformers.__version__}
    for name, config in (("model", LlamaConfig()), ("tower", CLIPVisionConfig()), ("clip", CLIPConfig())):
        documents[name] = {key: value for key, value in config.to_dict().items() if key != "text_config"}
    Path(sys.argv[1]).write_text(json.dumps(documents, indent=1) + "\n")


if __name__ == "__main__":
    main()
