"""The pieces of an entry that a question can match."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from coach.knowledge import Entry
from coach.sentences import split_sentences

PassageKind = Literal[
    "question", "alias", "answer", "key_point", "why", "follow_up", "expected", "fact", "claim", "correction"
]

ASKED: frozenset[PassageKind] = frozenset({"question", "alias", "follow_up"})  # what people ask, not what is stated
# What is true.
STATED: frozenset[PassageKind] = frozenset({"answer", "key_point", "why", "expected", "fact", "correction"})


@dataclass(frozen=True)
class Passage:
    """A piece of an entry that a question can match; `key` is the key point behind it, where there is one."""

    entry: str
    kind: PassageKind
    text: str
    key: str = ""


def passages_of(entry: Entry) -> tuple[Passage, ...]:
    """Everything in an entry that a question can match."""
    found = [Passage(entry.id, "question", entry.question)]
    found += [Passage(entry.id, "alias", alias) for alias in entry.aliases]
    found += [Passage(entry.id, "answer", sentence) for sentence in split_sentences(entry.answer)]
    for point in entry.key_points:
        found.append(Passage(entry.id, "key_point", point.text, point.id))
        if point.why:
            found.append(Passage(entry.id, "why", point.why, point.id))
    for follow_up in entry.follow_ups:
        found.append(Passage(entry.id, "follow_up", follow_up.question, follow_up.probes))
        found += [Passage(entry.id, "expected", text, follow_up.probes) for text in follow_up.expects]
    found += [Passage(entry.id, "fact", text) for text in entry.facts]
    for misconception in entry.misconceptions:
        found.append(Passage(entry.id, "claim", misconception.claim))
        found.append(Passage(entry.id, "correction", misconception.correction))
    return tuple(dict.fromkeys(found))
