"""A session is a value: every step returns a new one and leaves the old one as it was."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace

import pytest

from coach.session import MAX_EXCHANGES, Attempt, Exchange, Exercise, Session


def exchange(n: int) -> Exchange:
    return Exchange(f"question {n}", f"answer {n}", ("dropout",))


PRACTISING = Session().practising(Exercise("dropout", "What is dropout?"))
ATTEMPT = Attempt("It drops units.", None, failure="no model")


def test_asking_adds_an_exchange_and_leaves_the_old_session_alone() -> None:
    before = Session()
    after = before.asked(exchange(1))
    assert before.exchanges == ()
    assert after.exchanges == (exchange(1),)


def test_old_exchanges_are_forgotten() -> None:
    session = Session()
    for n in range(MAX_EXCHANGES + 5):
        session = session.asked(exchange(n))
    assert len(session.exchanges) == MAX_EXCHANGES
    assert session.exchanges[0] == exchange(5)
    assert session.exchanges[-1] == exchange(MAX_EXCHANGES + 4)


def test_before_goes_back_to_an_earlier_question() -> None:
    session = Session().asked(exchange(1)).asked(exchange(2)).asked(exchange(3))
    assert session.before(1).exchanges == (exchange(1),)
    assert session.before(0).exchanges == ()


def test_sessions_and_what_is_in_them_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Session().style = "realistic"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        exchange(1).answer = "other"  # type: ignore[misc]


def test_an_attempt_is_kept_with_the_exercise_and_ends_the_limit_to_one_point() -> None:
    limited = PRACTISING.again("And the scale?", only_point="scaling")
    assert limited.exercise is not None
    assert limited.exercise.only_point == "scaling"
    after = limited.attempted(ATTEMPT)
    assert after.exercise is not None
    assert after.exercise.last == ATTEMPT
    assert after.exercise.only_point == ""
    assert PRACTISING.exercise is not None
    assert PRACTISING.exercise.last is None


def test_a_contested_attempt_replaces_only_the_latest() -> None:
    better = replace(ATTEMPT, feedback="Agreed.")
    session = PRACTISING.attempted(Attempt("first", None)).attempted(ATTEMPT).reattempted(better)
    assert session.exercise is not None
    assert session.exercise.attempts == (Attempt("first", None), better)


def test_a_follow_up_becomes_the_question_and_is_remembered() -> None:
    session = PRACTISING.follow_up_asked("At inference?").follow_up_asked("In a transformer?")
    assert session.exercise is not None
    assert session.exercise.asked == session.exercise.follow_up == "In a transformer?"
    assert session.exercise.follow_ups_asked == ("At inference?", "In a transformer?")


def test_again_returns_to_the_question_with_the_hints_folded_away() -> None:
    session = PRACTISING.hinted().hinted().follow_up_asked("At inference?").again("What is dropout?")
    assert session.exercise is not None
    assert (session.exercise.asked, session.exercise.follow_up, session.exercise.hints) == ("What is dropout?", "", 0)


def test_hints_are_counted() -> None:
    session = PRACTISING.hinted().hinted()
    assert session.exercise is not None
    assert session.exercise.hints == 2


def test_a_new_exercise_keeps_an_attempted_one_and_drops_an_untouched_one() -> None:
    other = Exercise("gan", "What is a GAN?")
    attempted = PRACTISING.attempted(ATTEMPT)
    assert attempted.practising(other).finished == (attempted.exercise,)
    assert PRACTISING.practising(other).finished == ()
    assert attempted.practising(other).exercise == other


def test_stopping_without_an_exercise_changes_nothing() -> None:
    assert Session().stopped() == Session()


@pytest.mark.parametrize(
    "step",
    [
        lambda: Session().attempted(ATTEMPT),
        lambda: Session().reattempted(ATTEMPT),
        lambda: Session().follow_up_asked("x"),
        lambda: Session().again("x"),
        lambda: Session().hinted(),
    ],
)
def test_a_step_of_an_exercise_without_one_fails_loudly(step) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="practising"):
        step()
