"""Feedback and follow-ups in the language model's words: each line is checked before it is said, or left as it was.

The curated sentence is the ground of each line and what is said when the model's line does not hold: it has to keep
to its own key point, to say of it what the verdict says, and to state nothing that its sources don't carry.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from coach.errors import CoachError
from coach.feedback import Sentence, feedback
from coach.grading import Scorecard
from coach.grounding import Grounding, consistent
from coach.knowledge import FollowUp
from coach.llm import LLM, GenerationOptions
from coach.prompts import feedback_prompt, follow_up_prompt
from coach.retrieval import Encoder, terms

MAX_WORDED = 2  # lines the model is asked for: the first praise and the first gap
MAX_LINE_WORDS = 45
LINE_TOKENS = 60
MAX_QUESTION_WORDS = 32
MAX_QUESTION_TOKENS = 64
# `benchmarks/grading.py --feedback`, development half: below these a line strayed to another point or question.
SAME_POINT = 0.45  # cosine of a line to its key point
LEAD = 0.05  # by which it is nearer to its own point than to one with another verdict
SAME_QUESTION = 0.75  # cosine of a worded follow-up to the curated one
MAX_GIVEN_AWAY = 0.3  # share of the expected words, beyond those of the curated question, that may be in it
MAX_ECHO = 0.9  # cosine to a question asked before

UNRELATED = "The interview took place on a Tuesday, and the weather was fine."  # carries no line of feedback

_NUMBERED = re.compile(r"^\s*(\d+)[.):]\s*(.+?)\s*$")
_LACK = re.compile(
    r"\b(?:missing|left out|leave out|lacks?|lacking|omit\w*|mention\w*|add(?:ing)?|didn't|did not|without|absent|"
    r"not (?:say|said|explain\w*|state\w*|cover\w*))\b",
    re.IGNORECASE,
)
_PRAISE = re.compile(
    r"\b(?:you (?:made|explained|said|stated|noted|pointed|named|described|mentioned|correctly|rightly|were right)|"
    r"good|right|correct\w*|well|clear\w*|nice\w*|great|excellent)\b",
    re.IGNORECASE,
)
# What frames a line: "You did not mention that ...", "You explained well that ...". Only what follows is a statement.
_FRAME = re.compile(
    r"^.*?\b(?:you|it|what)\b[^,.]{0,60}?\b(?:mention\w*|say|said|explain\w*|state\w*|note\w*|point\w* out|point|"
    r"cover\w*|add(?:ing)?|left out|missing|includ\w*|describ\w*)\b(?:\s+(?:is|was|well|correctly|clearly|"
    r"the point|outright))*\s*(?:that|how|why|what)?\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Line:
    """A sentence of feedback as it is said; `refused` is the model's line that did not pass the check, if any."""

    sentence: Sentence
    by_model: bool = False
    refused: str = ""


@dataclass(frozen=True)
class Wording:
    """Says feedback and follow-ups in a model's words; without a model in the curated ones."""

    llm: LLM | None
    encoder: Encoder

    def feedback(self, card: Scorecard, question: str, stop: threading.Event) -> Iterator[Line]:
        """The sentences of feedback one after another, first praise and first gap in the model's words."""
        sentences = feedback(card)
        chosen = _chosen(sentences) if self.llm is not None else []
        if self.llm is None or not chosen:
            yield from (Line(sentence) for sentence in sentences)
            return
        grounding = Grounding(self.llm, self.encoder)
        written: dict[int, Line] = {}
        lines = _lines(self.llm, question, [sentences[n] for n in chosen], card, stop)
        for n, sentence in enumerate(sentences):
            while n in chosen and n not in written and not stop.is_set():
                try:
                    place, text = next(lines)
                    held = holds(text, sentences[chosen[place]], card, grounding)
                except (StopIteration, CoachError):
                    break
                ground = sentences[chosen[place]]
                line = Line(replace(ground, text=text), True) if held else Line(ground, False, text)
                written.setdefault(chosen[place], line)
            yield written.get(n, Line(sentence))

    def follow_up(self, follow_up: FollowUp, card: Scorecard, before: Sequence[str], stop: threading.Event) -> str:
        """The follow-up tied to what the candidate said; the curated words when the model's do not hold."""
        curated = follow_up.question
        said = next((v.evidence for v in sorted(card.verdicts, key=lambda v: -v.probability) if v.evidence), "")
        if self.llm is None or not said or stop.is_set():
            return curated
        text = ""
        try:
            for chunk in self.llm.stream(
                follow_up_prompt(curated, said), GenerationOptions(max_new_tokens=MAX_QUESTION_TOKENS), stop
            ):
                text += chunk.text
        except CoachError:
            return curated
        text = " ".join(text.split()).strip('"“” ')
        return text if asks_the_same(text, follow_up, self.encoder, before) else curated


