"""The steps of practising, from one view of a visitor to the next; what the coach says is added to the chat."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from coach import card
from coach.coach import Coach
from coach.errors import InputError
from coach.events import Graded, Source
from coach.greeting import quiz_subject
from coach.sentences import said_sentences
from coach.session import Exercise
from coach.view import Card, Said, View


class Practice:
    """What the buttons of an exercise do; holds no visitor's words."""

    def __init__(self, coach: Coach) -> None:
        self.coach = coach

    def begin(
        self, view: View, topic: str = "", difficulty: int = 0, style: str = "coached", entry: str | None = None
    ) -> View:
        """A new exercise: an entry's, or one of a topic and a difficulty, or any."""
        session = self.coach.begin(
            view.session,
            entry=entry,
            topic=topic or None,
            difficulty=difficulty or None,
            realistic=style == "realistic",
        )
        return self._put(replace(view, mode="practise", session=session, card=None))

    def quiz(self, view: View, number: int) -> View:
        """An exercise on what an answer in the chat was about; raises `InputError` when it stands on nothing."""
        sources = view.said[number].sources if number < len(view.said) else ()
        if not sources:
            raise InputError("That answer has no source to practise; start a question with Practise.")
        return self.begin(view, entry=sources[0].entry.id)

    def wished(self, view: View, text: str) -> View | None:
        """The exercise that a message asks for, as "quiz me on dropout" does; None for any other message."""
        subject = quiz_subject(text)
        if subject is None:
            return None
        entry = self.coach.entry_on(subject) if subject else None
        if subject and entry is None:
            return None
        asked = replace(view, said=(*view.said, Said("user", text)))
        return self.begin(asked, style=view.session.style, entry=entry)

    def hint(self, view: View) -> View:
        """The next step of the hint ladder."""
        session, text = self.coach.hint(view.session)
        return replace(view, session=session).added(text)

    def model_answer(self, view: View) -> View:
        """The model answer in writing."""
        return view.added(self.coach.model_answer(view.session), sources=self.basis(view))

    def spoken_answer(self, view: View) -> View:
        """The model answer as one would say it, to hear and read along."""
        return view.added(self.coach.model_answer(view.session, spoken=True), "spoken")

    def again(self, view: View, point: str = "") -> View:
        """The question once more, or only one key point of it."""
        return self._put(replace(view, session=self.coach.again(view.session, point)))

    def follow_up(self, view: View) -> View:
        """The follow-up question that was offered."""
        return self._put(replace(view, session=self.coach.follow_up(view.session)))

    def taken_up(self, view: View) -> View:
        """The follow-up that a reply ends with becomes the question to answer now, as it would in an interview."""
        exercise = view.session.exercise
        if exercise is None or not view.said[-1].graded or exercise.last is None or exercise.last.scorecard is None:
            return view
        try:
            session = self.coach.follow_up(view.session)
        except InputError:  # none is left
            return view
        taken = session.exercise is not None and session.exercise.follow_up in view.said[-1].text
        return replace(view, session=session) if taken else view

    def basis(self, view: View) -> tuple[Source, ...]:
        """What feedback and model answers of the exercise under way cite."""
        exercise = view.session.exercise
        return (Source(self.coach.entry(exercise.entry), ()),) if exercise else ()

    def finish(self, view: View) -> View:
        """The end of the exercise with its report; in realistic style the scorecard appears only now."""
        session, report = self.coach.finish(view.session)
        view = replace(view, session=session, contested="").added(report)
        last = session.finished[-1].last if session.finished else None
        if last is None or view.card is not None:
            return view
        spoken = next((said.transcript for said in reversed(view.said) if said.text == last.answer), None)
        graded = Graded(last.scorecard, last.failure)
        return replace(view, card=Card(graded, last.answer, transcript=spoken))

    def contest(self, view: View, point: str) -> View:
        """The key point that the candidate says they made; they choose the sentence next."""
        return replace(view, contested=point)

    def claimed(self, view: View, number: int) -> str:
        """The sentence with this number of the answer that is being argued about; raises `InputError`."""
        sentences = said_sentences(view.card.answer) if view.card else ()
        if number >= len(sentences) or not view.contested:
            raise InputError("That sentence is not part of your answer any more; choose another one.")
        return sentences[number]

    def panel(self, view: View) -> str:
        """What stands beside the chat."""
        exercise = self._exercise(view)
        entry = self.coach.entry(exercise.entry) if exercise else None
        return card.practice_panel(view.session.exercise, entry, view.card, view.contested)

    def question(self, view: View) -> str:
        """The question that is to be answered now, to be read aloud."""
        exercise = view.session.exercise
        return exercise.asked if exercise else ""

    def topics(self) -> list[tuple[str, str]]:
        """The topics there are, as choices."""
        found = dict.fromkeys(entry.topic for entry in self.coach.entries)
        return [("any topic", ""), *((topic, topic) for topic in found)]

    def levels(self) -> list[tuple[str, Any]]:
        """The difficulties there are, as choices."""
        found = sorted({entry.difficulty for entry in self.coach.entries})
        return [("any level", 0), *((card.LEVELS.get(level, str(level)), level) for level in found)]

    def _exercise(self, view: View) -> Exercise | None:
        return view.session.exercise or (view.session.finished[-1] if view.session.finished else None)

    def _put(self, view: View) -> View:
        """The question to answer now, in the chat."""
        exercise = view.session.exercise
        if exercise is None:
            raise InputError("No question is being practised; start one with Practise.")
        entry = self.coach.entry(exercise.entry)
        task = card.task(entry, exercise.asked)
        return replace(view, opened=None, editing=None, contested="").added(task, "question")
