"""Small talk is told from questions."""

from __future__ import annotations

import time

import pytest

from coach.greeting import REPLIES, greeting, quiz_subject


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("hello", "hello"),
        ("Hi there!", "hello"),
        ("good evening, coach", "hello"),
        ("hey, how are you doing today?", "hello"),
        ("Thanks!", "thanks"),
        ("thank you very much", "thanks"),
        ("ok", "ready"),
        ("", "ready"),
        ("🎉🎉", "ready"),
        ("?", "ready"),
        ("who are you?", "about"),
        ("Hi, what can you do for me?", "about"),
        ("help", "about"),
        ("are you a robot or a human?", "about"),
        ("bye, see you later", "bye"),
        ("My interview is tomorrow and I am so nervous", "nervous"),
    ],
)
def test_small_talk(text: str, kind: str) -> None:
    assert greeting(text) == kind


@pytest.mark.parametrize(
    "text",
    ["what is dropout?", "hello, what is dropout?", "help me understand batch norm", "thanks, and at inference?",
     "again", "what can a perceptron do?", "who are the main critics of llms", "ok what about GPUs?",
     "good learning rate?",
     "I am nervous about the interview, what is a GAN?", "hi " * 100, "what is this layer", "die Antwort"],
)  # fmt: skip
def test_questions_are_no_small_talk(text: str) -> None:
    assert greeting(text) is None


def test_a_long_word_takes_no_time() -> None:
    began = time.process_time()
    for text in ("hi" * 50_000, "ok" * 55 + "!", "thanks " * 16 + "x", "how are you " * 9 + "z"):
        greeting(text)
    assert time.process_time() - began < 1


def test_replies_are_short_and_offer_something() -> None:
    assert all(20 < len(reply) < 320 and reply.endswith(".") for reply in REPLIES.values())


@pytest.mark.parametrize(
    ("text", "subject"),
    [
        ("quiz me on dropout", "dropout"),
        ("Please test me about batch norm!", "batch norm"),
        ("can you grill me on GANs please?", "GANs"),
        ("ask me a question about transformers", "transformers"),
        ("let's practice backpropagation", "backpropagation"),
        ("ok, quiz me", ""),
        ("Ask me another question.", ""),
        ("Ask me something about CNNs", "CNNs"),
        ("give me an interview question on LSTMs", "LSTMs"),
        ("test my knowledge of transfer learning", "transfer learning"),
        ("I'd like to practise regularisation", "regularisation"),
        ("start a mock interview", ""),
        ("next question please", ""),
        ("quiz: GPUs", "GPUs"),
        ("what does a quiz test?", None),
        ("Practice question: what is dropout?", None),
        ("ask me anything sounds odd, why not", None),
        ("test error is high, what now?", None),
        ("interviews scare me", None),
        ("can you explain dropout", None),
    ],
)
def test_a_wish_to_be_quizzed_is_told_from_questions(text: str, subject: str | None) -> None:
    assert quiz_subject(text) == subject
