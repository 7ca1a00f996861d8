"""A turn of a conversation as a question that can be looked up on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coach.retrieval import Index, SearchResult, terms
from coach.session import Exchange

Kind = Literal["question", "acknowledgement"]

# How much nearer the entries of the last answer are taken to be for a turn that leans on it, and how sure a turn
# must be on its own before it counts as a change of subject: `benchmarks/retrieval.py` on its development half.
CONTEXT_PRIOR = 0.12
SWITCH_MARGIN = 0.10

_ACKNOWLEDGEMENT = re.compile(
    r"(?:(?:ah|oh|yes|yep|yeah|yup|no|nope|ok|okay|k|sure|right|alright|fine|good|great|cool|nice|perfect|thanks?|"
    r"thank you|thx|cheers|ty|got it|gotcha|i see|i understand|understood|makes? sense|that makes sense|that helps|"
    r"that helped|clear|all clear|interesting|indeed|exactly|correct|please|hm+|mhm|aha|wow|lovely|awesome|"
    r"that'?s (?:clear|helpful|great|good|fine|right|all)|very|much|a lot|so|now|then|it|really|helpful|"
    r"i get it|go on|continue|next|done|never ?mind|no worries|will do)[\s,.!?…:;)-]*)+",
    re.IGNORECASE,
)
_MAX_ACKNOWLEDGEMENT_WORDS = 8

_LEANING_START = re.compile(
    r"\s*(?:and|but|so|or|also|then|because|what about|how about|what if|why|how so|how come|really|when|where|"
    r"is it|does it|can it|would it|are they|do they|which one|in that case|for example|an example|like what|such as|"
    r"even if|even|only|always|never|more|another|can you (?:give|show|elaborate|explain more)|give me|show me|"
    r"say more|tell me more|elaborate|explain (?:that|this|it|more|again)|i don'?t (?:get|understand))\b",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(?:it|its|that|this|they|them|their|these|those|one|ones|former|latter|same|instead|there|both|either|"
    r"previous|above|earlier|first|second|other|you (?:said|mentioned))\b",
    re.IGNORECASE,
)
_FIRST = re.compile(
    r"\b(?:the )?(?:very )?first (?:one|topic|thing|question|answer)\b|\bwhere we (?:started|began)\b", re.I
)
_PREVIOUS = re.compile(r"\b(?:the )?(?:previous|earlier|former|last|other) (?:one|topic|thing|question|answer)\b", re.I)
_COMPARING = re.compile(
    r"\b(?:differ\w*|compare\w*|versus|vs\.?|better than|same as|similar|relate[sd]?|instead of)\b", re.I
)


@dataclass(frozen=True)
class Resolution:
    """What a turn asks: `query` stands on its own, `found` is what was retrieved for it.

    `compared` holds the ids of earlier entries that the turn sets the current subject against.
    """

    kind: Kind
    query: str
    found: SearchResult | None
    compared: tuple[str, ...] = ()


def is_acknowledgement(text: str) -> bool:
    """Whether a turn only acknowledges ("ok, thanks") and asks nothing."""
    words = text.split()
    return bool(words) and len(words) <= _MAX_ACKNOWLEDGEMENT_WORDS and bool(_ACKNOWLEDGEMENT.fullmatch(text.strip()))


def leans_on_context(text: str) -> bool:
    """Whether a turn points back at what was said before, by its shape alone."""
    count = len(terms(text))
    if _FIRST.search(text) or _PREVIOUS.search(text):
        return True
    return count <= 1 or bool(_LEANING_START.match(text) and count <= 9) or bool(_POINTING.search(text) and count <= 7)


def resolve(text: str, exchanges: Sequence[Exchange], index: Index, best: int = 8) -> Resolution:
    """Resolve a turn against the conversation and look it up; an acknowledgement looks nothing up."""
    cited = [exchange for exchange in exchanges if exchange.citations]
    if is_acknowledgement(text) and exchanges:
        return Resolution("acknowledgement", text, None)
    alone = index.search(text, best)
    if not cited or not leans_on_context(text):
        return Resolution("question", text, alone)
    last = cited[-1]
    topic = index.entry(last.citations[0])
    compared = _compared(text, cited, topic.id)
    query = f"{topic.title}: {text}"
    prior = dict.fromkeys(last.citations[:1], CONTEXT_PRIOR)
    inside = index.search(query, best, prior)
    if _changes_subject(text, alone, topic.id):
        return Resolution("question", text, alone, compared)
    return Resolution(
        "question", query, SearchResult(inside.hits, max(inside.probability, alone.probability)), compared
    )


def _compared(text: str, cited: Sequence[Exchange], current: str) -> tuple[str, ...]:
    """Ids of the earlier entries that a turn like "how is that different from the first one?" names."""
    subjects = list(dict.fromkeys(exchange.citations[0] for exchange in cited))
    if _FIRST.search(text):
        return tuple(key for key in subjects[:1] if key != current)
    if _PREVIOUS.search(text) or (_COMPARING.search(text) and re.search(r"\b(?:both|two|each other)\b", text, re.I)):
        return tuple(key for key in reversed(subjects) if key != current)[:1]
    return ()


def _changes_subject(text: str, alone: SearchResult, current: str) -> bool:
    """Whether a turn names another subject outright, whatever its shape ("and what is a GAN?")."""
    best = alone.hits[0]
    if best.entry.id == current or not alone.answerable:
        return False
    named = set(terms(best.entry.title)) | set(terms(best.entry.id.replace("-", " ")))
    others = [hit.score for hit in alone.hits if hit.entry.id == current]
    ahead = best.score - (others[0] if others else 0.0)
    return (bool(named & set(terms(text))) and ahead > 0) or ahead > SWITCH_MARGIN