def _chosen(sentences: Sequence[Sentence]) -> list[int]:
    """Places of the sentences that the model words: the first praise and the first gap."""
    places = [next((n for n, s in enumerate(sentences) if s.kind == kind), None) for kind in ("made", "missing")]
    return sorted(n for n in places if n is not None)[:MAX_WORDED]


def _lines(
    llm: LLM, question: str, sentences: Sequence[Sentence], card: Scorecard, stop: threading.Event
) -> Iterator[tuple[int, str]]:
    """The numbered lines of the model's reply as they are complete: place in `sentences`, text."""
    verdicts = {v.key_point.id: v for v in card.verdicts}
    items = [
        (verdicts[s.rests_on].key_point, verdicts[s.rests_on].evidence if s.kind == "made" else "") for s in sentences
    ]
    text = ""
    done = 0
    for chunk in llm.stream(
        feedback_prompt(question, items), GenerationOptions(max_new_tokens=LINE_TOKENS * len(items)), stop
    ):
        text += chunk.text
        rows = text.split("\n")
        complete = rows if chunk.finish_reason == "stop" else rows[:-1]
        for row in complete[done:]:
            done += 1
            found = _NUMBERED.match(row)
            if found and 1 <= int(found[1]) <= len(items):
                yield int(found[1]) - 1, found[2]


def holds(text: str, sentence: Sentence, card: Scorecard, grounding: Grounding) -> bool:
    """Whether a model's line may stand for a sentence of feedback."""
    verdict = next((v for v in card.verdicts if v.key_point.id == sentence.rests_on), None)
    words = text.split()
    if verdict is None or not 4 <= len(words) <= MAX_LINE_WORDS or text[-1] not in ".!" or text.count(". ") > 1:
        return False
    lacks = bool(_LACK.search(text))
    if sentence.kind == "made" and (lacks or not _PRAISE.search(text)):
        return False
    if sentence.kind == "missing" and (not lacks or "you" not in text.lower()):
        return False
    own, *others = grounding.encoder.encode([verdict.key_point.text, *_others(card, sentence.rests_on)])
    line = grounding.encoder.encode([text])[0]
    nearest = max((float(line @ other) for other in others), default=-1.0)
    if float(line @ own) < max(SAME_POINT, nearest + LEAD):
        return False
    statement = _FRAME.sub("", text, count=1).strip(" ,:") or text
    sources = [verdict.key_point.text] + [verdict.key_point.why] * bool(verdict.key_point.why)
    quoted = [*sources, verdict.evidence] if sentence.kind == "made" else sources
    if not consistent(statement, " ".join(quoted), verdict.key_point.text):
        return False
    return grounding.check([statement], quoted, UNRELATED)[0].supported


def _others(card: Scorecard, key: str) -> list[str]:
    """Points that the line must not be about: those with another verdict than its own."""
    status = {v.key_point.id: v.status for v in card.verdicts}
    return [v.key_point.text for v in card.verdicts if v.status != status[key]]


def asks_the_same(text: str, follow_up: FollowUp, encoder: Encoder, before: Sequence[str]) -> bool:
    """Whether a worded question asks what the curated one asks, gives nothing away and was not asked before."""
    if not text.endswith("?") or len(text.split()) > MAX_QUESTION_WORDS or text.count("?") > 1:
        return False
    line, curated, *asked = encoder.encode([text, follow_up.question, *before])
    if float(line @ curated) < SAME_QUESTION or any(float(line @ other) > MAX_ECHO for other in asked):
        return False
    answer = set(terms(" ".join(follow_up.expects))) - set(terms(follow_up.question))
    return len(answer & set(terms(text))) <= MAX_GIVEN_AWAY * max(1, len(answer))
