"""What the page shows, as text: messages, sources and states turned into Markdown, with everything foreign escaped.

Everything here is pure. Gradio's Markdown keeps `class`, `id`, `name`, `value` and `style` of harmless elements and
drops the rest, so a control inside the text is `<button name="…" value="…">`; `page.js` carries its click to the server.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from coach.events import Event, Finished, Graded, Progress, Source, SourcesFound, Suggestions, Text
from coach.knowledge import Entry, Reference
from coach.sentences import split_sentences
from coach.session import Session

Speaker = Literal["user", "assistant"]

LATEX_DELIMITERS = [
    {"left": "$$", "right": "$$", "display": True},
    {"left": "$", "right": "$", "display": False},
]

# Code first, then maths: what is inside either is not Markdown.
_VERBATIM = re.compile(r"```.*?(?:```|\Z)|`[^`\n]+`|\$\$.+?\$\$|\$[^$\n]+?\$", re.DOTALL)
_CITATION = re.compile(r"\s*\[([a-z0-9]+(?:-[a-z0-9]+)*)\]")
_FENCE = re.compile(r"^\s*```", re.MULTILINE)


@dataclass(frozen=True)
class Light:
    """A span of a candidate's answer (character offsets) and the key points or flags that rest on it."""

    start: int
    end: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """One message as the page shows it.

    A user's text is shown word for word; the coach's is Markdown with citations like [dropout]. `note` says what is
    going on or why it ended; `before` is the session to go back to when a user's message is edited or sent again.
    """

    speaker: Speaker
    text: str = ""
    sources: tuple[Source, ...] = ()
    suggestions: tuple[str, ...] = ()
    note: str = ""
    waiting: bool = False
    failed: bool = False
    before: Session | None = None
    practice: bool = False
    lights: tuple[Light, ...] = ()


def escaped(text: str) -> str:
    """Foreign text that neither HTML nor Markdown nor LaTeX sees anything in: it shows as it was typed."""
    lines = []
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        bare = line.lstrip(" \t")
        indent = "&#160;" * (len(line) - len(bare))
        lines.append(indent + "".join(c if c.isalnum() or c == " " or ord(c) > 127 else f"&#{ord(c)};" for c in bare))
    return "<br>".join(lines)


def safe(text: str) -> str:
    """The coach's Markdown without HTML, images and links; maths and code stay as they are."""
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
    return text.replace("<", "&lt;").replace("![", "!&#91;").replace("](", "]&#40;").replace("][", "]&#91;")


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
    borders = sorted({0, len(text), *(light.start for light in inside), *(light.end for light in inside)})
    pieces = []
    for start, end in zip(borders, borders[1:], strict=False):
        names = [name for light in inside if light.start <= start and end <= light.end for name in light.names]
        piece = escaped(text[start:end])
        if names:
            classes = " ".join(["said", *(f"said-{name}" for name in dict.fromkeys(names))])
            piece = f'<mark class="{classes}">{piece}</mark>'
        pieces.append(piece)
    return "".join(pieces)


def told(message: Said, event: Event) -> Said:
    """The coach's message after one more event."""
    match event:
        case SourcesFound(sources):
            return replace(message, sources=sources, note="Writing the answer")
        case Text(text, _):
            return replace(message, text=message.text + text)
        case Progress(text):
            return replace(message, note=text)
        case Suggestions(questions):
            return replace(message, suggestions=questions)
        case Graded():
            return replace(message, note="Writing feedback")
        case Finished(_, _, _, _, reason, _, _):
            endings = {"length": "The reply reached its longest length and was cut off here.", "cancelled": "Stopped."}
            return replace(message, note=endings.get(reason, ""), waiting=False)


def chat(said: Sequence[Said]) -> list[dict[str, Any]]:
    """All messages as Gradio's chat takes them; only the latest answer offers suggestions."""
    return [
        {"role": message.speaker, "content": _content(message, n, n == len(said) - 1)} for n, message in enumerate(said)
    ]


def _button(name: str, value: object, label: str, classes: str = "") -> str:
    kind = f' class="{classes}"' if classes else ""
    return f'<button type="button"{kind} name="{name}" value="{value}">{label}</button>'


