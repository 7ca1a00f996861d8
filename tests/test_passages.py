"""Entries as passages."""

from __future__ import annotations

from letter_encoder import COMPLETE

from coach.passages import passages_of


def test_everything_that_a_question_can_match_becomes_a_passage_once() -> None:
    found = passages_of(COMPLETE)
    assert [(p.kind, p.text, p.key) for p in found] == [
        ("question", "What is it?", ""),
        ("alias", "tell me about it", ""),
        ("answer", "It is one thing.", ""),
        ("answer", "It is another thing.", ""),
        ("key_point", "It is one thing.", "a"),
        ("why", "Because of that.", "a"),
        ("key_point", "It is round.", "b"),
        ("follow_up", "And why?", "a"),
        ("expected", "Because.", "a"),
        ("expected", "It was so.", "a"),
        ("claim", "It is flat.", ""),
        ("correction", "It is round.", ""),
    ]
