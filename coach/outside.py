"""Topics that the built-in entries do not cover, as the background against which a question is judged.

A question about gradient boosting is near to "deep learning or classical machine learning" for any sentence
encoder. Whether an entry *answers* it shows only by comparison with the topics around the knowledge. A user's own
entry on such a topic wins over the line here, because it has many passages that are nearer.

The topics stand in outside.txt, a line each, in two groups: what lies near deep learning and its interviews, and what
lies elsewhere, among it the field's words in another sense ("a batch of cookies").
"""

from __future__ import annotations

from functools import cache
from importlib import resources


@cache
def outside_passages() -> tuple[str, ...]:
    """One line for each topic that lies outside the built-in knowledge."""
    text = resources.files("coach").joinpath("outside.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))