def _content(message: Said, number: int, latest: bool) -> str:
    if message.speaker == "user":
        row = "" if message.practice or message.before is None else _row(_button("edit", number, "Edit"))
        return f'<div class="words">{lit(message.text, message.lights)}</div>{row}'
    parts = [cited(message.text, message.sources, number)] if message.text else []
    if message.note:
        kind = "note waiting" if message.waiting else "note failed" if message.failed else "note"
        parts.append(f'<div class="{kind}">{escaped(message.note)}</div>')
    if not message.waiting:
        parts.append(_row(*_actions(message, number, latest)))
        if latest and message.suggestions:
            offers = "".join(_button("suggest", n, escaped(q)) for n, q in enumerate(message.suggestions))
            parts.append(f'<div class="offers">{offers}</div>')
    return "\n\n".join(parts)


def _actions(message: Said, number: int, latest: bool) -> list[str]:
    actions = []
    if message.text:
        actions.append(_button("copy", number, "Copy"))
    if latest and (message.before is not None):
        actions.append(_button("retry", number, "Try again"))
    if message.sources:
        actions.append(_button("sources", number, "Sources"))
        actions.append(_button("quiz", number, "Quiz me on this"))
    return actions


def _row(*buttons: str) -> str:
    return f'<div class="row">{"".join(buttons)}</div>' if buttons else ""


def source_panel(message: Said | None, number: int, opened: int = 1) -> str:
    """The sources of one answer: each a fold with its question, the passages used, the whole answer, references."""
    if message is None or not message.sources:
        return (
            '## Sources\n\n<p class="quiet">What an answer stands on appears here. '
            "A click on a number in the text opens it at the sentence that was used.</p>"
        )
    cards = [_card(source, n, number, n == opened) for n, source in enumerate(message.sources, 1)]
    quiz = _button("quiz", number, "Quiz me on this", "wide")
    return f'## Sources\n\n<div id="of-{number}">\n\n' + "\n\n".join(cards) + f"\n\n</div>\n\n{quiz}"


def _card(source: Source, n: int, message: int, opened: bool) -> str:
    entry = source.entry
    body, found = _marked_answer(entry, source.passages, f"{message}-{n}")
    rest = [
        f'> <mark class="used" id="used-{message}-{n}-{k}">{safe(passage)}</mark>'
        for k, passage in enumerate(source.passages, 1)
        if k not in found
    ]
    references = "\n".join(f"- {_reference(reference)}" for reference in entry.references)
    quote = f'<p class="quote">{safe(_short(source.passages[0]))}</p>' if source.passages else ""
    parts = [
        f'<details class="source" id="source-{message}-{n}"{" open" if opened else ""}>\n'
        f'<summary><span class="number">{n}</span> <span class="name">{escaped(entry.title)}</span>{quote}</summary>',
        f'<p class="asked">{escaped(entry.question)}</p>',
        *rest,
        body,
    ]
    if references:
        parts.append(f'<p class="heading">References</p>\n\n{references}')
    return "\n\n".join(parts) + "\n\n</details>"


def _short(passage: str, longest: int = 90) -> str:
    """The beginning of a passage, cut between words and never inside maths."""
    if len(passage) <= longest:
        return passage
    cut = passage[:longest].rpartition(" ")[0]
    if cut.count("$") % 2:
        cut = cut.rpartition("$")[0].rstrip()
    return cut.rstrip(" ,;:") + " …"


def _marked_answer(entry: Entry, passages: Sequence[str], prefix: str) -> tuple[str, set[int]]:
    """The entry's answer with the used passages marked, and which of them (from 1) stand in it."""
    found: set[int] = set()
    paragraphs = []
    for paragraph in re.split(r"\n\s*\n", entry.answer):
        flat = paragraph.strip() if paragraph.lstrip().startswith("```") else " ".join(paragraph.split())
        spans = []
        for k, passage in enumerate(passages, 1):
            at = flat.find(" ".join(passage.split()))
            if at >= 0 and k not in found and not any(at < high and low < at + len(passage) for low, high, _ in spans):
                found.add(k)
                spans.append((at, at + len(" ".join(passage.split())), k))
        pieces, end = [], 0
        for low, high, k in sorted(spans):
            pieces.append(safe(flat[end:low]))
            pieces.append(f'<mark class="used" id="used-{prefix}-{k}">{safe(flat[low:high])}</mark>')
            end = high
        paragraphs.append("".join(pieces) + safe(flat[end:]))
    return "\n\n".join(paragraphs), found


def _reference(reference: Reference) -> str:
    who = f"{escaped(_authors(reference.authors))}, " if reference.authors else ""
    year = f" ({reference.year})" if reference.year else ""
    address = reference.url.replace("(", "%28").replace(")", "%29").replace("<", "%3C").replace(" ", "%20")
    return f"{who}[{escaped(reference.title)}]({address}){year}"


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
