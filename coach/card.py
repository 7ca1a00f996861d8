"""The scorecard as the page shows it: each key point with its state, weight and evidence, and what can be done."""

from __future__ import annotations

from coach.grading import Scorecard, Verdict
from coach.knowledge import Entry
from coach.page import button, escaped, safe
from coach.sentences import said_sentences
from coach.session import Exercise
from coach.view import Card

SIGNS = {"covered": ("✓", "made"), "partial": ("◐", "partly"), "missed": ("✗", "missing"), "unsure": ("?", "not sure")}
LEVELS = {1: "introductory", 2: "intermediate", 3: "advanced"}
MAX_WEIGHT = 3


def task(entry: Entry, asked: str) -> str:
    """The question of an exercise as the coach puts it, after its topic and level."""
    what = f"{entry.topic} · {LEVELS.get(entry.difficulty, '')}".strip(" ·")
    return f"{what}\n\n{asked}"


def practice_panel(exercise: Exercise | None, entry: Entry | None, card: Card | None, contested: str = "") -> str:
    """What stands beside the chat in practice: before an answer what helps, after it the scorecard."""
    if card is not None:
        title = entry.title if entry else "Scorecard"
        return f"## {escaped(title)}\n\n{scorecard(card, contested)}"
    if exercise is None or entry is None:
        return (
            '## Practise\n\n<p class="quiet">One question at a time. Your answer is judged point by point, each '
            "verdict with your own words as evidence; you can ask for a hint first, or ask what a word means.</p>"
        )
    return (
        f'## {escaped(entry.title)}\n\n<p class="quiet">The question has {len(entry.key_points)} key points. '
        "Your scorecard appears here once you have answered.</p>"
    )


def scorecard(card: Card, contested: str = "") -> str:
    """Score, interval and difference, then the verdicts; "not graded" with the reason where grading failed."""
    graded = card.graded.scorecard
    if graded is None:
        reason = card.graded.failure or "The answer could not be graded."
        return (
            f'<p class="score"><b>Not graded</b></p>\n\n<p class="quiet">{escaped(reason)}</p>\n\n'
            f"{button('retry', 0, 'Grade it again', 'wide')}"
        )
    low, high = graded.interval
    parts = [
        f'<p class="score"><b>{graded.score:.1f}</b> / 10 <span class="interval" title="90 % interval">'
        f"({low:.1f}–{high:.1f})</span>{_difference(graded, card)}</p>",
        f'<div class="bar" title="between {low:.1f} and {high:.1f} of 10"><span style="left:{low * 10:.0f}%;'
        f'width:{max(1.0, (high - low) * 10):.0f}%"></span><i style="left:{graded.score * 10:.0f}%"></i></div>',
    ]
    before = {v.key_point.id: v.status for v in card.previous.verdicts} if card.previous else {}
    parts += [
        _verdict(v, card.answer, v.key_point.id == contested, before.get(v.key_point.id)) for v in graded.verdicts
    ]
    for n, flag in enumerate(graded.misconceptions, 1):
        parts.append(
            f'<details class="point flag" id="point-flag-{n}" open>\n<summary><span class="sign">!</span> '
            f'<span class="text">you said: “{escaped(flag.evidence)}”</span></summary>\n\n'
            f'<p class="then">→ {safe(flag.correction)}</p>\n\n</details>'
        )
    return "\n\n".join(parts)


def _difference(graded: Scorecard, card: Card) -> str:
    if card.previous is None or len(card.previous.verdicts) != len(graded.verdicts):
        return ""
    change = round(graded.score - card.previous.score, 1)
    words = "as before" if change == 0 else f"{change:+.1f}".replace("-", "−")
    return f' <span class="delta">{words} <small>{escaped(card.change)}</small></span>'


def _verdict(verdict: Verdict, answer: str, contested: bool, before: str | None) -> str:
    point = verdict.key_point
    sign, word = SIGNS[verdict.status]
    if before is not None and before != verdict.status:
        word = f"{word}, was {SIGNS[before][1]}"
    dots = "●" * point.weight + "○" * (MAX_WEIGHT - point.weight)
    parts = [
        f'<details class="point {verdict.status}" id="point-{point.id}"{" open" if contested else ""}>\n'
        f'<summary><span class="sign">{sign}</span> <span class="text"><span class="state">{word}:</span> '
        f'{safe(point.text)}</span> <span class="weight" title="weight {point.weight} of {MAX_WEIGHT}">{dots}</span>'
        "</summary>"
    ]
    if verdict.evidence:
        parts.append(f'<p class="then">You said: “{escaped(verdict.evidence)}”</p>')
    if point.why:
        parts.append(f'<p class="then">{safe(point.why)}</p>')
    if contested:
        parts.append(_sentences(answer))
    elif verdict.status != "covered":
        contest = button("contest", point.id, "I did say that", "small")
        again = button("point", point.id, "Answer only this point", "small")
        parts.append(f'<div class="acts">{contest}{again}</div>')
    return "\n\n".join(parts) + "\n\n</details>"


def _sentences(answer: str) -> str:
    """The sentences of the answer to choose from; one of them is what the candidate means."""
    choices = [button("claim", n, escaped(s), "sentence") for n, s in enumerate(said_sentences(answer))]
    return (
        '<p class="then">Which of your sentences says it?</p>\n\n<div class="acts">'
        + "".join(choices)
        + button("claim", "none", "None of them", "small")
        + "</div>"
    )
