"""How a spoken answer came across, as the page shows it: advice, a timeline, and each figure with its usual range."""

from __future__ import annotations

from html import escape

from coach.delivery import (
    ARTICULATION,
    DISFLUENCIES,
    FIRST_WORD,
    HEDGES_PER_100,
    LENGTH,
    LONGEST_PAUSE,
    RATE,
    SENTENCE,
    Delivery,
    Range,
    delivery,
    pause_before,
)
from coach.grading import Scorecard
from coach.timeline import timeline, timeline_svg
from coach.transcript import Transcript


def delivery_panel(transcript: Transcript | None, card: Scorecard | None) -> str:
    """The panel as HTML, everything foreign escaped; empty for a typed answer."""
    if transcript is None or not transcript.words:
        return ""
    figures = delivery(transcript)
    points = made_at(transcript, card)
    rows = "".join(
        f"<tr><th>{escape(name)}</th><td>{escape(value)}</td><td>{escape(usual)}</td></tr>"
        for name, value, usual in _rows(figures, points)
    )
    sources = "".join(f"<li>{escape(name)}: {escape(usual.source)}</li>" for name, usual in _RANGES.items())
    return (
        f'<section class="delivery"><h2>Delivery</h2><p>{escape(figures.advice)}</p>'
        f"{timeline_svg(timeline(transcript, figures, points))}"
        f"<table>{rows}</table>"
        f"<details><summary>Where the usual ranges come from</summary><ul>{sources}</ul></details></section>"
    )


def made_at(transcript: Transcript, card: Scorecard | None) -> list[tuple[str, float]]:
    """Which key points were made at which second, by where their evidence was said."""
    found = []
    for verdict in card.verdicts if card else ():
        span = transcript.locate(verdict.evidence) if verdict.evidence else None
        if span is not None:
            found.append((verdict.key_point.id.replace("-", " "), span.start))
    return found


# Words a sentence from which the recogniser is taken to have set no full stops, which says nothing of the speech: the
# same 25 seconds were written down with 14 words a sentence and with 69.
UNMARKED = 2 * SENTENCE.high

_RANGES: dict[str, Range] = {
    "Rate": RATE,
    "Articulation": ARTICULATION,
    "Fillers and repeats": DISFLUENCIES,
    "Length": LENGTH,
    "Sentences": SENTENCE,
    "First word": FIRST_WORD,
    "Longest pause": LONGEST_PAUSE,
    "Softening": HEDGES_PER_100,
}


def _rows(figures: Delivery, points: list[tuple[str, float]]) -> list[tuple[str, str, str]]:
    """Name, value and usual range of every figure."""
    usual = {name: f"usual {_shown(r)}" for name, r in _RANGES.items()}
    named = ", ".join(dict.fromkeys(f"“{f.text.lower()}”" for f in figures.fillers))
    fillers = f"{len(figures.fillers)}{f': {named}' if named else ''}"
    rows = [
        ("Rate", f"{figures.words_per_minute:.0f} words a minute", usual["Rate"]),
        ("Articulation", f"{figures.articulation_rate:.1f} syllables a second", usual["Articulation"]),
        ("Fillers", f"{fillers}; {_a_minute(len(figures.fillers), figures)} a minute", ""),
        (
            "Fillers and repeats",
            f"{figures.disfluencies_per_100_words:.0f} per 100 words",
            usual["Fillers and repeats"],
        ),
        ("Length", f"{figures.duration:.0f} s", usual["Length"]),
    ]
    if figures.sentence_length <= UNMARKED:
        rows.append(("Sentences", f"{figures.sentence_length:.0f} words each", usual["Sentences"]))
    if figures.time_to_first_word is not None:
        rows.append(("First word", f"after {figures.time_to_first_word:.1f} s", usual["First word"]))
    longest = figures.longest_pause
    if longest is not None:
        before = pause_before(figures.pauses, points)
        where = f"before “{before}”" if before else f"at {longest.start:.0f} s"
        rows.append(("Longest pause", f"{longest.seconds:.1f} s, {where}", usual["Longest pause"]))
    for name, stretches in (("Said twice", figures.repetitions), ("Begun again", figures.restarts)):
        if stretches:
            rows.append((name, ", ".join(f"“{s.text}”" for s in stretches), ""))
    if figures.hedges:
        named = ", ".join(dict.fromkeys(f"“{h.text}”" for h in figures.hedges))
        rows.append(("Softening", f"{len(figures.hedges)}: {named}", f"{usual['Softening']} per 100 words"))
    return rows


def _shown(usual: Range) -> str:
    return f"{usual.low:g}–{usual.high:g}" if usual.low else f"up to {usual.high:g}"


def _a_minute(count: int, figures: Delivery) -> str:
    return f"{60 * count / max(figures.duration, 1.0):.0f}"
