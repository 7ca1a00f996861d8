"""Values and texts of the page: escaping, citations, evidence, the steps of a visitor's view, and pacing."""

from __future__ import annotations

import html
import re
import socket
import threading
import time

import pytest

from coach import page
from coach.coach import CoachStatus
from coach.config import BUILT_IN_KNOWLEDGE
from coach.errors import ModelError, SettingsError
from coach.events import Finished, Graded, Progress, Source, SourcesFound, Suggestions, Text
from coach.knowledge import Entry, load_entries
from coach.replies import Replies, paced
from coach.serving import listening
from coach.session import Exchange, Session
from coach.view import Light, Said, View

HOSTILE = "<img src=http://x.example/a.png> ![x](http://x.example) **b** $x$ `c` </mark> &lt; [dropout]\n    code"


@pytest.fixture(scope="module")
def dropout() -> Entry:
    return next(entry for entry in load_entries(BUILT_IN_KNOWLEDGE) if entry.id == "dropout")


def finished(session: Session, text: str, reason: str = "stop") -> Finished:
    return Finished(session, text, (), True, reason, 0.1, 0.2)  # type: ignore[arg-type]


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


def test_a_reply_grows_with_its_events(dropout: Entry) -> None:
    view = View().sent("why?")
    assert view.said[-1].waiting
    done = Session().asked(Exchange("why?", "Because. More."))
    view = view.heard(
        [
            SourcesFound((Source(dropout, ()),)),
            Text("Because. ", True),
            Progress("Checking"),
            Text("More.", False),
            Suggestions(("And?",)),
        ]
    )
    assert view.opened == 1
    assert view.said[-1].text == "Because. More."
    assert view.said[-1].note == "Checking"
    view = view.heard([finished(done, "Because. More.")]).ended()
    assert view.session == done
    assert not view.said[-1].waiting
    assert view.said[-1].note == ""


@pytest.mark.parametrize(("reason", "note"), [("length", "cut off"), ("cancelled", "Stopped")])
def test_the_reply_says_how_it_ended(reason: str, note: str) -> None:
    assert note in View().sent("why?").heard([Text("A", True), finished(Session(), "A", reason)]).said[-1].note


def test_a_reply_that_never_finished_keeps_what_was_said() -> None:
    view = View().sent("why?").heard([Text("Because.", True)]).ended()
    assert view.session.exchanges[0].answer == "Because."
    assert view.said[-1].note == "Stopped."


def test_an_edited_question_replaces_what_followed_it() -> None:
    view = View()
    for n in range(3):
        view = view.sent(f"q{n}").heard([finished(view.session.asked(Exchange(f"q{n}", f"a{n}")), "")])
    changed = view.back_to(2)
    assert [m.text for m in changed.said if m.speaker == "user"] == ["q0"]
    assert [e.question for e in changed.session.exchanges] == ["q0"]
    with pytest.raises(IndexError):
        View(said=(Said("user", "x"),)).back_to(0)


def test_an_error_is_told_where_it_happened() -> None:
    view = View().sent("why?").failed("No memory; use --model small.")
    (_, reply) = page.chat(view.said)
    assert "note failed" in reply["content"]
    assert 'name="retry"' in reply["content"]


def test_grading_is_kept_for_the_panel() -> None:
    view = View().sent("an answer").heard([Graded(None, "The model failed.")])
    assert view.card is not None
    assert view.card.graded.failure == "The model failed."


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


def test_events_come_in_batches_and_the_first_at_once() -> None:
    began = time.monotonic()
    times = []
    got: list[int] = []
    for batch in paced(iter(range(500)), threading.Event()):
        times.append(time.monotonic() - began)
        got += batch
    assert got == list(range(500))
    assert times[0] < 0.05
    assert len(times) < 10


def test_a_stop_is_noticed_while_the_events_keep_one_waiting() -> None:
    stop = threading.Event()

    def slow():  # type: ignore[no-untyped-def]
        yield 1
        stop.wait(30)
        yield 2

    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    assert [n for batch in paced(slow(), stop) for n in batch] == [1, 2]
    assert time.monotonic() - began < 2


def test_closing_stops_and_errors_come_through() -> None:
    stop = threading.Event()
    batches = paced(iter(lambda: time.sleep(0.05), 1), stop)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert stop.is_set()

    def failing():  # type: ignore[no-untyped-def]
        yield 1
        raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        list(paced(failing(), threading.Event()))


def test_one_reply_at_a_time_for_each_visitor() -> None:
    replies = Replies()
    first = replies.begin("a")
    assert first is not None
    assert replies.begin("a") is None
    assert replies.begin("b") is not None
    replies.stop("a")
    assert first.stop.is_set()
    assert replies.under_way("a")
    replies.end("a")
    assert not replies.under_way("a")
    assert replies.begin("a") is not None


def test_a_taken_port_is_told_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}.*--port {port % 65535 + 1}"):
            listening("127.0.0.1", port)
