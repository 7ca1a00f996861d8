"""Topics that the built-in entries do not cover, as the background against which a question is judged.

A question about gradient boosting is near to "deep learning or classical machine learning" for any sentence
encoder. Whether an entry *answers* it shows only by comparison with the topics around the knowledge. When a user's own
entry covers such a topic, the index leaves the line here out.

The topics stand in outside.txt, a line each, in two groups: what lies near deep learning and its interviews, and what
lies elsewhere, among it the field's words in another sense ("a batch of cookies").
"""

from __future__ import annotations

from functools import cache
from importlib import resources

from coach.config import BUILT_IN_KNOWLEDGE


@cache
def outside_passages() -> tuple[str, ...]:
    """One line for each topic that lies outside the built-in knowledge."""
    text = resources.files("coach").joinpath("outside.txt").read_text(encoding="utf-8")
    lines = (line.strip() for line in text.splitlines())
    return tuple(line for line in lines if line and not line.startswith("#"))


@cache
def built_in_ids() -> frozenset[str]:
    """Ids of the entries around which these topics lie."""
    return frozenset(path.stem for path in BUILT_IN_KNOWLEDGE.glob("*.toml"))
