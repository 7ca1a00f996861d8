"""Practice from answer to report, with the real encoder and a judge that reads words."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from fake_llm import FakeLLM, Reader

from coach.coach import Coach
from coach.config import Settings
from coach.errors import GradingError, InputError
from coach.events import Event, Finished, Graded, Kept, Progress, Text
from coach.exercise import choose, is_question
from coach.grading import Flag, Scorecard
from coach.knowledge import Entry
from coach.llm import Message
from coach.retrieval import Index
from coach.session import Attempt, Exercise, Session

HALF = "Dropout sets each activation to zero at random with probability p at every training step."
CARE = "I want to kill myself, nothing matters any more."


@pytest.fixture
def coach(index: Index, tmp_path: Path) -> Coach:
    return Coach.of(index.entries, index, FakeLLM(judge=Reader()), Settings(cache=tmp_path))


def practise(coach: Coach, text: str, session: Session | None = None, **how: Any) -> tuple[Session, list[Event]]:
    session = session or coach.begin(Session(), "dropout", **how)
    events = list(coach.respond(session, text))
    last = events[-1]
    assert isinstance(last, Finished)
    return last.session, events


def said(events: Sequence[Event]) -> str:
    return "".join(event.text for event in events if isinstance(event, Text))


def cards(events: Sequence[Event]) -> list[Graded]:
    return [event for event in events if isinstance(event, Graded)]


def test_an_answer_is_graded_explained_and_followed_up(coach: Coach) -> None:
    session, events = practise(coach, HALF)
    (graded,) = cards(events)
    (kept,) = (event.session.exercise for event in events if isinstance(event, Kept))
    assert kept is not None
    assert kept.last is not None
    assert kept.last.scorecard is graded.scorecard
    assert graded.scorecard is not None
    assert 0 < graded.scorecard.score < 10
    assert events.index(graded) < next(n for n, event in enumerate(events) if isinstance(event, Text))
    assert "Follow-up: " in said(events)
    assert session.exercise is not None
    assert session.exercise.attempts[0].answer == HALF
    assert session.exercise.attempts[0].feedback == said(events)
    assert session.exercise.offered[0] in [f.question for f in coach.entry("dropout").follow_ups]


def test_the_follow_up_offered_is_the_one_asked(coach: Coach) -> None:
    session, _ = practise(coach, HALF)
    assert session.exercise is not None
    question, words = session.exercise.offered
    asked = coach.follow_up(session).exercise
    assert asked is not None
    assert (asked.follow_up, asked.asked) == (question, words)


def test_a_follow_ups_reply_is_graded_by_its_own_points(coach: Coach) -> None:
    session = coach.follow_up(practise(coach, HALF)[0])
    assert session.exercise is not None
    follow_up = next(f for f in coach.entry("dropout").follow_ups if f.question == session.exercise.follow_up)
    session, events = practise(coach, " ".join(follow_up.expects), session)
    card = cards(events)[0].scorecard
    assert card is not None
    assert [v.key_point.text for v in card.verdicts] == list(follow_up.expects)


def test_realistic_practice_shows_nothing_until_the_end(coach: Coach) -> None:
    session, events = practise(coach, HALF, realistic=True)
    assert cards(events) == []
    kept = next(n for n, event in enumerate(events) if isinstance(event, Kept))
    assert kept < next(n for n, event in enumerate(events) if isinstance(event, Text))
    assert said(events).startswith("Noted. ")
    session, report = coach.finish(session)
    assert "of 10" in report
    assert session.exercise is None


def test_without_a_model_nothing_is_graded_and_nothing_lost(index: Index) -> None:
    coach = Coach.of(index.entries, index, None, Settings(model="none"))
    session, events = practise(coach, HALF)
    assert cards(events)[0].scorecard is None
    assert "Not graded" in said(events)
    assert session.exercise is not None
    assert session.exercise.attempts[0].answer == HALF
    assert session.exercise.attempts[0].failure


def test_an_answer_sent_while_the_model_loads_is_graded_when_it_is_there(index: Index, tmp_path: Path) -> None:
    model: Future[Any] = Future()
    ready: Future[Any] = Future()
    ready.set_result(index)
    coach = Coach(index.entries, ready, model, Settings(cache=tmp_path))
    session = coach.begin(Session(), "dropout")
    events: Iterator[Event] = coach.respond(session, HALF)
    waiting = next(events)
    assert isinstance(waiting, Progress)
    assert "still loading" in waiting.text
    threading.Timer(0.2, model.set_result, [FakeLLM(judge=Reader())]).start()
    assert cards(list(events))[0].scorecard is not None


def test_despair_gets_help_and_no_mark(coach: Coach) -> None:
    session, events = practise(coach, CARE)
    assert cards(events) == []
    assert "Noted" not in said(events)
    assert session.exercise is not None
    assert session.exercise.attempts == ()


def test_a_judge_that_fails_says_not_graded(index: Index, tmp_path: Path) -> None:
    def dies(messages: Sequence[Message]) -> float:
        raise GradingError("Out of memory; use --model small.")

    coach = Coach.of(index.entries, index, FakeLLM(judge=dies), Settings(cache=tmp_path))
    session, events = practise(coach, HALF)
    assert cards(events)[0].scorecard is None
    assert "Out of memory" in said(events)
    assert session.exercise is not None
    assert len(session.exercise.attempts) == 1


def test_a_second_attempt_is_held_against_the_first(coach: Coach) -> None:
    entry = coach.entry("dropout")
    session, _ = practise(coach, HALF)
    session, events = practise(coach, entry.answer, coach.again(session))
    first, second = (attempt.scorecard for attempt in session.exercise.attempts[:2])
    new = sum(
        now.status == "covered" and before.status != "covered"
        for before, now in zip(first.verdicts, second.verdicts, strict=True)
    )
    assert new > 1
    assert re.search(rf"Your score is up \d\.\d\. {new} points are new\.", said(events))
    session, events = practise(coach, HALF, coach.again(session))
    assert "Your score is down" in said(events)
    assert "new." not in said(events)
    session, events = practise(coach, HALF, coach.again(session))
    assert "Your score is about the same." in said(events)


def test_one_point_can_be_answered_again(coach: Coach) -> None:
    point = coach.entry("dropout").key_points[-1]
    session, _ = practise(coach, HALF)
    session, events = practise(coach, point.text, coach.again(session, point.id))
    card = cards(events)[0].scorecard
    assert card is not None
    assert [v.key_point.id for v in card.verdicts] == [point.id]


def test_the_hint_ladder_goes_from_nudge_to_explanation(coach: Coach) -> None:
    session, _ = practise(coach, HALF)
    told = []
    for _ in range(3):
        session, text = coach.hint(session)
        told.append(text)
    assert [text.split(":")[0] for text in told] == ["Think of this", "The point is about", "The point is"]
    assert told[0] != told[2]


def test_a_contest_with_the_right_sentence_is_won_and_kept(index: Index, tmp_path: Path) -> None:
    point = index.entry("dropout").key_points[1]
    meant = "When you predict, dropout is switched off and nothing gets dropped."

    def overlooks(messages: Sequence[Message]) -> float:
        """Sees the point in the sentence by itself, but not in the candidate's whole answer."""
        asked = messages[-1].content
        if meant in asked:
            return -4.0 if "trains" in asked else 4.0
        return Reader()(messages)

    coach = Coach.of(index.entries, index, FakeLLM(judge=overlooks), Settings(cache=tmp_path))
    session, _ = practise(coach, f"I like trains and long walks along the river. {meant}")
    assert session.exercise is not None
    before = session.exercise.attempts[-1].scorecard
    events = list(coach.contest(session, point.id, meant))
    assert "You are right" in said(events)
    after = cards(events)[-1].scorecard
    assert before is not None
    assert after is not None
    assert after.score > before.score
    assert '"made": true' in (tmp_path / "calibration" / "contested.jsonl").read_text(encoding="utf-8")


