"""What the page shows, as text: messages, sources and states turned into Markdown, with everything foreign escaped.

Everything here is pure. Gradio's Markdown keeps `class`, `id`, `name`, `value` and `style` of harmless elements and
drops the rest, so a control inside the text is `<button name="…" value="…">`, and `page.js` carries its
click to the server.
"""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from coach.events import Source
from coach.knowledge import Entry, Reference
from coach.sentences import split_sentences
from coach.view import Light, Mode, Said, View

if TYPE_CHECKING:
    from coach.coach import CoachStatus

LATEX_DELIMITERS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]

# Code first, then maths: what is inside either is not Markdown.
_VERBATIM = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|\$\$.+?\$\$|\$[^$\n]+?\$", re.DOTALL)
_CITATION = re.compile(r"\s*\[([a-z0-9]+(?:-[a-z0-9]+)*)\]")
_FENCE = re.compile(r"^\s*```", re.MULTILINE)


def escaped(text: str) -> str:
    """Foreign text that neither HTML nor Markdown nor LaTeX sees anything in: it shows as it was typed."""
    return "".join(_cells(text))


def _cells(text: str) -> list[str]:
    """What stands for each character of a foreign text; white space that would make a code block is kept hard."""
    cells = []
    indenting = True
    for c in text:
        if c == "\n":
            cells.append("<br>")
        elif indenting and c in " \t":
            cells.append("&#160;")
        elif c == "\r":
            cells.append("")
        else:
            cells.append(c if c.isalnum() or c == " " or ord(c) > 127 else f"&#{ord(c)};")
        indenting = c == "\n" or (indenting and c in " \t")
    return cells


def safe(text: str) -> str:
    """The coach's Markdown without HTML, images and links (a model makes addresses up); maths and code stay."""
    pieces = []
    end = 0
    for match in _VERBATIM.finditer(text):
        pieces.append(_plain(text[end : match.start()]))
        piece = match.group()
        # In maths "<" is written as a command, so that no parser can take it for a tag.
        pieces.append(piece if piece.startswith("`") else piece.replace("<", r"\lt ").replace("![", "!{[}"))
        end = match.end()
    pieces.append(_plain(text[end:]))
    joined = "".join(pieces)
    return joined + "\n```" if len(_FENCE.findall(joined)) % 2 else joined


def _plain(text: str) -> str:
    return (
        text.replace("<", "&lt;")
        .replace("![", "!&#91;")
        .replace("](", "]&#40;")
        .replace("][", "]&#91;")
        .replace("://", "&#58;//")
    )


def cited(text: str, sources: Sequence[Source], message: int) -> str:
    """`text` with [entry-id] turned into small numbered buttons that open the source at the sentence used.

    `message` is the number of the message, so that the citations of an earlier answer bring its own sources back.
    """
    numbers = {source.entry.id: n for n, source in enumerate(sources, 1)}
    pieces = []
    end = 0
    for match in _CITATION.finditer(text):
        key = match.group(1)
        if key not in numbers:
            continue
        before = text[end : match.start()]
        place = _place(before.rpartition("\n\n")[2], sources[numbers[key] - 1])
        label = f"Source {numbers[key]}: {escaped(sources[numbers[key] - 1].entry.title)}"
        pieces.append(safe(before))
        pieces.append(
            f'&#8288;<button type="button" class="cite" name="source" value="{message}/{numbers[key]}/{place}" '
            f'title="{label}">{numbers[key]}</button>'
        )
        end = match.end()
    pieces.append(safe(text[end:]))
    return "".join(pieces)


def _place(paragraph: str, source: Source) -> int:
    """Which passage of a source (from 1) the words before a citation rest on; 0 when it has none."""
    flat = " ".join(paragraph.split())
    for n, passage in enumerate(source.passages, 1):
        if " ".join(passage.split()) in flat:
            return n
    sentences = split_sentences(flat)
    words = set(sentences[-1].lower().split()) if sentences else set()
    shared = [len(words & set(passage.lower().split())) for passage in source.passages]
    return shared.index(max(shared)) + 1 if shared else 0


