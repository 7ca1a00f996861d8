"""Who writes of despair is met with kindness; who writes of dying neurons gets a lesson."""

from __future__ import annotations

import time

import pytest

from coach.care import REPLY, needs_care
from coach.knowledge import Entry


@pytest.mark.parametrize(
    "text",
    [
        "I want to die",
        "i failed again and I just want to kill myself",
        "I don't want to live anymore.",
        "there is no point in going on, I can't take it anymore",
        "Sometimes I think about ending my life",
        "I'M GOING TO END IT ALL",
        "my family would be better off without me",
        "I have been cutting myself since the rejection",
        "I feel completely hopeless",
        "what is dropout? never mind, i wish i was dead",
        "I am suicidal",
        "I can’t go on like this",
        "I  don’t want\nto live",
    ],
)
def test_despair_is_heard(text: str) -> None:
    assert needs_care(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Why do ReLU neurons die?",
        "my model's gradients explode and training dies",
        "how do I kill a hanging training process",
        "What would happen if I end training early?",
        "I cannot go on without understanding backpropagation, please explain",
        "How would you build a suicide risk detection model for my project?",
        "we moderate self-harm content with a classifier, how do I evaluate my model",
        "Should I cut my learning rate by half?",
        "I want to live-plot my loss",
        "is it worth training a small network",
        "I hate my loss curve",
    ],
)
def test_the_trade_is_not_mistaken_for_despair(text: str) -> None:
    assert not needs_care(text)


def test_no_text_of_the_entries_is_taken_for_despair(entries: tuple[Entry, ...]) -> None:
    texts = [
        text
        for entry in entries
        for text in (entry.question, entry.answer, entry.spoken, *entry.aliases, *(p.text for p in entry.key_points))
    ]
    assert [text for text in texts if needs_care(text)] == []


def test_the_reply_names_people_who_help_and_no_mark() -> None:
    assert "988" in REPLY
    assert "116 123" in REPLY
    assert "112" in REPLY
    assert "!" not in REPLY


@pytest.mark.parametrize("text", ["I want to " * 10_000, "die " * 25_000, "my " * 33_000, "🎉" * 100_000])
def test_a_hundred_thousand_characters_take_no_time(text: str) -> None:
    began = time.process_time()
    needs_care(text)
    assert time.process_time() - began < 1.0
