"""The picture of an answer in time."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from coach.audio import Span
from coach.delivery import delivery
from coach.timeline import Timeline, clock, mark_rows, summary, timeline, timeline_svg
from coach.transcript import Transcript, Word


@pytest.fixture
def drawn() -> Timeline:
    words = (Word("Dropout", 1.0, 2.0, 0.9), Word("um,", 2.1, 2.4, 0.9), Word("works.", 5.0, 6.0, 0.9))
    transcript = Transcript(words, (Span(1.0, 2.4), Span(5.0, 6.0)), 8.0)
    return timeline(transcript, delivery(transcript), (("off at <test>", 5.5), ("what it is", 1.2)))


def test_segments_and_marks_come_from_the_measurement(drawn: Timeline) -> None:
    assert [(s.kind, s.start, s.end) for s in drawn.segments] == [
        ("speech", 1.0, 2.4), ("speech", 5.0, 6.0), ("pause", 2.4, 5.0), ("filler", 2.1, 2.4),
    ]  # fmt: skip
    assert [mark.label for mark in drawn.marks] == ["what it is", "off at <test>"]


def test_the_drawing_is_well_formed_and_says_in_words_what_it_shows(drawn: Timeline) -> None:
    svg = timeline_svg(drawn)
    root = ElementTree.fromstring(svg)
    picture = root[0]
    assert picture.attrib["role"] == "img"
    assert picture.attrib["aria-label"] == summary(drawn)
    assert "1 pause over one second; 1 filler; what it is at 0:01" in summary(drawn)
    titles = [element.text for element in picture.iter() if element.tag.endswith("title")]
    assert "pause of 2.6 s at 0:02" in titles
    assert "um at 0:02" in titles


def test_the_drawing_has_no_script_and_no_fixed_ink(drawn: Timeline) -> None:
    svg = timeline_svg(drawn)
    assert "<test>" not in svg
    assert not re.search(r"<script|\son\w+=|javascript:", svg)
    assert "currentColor" in svg
    assert not re.search(r'(?:fill|stroke)="(?:black|white|#000|#fff)', svg)


def test_bars_lie_where_the_sound_is(drawn: Timeline) -> None:
    first = re.search(r'<rect x="([\d.]+)%" y="\d+" width="([\d.]+)%"', timeline_svg(drawn))
    assert first
    assert float(first.group(1)) == pytest.approx(12.5)
    assert float(first.group(2)) == pytest.approx(17.5)


def test_text_keeps_its_size_on_a_narrow_page(drawn: Timeline) -> None:
    picture = ElementTree.fromstring(timeline_svg(drawn))[0]
    assert "viewBox" not in picture.attrib
    sizes = [float(text.attrib["font-size"]) for text in picture.iter() if text.tag.endswith("text")]
    assert min(sizes) >= 12


def test_numbers_that_would_touch_stand_in_different_rows() -> None:
    assert mark_rows([10, 12, 14, 40, 46]) == [0, 1, 2, 0, 0]
    assert mark_rows([]) == []


@pytest.mark.parametrize("seconds", [0.0, 5.0, 300.0])
def test_every_length_can_be_drawn(seconds: float) -> None:
    svg = timeline_svg(Timeline(seconds, (), ()))
    assert ElementTree.fromstring(svg).tag == "figure"
    assert len(re.findall(r">\d:\d\d<", svg)) <= 11


def test_clock() -> None:
    assert [clock(s) for s in (0, 9.9, 65, 299)] == ["0:00", "0:09", "1:05", "4:59"]
