"""Which sentences of the entries answer this very question: the curated floor of every reply."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from coach.knowledge import Entry
from coach.passages import STATED
from coach.retrieval import Index, Passage, passages_of, terms
from coach.vocabulary import at_inference

if TYPE_CHECKING:
    from coach.retrieval import Vectors

# Chosen on the development half of `benchmarks/answers.py`.
SHORT_SENTENCES = 2  # of these for one who wants a single sentence: which of the nearest it is, is not sure enough
NARROW_SENTENCES = 4  # statements quoted for a question about one side of a topic
# How near a statement is to such a question. Without the other two, the first four of them hold 0.81 of the facts, with
# them 0.88 (148 facts): what lies near to every question about a topic is not what this one asks for.
MIDDLE_WEIGHT = 0.5  # taken off for the cosine with the middle of the entry's statements
WORDS_WEIGHT = 0.2  # added for the share of the question's words that occur, rare ones counting more
# Added to what tells what the term is that is asked for ("what is early stopping?"): a sentence of the answer or a key
# point that begins with it, and a sentence that says "recall is …". Of 41 such questions (read by eye)
# three more open with what defines the term and none fewer; at 0.2 two of them lose it and one gains it. The facts of
# `benchmarks/answers.py` are the same.
DEFINING_BONUS = 0.14
CARRIES = 0.62  # cosine from which a sentence of the answer is taken to carry a key point
CORE_SENTENCES = 4  # key points added to them, so that the answer also says what matters most
CORE_WEIGHT = 0.08  # cosine that one step of a key point's weight is worth there
COMPARED_SENTENCES = 2  # statements of each entry when two are set against each other
SIMILAR = 0.86  # cosine above which two statements say the same
SAID_IN_CORE = 0.78  # cosine to a statement already chosen from which a key point is not added to it
# Cosine from which a statement with all words of another says the same and more: of pairs found by reading, two that do
# have 0.73 and 0.74, and one that is about something else has 0.64; the facts present do not tell.
GOES_FURTHER = 0.7
FOLLOW_UP_MATCH = 0.72  # cosine to a follow-up question from which its expected points are the answer
REPEATED = 0.62  # cosine to an earlier question from which a suggestion would repeat it
FOLLOW_UP_BONUS = 0.2
ALSO_MARGIN = 0.06  # score distance within which a second entry answers the question as well

_DEFINITION = re.compile(
    r"(?:(?:and|so|ok|okay|but)\W+)*(?:can you )?(?:what(?:\W?s| is| are| does| do)|define|explain|tell me what)\b(.*)",
    re.IGNORECASE,
)
_IS = re.compile(r"\b(?:is|are|means)\b")
_ONE_SENTENCE = re.compile(r"\b(?:one|1|a|a single|single)[- ]sentence\b|\btl;?dr\b", re.IGNORECASE)

# Sentences of the answer and of the follow-ups read best on their own; a key point says the same more tersely.
_KIND_BONUS = {"answer": 0.08, "expected": 0.0, "fact": 0.0, "correction": 0.0, "key_point": 0.08, "why": -0.03}


@dataclass(frozen=True)
class Quotation:
    """Statements of one entry, word for word, in the order to be read: first what answers, then the core around it."""

    entry: Entry
    answering: tuple[str, ...]
    core: tuple[str, ...] = ()

    @property
    def sentences(self) -> tuple[str, ...]:
        """All that is quoted."""
        return self.answering + self.core


def quotations(question: str, query: str, entries: Sequence[Entry], index: Index) -> tuple[Quotation, ...]:
    """The statements of `entries` (best first) that answer `question`; `query` is the question with its context."""
    short = wants_one_sentence(question)
    if short:
        question, query = _ONE_SENTENCE.sub(" ", question), _ONE_SENTENCE.sub(" ", query)
    if len(entries) == 1:
        entry = entries[0]
        if is_general(question, entry):
            overview = _overview(entry, index)
            return (Quotation(entry, overview[:1] if short else overview),)
        found = _nearest(question, query, entry, index, NARROW_SENTENCES)
        return (Quotation(entry, found.answering[:SHORT_SENTENCES]) if short else found,)
    return tuple(_nearest(question, query, entry, index, COMPARED_SENTENCES) for entry in entries)


def wants_one_sentence(question: str) -> bool:
    """Whether a question asks for an answer of a single sentence."""
    return bool(_ONE_SENTENCE.search(question))


def is_general(question: str, entry: Entry) -> bool:
    """Whether a question asks for the topic as a whole: nothing is left when the topic's own words are taken away."""
    own = set(terms(f"{entry.title} {entry.id.replace('-', ' ')} {entry.question}"))
    own |= {
        "work",
        "used",
        "use",
        "idea",
        "basic",
        "intuition",
        "definition",
        "overview",
        "concept",
        "important",
        "need",
    }
    left = [term for term in terms(question) if term not in own]
    return not left


def _overview(entry: Entry, index: Index) -> tuple[str, ...]:
    """The sentences of the answer that carry its key points, in reading order; a point that none carries follows."""
    passages = [p for p in passages_of(entry) if p.kind == "answer"]
    vectors = index.vectors_of(passages)
    points = [Passage(entry.id, "key_point", point.text, point.id) for point in entry.key_points]
    nearness = vectors @ index.vectors_of(points).T
    chosen = {0, *(n for n in range(len(passages)) if float(nearness[n].max()) >= CARRIES)}
    alone = [p.text for n, p in enumerate(points) if float(nearness[:, n].max()) < CARRIES]
    return (*(passages[n].text for n in sorted(chosen)), *alone)


