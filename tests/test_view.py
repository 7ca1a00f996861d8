"""The steps of a visitor's view: asking, hearing, editing, grading, recordings."""

from __future__ import annotations

import pytest

from coach.audio import Span
from coach.events import Finished, Graded, Kept, Progress, Source, SourcesFound, Suggestions, Text
from coach.grading import Flag, Scorecard, Verdict
from coach.knowledge import Entry, KeyPoint
from coach.session import Attempt, Exchange, Exercise, Session
from coach.transcript import Transcript, Word
from coach.view import MAX_SAID, Said, View


@pytest.fixture(scope="module")
def dropout(entries: tuple[Entry, ...]) -> Entry:
    return next(entry for entry in entries if entry.id == "dropout")


def finished(session: Session, text: str, reason: str = "stop") -> Finished:
    return Finished(session, text, (), True, reason, 0.1, 0.2)  # type: ignore[arg-type]


def test_a_reply_grows_with_its_events(dropout: Entry) -> None:
    view = View().sent("why?")
    assert view.said[-1].waiting
    done = Session().asked(Exchange("why?", "Because. More."))
    view = view.heard(
        [
            SourcesFound((Source(dropout, ()),)),
            Text("Because. ", True),
            Progress("Checking"),
            Text("More.", False),
            Suggestions(("And?",)),
        ]
    )
    assert view.opened == 1
    assert view.said[-1].text == "Because. More."
    assert view.said[-1].note == "Checking"
    view = view.heard([finished(done, "Because. More.")]).ended()
    assert view.session == done
    assert not view.said[-1].waiting
    assert view.said[-1].note == ""


@pytest.mark.parametrize(("reason", "note"), [("length", "cut off"), ("cancelled", "Stopped")])
def test_the_reply_says_how_it_ended(reason: str, note: str) -> None:
    assert note in View().sent("why?").heard([Text("A", True), finished(Session(), "A", reason)]).said[-1].note


def test_a_reply_that_never_finished_keeps_what_was_said() -> None:
    view = View().sent("why?").heard([Text("Because.", True)]).ended()
    assert view.session.exchanges[0].answer == "Because."
    assert view.said[-1].note == "Stopped."


def test_an_edited_question_replaces_what_followed_it() -> None:
    view = View()
    for n in range(3):
        view = view.sent(f"q{n}").heard([finished(view.session.asked(Exchange(f"q{n}", f"a{n}")), "")])
    changed = view.back_to(2)
    assert [m.text for m in changed.said if m.speaker == "user"] == ["q0"]
    assert [e.question for e in changed.session.exchanges] == ["q0"]
    with pytest.raises(IndexError):
        View(said=(Said("user", "x"),)).back_to(0)


def test_grading_is_kept_for_the_panel() -> None:
    view = View().sent("an answer").heard([Graded(None, "The model failed.")])
    assert view.card is not None
    assert view.card.graded.failure == "The model failed."


POINT = KeyPoint("masks", "A mask is drawn.", 2)


def graded(evidence: str, probability: float = 0.9) -> Scorecard:
    return Scorecard((Verdict(POINT, "covered", probability, evidence),), (Flag("x", "y", "always", 0.9),))


def practising(view: View) -> View:
    return View(session=Session().practising(Exercise("dropout", "What is dropout?")), mode="practise", said=view.said)


def test_evidence_lights_up_in_the_answer_it_came_from() -> None:
    view = practising(View()).sent("A mask is always drawn.").heard([Graded(graded("A mask"))])
    assert [(light.start, light.end, light.names) for light in view.said[0].lights] == [
        (0, 6, ("masks",)),
        (10, 16, ("flag-1",)),
    ]
    assert view.opened is None
    assert view.card is not None
    assert view.card.previous is None


def test_what_was_graded_stays_when_the_words_that_follow_are_stopped() -> None:
    view = practising(View()).sent("A mask is drawn.")
    session = view.session.attempted(Attempt("A mask is drawn.", graded("A mask")))
    view = view.heard([Kept(session), Graded(graded("A mask"))]).ended()
    assert view.session == session


def test_a_second_attempt_is_compared_with_the_first() -> None:
    view = practising(View())
    first = graded("mask", 0.3)
    view = View(session=view.session.attempted(Attempt("mask", first)), mode="practise")
    view = view.sent("A mask is drawn.").heard([Graded(graded("A mask"))])
    assert view.card is not None
    assert view.card.previous == first
    assert view.card.change == "since your last answer"


def test_an_objection_changes_the_card_of_the_answer_it_is_about() -> None:
    before, after = graded("A mask", 0.4), graded("is drawn", 0.9)
    view = practising(View()).sent("A mask is drawn.").heard([Graded(before)]).ended()
    view = view.objected("I did say that").heard([Graded(after)])
    assert view.card is not None
    assert view.card.previous == before
    assert view.card.change == "after your objection"
    assert view.said[0].lights[0].start == 7
    assert view.said[2].lights == ()


def test_a_recording_belongs_to_the_answer_only_if_its_words_were_sent() -> None:
    words = tuple(Word(text, n, n + 0.5, 0.9) for n, text in enumerate("a mask is drawn".split()))
    recorded = Transcript(words, (Span(0, 4),), 4.0)
    view = practising(View()).transcribed(recorded, (words[1],))
    assert "“mask” at 0:01" in view.heard_note
    corrected = view.sent("A mask is drawn again.").heard([Graded(graded("A mask"))])
    assert corrected.card is not None
    assert corrected.card.transcript == recorded
    assert corrected.heard_note == ""
    typed = view.sent("Entirely different words here.").heard([Graded(graded(""))])
    assert typed.card is not None
    assert typed.card.transcript is None


def test_editing_a_question_keeps_what_was_practised_since() -> None:
    view = View().sent("q0").heard([finished(Session().asked(Exchange("q0", "a0")), "")])
    later = View(
        session=view.session.practising(Exercise("dropout", "?", attempts=(Attempt("x", None),))), said=view.said
    )
    assert later.back_to(0).session.exercise is not None
    assert later.back_to(0).session.exchanges == ()


def test_a_long_session_lets_go_of_its_oldest_messages() -> None:
    view = View()
    for n in range(MAX_SAID):
        view = view.sent(f"q{n}").heard([finished(view.session, "")])
    assert len(view.said) == MAX_SAID
    assert view.said[-2].text == f"q{MAX_SAID - 1}"


def test_a_question_in_practice_is_not_taken_for_the_answer(dropout: Entry) -> None:
    view = practising(View()).sent("A mask is drawn.").heard([Graded(graded("A mask"))])
    view = view.heard([finished(view.session, "")]).sent("what is a mask?")
    assert view.said[-2].kind == "answer"
    view = view.heard([SourcesFound((Source(dropout, ()),)), finished(view.session, "")])
    assert view.said[-2].kind == "words"
    assert view.objected("I said it").heard([Graded(graded("is drawn"))]).said[0].lights[0].start == 7


def test_feedback_cites_what_it_rests_on(dropout: Entry) -> None:
    basis = Source(dropout, ())
    view = practising(View()).sent("A mask.", basis=basis)
    assert view.said[-1].sources == ()
    assert view.heard([Graded(graded("A mask"))]).said[-1].sources == (basis,)
