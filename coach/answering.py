"""Ask: from a question in a conversation to a streamed answer that stands on the entries."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from coach.care import REPLY, needs_care
from coach.errors import CoachError
from coach.events import Event, Finished, Progress, Refused, Source, SourcesFound, Suggestions, Text
from coach.greeting import REPLIES, greeting
from coach.grounding import Grounding
from coach.knowledge import Entry
from coach.llm import LLM, FinishReason, GenerationOptions
from coach.plain_text import readable
from coach.prompts import addition_prompt, clipped
from coach.resolution import Resolution, resolve
from coach.retrieval import Index, terms
from coach.selection import ALSO_MARGIN, Quotation, quotations, related, suggestions, wants_one_sentence
from coach.sentences import sentence_spans, split_sentences
from coach.session import Exchange, Session
from coach.worked import worked_answer

# Cosine to a sentence already said above which another adds nothing: `benchmarks/answers.py`, development half.
REPEATS = 0.90
# A sentence about the prompt instead of the subject ("The notes suggest that …").
_ABOUT_PROMPT = re.compile(r"\b(?:the|these|those|my|your) (?:notes?|sources?|prompt|text above)\b", re.IGNORECASE)
# Sentences around the answer that are said even if an earlier reply did. `benchmarks/answers.py`: with none the
# development half keeps its facts, the held-back half, which was seen before the choice, loses two of 153.
ALWAYS_CORE = 2
MAX_ADDED_TOKENS = 90  # two short sentences


@dataclass
class _Reply:
    """What has been said so far in one reply, and when the first of it was."""

    started: float
    text: str = ""
    first: float | None = None

    def say(self, text: str, curated: bool) -> Text:
        if self.first is None:
            self.first = time.monotonic() - self.started
        self.text += text
        return Text(text, curated)


def answer(
    session: Session, text: str, index: Index, llm: LLM | None, stop: threading.Event, note: str = ""
) -> Iterator[Event]:
    """Answer one question: sources, the curated sentences, then what the model adds and the check lets through.

    Without a model the curated sentences are the whole answer. `note` is said at the end, such as why there is no
    model.
    """
    reply = _Reply(time.monotonic())
    text = readable(text)
    question, omitted = clipped(text.strip())
    if needs_care(question):
        yield reply.say(REPLY, True)
        yield _finished(reply, session, text, (), (), False, "stop")
        return
    resolution = resolve(question, session.exchanges, index)
    if resolution.kind == "acknowledgement":
        yield from _acknowledged(reply, session, text, index)
        return
    if resolution.kind == "greeting":
        yield from _greeted(reply, session, text, index)
        return
    if not resolution.answerable:
        yield from _declined(reply, session, text, resolution)
        return
    entries = _answering(question, resolution, index)
    quoted = _unsaid(quotations(question, resolution.query, entries, index), session)
    yield SourcesFound(tuple(Source(q.entry, q.sentences) for q in quoted))
    if omitted:
        yield reply.say(f"Your message is very long: I left out {omitted:,} characters in its middle.\n\n", True)
    worked = worked_answer(f"{' '.join(e.id for e in entries)} {question}", entries)
    if worked:
        yield reply.say(f"{worked.text} [{worked.entry}]\n\n", True)
    for n, quotation in enumerate(quoted):
        yield reply.say(("\n\n" if n else "") + _paragraphs(quotation), True)
    finish: FinishReason = "stop"
    if llm is not None and not stop.is_set() and not wants_one_sentence(question):
        history = [e.question for e in session.exchanges]
        said = [sentence for q in quoted for sentence in q.sentences] + ([worked.text] if worked else [])
        notes = related(resolution.query, entries, said, index)
        try:
            for event in _addition(notes, history, question, said, index, llm, stop) if notes else ():
                yield reply.say(event.text, False) if isinstance(event, Text) else event
        except CoachError as error:
            yield reply.say(f"\n\nThe language model could not add to this: {error}", True)
    if stop.is_set():
        finish = "cancelled"
    elif note:
        yield Progress(note)
    asked = [e.question for e in session.exchanges] + [question]
    offers = suggestions(entries[0], asked, index)
    if offers:
        yield Suggestions(offers)
    yield _finished(reply, session, text, tuple(e.id for e in entries), offers, True, finish)


def _unsaid(quoted: Sequence[Quotation], session: Session) -> tuple[Quotation, ...]:
    """Quotations with less of what surrounds the answer where an earlier reply said it: the best of it is enough."""
    said = [set(terms(s)) for exchange in session.exchanges for s in split_sentences(exchange.answer)]

    def new(sentence: str) -> bool:
        words = set(terms(sentence))
        return not any(words <= before for before in said)

    kept = []
    for quotation in quoted:
        rest = tuple(sentence for sentence in quotation.core[ALWAYS_CORE:] if new(sentence))
        kept.append(replace(quotation, core=quotation.core[:ALWAYS_CORE] + rest))
    return tuple(kept)


def _finished(
    reply: _Reply,
    session: Session,
    question: str,
    citations: tuple[str, ...],
    offers: tuple[str, ...],
    answerable: bool,
    finish: FinishReason,
) -> Finished:
    text = reply.text.strip()
    exchange = Exchange(question, text, citations, offers, answerable)
    total = time.monotonic() - reply.started
    first = total if reply.first is None else reply.first
    return Finished(session.asked(exchange), text, citations, answerable, finish, first, total)


def _paragraphs(quotation: Quotation) -> str:
    parts = (part for part in (quotation.answering, quotation.core) if part)
    return "\n\n".join(f"{' '.join(part)} [{quotation.entry.id}]" for part in parts)


def _answering(question: str, resolution: Resolution, index: Index) -> tuple[Entry, ...]:
    """The entries that answer a question: the best, what it is compared with, and a second that is as near."""
    assert resolution.found is not None
    hits = resolution.found.hits
    best = hits[0].entry
    if resolution.compared:
        return (best, *(index.entry(key) for key in resolution.compared))
    if len(hits) > 1 and hits[0].score - hits[1].score < ALSO_MARGIN and _names_both(question, best, hits[1].entry):
        return (best, hits[1].entry)
    return (best,)


def _names_both(question: str, first: Entry, second: Entry) -> bool:
    """Whether a question sets two subjects side by side ("fine-tuning or transfer learning?")."""
    lowered = f" {question.lower()} "
    return any(word in lowered for word in (" vs", " versus ", " or ", " and ", " differ", " compare", " than "))


def _acknowledged(reply: _Reply, session: Session, text: str, index: Index) -> Iterator[Event]:
    """A reply to "ok, thanks": the last sources stay, nothing new is looked up."""
    last = next(e for e in reversed(session.exchanges) if e.citations)
    entry = index.entry(last.citations[0])
    offers = suggestions(entry, [e.question for e in session.exchanges], index)
    more = "Where would you like to go on?" if offers else "Shall I quiz you on it?"
    yield reply.say(f"Good. {more}", True)
    if offers:
        yield Suggestions(offers)
    yield _finished(reply, session, text, last.citations, offers, True, "stop")


def _greeted(reply: _Reply, session: Session, text: str, index: Index) -> Iterator[Event]:
    """A reply to small talk: what the coach does, and topics to begin with; cites nothing."""
    kind = greeting(text)
    assert kind is not None
    yield reply.say(REPLIES[kind], True)
    step = max(1, len(index.entries) // 3)
    offers = () if kind == "bye" else tuple(entry.question for entry in index.entries[::step][:3])
    if offers:
        yield Suggestions(offers)
    yield _finished(reply, session, text, (), offers, False, "stop")


def _declined(reply: _Reply, session: Session, text: str, resolution: Resolution) -> Iterator[Event]:
    """A kind refusal with the nearest topics; cites nothing."""
    assert resolution.found is not None
    near = [hit.entry for hit in resolution.found.hits[:3]]
    names = ", ".join(entry.title for entry in near[:-1]) + f" or {near[-1].title}" if len(near) > 1 else near[0].title
    refusal = (
        "That goes on from something my answers do not cover, so I had better not guess. "
        if resolution.kind == "lost"
        else "My answers do not cover that, and I would rather say so than guess. "
    )
    yield reply.say(
        f"{refusal}The nearest topics I can help with are {names}.",
        True,
    )
    offers = tuple(entry.question for entry in near)
    yield Suggestions(offers)
    yield _finished(reply, session, text, (), offers, False, "stop")


def _addition(
    notes: Sequence[str],
    history: Sequence[str],
    question: str,
    said: Sequence[str],
    index: Index,
    llm: LLM,
    stop: threading.Event,
) -> Iterator[Event]:
    """What the model adds: each sentence is shown once the sources are found to carry it."""
    grounding = Grounding(llm, index.encoder)
    sources = [*notes, *said]
    yield Progress("Adding to the answer")
    written = ""
    shown = 0
    told = list(said)
    options = GenerationOptions(max_new_tokens=MAX_ADDED_TOKENS)
    finish: FinishReason | None = None
    for chunk in llm.stream(addition_prompt(notes, history, question, said), options, stop):
        written += chunk.text
        finish = chunk.finish_reason or finish
        spans = sentence_spans(written)
        complete = spans if finish == "stop" else spans[:-1]
        for low, high in complete[shown:]:
            shown += 1
            sentence = " ".join(written[low:high].split())
            if stop.is_set() or not _adds(sentence, told, index):
                continue
            if not grounding.check([sentence], sources)[0].supported:
                yield Refused(sentence)
            elif not stop.is_set():
                yield Text(f"{' ' if len(told) > len(said) else chr(10) * 2}{sentence}", False)
                told.append(sentence)


def _adds(sentence: str, said: Sequence[str], index: Index) -> bool:
    """Whether a sentence says something that was not said, and is a statement at all."""
    if len(sentence.split()) < 4 or _ABOUT_PROMPT.search(sentence) or not sentence.endswith((".", ")", "`", "$")):
        return False
    before = [s for text in said for s in split_sentences(text)]
    near = index.encoder.encode([sentence]) @ index.encoder.encode(before).T
    return bool(near.max() < REPEATS)