def lit(text: str, lights: Sequence[Light]) -> str:
    """A candidate's words, escaped, with each span of evidence marked; overlapping spans are cut at their borders."""
    inside = [light for light in lights if 0 <= light.start < light.end <= len(text)]
    cells = _cells(text)
    borders = sorted({0, len(text), *(light.start for light in inside), *(light.end for light in inside)})
    pieces = []
    for start, end in pairwise(borders):
        names = [name for light in inside if light.start <= start and end <= light.end for name in light.names]
        piece = "".join(cells[start:end])
        if names:
            classes = " ".join(["said", *(f"said-{name}" for name in dict.fromkeys(names))])
            piece = f'<mark class="{classes}">{piece}</mark>'
        pieces.append(piece)
    return "".join(pieces)


def chat(said: Sequence[Said]) -> list[dict[str, Any]]:
    """All messages as Gradio's chat takes them; only the latest answer offers suggestions."""
    return [
        {"role": message.speaker, "content": _content(message, n, n == len(said) - 1)} for n, message in enumerate(said)
    ]


def button(name: str, value: object, label: str, classes: str = "") -> str:
    """A control inside a text; `label` is HTML that is escaped already."""
    kind = f' class="{classes}"' if classes else ""
    return f'<button type="button"{kind} name="{name}" value="{value}">{label}</button>'


def _content(message: Said, number: int, latest: bool) -> str:
    if message.speaker == "user":
        edit = "" if message.practice or message.before is None else button("edit", number, "Edit", "edit")
        return f'<div class="mine"><div class="words">{lit(message.text, message.lights)}</div>{edit}</div>'
    if message.kind == "question":
        what, _, question = message.text.partition("\n\n")
        row = _row(button("read", number, "Read it aloud"))
        return f'<p class="what">{escaped(what)}</p>\n\n<div class="task">\n\n{safe(question)}\n\n</div>\n\n{row}'
    if message.kind == "spoken":
        return f"{_read_along(message.text)}\n\n{_row(button('read', number, 'Read it aloud'))}"
    parts = [cited(message.text, message.sources, number)] if message.text else []
    if message.note:
        kind = "note waiting" if message.waiting else "note failed" if message.failed else "note"
        parts.append(f'<div class="{kind}">{escaped(message.note)}</div>')
    if not message.waiting:
        parts.append(_row(*_actions(message, number, latest)))
        if latest and message.suggestions:
            offers = "".join(button("suggest", n, escaped(q)) for n, q in enumerate(message.suggestions))
            parts.append(f'<div class="offers">{offers}</div>')
    return "\n\n".join(parts)


def _read_along(text: str) -> str:
    """A text to hear, each sentence in an element of its own that lights up while it is read."""
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        sentences = (f'<span class="say">{safe(sentence)}</span>' for sentence in split_sentences(paragraph))
        paragraphs.append(" ".join(sentences))
    return "\n\n".join(paragraphs)


def _actions(message: Said, number: int, latest: bool) -> list[str]:
    actions = []
    if message.text:
        actions.append(button("copy", number, "Copy"))
    if latest and (message.before is not None):
        actions.append(button("retry", number, "Grade again" if message.graded else "Try again"))
    if message.sources:
        actions.append(button("sources", number, "Sources"))
        if not message.practice:
            actions.append(button("quiz", number, "Quiz me on this"))
    return actions


def _row(*buttons: str) -> str:
    return f'<div class="row">{"".join(buttons)}</div>' if buttons else ""


def source_panel(message: Said | None, number: int, back: bool = False) -> str:
    """The sources of one answer: each with its question, the passages used, references, and the whole answer folded.

    In practice a way `back` to the scorecard is offered instead of a quiz.
    """
    if message is None or not message.sources:
        # The hidden formula makes the browser fetch what draws formulas now, not when the first sources come.
        return (
            '## Sources\n\n<p class="quiet">What an answer stands on appears here. '
            "A click on a number in the text opens it at the sentence that was used.</p>\n\n<span hidden>$x$</span>"
        )
    cards = [_card(source, n, number) for n, source in enumerate(message.sources, 1)]
    onward = (
        button("back", 0, "Back to the exercise", "wide") if back else button("quiz", number, "Quiz me on this", "wide")
    )
    return "## Sources\n\n" + "\n\n".join(cards) + f"\n\n{onward}"


def _card(source: Source, n: int, message: int) -> str:
    entry = source.entry
    used, rest = _marked_answer(entry, source.passages, f"{message}-{n}")
    parts = [
        f'<details class="source" id="source-{message}-{n}" open>\n'
        f'<summary><span class="number">{n}</span> <span class="name">{escaped(entry.title)}</span></summary>',
        f'<p class="asked">{escaped(entry.question)}</p>',
        *used,
    ]
    if rest:
        parts += ["<details>\n<summary>The rest of the answer</summary>", *rest, "</details>"]
    parts += [f'<p class="reference">{_reference(reference)}</p>' for reference in entry.references]
    return "\n\n".join(parts) + "\n\n</details>"