def related(query: str, entries: Sequence[Entry], said: Sequence[str], index: Index, count: int = 5) -> tuple[str, ...]:
    """The statements nearest to a question that were not quoted yet: what a model may add from."""
    passages = [p for entry in entries for p in passages_of(entry) if p.kind in STATED]
    vectors = index.vectors_of(passages)
    score = vectors @ index.encoder.encode([query])[0]
    before = index.encoder.encode(list(said)) if said else None
    chosen: list[int] = []
    for n in sorted(range(len(passages)), key=lambda n: -float(score[n])):
        if before is not None and float((before @ vectors[n]).max()) >= SIMILAR:
            continue
        if all(float(vectors[n] @ vectors[m]) < SIMILAR for m in chosen):
            chosen.append(n)
        if len(chosen) == count:
            break
    return tuple(passages[n].text for n in chosen)


def _nearest(question: str, query: str, entry: Entry, index: Index, count: int) -> Quotation:
    """The `count` statements of an entry nearest to a question, and the core of the topic that is not among them."""
    passages = [p for p in passages_of(entry) if p.kind in STATED]
    vectors = index.vectors_of(passages)
    asked, whole = index.encoder.encode([at_inference(question), at_inference(query)])
    near = vectors @ whole
    words = [set(terms(p.text)) for p in passages]
    shares = _shares(words, question, entry)
    score = vectors @ (asked + whole) / 2 - MIDDLE_WEIGHT * (vectors @ vectors.mean(axis=0))
    bonus = _follow_up_bonus(whole, entry, index)
    term = _defined(question)
    for n, passage in enumerate(passages):
        if term and words[n].issuperset(term) and _defines(passage, term):
            score[n] += DEFINING_BONUS
        score[n] += WORDS_WEIGHT * shares[n] + _KIND_BONUS[passage.kind] + bonus.get(passage.text, 0.0)
    chosen: list[list[int]] = [[], []]  # what answers, and the core around it

    def take(rows: Iterable[int], into: list[int], most: int, similar: float) -> None:
        for n in rows:
            before = [*chosen[0], *chosen[1]]
            shorter = [m for m in before if words[m] <= words[n] and float(vectors[n] @ vectors[m]) >= GOES_FURTHER]
            if shorter:  # the same and more
                for group in chosen:
                    group[:] = [n if m == shorter[0] else m for m in group if m not in shorter[1:]]
            elif all(float(vectors[n] @ vectors[m]) < similar and not words[n] <= words[m] for m in before):
                into.append(n)
            if len(into) >= most:
                return

    take((-score).argsort().tolist(), chosen[0], count, SIMILAR)
    weight = {p.id: p.weight for p in entry.key_points}
    core = [n for n, p in enumerate(passages) if p.kind == "key_point"]
    core.sort(key=lambda n: -(float(near[n]) + CORE_WEIGHT * weight[passages[n].key]))
    take(core, chosen[1], CORE_SENTENCES, SAID_IN_CORE)
    answering, around = (tuple(passages[n].text for n in group) for group in chosen)
    return Quotation(entry, answering, around)


def _defined(question: str) -> list[str]:
    """The terms of what a question wants to have defined; none if it wants something else."""
    found = _DEFINITION.match(question.strip())
    return terms(found.group(1)) if found else []


def _defines(passage: Passage, term: Sequence[str]) -> bool:
    """Whether a statement tells what a term is: begins with it and is of the core, or says that it is something."""
    if passage.kind in ("answer", "key_point") and terms(passage.text)[: len(term)] == term:
        return True
    return any(terms(before)[-len(term) :] == term for before in _IS.split(passage.text)[:-1])


def _shares(found: Sequence[set[str]], question: str, entry: Entry) -> list[float]:
    """For each text's words, the share (0 to 1) of the question's that are among them, beside the topic's own name."""
    asked = set(terms(at_inference(question))) - set(terms(f"{entry.title} {entry.id.replace('-', ' ')}"))
    counts = {term: sum(term in held for held in found) for term in asked}
    rarity = {term: math.log(1 + len(found) / count) for term, count in counts.items() if count}
    total = sum(rarity.values()) or 1.0
    return [sum(rarity[term] for term in rarity.keys() & held) / total for held in found]


def _follow_up_bonus(question: Vectors, entry: Entry, index: Index) -> dict[str, float]:
    """Extra weight for the statements expected of a follow-up that the question repeats in other words."""
    if not entry.follow_ups:
        return {}
    asked = [Passage(entry.id, "follow_up", f.question, f.probes) for f in entry.follow_ups]
    scores = index.vectors_of(asked) @ question
    best = int(scores.argmax())
    if float(scores[best]) < FOLLOW_UP_MATCH:
        return {}
    return dict.fromkeys(entry.follow_ups[best].expects, FOLLOW_UP_BONUS)


def suggestions(entry: Entry, asked: Sequence[str], index: Index, count: int = 3) -> tuple[str, ...]:
    """Follow-ups of an entry to offer, leaving out what was asked already in these or similar words."""
    offers = [f.question for f in entry.follow_ups]
    if not offers:
        return ()
    vectors = index.vectors_of([Passage(entry.id, "follow_up", f.question, f.probes) for f in entry.follow_ups])
    before = [text for text in asked if text.strip()]
    if before:
        nearest = (vectors @ index.encoder.encode(before).T).max(axis=1)
        offers = [offer for offer, near in zip(offers, nearest, strict=True) if float(near) < REPEATED]
    return tuple(offers[:count])
