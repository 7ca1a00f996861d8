"""A picture of an answer in time: speech, pauses, fillers and where key points were made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal

from coach.delivery import Delivery
from coach.transcript import Transcript

Kind = Literal["speech", "pause", "filler"]
# Across, everything is in per cent of the page's width, and down in pixels: text keeps its size on a narrow page.
BAR = 26  # pixels: how high the bar is
MARK_STEP = 16  # pixels between two rows of key-point numbers
MARK_NEAR = 5.0  # per cent; numbers closer than this go into another row (20 pixels on a page 400 wide)
MARK_ROWS = 7  # as many points as an entry has can be made in one breath
TICK_SECONDS = (1, 2, 5, 10, 15, 30, 60)
MOST_TICKS = 8  # eight times four figures fit on a page 400 pixels wide


@dataclass(frozen=True)
class Segment:
    """A stretch of the answer, in seconds; `label` is the filler as written, else empty."""

    kind: Kind
    start: float
    end: float
    label: str = ""


@dataclass(frozen=True)
class Mark:
    """A key point and the second at which it was made."""

    label: str
    time: float


@dataclass(frozen=True)
class Timeline:
    """Segments in order of drawing (speech, pauses, then fillers on top) and marks in order of time."""

    duration: float
    segments: tuple[Segment, ...]
    marks: tuple[Mark, ...]


def timeline(transcript: Transcript, delivery: Delivery, points: Sequence[tuple[str, float]] = ()) -> Timeline:
    """The timeline of an answer; `points` are (key point, seconds at which it was made)."""
    segments = [Segment("speech", span.start, span.end) for span in transcript.speech]
    segments += [Segment("pause", pause.start, pause.end) for pause in delivery.pauses]
    segments += [Segment("filler", filler.start, filler.end, filler.text) for filler in delivery.fillers]
    marks = sorted((Mark(label, time) for label, time in points), key=lambda mark: mark.time)
    return Timeline(transcript.duration, tuple(segments), tuple(marks))


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds: "1:05"."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}:{rest:02d}"


def summary(drawn: Timeline) -> str:
    """What the picture shows, in words, for those who do not see it."""
    pauses = [s for s in drawn.segments if s.kind == "pause"]
    fillers = [s for s in drawn.segments if s.kind == "filler"]
    parts = [
        f"{drawn.duration:.0f} seconds",
        f"{len(pauses)} {'pause' if len(pauses) == 1 else 'pauses'} over one second",
        f"{len(fillers)} {'filler' if len(fillers) == 1 else 'fillers'}",
    ]
    parts += [f"{mark.label} at {clock(mark.time)}" for mark in drawn.marks]
    return "; ".join(parts) + "."


def mark_rows(places: Sequence[float]) -> list[int]:
    """The row of each number, given its place in per cent, in order: the lowest one in which it touches no other."""
    ends: list[float] = []
    rows: list[int] = []
    for place in places:
        free = [i for i, end in enumerate(ends) if place - end >= MARK_NEAR]
        row = free[0] if free else min(len(ends), MARK_ROWS - 1)
        ends[row : row + 1] = [place]
        rows.append(row)
    return rows


def timeline_svg(drawn: Timeline) -> str:
    """The timeline as inline SVG without script, readable on light and dark pages.

    Shapes differ as well as colours: speech is a bar, a pause a thin line, a filler a tall narrow block. Text takes the
    colour of the page. Key points are numbered above the bar and listed by name below it.
    """
    scale = 100 / max(drawn.duration, 0.1)
    rows = mark_rows([mark.time * scale for mark in drawn.marks])
    top = 8 + MARK_STEP * (max(rows, default=-1) + 1)
    shapes: list[str] = []
    for segment in drawn.segments:
        x, width = segment.start * scale, max(0.3, (segment.end - segment.start) * scale)
        match segment.kind:
            case "speech":
                box, look = (top + 4, BAR - 8), 'fill="#3b82c4"'
                tip = f"speech {clock(segment.start)} to {clock(segment.end)}"
            case "pause":
                box, look = (top + BAR // 2 - 1, 3), 'fill="#8a8f98"'
                tip = f"pause of {segment.end - segment.start:.1f} s at {clock(segment.start)}"
            case "filler":
                box, look = (top, BAR), 'fill="#d97706"'
                tip = f"{segment.label} at {clock(segment.start)}"
        shapes.append(
            f'<rect x="{x:.2f}%" y="{box[0]}" width="{width:.2f}%" height="{box[1]}" rx="1.5" {look}>'
            f"<title>{escape(tip)}</title></rect>"
        )
    for number, (mark, row) in enumerate(zip(drawn.marks, rows, strict=True), start=1):
        x, y = min(max(mark.time * scale, 1.5), 98.0), top - 6 - row * MARK_STEP
        shapes.append(
            f'<line x1="{x:.2f}%" x2="{x:.2f}%" y1="{top - 4}" y2="{top + BAR}" stroke="currentColor" '
            f'stroke-width="1.5"/><text x="{x:.2f}%" y="{y}" text-anchor="middle" font-size="13" fill="currentColor">'
            f"{number}<title>{escape(mark.label)} at {clock(mark.time)}</title></text>"
        )
    step = next((s for s in TICK_SECONDS if drawn.duration / s <= MOST_TICKS), TICK_SECONDS[-1])
    for second in range(0, int(drawn.duration) + 1, step):
        x = second * scale
        anchor = "start" if second == 0 else "end" if x > 96 else "middle"
        shapes.append(
            f'<text x="{x:.2f}%" y="{top + BAR + 16}" text-anchor="{anchor}" font-size="12" '
            f'fill="currentColor" opacity="0.75">{clock(second)}</text>'
        )
    height = top + BAR + 22
    listed = "".join(f"<li>{escape(mark.label)} <small>{clock(mark.time)}</small></li>" for mark in drawn.marks)
    key = (
        '<p><small><span style="color:#3b82c4" aria-hidden="true">■</span> speech '
        '<span style="color:#8a8f98" aria-hidden="true">—</span> pause over 1 s '
        '<span style="color:#d97706" aria-hidden="true">▮</span> filler</small></p>'
    )
    return (
        f'<figure class="timeline" style="margin:0"><svg role="img" width="100%" height="{height}" '
        f'xmlns="http://www.w3.org/2000/svg" aria-label="{escape(summary(drawn), quote=True)}">{"".join(shapes)}</svg>'
        f"<figcaption>{key}{f'<ol>{listed}</ol>' if listed else ''}</figcaption></figure>"
    )
