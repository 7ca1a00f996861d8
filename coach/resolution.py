"""A turn of a conversation as a question that can be looked up on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coach.retrieval import Index, SearchResult, terms
from coach.session import Exchange

Kind = Literal["question", "acknowledgement"]

# How much nearer the entry of the last answer is taken to be, for a turn that points back and for any other that
# names no subject: `benchmarks/retrieval.py` on its development half.
LEANING_PRIOR = 0.35
CONTEXT_PRIOR = 0.06

_ACKNOWLEDGEMENT = re.compile(
    r"(?:(?:ah|oh|yes|yep|yeah|yup|no|nope|ok|okay|k|sure|right|alright|fine|good|great|cool|nice|perfect|thanks?|"
    r"thank you|thx|cheers|ty|got it|gotcha|i see|i understand|understood|makes? sense|that makes sense|that helps|"
    r"that helped|clear|all clear|interesting|indeed|exactly|correct|please|hm+|mhm|aha|wow|lovely|awesome|"
    r"that'?s (?:clear|helpful|great|good|fine|right|all)|very|much|a lot|so|now|then|it|really|helpful|"
    r"i get it|go on|continue|next|done|never ?mind|no worries|will do)[\s,.!?…:;)-]*)+",
    re.IGNORECASE,
)
_MAX_ACKNOWLEDGEMENT_WORDS = 8
_SHORT_TERMS = 7

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
    if not cited:
        return Resolution("question", text, index.search(text, best))
    current = cited[-1].citations[0]
    named = index.named(text)
    compared = _compared(text, cited, current)
    leaning = leans_on_context(text)
    if (named and current not in named and not compared) or not (leaning or _is_short(text)):
        return Resolution("question", text, index.search(text, best), compared)
    if not compared and index.strays(text, current):
        alone = index.search(text, best)
        if not alone.answerable:
            return Resolution("question", text, alone)
    query = f"{index.entry(current).title}: {text}"
    prior = {current: LEANING_PRIOR if leaning else CONTEXT_PRIOR}
    return Resolution("question", query, index.search(query, best, prior, typed=text), compared)


def _is_short(text: str) -> bool:
    return len(terms(text)) <= _SHORT_TERMS


def _compared(text: str, cited: Sequence[Exchange], current: str) -> tuple[str, ...]:
    """Ids of the earlier entries that a turn like "how is that different from the first one?" names."""
    subjects = list(dict.fromkeys(exchange.citations[0] for exchange in cited))
    if _FIRST.search(text):
        return tuple(key for key in subjects[:1] if key != current)
    if _PREVIOUS.search(text) or (_COMPARING.search(text) and re.search(r"\b(?:both|two|each other)\b", text, re.I)):
        return tuple(key for key in reversed(subjects) if key != current)[:1]
    return ()
