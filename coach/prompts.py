"""What is said to the language model: pure functions from values to messages.

Each prompt runs from what never changes (rules) over what changes with the entry to what changes with the turn, so
that the engine can keep the computed prefix. What a user wrote stands between markers and is data, never a command.
"""

from __future__ import annotations

from collections.abc import Sequence

from coach.knowledge import Entry
from coach.llm import Message
from coach.retrieval import passages_of

MAX_USER_CHARACTERS = 6000  # about 1,500 tokens, several times a 90-second answer
_CUT = " […] "

YES_NO = ("yes", "no")


def clipped(text: str, limit: int = MAX_USER_CHARACTERS) -> tuple[str, int]:
    """The text with its middle left out when it is longer than `limit` characters, and how many were left out."""
    if len(text) <= limit:
        return text, 0
    half = (limit - len(_CUT)) // 2
    return text[:half] + _CUT + text[-half:], len(text) - 2 * half


def quoted(text: str) -> str:
    """User text as data between markers it cannot close."""
    return "<<<\n" + text.replace("<<<", "< <<").replace(">>>", ">> >").strip() + "\n>>>"


def notes_of(entries: Sequence[Entry]) -> str:
    """All that the entries state, as notes to write from."""
    parts = []
    for entry in entries:
        lines = [f"[{entry.id}] {entry.question}"]
        lines += [p.text for p in passages_of(entry) if p.kind in ("answer", "why", "expected", "correction")]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


_ANSWER_RULES = (
    "You are a senior engineer who helps a colleague prepare for a deep-learning interview. You write only what the "
    "notes state. You never add facts, numbers or names that are not in the notes. You speak to the colleague as "
    '"you", plainly, without greetings, praise or exclamation marks.'
)


def addition_prompt(
    entries: Sequence[Entry], history: Sequence[tuple[str, str]], question: str, said: Sequence[str]
) -> tuple[Message, ...]:
    """Ask for one or two sentences that answer a question beyond what was said already.

    `history` holds earlier (question, answer) pairs; raises `ValueError` without entries or question.
    """
    if not entries or not question.strip():
        raise ValueError("An addition needs at least one entry and a question.")
    talk = "".join(f"Asked before: {q}\n" for q, _ in history[-3:])
    return (
        Message("system", _ANSWER_RULES),
        Message(
            "user",
            f"Notes:\n{notes_of(entries)}\n\n{talk}Question:\n{quoted(question)}\n\n"
            f"Already said to the colleague:\n{' '.join(said)}\n\n"
            "Write at most two short sentences that finish the answer to exactly this question, using only the notes: "
            "the direct conclusion, a contrast, or an example. Do not repeat what was already said.",
        ),
    )


_CHECK_RULES = (
    "You check statements against notes. You answer with one word, yes or no: yes only if the notes say the same, "
    "no if the notes do not say it or say otherwise."
)


def support_prompt(notes: str, statement: str) -> tuple[Message, ...]:
    """Ask whether notes state something; to be answered yes or no."""
    if not notes.strip() or not statement.strip():
        raise ValueError("A check needs notes and a statement.")
    return (
        Message("system", _CHECK_RULES),
        Message(
            "user",
            f"Notes:\n{notes}\n\nStatement: {statement.strip()}\n\nDo the notes say this? Answer yes or no.",
        ),
    )
