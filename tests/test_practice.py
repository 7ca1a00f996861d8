"""The steps of practising, from view to view, with a coach that has no model."""

from __future__ import annotations

from typing import Any

import pytest
from fake_coach import FakeCoach

from coach.errors import CoachError, InputError
from coach.practice import Practice
from coach.view import View

ANSWER = "It zeroes activations at random. At test time it is off."


@pytest.fixture(scope="module")
def practice() -> Practice:
    coach: Any = FakeCoach(pause=0)
    return Practice(coach)


def answered(practice: Practice, view: View, text: str = ANSWER) -> View:
    view = view.sent(text)
    return view.heard(list(practice.coach.respond(view.session, text))).ended()


def test_an_exercise_begins_with_its_question(practice: Practice) -> None:
    view = practice.begin(View(), style="realistic")
    assert view.mode == "practise"
    assert view.session.style == "realistic"
    assert view.session.exercise is not None
    assert view.said[-1].kind == "question"
    assert view.session.exercise.asked in view.said[-1].text
    assert "key points" in practice.panel(view)


def test_there_are_topics_and_levels_to_choose_from(practice: Practice) -> None:
    assert ("regularisation", "regularisation") in practice.topics()
    assert practice.topics()[0][1] == ""
    assert practice.levels()[0] == ("any level", 0)
    assert {level for _, level in practice.levels()} <= {0, 1, 2, 3}
    with pytest.raises(CoachError, match="choose another topic"):
        practice.begin(View(), topic="vision")


def test_a_quiz_is_about_the_source_of_an_answer(practice: Practice) -> None:
    view = View().sent("why dropout")
    view = view.heard(list(practice.coach.ask(view.session, "why dropout"))).ended()
    quiz = practice.quiz(view, 1)
    assert quiz.session.exercise is not None
    assert quiz.session.exercise.entry == "dropout"
    for number in (0, 99):
        with pytest.raises(InputError):
            practice.quiz(view, number)


def test_a_quiz_can_be_asked_for_in_words(practice: Practice) -> None:
    view = practice.wished(View(), "Quiz me on dropout, please!")
    assert view is not None
    assert view.mode == "practise"
    assert [said.speaker for said in view.said] == ["user", "assistant"]
    assert view.session.exercise is not None
    assert view.session.exercise.entry == "dropout"
    assert practice.wished(View(), "quiz me") is not None
    assert practice.wished(View(), "quiz me on the history of Rome") is None
    assert practice.wished(View(), "what is dropout?") is None


def test_help_is_said_in_the_chat(practice: Practice) -> None:
    view = practice.hint(practice.hint(practice.begin(View())))
    assert [said.text.split(":")[0] for said in view.said[1:]] == ["Hint 1", "Hint 2"]
    assert "regularisation technique" in practice.model_answer(view).said[-1].text
    assert practice.spoken_answer(view).said[-1].kind == "spoken"


def test_again_follow_up_and_one_point(practice: Practice) -> None:
    view = answered(practice, practice.begin(View()))
    assert "✓" in practice.panel(view)
    again = practice.again(view, "rescaling")
    assert again.session.exercise is not None
    assert again.session.exercise.only_point == "rescaling"
    assert "only this part: rescaling" in again.said[-1].text
    assert "What changes" in practice.follow_up(view).said[-1].text


def test_only_a_sentence_of_the_answer_can_be_claimed(practice: Practice) -> None:
    view = answered(practice, practice.begin(View()))
    with pytest.raises(InputError):
        practice.claimed(view, 0)
    view = practice.contest(view, "rescaling")
    assert practice.claimed(view, 1) == "At test time it is off."
    assert "Which of your sentences" in practice.panel(view)
    with pytest.raises(InputError):
        practice.claimed(view, 2)


def test_the_realistic_way_shows_its_scorecard_at_the_end(practice: Practice) -> None:
    view = answered(practice, practice.begin(View(), style="realistic"))
    assert view.card is None
    ended = practice.finish(view)
    assert ended.session.exercise is None
    assert ended.card is not None
    assert "/ 10" in practice.panel(ended)


def test_a_follow_up_that_was_offered_is_what_is_answered_next(practice: Practice) -> None:
    view = practice.taken_up(answered(practice, practice.begin(View())))
    assert view.session.exercise is not None
    assert view.session.exercise.follow_up == "What changes at inference?"
    assert view.asked_for == "follow-up"
    later = practice.taken_up(answered(practice, view))
    assert later.session.exercise is not None
    assert later.session.exercise.follow_ups_asked == ("What changes at inference?",)
    assert practice.again(later).asked_for == "answer"


def test_a_model_answer_cites_its_entry(practice: Practice) -> None:
    view = practice.model_answer(practice.begin(View()))
    assert [source.entry.id for source in view.said[-1].sources] == ["dropout"]