def test_a_contest_with_another_sentence_is_lost_politely_and_kept(coach: Coach, tmp_path: Path) -> None:
    session, _ = practise(coach, HALF + " I like trains and long walks along the river.")
    point = coach.entry("dropout").key_points[-1].id
    events = list(coach.contest(session, point, "I like trains and long walks along the river."))
    assert "The verdict stays" in said(events)
    assert '"made": false' in (tmp_path / "calibration" / "contested.jsonl").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("point", "sentence", "message"),
    [("no-such-point", HALF, "no key point"), ("", "never said", "not in your answer")],
)
def test_a_contest_needs_a_point_and_words_of_the_answer(coach: Coach, point: str, sentence: str, message: str) -> None:
    session, _ = practise(coach, HALF)
    with pytest.raises(InputError, match=message):
        list(coach.contest(session, point or coach.entry("dropout").key_points[0].id, sentence))


def test_a_rewrite_keeps_the_candidates_words_and_names_what_each_change_gains(coach: Coach) -> None:
    session, _ = practise(coach, HALF)
    assert session.exercise is not None
    card = session.exercise.attempts[-1].scorecard
    assert card is not None
    text = said(list(coach.rewrite(session)))
    assert HALF in text
    missed = [v.key_point.text for v in card.verdicts if v.status == "missed"]
    assert missed
    assert all(f"- added: **{point}**" in text for point in missed)


