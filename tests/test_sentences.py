"""Where sentences begin and end."""

from __future__ import annotations

import time
from itertools import pairwise

import pytest

from coach.knowledge import Entry
from coach.sentences import (
    LONGEST_READ,
    LONGEST_SAID,
    SHORTEST_SAID,
    runs_on,
    said_sentences,
    said_within,
    sentence_spans,
    split_sentences,
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two.", ("One.", "Two.")),
        ("Really? Yes. Good", ("Really?", "Yes.", "Good")),
        ("A rate of 0.5 is common. It halves.", ("A rate of 0.5 is common.", "It halves.")),
        ("Use e.g. Adam or i.e. AdamW. Then stop.", ("Use e.g. Adam or i.e. AdamW.", "Then stop.")),
        ("See Fig. 3 and no. 5 there. Next.", ("See Fig. 3 and no. 5 there.", "Next.")),
        ("Is it on? The answer is no. Dropout is off.", ("Is it on?", "The answer is no.", "Dropout is off.")),
        ("Goodfellow et al. Generative nets.", ("Goodfellow et al. Generative nets.",)),
        ("The loss is $L = a. B$ here. Done.", ("The loss is $L = a. B$ here.", "Done.")),
        ("$$a.\n\nB$$ stays whole. Next.", ("$$a. B$$ stays whole.", "Next.")),
        ("Call `model.eval(). Then` once. Good.", ("Call `model.eval(). Then` once.", "Good.")),
        ("First paragraph\n\nSecond paragraph", ("First paragraph", "Second paragraph")),
        ("First line\nsame sentence.", ("First line same sentence.",)),
        ('He said "stop." Then went.', ('He said "stop."', "Then went.")),
        ("Wait… Then go.", ("Wait…", "Then go.")),
        ("这是一句。这是两句。", ("这是一句。", "这是两句。")),
        ("$x$ is first. $y$ is second.", ("$x$ is first.", "$y$ is second.")),
        ("", ()),
        (" \n\n\t ", ()),
        ("...", ("...",)),
    ],
)
def test_split(text: str, expected: tuple[str, ...]) -> None:
    assert split_sentences(text) == expected


def test_a_lower_case_letter_begins_a_sentence_only_when_loose() -> None:
    typed = "it drops units. that helps. e.g. when data is scarce"
    assert split_sentences(typed) == (typed,)
    assert split_sentences(typed, loose=True) == ("it drops units.", "that helps.", "e.g. when data is scarce")
    counted = "to get the no. of steps u divide. is it random? no. never."
    assert split_sentences(counted, loose=True) == (
        "to get the no. of steps u divide.",
        "is it random?",
        "no.",
        "never.",
    )


def test_spans_point_at_the_sentences_and_cover_every_letter() -> None:
    text = '  One is 0.5 wide.  "Two" ends!\n\n  three, e.g. this.  '
    spans = sentence_spans(text)
    assert [text[low:high] for low, high in spans] == ["One is 0.5 wide.", '"Two" ends!', "three, e.g. this."]
    outside = set(range(len(text))) - {n for low, high in spans for n in range(low, high)}
    assert "".join(text[n] for n in sorted(outside)).strip() == ""


def test_no_sentence_of_the_entries_is_lost_or_torn_in_its_formula(entries: tuple[Entry, ...]) -> None:
    for entry in entries:
        sentences = split_sentences(entry.answer)
        assert "".join("".join(sentences).split()) == "".join(entry.answer.split())
        assert [s for s in sentences if s.replace("\\$", "").count("$") % 2] == []
        assert [s for s in sentences if not s.endswith((".", "?", "!", "$", ":", ")", "`"))] == []


@pytest.mark.parametrize(
    "text",
    [" " * 100_000 + "x", "\n" * 100_000, "a" * 100_000 + "! Next", "$a$. " * 20_000, "🎉" * 100_000,
     "e.g. A " * 14_000, ". " * 50_000, "`" * 100_000, '."' * 50_000, "\x00\ud800 " * 30_000],
    ids=["blanks", "lines", "one word", "maths", "emoji", "abbreviations", "stops", "ticks", "quotes", "surrogates"],
)  # fmt: skip
@pytest.mark.parametrize("loose", [False, True])
def test_a_hundred_thousand_characters_take_no_time(text: str, loose: bool) -> None:
    began = time.process_time()
    spans = sentence_spans(text, loose)
    assert time.process_time() - began < 1.0
    assert all(low < high for low, high in spans)
    assert all(before[1] <= after[0] for before, after in pairwise(spans))


def test_what_runs_on_is_cut_before_a_new_clause() -> None:
    spoken = (
        "so dropout sets random units to zero during training with some probability p and this makes the network not "
        "depend on single neurons so it is a kind of regularisation and at test time you keep every unit and scale "
        "nothing because the scaling was done before in training by dividing by the probability to keep a unit"
    )
    parts = said_sentences(spoken)
    assert [part.split()[:3] for part in parts] == [
        ["so", "dropout", "sets"],
        ["so", "it", "is"],
        ["because", "the", "scaling"],
    ]
    assert " ".join(parts) == spoken


def test_a_recognised_run_of_commas_is_cut_at_one_and_loses_it() -> None:
    spoken = ", ".join(["the gate decides what to keep of the state"] * 9) + "."
    parts = said_sentences(spoken)
    assert all(SHORTEST_SAID <= len(part.split()) <= LONGEST_SAID for part in parts)
    assert ", ".join(parts) == spoken


def test_pieces_come_with_the_sentence_they_were_cut_out_of_unless_it_is_too_long_to_be_read() -> None:
    long = ", and ".join(["the forget gate decides what stays in the cell state"] * 4) + "."
    assert LONGEST_SAID < len(long.split()) <= LONGEST_READ
    short = "The output gate decides what is shown."
    pieces = said_within(f"{long} {short}")
    assert [whole for _, whole in pieces] == [long, long, short]
    assert pieces[-1][0] == short
    assert all(said == whole for said, whole in said_within(long.replace(".", ", and ") + long))


def test_what_is_short_or_has_no_joint_is_left_whole() -> None:
    assert said_sentences("One. two, and three.\nfour") == ("One.", "two, and three.", "four")
    endless = "word " * 200 + "end."
    assert said_sentences(endless) == (endless,)


@pytest.mark.parametrize("text", ["a, " * 40_000, "and the " * 15_000, "word " * 25_000 + ", and the word"])
def test_a_hundred_thousand_characters_without_a_full_stop_take_no_time(text: str) -> None:
    began = time.process_time()
    assert said_sentences(text)
    assert time.process_time() - began < 1.0


def test_talk_without_a_mark_runs_on_and_a_sentence_does_not() -> None:
    talk = "so in training you zero units at random and at test time you leave it off and that is about all there is"
    assert runs_on(talk)
    assert not runs_on(talk + ".")
    assert not runs_on("you zero units at random")
