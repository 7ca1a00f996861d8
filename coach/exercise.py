"""Practice: from an answer to its scorecard, feedback and next question; hints, contests and second attempts."""

from __future__ import annotations

import difflib
import random
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from coach.care import REPLY, needs_care
from coach.errors import CoachError, GradingError, InputError
from coach.events import Event, Finished, Graded, Kept, Progress, Text
from coach.feedback import feedback, next_follow_up, summary
from coach.grading import Scorecard, Verdict
from coach.judge import Judge, Task
from coach.knowledge import Entry
from coach.session import Attempt, Exercise, Session
from coach.wording import Wording

HINTS = ("nudge", "name", "explanation")
CONTESTED = 0.5  # probability from which a contested point counts: the sentence pointed to is judged alone
# Of ten points of score, under which two answers are not told apart: the interval around each is 2.6 wide in the median
# (benchmarks/grading.py --split test).
LEAST_CHANGE = 0.5
_QUESTION = re.compile(
    r"\s*(?:what(?:'s| is| are| does| do)?|why|how|when|where|which|who|can you|could you|do i|does|is it|are there|"
    r"explain|define|remind me)\b",
    re.IGNORECASE,
)
MAX_QUESTION_WORDS = 16  # a longer text that ends in a question mark is an answer with a rhetorical question


def is_question(text: str) -> bool:
    """Whether a text typed during practice asks something ("what is a logit?") instead of answering."""
    words = text.split()
    return text.strip().endswith("?") and len(words) <= MAX_QUESTION_WORDS and bool(_QUESTION.match(text))


def choose(
    entries: Sequence[Entry], session: Session, topic: str | None, difficulty: int | None, chance: random.Random
) -> Entry:
    """An entry to practise, one not practised yet where there is one; raises `InputError` when none fits."""
    fitting = [e for e in entries if (not topic or e.topic == topic) and (not difficulty or e.difficulty == difficulty)]
    if not fitting:
        raise InputError(f"No question has topic {topic!r} and difficulty {difficulty!r}; choose a wider range.")
    done = {exercise.entry for exercise in session.finished}
    if session.exercise is not None:
        done.add(session.exercise.entry)
    return chance.choice([e for e in fitting if e.id not in done] or fitting)


def task_of(entry: Entry, exercise: Exercise, foil: str) -> Task:
    """What the next answer is graded against: the question, one point of it, or the follow-up asked."""
    if exercise.follow_up:
        return Task.of_follow_up(entry, exercise.follow_up, foil)
    return Task.of_entry(entry, foil, exercise.only_point)


def respond(
    session: Session,
    text: str,
    entry: Entry,
    judge: Judge | None,
    wording: Wording,
    foil: str,
    why_not: str,
    stop: threading.Event,
) -> Iterator[Event]:
    """Grade an answer and say what follows from it; without a judge it is kept and `why_not` is said."""
    started = time.monotonic()
    exercise = session.exercise
    if exercise is None:
        raise InputError("No exercise is under way; start one first.")
    if needs_care(text):
        yield Text(REPLY, True)
        yield _finished(session, REPLY, started)
        return
    card, failure = None, ""
    yield Progress("Grading your answer")
    try:
        if judge is None:
            raise GradingError(why_not)
        card = judge.grade(task_of(entry, exercise, foil), text)
    except CoachError as error:
        failure = str(error)
    attempt = Attempt(text, card, failure, exercise.follow_up)
    session = session.attempted(attempt)
    yield Kept(session)
    follow_up = None if exercise.only_point else next_follow_up(entry, card, exercise.follow_ups_asked)
    asked = follow_up.question if follow_up else ""
    if session.style == "realistic":
        if follow_up and card is not None:
            asked = wording.follow_up(follow_up, card, _asked_before(entry, exercise), stop)
        said = (
            f"Noted. {asked}" if follow_up else "Noted. That was my last question on this; finish to see how it went."
        )
        yield Text(said, True)
        if follow_up:
            session = session.offering(follow_up.question, asked).follow_up_asked(follow_up.question)
        yield _finished(session, said, started)
        return
    yield Graded(card, failure)
    if card is None:
        said = f"Not graded: {failure} Your answer is kept; you can try again."
        yield Text(said, True)
        yield _finished(session, said, started)
        return
    said = _change(exercise, card)
    if said:
        yield Text(said, True)
    for line in wording.feedback(card, exercise.asked, stop):
        piece = f"{' ' if said else ''}{line.sentence.text}"
        said += piece
        yield Text(piece, not line.by_model)
    if not said:
        said = "I found no statement in this answer to build on."
        yield Text(said, True)
    if follow_up and not stop.is_set():
        asked = wording.follow_up(follow_up, card, _asked_before(entry, exercise), stop)
        yield Text(f"\n\nFollow-up: {asked}", asked == follow_up.question)
        said += f"\n\nFollow-up: {asked}"
        session = session.offering(follow_up.question, asked)
    session = session.reattempted(replace(attempt, feedback=said))
    yield _finished(session, said, started)


