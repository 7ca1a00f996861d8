"""Write `coach/vectors/`: the texts of the built-in knowledge as the embedded encoder sees them.

Run `python benchmarks/encode_knowledge.py` after an entry or `coach/outside.txt` has changed; a test says so. It takes
up to a minute on two cores. Without it the changed texts are encoded at everybody's first start.
"""

from __future__ import annotations

import sys

from coach.config import BUILT_IN_KNOWLEDGE
from coach.knowledge import load_entries
from coach.outside import outside_passages
from coach.passages import passages_of
from coach.retrieval import SentenceEncoder
from coach.vector_store import write_built_in
from coach.weights import encoder_folder


def main() -> int:
    entries = load_entries(BUILT_IN_KNOWLEDGE, ())
    texts = [passage.text for entry in entries for passage in passages_of(entry)]
    write_built_in([*texts, *outside_passages()], SentenceEncoder.load(str(encoder_folder()), device="cpu"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
