"""Texts of the page: what is foreign is escaped, citations find their sentence, states are said in words."""

from __future__ import annotations

import html
import re

import pytest

from coach import page
from coach.coach import CoachStatus
from coach.events import Source
from coach.knowledge import Entry
from coach.session import Session
from coach.view import Light, Said, View

HOSTILE = "<img src=http://x.example/a.png> ![x](http://x.example) **b** $x$ `c` </mark> &lt; [dropout]\n    code"


@pytest.fixture(scope="module")
def dropout(entries: tuple[Entry, ...]) -> Entry:
    return next(entry for entry in entries if entry.id == "dropout")


def test_what_a_visitor_typed_is_shown_letter_by_letter() -> None:
    shown = page.escaped(HOSTILE)
    assert not set(shown) & set("<>*`$[]!") - set("<>")
    assert re.findall(r"<[^>]*>", shown) == ["<br>"]
    back = html.unescape(shown.replace("<br>", "\n")).replace("\xa0", " ")
    assert back == HOSTILE


def test_what_the_model_wrote_brings_no_tag_image_or_link() -> None:
    shown = page.safe("<img src=x> ![a](http://b.c/d.png) [l](javascript:x) ![r][ref] see http://e.f ok")
    assert "<" not in shown
    assert "![" not in shown
    assert "](" not in shown
    assert "://" not in shown


def test_maths_and_code_stay_as_they_are() -> None:
    text = "Take $a_1 * b$ and `x < 3`:\n\n```python\nif a < b: pass\n```\n\n$$\\frac{a}{b}$$"
    assert page.safe(text) == text
    assert page.safe("if $a < b$ then") == r"if $a \lt  b$ then"


def test_an_open_code_block_is_closed() -> None:
    assert page.safe("```python\nx = 1").endswith("\n```")


def test_a_citation_becomes_a_number_that_knows_its_sentence(dropout: Entry) -> None:
    first, second = "Dropout is off at inference.", "The mask is fresh each time."
    sources = (Source(dropout, (first, second)),)
    shown = page.cited(f"{first} [dropout]\n\nSo {second} [dropout] And [not-an-entry].", sources, 7)
    assert re.findall(r'value="([^"]+)"[^>]*>(\d)</button>', shown) == [("7/1/1", "1"), ("7/1/2", "1")]
    assert "[dropout]" not in shown
    assert "[not-an-entry]" in shown


def test_the_source_panel_marks_the_sentences_used_and_gives_references(dropout: Entry) -> None:
    sentence = "Dropout reduces co-adaptation, because no unit can rely on particular other units being present."
    message = Said("assistant", "…", (Source(dropout, (sentence, "A passage that stands elsewhere.")),))
    shown = page.source_panel(message, 3)
    assert f'<mark class="used" id="used-3-1-1">{sentence}</mark>' in shown
    assert '<mark class="used" id="used-3-1-2">A passage that stands elsewhere.</mark>' in shown
    assert "1506.02142" in shown
    assert shown.count("<details") == shown.count("</details>") == 2
    assert 'name="quiz" value="3"' in shown


def test_evidence_is_marked_in_the_candidates_words_and_may_overlap() -> None:
    text = "It drops <units> at random."
    shown = page.lit(text, (Light(3, 16, ("a",)), Light(9, 26, ("b", "a"))))
    assert re.sub("<[^>]+>", "", html.unescape(shown.replace("&#60;", "‹").replace("&#62;", "›"))) == (
        "It drops ‹units› at random."
    )
    assert re.findall(r'class="said ([^"]+)"', shown) == ["said-a", "said-a said-b", "said-b said-a"]
    assert page.lit(text, (Light(20, 99, ("x",)), Light(5, 5, ("y",)))) == page.escaped(text)


def test_only_the_latest_answer_offers_to_go_on() -> None:
    said = Said("assistant", "One.", suggestions=("And then?",), before=Session())
    earlier, latest = page.chat([said, said])
    assert "And then" not in earlier["content"]
    assert "And then" in latest["content"]
    assert 'name="retry"' in latest["content"]
    assert 'name="retry"' not in earlier["content"]


def test_an_error_is_told_where_it_happened() -> None:
    view = View().sent("why?").failed("No memory; use --model small.")
    (_, reply) = page.chat(view.said)
    assert "note failed" in reply["content"]
    assert 'name="retry"' in reply["content"]


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (CoachStatus("loading", "loading", "", "", None, "Opening the knowledge"), "opening the knowledge"),
        (CoachStatus("ready", "loading", "", "", 0.42, "Converting"), "preparing the model, 42%"),
        (CoachStatus("ready", "loading", "", "", None, "x"), "loading the model"),
        (CoachStatus("ready", "failed", "", "", None, "x"), "curated answers only"),
        (CoachStatus("failed", "loading", "", "", None, "x"), "cannot answer"),
        (CoachStatus("ready", "ready", "Q", "CPU", None, "ready · Q · CPU"), "ready · Q · CPU"),
    ],
)
def test_the_header_says_the_state_in_words(status: CoachStatus, words: str) -> None:
    assert page.status_words(status) == words


def test_the_state_is_listed_with_its_parts() -> None:
    shown = html.unescape(page.state_words({"model": {"name": "Qwen <1.5B>", "threads": None}}))
    assert shown == "- **model**\n  - name: Qwen <1.5B>\n  - threads: not there"


def test_a_question_is_set_apart_and_a_spoken_text_has_its_sentences() -> None:
    question, spoken = page.chat(
        [
            Said("assistant", "training · advanced\n\nWhy $a < b$?", kind="question"),
            Said("assistant", "First. Second.\n\nThird.", kind="spoken"),
        ]
    )
    assert '<p class="what">training &#183; advanced</p>' in question["content"].replace("·", "&#183;")
    assert r"Why $a \lt  b$?" in question["content"]
    assert spoken["content"].count('class="say"') == 3
    assert all('name="read"' in message["content"] for message in (question, spoken))


def test_in_practice_the_sources_lead_back_to_the_exercise(dropout: Entry) -> None:
    message = Said("assistant", "…", (Source(dropout, ()),))
    assert 'name="back"' in page.source_panel(message, 1, back=True)
    assert 'name="quiz"' not in page.source_panel(message, 1, back=True)