def _asked_before(entry: Entry, exercise: Exercise) -> tuple[str, ...]:
    return (entry.question, *exercise.follow_ups_asked)


def _change(exercise: Exercise, card: Scorecard) -> str:
    """What a second attempt gained or lost against the last one at the same question."""
    before = [a for a in exercise.attempts if a.follow_up == exercise.follow_up and a.scorecard is not None]
    if not before or before[-1].scorecard is None:
        return ""
    old = {v.key_point.id: v.status for v in before[-1].scorecard.verdicts}
    gained = sum(v.status == "covered" and old.get(v.key_point.id) != "covered" for v in card.verdicts)
    difference = card.score - before[-1].scorecard.score
    if len(old) != len(card.verdicts):
        return f"That point is now {card.verdicts[0].status}." if len(card.verdicts) == 1 else ""
    if abs(difference) < LEAST_CHANGE:
        told = "Your score is about the same."
    else:
        told = f"Your score is {'up' if difference > 0 else 'down'} {abs(difference):.1f}."
    if not gained:
        return told
    return told + (" One point is new." if gained == 1 else f" {gained} points are new.")


def _finished(session: Session, text: str, started: float) -> Finished:
    total = time.monotonic() - started
    return Finished(session, text, (), True, "stop", total, total)


def _gaps(entry: Entry, exercise: Exercise) -> list[str]:
    last = next((a.scorecard for a in reversed(exercise.attempts) if a.scorecard and not a.follow_up), None)
    if last is None:
        return [p.id for p in sorted(entry.key_points, key=lambda p: -p.weight)]
    open_points = [v for v in last.verdicts if v.status != "covered"]
    return [v.key_point.id for v in sorted(open_points, key=lambda v: -v.key_point.weight)]


