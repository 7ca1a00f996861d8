"""A turn of a conversation as a question that can be looked up on its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coach.greeting import greeting
from coach.retrieval import Index, SearchResult, terms
from coach.session import Exchange

Kind = Literal["question", "acknowledgement", "greeting", "lost"]

# How much nearer the entry of the last answer is taken to be, for a turn that points back and for any other that
# names no subject: `benchmarks/retrieval.py` on its development half.
LEANING_PRIOR = 0.2
CONTEXT_PRIOR = 0.04

_ACKNOWLEDGEMENT = re.compile(
    r"(?:(?:a+h+|o+h+|yes|yep|yeah|yup|no|nope|ok|okay|k|sure|right|alright|fine|good|great|cool|nice|perfect|brilliant|excellent|thanks?|"
    r"thank you|thx|cheers|ty|got it|gotcha|i see|i understand|understood|makes? sense|that makes sense|that helps|"
    r"that helped|clear|all clear|(?:very )?interesting|indeed|exactly|correct|please|hm+|mhm|aha|wow|lovely|awesome|"
    r"(?:that'?s|(?:that|it) was) (?:clear|helpful|great|good|fine|right|all|interesting)|"
    r"very|much|a lot|so|now|then|it|really|helpful|"
    r"i get it|go on|continue|next|done|never ?mind|no worries|will do)[\s,.!?…:;)-]*)+",
    re.IGNORECASE,
)
_MAX_ACKNOWLEDGEMENT_WORDS = 8
_SHORT_TERMS = 7
_FEW_TERMS = 2

_LEANING_START = re.compile(
    r"\s*(?:and|but|so|or|also|then|because|what about|how about|what if|why|how so|how come|really|when|where|"
    r"is it|does it|can it|would it|are they|do they|which one|in that case|for example|an example|like what|such as|"
    r"even if|even|only|always|never|more|another|can you (?:give|show|elaborate|explain more)|give me|show me|"
    r"say more|tell me more|elaborate|explain (?:that|this|it|more|again)|i don'?t (?:get|understand))\b",
    re.IGNORECASE,
)
_POINTING = re.compile(
    r"\b(?:it|its|he|she|him|her|his|that|this|they|them|their|these|those|former|latter|same|instead|there|both|either|"
    r"previous|above|earlier|first|second|other|(?:the|which|this|that|each|another)(?: \w+)? ones?|"
    r"you (?:said|mentioned))\b",
    re.IGNORECASE,
)
_DEFINITE = re.compile(r"\bthe\b", re.IGNORECASE)
_FIRST = re.compile(
    r"\b(?:the )?(?:very )?first (?:one|topic|thing|question|answer)\b|\bwhere we (?:started|began)\b",
    re.IGNORECASE,
)
_PREVIOUS = re.compile(
    r"\b(?:the )?(?:previous|earlier|former|last|other) (?:one|topic|thing|question|answer)\b", re.IGNORECASE
)
_TWO = re.compile(
    r"\b(?:both|(?:the|these|those|of) two|each other|between (?:them|these|those)|"
    r"which (?:one )?of (?:them|these|those))\b",
    re.IGNORECASE,
)


_BACK = re.compile(
    r"\b(?:back to|return(?:ing)? to|come back to|once more(?: the)?|again about|as for the) ", re.IGNORECASE
)


@dataclass(frozen=True)
class Resolution:
    """What a turn asks: `query` stands on its own, `found` is what was retrieved for it.

    `compared` holds the ids of earlier entries that the turn sets the current subject against. A turn is "lost" when
    it points back at something that no entry covers.
    """

    kind: Kind
    query: str
    found: SearchResult | None
    compared: tuple[str, ...] = ()

    @property
    def answerable(self) -> bool:
        """Whether there is something to answer from."""
        return self.kind == "question" and self.found is not None and self.found.answerable


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
    """Resolve a turn against the conversation and look it up; small talk looks nothing up."""
    cited = [exchange for exchange in exchanges if exchange.citations]
    if cited and is_acknowledgement(text):
        return Resolution("acknowledgement", text, None)
    leaning = leans_on_context(text)
    if greeting(text) and not (cited and (_POINTING.search(text) or not re.search(r"\w", text))):
        return Resolution("greeting", text, None)
    subject = index.only_named(text)
    if subject:
        question = index.entry(subject).question
        return Resolution("question", question, index.search(question, best))
    if not cited:
        return Resolution("question", text, index.search(text, best))
    named = index.named(text)
    last = next(exchange for exchange in reversed(exchanges) if not greeting(exchange.question))
    if not last.answerable and not named and not _BACK.search(text):
        return _after_a_refusal(text, leaning, index, best)
    current = cited[-1].citations[0]
    compared = _compared(text, cited, current)
    if _BACK.search(text) and not compared:
        prior = {exchange.citations[0]: LEANING_PRIOR for exchange in cited if exchange.citations[0] != current}
        return Resolution("question", text, index.search(text, best, prior))
    if (named and current not in named and not compared) or not (leaning or _is_short(text)):
        return Resolution("question", text, index.search(text, best), compared)
    if not (compared or _POINTING.search(text) or _asks_of_it(text)):
        # "what is a logit?" in a talk of batch normalisation.
        alone = index.search(text, best)
        if alone.answerable and index.new_terms(text, current, alone.hits[0].entry.id):
            return Resolution("question", text, alone)
    query = f"{index.entry(current).title}: {text}"
    near = LEANING_PRIOR if compared or (leaning and _says_little(text)) else CONTEXT_PRIOR
    prior = dict.fromkeys((current, *compared), near)
    held = index.speaks_of(current, text)
    return Resolution("question", query, index.search(query, best, prior, typed=text, held=held), compared)


def _after_a_refusal(text: str, leaning: bool, index: Index, best: int) -> Resolution:
    """A turn after one that was declined: what points back points at what is not covered."""
    found = index.search(text, best)
    if leaning and (_POINTING.search(text) or not found.answerable):
        return Resolution("lost", text, found)
    return Resolution("question", text, found)


def _says_little(text: str) -> bool:
    """Whether a turn that leans on the conversation would say next to nothing without it."""
    return bool(_POINTING.search(text)) or len(terms(text)) <= _FEW_TERMS


def _asks_of_it(text: str) -> bool:
    """Whether a turn asks for something of the current subject by its article: "what is the formula?"."""
    return bool(_DEFINITE.search(text)) and len(terms(text)) <= 1


def _is_short(text: str) -> bool:
    return len(terms(text)) <= _SHORT_TERMS


def _compared(text: str, cited: Sequence[Exchange], current: str) -> tuple[str, ...]:
    """Ids of the earlier entries that a turn like "how is that different from the first one?" names."""
    subjects = list(dict.fromkeys(exchange.citations[0] for exchange in cited))
    if _FIRST.search(text):
        return tuple(key for key in subjects[:1] if key != current)
    if _PREVIOUS.search(text) or _TWO.search(text):
        return tuple(key for key in reversed(subjects) if key != current)[:1]
    return ()