@pytest.mark.parametrize(
    ("answer", "rewritten"),
    [
        ("It zeroes units. You keep it on. It helps.", "It zeroes units. It is off at inference. It helps."),
        ("It zeroes units, you keep it on, and it helps.", "It zeroes units. It is off at inference. And it helps."),
        ("you keep it on.", "It is off at inference."),
    ],
)
def test_a_wrong_clause_is_put_right_in_a_sentence_of_its_own(coach: Coach, answer: str, rewritten: str) -> None:
    session = coach.begin(Session(), "dropout")
    assert session.exercise is not None
    wrong = next(part for part in ("You keep it on.", "you keep it on.", "you keep it on") if part in answer)
    flag = Flag("Dropout stays on.", "It is off at inference.", wrong, 0.9)
    graded = replace(session.exercise, attempts=(Attempt(answer, Scorecard((), (flag,))),))
    text = said(list(coach.rewrite(replace(session, exercise=graded))))
    after = re.sub(r"~~[^~]+~~\s*", "", text.split("\n\n")[0]).replace("**", "")
    assert after == rewritten
    assert f"- put right: ~~{wrong}~~ **It is off at inference.**" in text


def test_a_question_in_practice_is_answered_and_the_exercise_goes_on(coach: Coach) -> None:
    session = coach.begin(Session(), "dropout")
    session, events = practise(coach, "what is batch normalisation?", session)
    last = events[-1]
    assert isinstance(last, Finished)
    assert last.citations == ("batch-normalisation",)
    assert session.exercise is not None
    assert session.exercise.attempts == ()


@pytest.mark.parametrize("act", ["hint", "rewrite", "again", "follow_up", "finish", "model_answer"])
def test_nothing_can_be_done_without_an_exercise(coach: Coach, act: str) -> None:
    with pytest.raises(InputError, match=r"No exercise|no graded answer"):
        tuple(getattr(coach, act)(Session()))


@pytest.mark.parametrize(
    ("text", "question"),
    [
        ("what is a logit?", True),
        ("Can you explain that?", True),
        ("Dropout is off at inference, right?", False),
        ("What it does is zero activations.", False),
        (
            "Why? Because the units would otherwise rely on each other, and that means they only work together, ok?",
            False,
        ),
    ],
)
def test_questions_are_told_from_answers(text: str, question: bool) -> None:
    assert is_question(text) is question


def test_what_was_practised_is_not_chosen_again_while_there_is_another(entries: tuple[Entry, ...]) -> None:
    topic = entries[0].topic
    fitting = [e for e in entries if e.topic == topic]
    session = Session()
    seen = set()
    for _ in fitting:
        entry = choose(entries, session, topic, None, random.Random(0))
        seen.add(entry.id)
        session = session.practising(Exercise(entry.id, entry.question)).attempted(Attempt("x", None))
    assert seen == {e.id for e in fitting}
    with pytest.raises(InputError, match="wider range"):
        choose(entries, session, "no such topic", None, random.Random(0))