def hint(session: Session, entry: Entry) -> tuple[Session, str]:
    """The next step of the ladder: a nudge, the point's name, its explanation; then on to the next open point."""
    exercise = session.exercise
    if exercise is None:
        raise InputError("No exercise is under way; start one first.")
    gaps = [exercise.only_point] if exercise.only_point else _gaps(entry, exercise)
    if not gaps:
        return session, "Every point is covered already; take the follow-up instead."
    step = exercise.hints % len(HINTS)
    point = entry.key_point(gaps[(exercise.hints // len(HINTS)) % len(gaps)])
    name = point.id.replace("-", " ")
    told = {
        "nudge": f"Think of this: {point.why or 'there is one more thing an interviewer waits for.'}",
        "name": f"The point is about: {name}.",
        "explanation": f"The point is: {point.text} {point.why}".strip(),
    }[HINTS[step]]
    return session.hinted(), told


def contest(
    session: Session, entry: Entry, point_id: str, sentence: str, judge: Judge | None, foil: str, why_not: str
) -> Iterator[Event]:
    """Judge a point again by the sentence that the candidate points to; the outcome is said either way."""
    started = time.monotonic()
    exercise = session.exercise
    last = exercise.last if exercise else None
    if exercise is None or last is None or last.scorecard is None:
        raise InputError("There is no graded answer to contest; answer the question first.")
    if sentence.strip() not in " ".join(last.answer.split()):
        raise InputError("That sentence is not in your answer; point to words that you said.")
    card = last.scorecard
    old = next((v for v in card.verdicts if v.key_point.id == point_id), None)
    if old is None:
        raise InputError(f"There is no key point {point_id!r} in this scorecard.")
    yield Progress("Judging that point again")
    if judge is None:
        raise GradingError(why_not)
    whole = task_of(entry, replace(exercise, follow_up=last.follow_up), foil)
    alone = replace(whole, points=(old.key_point,), misconceptions=())
    again = judge.grade(alone, sentence).verdicts[0]
    made = again.probability >= CONTESTED and again.probability > old.probability
    judge.contested(whole, old.key_point, sentence.strip(), made)
    if made:
        verdict = Verdict(old.key_point, "covered", again.probability, sentence.strip())
        card = replace(card, verdicts=tuple(verdict if v is old else v for v in card.verdicts))
        said = f"You are right: that sentence makes the point. Your score is now {card.score} of 10."
    else:
        said = (
            "I read that sentence again by itself and still do not find the point in it, which is: "
            f"{old.key_point.text} The verdict stays; say it in other words if you meant it."
        )
    session = session.reattempted(replace(last, scorecard=card))
    yield Kept(session)
    yield Graded(card)
    yield Text(said, True)
    yield _finished(session, said, started)


def rewrite(session: Session, entry: Entry) -> Iterator[Event]:
    """The answer as one would say it: the candidate's words where they were right, gaps filled, errors put right."""
    started = time.monotonic()
    exercise = session.exercise
    last = exercise.last if exercise else None
    if last is None or last.scorecard is None:
        raise InputError("There is no graded answer to rewrite; answer the question first.")
    text = " ".join(last.answer.split())
    changes = []
    for flag in last.scorecard.misconceptions:
        text = _corrected(text, flag.evidence, flag.correction)
        changes.append(f"- put right: ~~{flag.evidence}~~ **{flag.correction}**")
    for verdict in last.scorecard.verdicts:
        if verdict.status == "missed":
            text += f" {verdict.key_point.text}"
            changes.append(f"- added: **{verdict.key_point.text}**")
    said = _marked(" ".join(last.answer.split()), text)
    said += "\n\nWhat each change gains:\n" + "\n".join(changes) if changes else "\n\nNothing had to change."
    yield Text(said, True)
    yield _finished(session, said, started)


def _corrected(text: str, wrong: str, right: str) -> str:
    """A text with what is right in place of what is wrong, which may be a part of a sentence."""
    before, found, after = text.partition(wrong)
    if not found:
        return text
    before, after = before.rstrip(" ,;:"), after.lstrip(" .,;:")
    if before and before[-1] not in ".!?…":
        before += "."
    return " ".join(part for part in (before, right, after[:1].upper() + after[1:]) if part)


def _marked(before: str, after: str) -> str:
    """The new text with what was added in bold and what was taken out struck through."""
    old, new = before.split(), after.split()
    parts = []
    for kind, a, b, c, d in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind == "equal":
            parts.append(" ".join(new[c:d]))
            continue
        if b > a:
            parts.append(f"~~{' '.join(old[a:b])}~~")
        if d > c:
            parts.append(f"**{' '.join(new[c:d])}**")
    return " ".join(parts)


def report(session: Session, entries: dict[str, Entry]) -> str:
    """What was practised and how it went, as Markdown."""
    exercise = session.exercise
    if exercise is None:
        raise InputError("No exercise is under way; there is nothing to report.")
    entry = entries[exercise.entry]
    parts = []
    for attempt in exercise.attempts:
        asked = attempt.follow_up or entry.question
        if attempt.scorecard is None:
            parts.append(f"**{asked}**\n\nNot graded: {attempt.failure}")
        else:
            parts.append(summary(replace(entry, question=asked), attempt.scorecard))
            parts.append(" ".join(sentence.text for sentence in feedback(attempt.scorecard)))
    return "\n\n".join(parts) or "Nothing was answered yet."