def _marked_answer(entry: Entry, passages: Sequence[str], prefix: str) -> tuple[list[str], list[str]]:
    """The paragraphs with passages that were used, these marked, and the other paragraphs of the entry's answer."""
    flats = [" ".join(passage.split()) for passage in passages]
    found: set[int] = set()
    used: list[str] = []
    rest: list[str] = []
    for paragraph in re.split(r"\n\s*\n", entry.answer.strip()):
        flat = paragraph if paragraph.lstrip().startswith("```") else " ".join(paragraph.split())
        spans: list[tuple[int, int, int]] = []
        for k, passage in enumerate(flats, 1):
            at = flat.find(passage)
            if at >= 0 and k not in found and not any(at < high and low < at + len(passage) for low, high, _ in spans):
                found.add(k)
                spans.append((at, at + len(passage), k))
        pieces, end = [], 0
        for low, high, k in sorted(spans):
            pieces += [safe(flat[end:low]), _used(flat[low:high], prefix, k)]
            end = high
        (used if spans else rest).append("".join(pieces) + safe(flat[end:]))
    elsewhere = [_used(passage, prefix, k) for k, passage in enumerate(flats, 1) if k not in found]
    return [*elsewhere, *used], rest


def _used(passage: str, prefix: str, k: int) -> str:
    return f'<mark class="used" id="used-{prefix}-{k}">{safe(passage)}</mark>'


def _reference(reference: Reference) -> str:
    """A reference as a link; nothing is fetched until someone follows it."""
    who = f"{escaped(_authors(reference.authors))}, " if reference.authors else ""
    year = f" ({reference.year})" if reference.year else ""
    return f'{who}<a href="{html.escape(reference.url)}">{escaped(reference.title)}</a>{year}'


def _authors(authors: str) -> str:
    """At most two names, then "and others"."""
    names = [name.strip() for name in authors.split(",") if name.strip()]
    return ", ".join(names) if len(names) <= 2 else f"{names[0]} and others"


def state_words(report: dict[str, Any], indent: str = "") -> str:
    """What `doctor` found, as a Markdown list."""
    lines = []
    for key, value in report.items():
        name = escaped(str(key).replace("_", " "))
        if isinstance(value, dict):
            lines.append(f"{indent}- **{name}**")
            lines.append(state_words(value, indent + "  "))
        else:
            shown = "not there" if value is None else str(value)
            lines.append(f"{indent}- {name}: {escaped(shown)}")
    return "\n".join(lines)


WELCOME: dict[Mode, str] = {
    "ask": (
        "<h2>Get ready for deep-learning interviews</h2>"
        "<p>Ask me anything about deep learning, or let me ask you; nothing you type or say leaves this machine.</p>"
    ),
    "practise": (
        "<h2>Practise one question at a time</h2>"
        "<p>Answer as you would in an interview. You see at once which points you made, which are missing, and what to "
        "say next time; nothing you type or say leaves this machine.</p>"
    ),
}


# The bar that shows while recording; the page's script moves it.
RECORDER = (
    '<div class="recorder" hidden><span class="dot"></span><span class="time">0:00</span>'
    '<span class="most">of 5:00</span>'
    '<meter min="0" max="1" value="0" aria-label="Level of the microphone"></meter>'
    '<button type="button" name="stop">Stop</button><button type="button" name="discard">Discard</button></div>'
    '<p class="trouble" role="alert" hidden></p>'
)


def fold_label(view: View) -> str:
    """What the folded panel holds, for narrow screens."""
    if view.opened is not None:
        return f"Sources ({len(view.said[view.opened].sources)})"
    if view.card is None:
        return "The exercise"
    card = view.card.graded.scorecard
    return "Scorecard: not graded" if card is None else f"Scorecard: {card.score:.1f} of 10"


def status_words(status: CoachStatus) -> str:
    """The state of the coach in a few words, for the header."""
    if "failed" in (status.encoder, status.model):
        return "curated answers only" if status.encoder != "failed" else "cannot answer"
    if status.progress is not None and status.model == "loading":
        return f"preparing the model, {status.progress:.0%}"
    if "loading" in (status.encoder, status.model):
        return "loading the model" if status.encoder == "ready" else "opening the knowledge"
    return status.message
