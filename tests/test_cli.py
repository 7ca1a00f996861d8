"""The command line as another program uses it: JSON lines in, JSON lines out, and nothing else on standard output."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from coach.__main__ import main
from coach.config import BUILT_IN_KNOWLEDGE
from coach.knowledge import Entry
from coach.retrieval import Index

ROOT = BUILT_IN_KNOWLEDGE.parent
SEARCH_KEYS = {"answerable", "hits"}
ASK_KEYS = {"answer", "citations", "answerable", "finish_reason", "seconds"}


def environment(cache: Path, **more: str) -> dict[str, str]:
    return {**os.environ, "COACH_MODEL": "none", "COACH_CACHE": str(cache), **more}


def run(*argv: str, cache: Path, stdin: bytes = b"", **more: str) -> subprocess.CompletedProcess[bytes]:
    """`python -m coach …` as a program of its own."""
    return subprocess.run(
        [sys.executable, "-m", "coach", *argv],
        input=stdin,
        capture_output=True,
        cwd=ROOT,
        env=environment(cache, **more),
        timeout=300,
    )


def records(out: bytes) -> list[dict[str, Any]]:
    """Every line of standard output as JSON: anything else there fails here."""
    text = out.decode("utf-8")
    assert text.endswith("\n")
    return [json.loads(line) for line in text.removesuffix("\n").split("\n")]


# Line by line: what is sent, and which entry comes first, None for an error, "" for not answerable.
LINES: list[tuple[bytes, str | None]] = [
    (b'\xef\xbb\xbf{"question": "what is dropout"}', "dropout"),
    (b"not json", None),
    (b"[1, 2]", None),
    (b'"what is dropout"', None),
    (b"5", None),
    (b"null", None),
    (b"{}", None),
    (b'{"question": 5}', None),
    (b'{"question": ["what is dropout"]}', None),
    (b'{"question": " "}', None),
    (b'{"question": "what is a gan", "unknown": {"deep": [1, null, true, 1e999]}}', "gan"),
    (b'{"question": "what is a gan", "n": ' + b"9" * 5000 + b"}", None),
    (b'{"question": "\\ud800 what is dropout"}', "dropout"),
    (b'{"question": "\xff what is dropout"}', "dropout"),
    (b'{"question": "\\u0000 what is dropout"}', "dropout"),
    (b'{"question": "what is a recipe for bread"}', ""),
    (b'{"question": "' + "🎉".encode() * 100 + b'"}', ""),
    (b'{"question": "' + b"a" * 100_000 + b'"}', ""),
    (b"", None),
    (b'{"question": "what is\\nan lstm\\u2028"}\r', "lstm"),
]


def batch_file(folder: Path) -> Path:
    path = folder / "in.jsonl"
    lines = [line for line, _ in LINES]
    path.write_bytes(b"\n".join(lines))  # no line end after the last
    return path


def test_search_batch(tmp_path: Path, cache: Path, index: Index) -> None:
    done = run("search", "--batch", str(batch_file(tmp_path)), cache=cache)
    assert done.returncode == 0, done.stderr.decode()
    found = records(done.stdout)
    assert len(found) == len(LINES)
    ids = {entry.id for entry in index.entries}
    for (line, expected), record in zip(LINES, found, strict=True):
        if expected is None:
            assert list(record) == ["error"], line
            assert record["error"]
            continue
        assert set(record) == SEARCH_KEYS, line
        assert record["answerable"] is (expected != "")
        assert len(record["hits"]) >= 5
        assert all(set(hit) == {"id", "score", "passage"} for hit in record["hits"])
        assert {hit["id"] for hit in record["hits"]} <= ids
        scores = [hit["score"] for hit in record["hits"]]
        assert scores == sorted(scores, reverse=True)
        if expected:
            assert record["hits"][0]["id"] == expected


TALKS: list[tuple[dict[str, Any], tuple[str, ...] | None]] = [
    ({"question": "what is dropout?"}, ("dropout",)),
    ({"turns": ["what is dropout?", "and why does that help?"]}, ("dropout",)),
    ({"turns": ["what is a gan?", "what is XGBoost?", "what is an lstm?"]}, ("lstm",)),
    ({"turns": ["what is a gan?", "ok, thanks"]}, ("gan",)),
    ({"question": "what is a recipe for bread"}, ()),
    ({"turns": []}, None),
    ({"turns": "what is dropout?"}, None),
    ({"turns": ["what is dropout?", 5]}, None),
    ({"turns": ["what is dropout?", " "]}, None),
    ({"turns": [["what is dropout?"]]}, None),
    ({"turns": None}, None),
    ({"turns": ["\ud800", "what is dropout?"]}, ("dropout",)),
    ({}, None),
]


def test_ask_batch_from_standard_input(cache: Path, index: Index) -> None:
    stdin = "\n".join(json.dumps(record) for record, _ in TALKS).encode() + b"\n"
    # A terminal of another alphabet must not change what is written: JSON lines are UTF-8.
    done = run("ask", "--batch", "-", cache=cache, stdin=stdin, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr.decode()
    found = records(done.stdout)
    assert len(found) == len(TALKS)
    for (sent, citations), record in zip(TALKS, found, strict=True):
        if citations is None:
            assert list(record) == ["error"], sent
            continue
        assert set(record) == ASK_KEYS, sent
        assert tuple(record["citations"]) == citations
        assert record["answerable"] is bool(citations)
        assert record["finish_reason"] in ("stop", "length", "cancelled")
        assert set(record["seconds"]) == {"first_token", "total"}
        assert 0 <= record["seconds"]["first_token"] <= record["seconds"]["total"]
        assert record["answer"].strip() == record["answer"] != ""
        if citations:
            assert record["answer"].count("[") == 0 or f"[{citations[0]}]" in record["answer"]


def test_a_result_is_written_before_the_next_line_is_sent(cache: Path, index: Index) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "coach", "search", "--batch", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=environment(cache),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for question, entry in (("what is dropout", "dropout"), ("what is a gan", "gan")):
            process.stdin.write(json.dumps({"question": question}).encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["hits"][0]["id"] == entry
        # The reader leaves: the run ends by itself and without a trace.
        process.stdout.close()
        process.stdin.write(b'{"question": "what is an lstm"}\n')
        process.stdin.close()
        assert process.wait(60) == 1


# What follows runs in this process: the same `main`, without opening everything anew.


@pytest.fixture
def command(cache: Path, monkeypatch: pytest.MonkeyPatch, index: Index):  # type: ignore[no-untyped-def]
    monkeypatch.setenv("COACH_MODEL", "none")
    monkeypatch.setenv("COACH_CACHE", str(cache))
    return main


def test_search_in_words_and_in_json(command, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert command(["search", "what", "is", "dropout"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "answerable"
    assert "dropout" in lines[1]
    assert len(lines) >= 6
    assert command(["search", "--json", "a recipe for bread"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["answerable"] is False
    assert len(record["hits"]) >= 5


def test_ask_in_words_and_in_json(command, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert command(["ask", "what is dropout"]) == 0
    captured = capsys.readouterr()
    assert "[dropout]" in captured.out
    assert "source:" in captured.err
    assert "source:" not in captured.out
    assert command(["ask", "--json", "what is dropout"]) == 0
    assert set(json.loads(capsys.readouterr().out)) == ASK_KEYS


def test_an_answer_is_the_same_alone_and_in_a_batch(  # type: ignore[no-untyped-def]
    command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"question": "what is a gan?"}\n{"turns": ["what is a gan?"]}\n', encoding="utf-8")
    assert command(["ask", "--batch", str(path)]) == 0
    first, second = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert command(["ask", "--json", "what is a gan?"]) == 0
    alone = json.loads(capsys.readouterr().out)
    assert first["answer"] == second["answer"] == alone["answer"]


def test_chat_in_json_keeps_the_conversation(  # type: ignore[no-untyped-def]
    command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    typed = io.BytesIO(b"what is dropout? \xff\nand why does that help?\n\nwhat is a gan?\n")
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(typed, encoding="utf-8"))
    assert command(["chat", "--json"]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["citations"] for record in found] == [["dropout"], ["dropout"]]  # an empty line ends it
    assert all(set(record) == ASK_KEYS for record in found)


def test_doctor(command, capsys: pytest.CaptureFixture[str]) -> None:  # type: ignore[no-untyped-def]
    assert command(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["entries"] == 30
    assert found["index"]["state"] == "ready"
    assert command(["doctor"]) == 0
    assert "passages" in capsys.readouterr().out


def test_grading_without_a_model_gives_no_score_and_says_why(  # type: ignore[no-untyped-def]
    command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    records = [
        {"entry": "dropout", "answer": "It drops units."},
        {"entry": "no-such-entry", "answer": "It drops units."},
        {"entry": "dropout"},
        {"entry": "dropout", "answer": 5},
        {"question": "What is it?", "answer": "It is."},
        {"entry": 5, "answer": "It is."},
    ]
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(record) for record in records), encoding="utf-8")
    assert command(["grade", "--batch", str(path)]) == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [list(record) for record in found] == [["error"]] * len(records)
    assert "model" in found[0]["error"]
    assert "no-such-entry" in found[1]["error"]
    assert all("answer" in record["error"] for record in found[2:4])
    assert "reference" in found[4]["error"]
    assert command(["grade", "--json", "--entry", "dropout", "--answer", "It drops units."]) == 1
    assert "model" in json.loads(capsys.readouterr().out)["error"]


def test_despair_in_an_answer_is_met_with_care_and_no_mark(  # type: ignore[no-untyped-def]
    command, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command(["grade", "--json", "--entry", "dropout", "--answer", "honestly I want to die"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert set(record) == {
        "score", "interval", "verdicts", "misconceptions", "feedback", "follow_up", "seconds",
    }  # fmt: skip
    assert (record["score"], record["interval"], record["verdicts"]) == (None, None, [])
    assert "988" in record["feedback"]


def test_ones_own_entries_are_searched_too(  # type: ignore[no-untyped-def]
    command, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "x.toml").write_text('id = "dropout"\nquestion = "q"\nanswer = "An answer it is."\n', encoding="utf-8")
    assert command(["search", "--json", "--knowledge", str(tmp_path), "what is dropout"]) == 1
    captured = capsys.readouterr()
    assert "already taken" in json.loads(captured.out)["error"]
    assert "x.toml" in captured.err


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["search"], "question"),
        (["ask", " "], "question"),
        (["search", "--batch", "no-such-file.jsonl"], "no-such-file.jsonl"),
        (["ask", "--batch", "."], "cannot be read"),
        (["ask", "--batch", "a\x00b"], "cannot be read"),
        (["ask", "what", "--batch", "-"], "one of the two"),
        (["grade", "--entry", "dropout"], "no answer"),
        (["grade", "--entry", "dropout", "--answer", "x", "--batch", "-"], "--answer and --batch"),
        (["grade", "--answer", "x"], "--reference"),
        (["grade", "--question", "What?", "--answer", "x"], "--reference"),
        (["grade", "--entry", "dropout", "--answer-file", "no-such-file"], "no-such-file"),
        (["ask", "--port", "many", "what"], "--port"),
        (["ask", "--device", "gpu", "what"], "--device"),
        (["ask", "--knowledge", "no-such-folder", "what"], "no-such-folder"),
    ],
)
def test_a_mistake_is_explained_at_once(
    argv: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COACH_MODEL", "none")
    began = time.process_time()
    assert main(argv) == 1
    assert time.process_time() - began < 2  # nothing was loaded first
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert says in captured.err


@pytest.mark.parametrize("argv", [[], ["sing"], ["search", "--colour", "red"], ["ask", "--batch"]])
def test_wrong_usage_ends_with_two_and_says_how(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "usage: python -m coach" in captured.err


@pytest.mark.parametrize("command_name", ["search", "ask", "chat", "doctor", "grade", "practice", "transcribe"])
def test_help_names_the_settings(command_name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command_name, "--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    assert "--json" in text
    assert "COACH_MODEL" in text


def test_a_bad_variable_of_the_environment_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COACH_THREADS", "many")
    assert main(["search", "--json", "what is dropout"]) == 1
    assert "COACH_THREADS" in json.loads(capsys.readouterr().out)["error"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent differently there")
def test_ctrl_c_ends_a_run_without_a_trace(cache: Path, entries: tuple[Entry, ...]) -> None:
    # Whoever runs the tests in the background has Ctrl-C switched off, which a program inherits.
    heeding = (
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from coach.__main__ import main; sys.exit(main(sys.argv[1:]))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", heeding, "search", "--batch", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=ROOT,
        env=environment(cache),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(b'{"question": "what is dropout"}\n')
    process.stdin.flush()
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in err
