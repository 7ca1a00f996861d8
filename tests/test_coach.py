"""The coach as a whole: what is ready when, what is said while something is not, and that visitors are kept apart."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from fake_llm import FakeLLM, Reader, writing

from coach.coach import Coach
from coach.config import Settings
from coach.errors import CoachError, InputError, KnowledgeError, ModelError, RetrievalError
from coach.events import Event, Finished, Graded, Progress, Text
from coach.knowledge import Entry
from coach.retrieval import Index
from coach.session import Session

QUESTION = "what is dropout?"


def finished(events: Sequence[Event]) -> Finished:
    last = events[-1]
    assert isinstance(last, Finished)
    return last


def ready(part: object) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(part)
    return future


def failed(error: Exception) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_exception(error)
    return future


@pytest.fixture
def curated(index: Index) -> Coach:
    """A coach without a language model."""
    return Coach.of(index.entries, index, None, Settings(model="none"))


def test_a_coach_without_a_model_opens_and_answers(cache: Path, index: Index) -> None:
    coach = Coach.load(Settings(model="none", cache=cache))
    assert len(coach.entries) == 30
    assert coach.status.encoder in ("loading", "ready")
    coach.wait_ready(model=True, timeout=300)
    status = coach.status
    assert (status.encoder, status.model, status.progress) == ("ready", "off", None)
    assert "curated" in status.message
    last = finished(list(coach.ask(Session(), QUESTION)))
    assert last.citations == ("dropout",)
    assert coach.llm is None


def test_faulty_knowledge_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match=r"no \.toml file"):
        Coach.load(Settings(model="none", knowledge=(tmp_path,)))


def test_an_encoder_that_cannot_be_loaded_is_told_in_the_status_and_when_asked(tmp_path: Path) -> None:
    coach = Coach.load(Settings(model="none", encoder=str(tmp_path / "nowhere"), cache=tmp_path))
    with pytest.raises(RetrievalError, match="nowhere"):
        coach.wait_ready(timeout=300)
    assert coach.status.encoder == "failed"
    assert "nowhere" in coach.status.message
    with pytest.raises(RetrievalError, match="nowhere"):
        list(coach.ask(Session(), QUESTION))


def test_a_model_that_cannot_be_loaded_leaves_the_curated_answers(cache: Path, index: Index, tmp_path: Path) -> None:
    coach = Coach.load(Settings(model=str(tmp_path / "nowhere"), cache=cache))
    coach.wait_ready(timeout=300)
    with pytest.raises(ModelError, match="nowhere"):
        coach.wait_ready(model=True, timeout=300)
    assert (coach.status.encoder, coach.status.model) == ("ready", "failed")
    assert "nowhere" in coach.status.message
    events = list(coach.ask(Session(), QUESTION))
    assert "[dropout]" in finished(events).text
    assert any(isinstance(event, Progress) and "nowhere" in event.text for event in events)


def test_while_the_model_loads_the_curated_answer_is_there(index: Index) -> None:
    model: Future[Any] = Future()
    coach = Coach(index.entries, ready(index), model)
    assert coach.status.model == "loading"
    events = list(coach.ask(Session(), QUESTION))
    assert "[dropout]" in finished(events).text
    assert any(isinstance(event, Progress) and "still loading" in event.text for event in events)
    with pytest.raises(CoachError, match="longer than"):
        coach.wait_ready(model=True, timeout=0.05)
    model.set_result(FakeLLM())
    coach.wait_ready(model=True, timeout=1)
    assert (coach.status.model, coach.status.model_name) == ("ready", "Fake 0B")
    assert "Fake 0B" in coach.status.message


def test_while_the_index_opens_the_status_says_so(index: Index) -> None:
    opening: Future[Any] = Future()
    coach = Coach(index.entries, opening, None)
    assert coach.status.encoder == "loading"
    with pytest.raises(CoachError, match="longer than"):
        coach.wait_ready(timeout=0.05)


def test_a_failure_of_the_index_comes_before_one_of_the_model(entries: tuple[Entry, ...]) -> None:
    coach = Coach(entries, failed(RetrievalError("No encoder; install it.")), failed(ModelError("No model.")))
    assert (coach.status.encoder, coach.status.model) == ("failed", "failed")
    assert "No encoder" in coach.status.message


def test_an_entry_is_found_or_the_ids_are_named(curated: Coach) -> None:
    assert curated.entry("gan").title == "GAN"
    with pytest.raises(RetrievalError, match=r"'gam'.*gan"):
        curated.entry("gam")


@pytest.mark.parametrize(
    ("subject", "fitting"),
    [
        ("GANs", {"gan"}),
        ("overfitting", {"regularisation", "diagnosing-overfitting", "bias-variance"}),  # the name of no entry
        ("embeddings", {"layers", "feature-extraction"}),  # a bare word says too little
        ("metrics", {"evaluating-models"}),  # and here it says more than a question
        ("the history of Rome", {None}),
    ],
)
def test_a_subject_has_the_entry_that_covers_it(curated: Coach, subject: str, fitting: set[str | None]) -> None:
    assert curated.entry_on(subject) in fitting


def test_the_coach_is_left_as_it_was_by_a_visitor(index: Index) -> None:
    coach = Coach.of(index.entries, index, FakeLLM(writing("Bread needs flour."), Reader()))
    before = dict(vars(coach))
    list(coach.ask(Session(), "what is dropout? my secret word is xylophonist"))
    assert vars(coach) == before


# Practice, as far as it goes without a model: what is asked, helped with and remembered.


def test_an_exercise_begins_with_the_question_of_its_entry(curated: Coach) -> None:
    session = curated.begin(Session(), entry="gan")
    assert session.exercise is not None
    assert (session.exercise.entry, session.exercise.asked) == ("gan", curated.entry("gan").question)
    assert session.style == "coached"
    assert curated.begin(Session(), entry="gan", realistic=True).style == "realistic"


def test_an_exercise_is_of_the_topic_and_difficulty_wanted(curated: Coach) -> None:
    for topic in ("training", "vision"):
        exercise = curated.begin(Session(), topic=topic).exercise
        assert exercise is not None
        assert curated.entry(exercise.entry).topic == topic
    exercise = curated.begin(Session(), difficulty=1).exercise
    assert exercise is not None
    assert curated.entry(exercise.entry).difficulty == 1


def test_what_does_not_exist_cannot_be_practised(curated: Coach) -> None:
    with pytest.raises(CoachError, match="cooking"):
        curated.begin(Session(), topic="cooking")
    with pytest.raises(CoachError, match="no-such-entry"):
        curated.begin(Session(), entry="no-such-entry")


def test_nothing_is_practised_twice_before_all_was(curated: Coach) -> None:
    session = Session()
    seen = []
    for _ in range(30):
        session = curated.begin(session)
        assert session.exercise is not None
        seen.append(session.exercise.entry)
        session = finished(list(curated.respond(session, "It is a thing of deep learning, I would say."))).session
    assert len(set(seen)) == 30


def test_an_answer_that_cannot_be_graded_is_kept_and_gets_no_mark(curated: Coach) -> None:
    session = curated.begin(Session(), entry="dropout")
    events = list(curated.respond(session, "It drops units at random during training."))
    (graded,) = [event for event in events if isinstance(event, Graded)]
    assert graded.scorecard is None
    assert "model" in graded.failure
    after = finished(events).session
    assert after.exercise is not None
    assert after.exercise.last is not None
    assert after.exercise.last.answer == "It drops units at random during training."


def test_a_question_during_practice_is_answered_and_the_exercise_goes_on(curated: Coach) -> None:
    session = curated.begin(Session(), entry="gan")
    events = list(curated.respond(session, "what is dropout?"))
    last = finished(events)
    assert last.citations == ("dropout",)
    assert not any(isinstance(event, Graded) for event in events)
    assert last.session.exercise == session.exercise


def test_despair_during_practice_is_met_with_care_and_no_mark(curated: Coach) -> None:
    session = curated.begin(Session(), entry="gan")
    events = list(curated.respond(session, "honestly I just want to die"))
    assert "988" in "".join(event.text for event in events if isinstance(event, Text))
    assert not any(isinstance(event, Graded) for event in events)


def test_hints_go_from_a_nudge_to_the_explanation(curated: Coach) -> None:
    session = curated.begin(Session(), entry="dropout")
    said = []
    for _ in range(3):
        session, text = curated.hint(session)
        said.append(text)
    assert len(set(said)) == 3
    assert all(said)
    assert len(said[0]) < len(said[2])


def test_the_model_answer_is_the_entrys_in_writing_and_as_spoken(curated: Coach) -> None:
    session = curated.begin(Session(), entry="dropout")
    entry = curated.entry("dropout")
    assert entry.answer in curated.model_answer(session)
    assert curated.model_answer(session, spoken=True) == entry.spoken


def test_follow_ups_are_asked_once_each_and_then_there_are_none(curated: Coach) -> None:
    session = curated.begin(Session(), entry="dropout")
    asked = []
    for _ in curated.entry("dropout").follow_ups:
        session = curated.follow_up(session)
        assert session.exercise is not None
        asked.append(session.exercise.asked)
    assert sorted(asked) == sorted(f.question for f in curated.entry("dropout").follow_ups)
    with pytest.raises(InputError, match="no further"):
        curated.follow_up(session)


def test_again_asks_the_question_or_one_point_of_it(curated: Coach) -> None:
    session = curated.follow_up(curated.begin(Session(), entry="dropout"))
    whole = curated.again(session).exercise
    assert whole is not None
    assert whole.asked == curated.entry("dropout").question
    point = curated.entry("dropout").key_points[0].id
    part = curated.again(session, point).exercise
    assert part is not None
    assert part.only_point == point


def test_finishing_ends_the_exercise_with_a_report(curated: Coach) -> None:
    session = curated.begin(Session(), entry="dropout")
    session = finished(list(curated.respond(session, "It drops units at random during training."))).session
    after, report = curated.finish(session)
    assert after.exercise is None
    assert len(after.finished) == 1
    assert curated.entry("dropout").question in report
    assert "not graded" in report.lower()


@pytest.mark.parametrize(
    "step",
    [
        lambda coach: coach.hint(Session()),
        lambda coach: coach.model_answer(Session()),
        lambda coach: coach.again(Session()),
        lambda coach: coach.follow_up(Session()),
        lambda coach: list(coach.contest(Session(), "x", "y")),
        lambda coach: list(coach.rewrite(Session())),
    ],
)
def test_a_step_of_practice_without_an_exercise_is_explained(curated: Coach, step: Any) -> None:
    with pytest.raises(CoachError, match="exercise"):
        step(curated)
