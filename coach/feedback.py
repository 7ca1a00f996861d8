"""What the coach says to a graded answer: built point by point, so that every sentence rests on a verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from coach.grading import Scorecard, Verdict
from coach.knowledge import Entry, FollowUp

MAX_PRAISED = 2
MAX_MISSING = 2
# Probability from which a point is praised: in 70 answers of the development half of `benchmarks/grading.py`, those
# with errors among them, no praise of 56 is for a point that was missed; from 0.8 on it is one of 66.
PRAISED = 0.95

Kind = Literal["made", "wrong", "missing", "near", "next"]
# How a sentence begins, and how one of the same kind after it.
_OPENINGS: dict[Kind, tuple[str, str]] = {
    "made": ("You made this point", "And this one"),
    "missing": ("What is missing", "Missing too"),
    "near": ("You came near to this point; say it outright", "And near to this one"),
}


@dataclass(frozen=True)
class Sentence:
    """A sentence of feedback, what it does, and what it rests on: the id of a key point, or a misconception's claim."""

    text: str
    rests_on: str
    kind: Kind = "next"


def feedback(card: Scorecard) -> tuple[Sentence, ...]:
    """Two to five sentences: what was wrong, what was good, what is missing and why it matters, what to do next."""
    said: list[Sentence] = []
    covered = [v for v in card.verdicts if v.status == "covered" and v.evidence]
    made = sorted((v for v in covered if v.probability >= PRAISED and not v.doubted), key=lambda v: -v.probability)
    missing = _by_weight([v for v in card.verdicts if v.status == "missed"])
    partly = _by_weight([v for v in card.verdicts if v.status in ("partial", "unsure") and v.evidence])
    for n, verdict in enumerate(made[:MAX_PRAISED]):
        text = f"{_OPENINGS['made'][n > 0]}: {_plain(verdict.key_point.text)}"
        said.append(Sentence(text, verdict.key_point.id, "made"))
    for flag in card.misconceptions[:1]:
        wrong = f"One thing was wrong: you said “{_short(flag.evidence).rstrip('.')}”. {flag.correction}"
        said.append(Sentence(wrong, flag.claim, "wrong"))
    for n, verdict in enumerate((missing or partly)[: MAX_MISSING if len(said) < MAX_MISSING else 1]):
        why = f" {verdict.key_point.why}" if verdict.key_point.why else ""
        kind: Kind = "missing" if verdict.status == "missed" else "near"
        text = f"{_OPENINGS[kind][n > 0]}: {_plain(verdict.key_point.text)}{why}"
        said.append(Sentence(text, verdict.key_point.id, kind))
    if missing:
        key = missing[0].key_point
        lead = "Next time, start with" if key.weight == 3 else "Next time, add"
        said.append(Sentence(f"{lead} one sentence on that{_and_the_error(card)}.", key.id))
    elif card.misconceptions:
        said.append(Sentence("Next time, check that statement before you say it.", card.misconceptions[0].claim))
    elif partly:
        said.append(Sentence("Next time, finish that thought in a full sentence.", partly[0].key_point.id))
    elif covered:
        said.append(Sentence("Nothing essential is missing; try it aloud, in about a minute.", covered[0].key_point.id))
    return tuple(said)


def _and_the_error(card: Scorecard) -> str:
    return ", and leave out the wrong statement" if card.misconceptions else ""


def _by_weight(verdicts: Sequence[Verdict]) -> list[Verdict]:
    return sorted(verdicts, key=lambda v: (-v.key_point.weight, -v.probability))


def _plain(text: str) -> str:
    return text if text.endswith((".", "?", ")")) else f"{text}."


def _short(text: str, limit: int = 160) -> str:
    return text if len(text) <= limit else text[: limit - 2].rsplit(" ", 1)[0] + " …"


def next_follow_up(entry: Entry, card: Scorecard | None, asked: Sequence[str]) -> FollowUp | None:
    """The follow-up that probes the most valuable gap, or goes deeper when all is covered; None when none is left."""
    left = [f for f in entry.follow_ups if f.question not in asked]
    if not left:
        return None
    if card is None:
        return left[0]
    gap = {v.key_point.id: v.key_point.weight * (1 - v.probability) for v in card.verdicts}
    return max(left, key=lambda f: gap.get(f.probes, 0.0))


def next_question(entry: Entry, card: Scorecard | None, asked: Sequence[str]) -> str:
    """The words of `next_follow_up`; empty when none is left."""
    follow_up = next_follow_up(entry, card, asked)
    return follow_up.question if follow_up else ""


def summary(entry: Entry, card: Scorecard) -> str:
    """A scorecard as Markdown, for the terminal and for reports."""
    low, high = card.interval
    lines = [f"**{entry.question}**", "", f"{card.score} of 10 ({low} to {high})", ""]
    for verdict in card.verdicts:
        evidence = f" (you: “{_short(verdict.evidence)}”)" if verdict.evidence else ""
        lines.append(f"- {verdict.status}: {verdict.key_point.text}{evidence}")
    lines += [f"- wrong: “{_short(flag.evidence)}” → {flag.correction}" for flag in card.misconceptions]
    return "\n".join(lines)
