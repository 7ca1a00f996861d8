"""JSON objects in and out: every bad line is answered in its place, and the run goes on."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest

from coach import batch
from coach.errors import InputError, ModelError


def echo(record: dict[str, Any]) -> dict[str, Any]:
    return {"got": batch.text_field(record, "question")}


def test_results_come_in_order() -> None:
    lines = ['{"question": "a"}\n', '{"question": "b"}\r\n', '{"question": "c"}']
    assert list(batch.run(lines, echo)) == [{"got": "a"}, {"got": "b"}, {"got": "c"}]


def test_a_blank_line_keeps_its_place_and_those_at_the_end_give_nothing() -> None:
    lines = ["\n", '{"question": "a"}\n', "\n", "  \t\n", '{"question": "b"}\r\n', "\n", "  "]
    found = list(batch.run(lines, echo))
    assert [result.get("got") for result in found] == [None, "a", None, None, "b"]
    assert all("empty" in result["error"] for result in found if "error" in result)


@pytest.mark.parametrize(
    "line",
    [
        "not json",
        '{"question": "cut',
        "[1, 2]",
        '"a text"',
        "5",
        "null",
        "{}",
        '{"question": 5}',
        '{"question": null}',
        '{"question": ["a"]}',
        '{"question": "  "}',
        '{"question": "\\u0000"}',
        '{"QUESTION": "a"}',
        '{"question": "a", "n": ' + "9" * 5000 + "}",
        "[" * 100_000,
        "\x00",
        "{'question': 'a'}",
        "NaN",
    ],
    ids=range(18),
)
def test_a_bad_line_becomes_an_error_between_good_ones(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    first, error, last = batch.run(['{"question": "a"}', line, '{"question": "b"}'], echo)
    assert (first, last) == ({"got": "a"}, {"got": "b"})
    assert list(error) == ["error"]
    assert error["error"].endswith(".")
    assert "unexpected" not in error["error"]
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("line 2: ")


def raising(error: Exception) -> Callable[[dict[str, Any]], dict[str, Any]]:
    def work(record: dict[str, Any]) -> dict[str, Any]:
        raise error

    return work


@pytest.mark.parametrize("error", [ModelError("The model ran out of memory; close programs."), ZeroDivisionError("x")])
def test_work_that_fails_ends_its_line_only(error: Exception) -> None:
    results = list(batch.run(['{"question": "a"}', '{"question": "b"}'], raising(error)))
    assert [str(error) in result["error"] for result in results] == [True, True]


def test_a_result_is_out_before_the_next_line_is_read() -> None:
    seen: list[str] = []

    def lines() -> Any:
        yield '{"question": "a"}'
        seen.append("asked for more")
        yield '{"question": "b"}'

    results = batch.run(lines(), echo)
    next(results)
    assert seen == []


def test_a_question_with_a_lone_surrogate_can_be_written_again() -> None:
    (result,) = batch.run(['{"question": "\\ud800 dropout"}'], echo)
    assert result["got"].encode("utf-8")


def test_a_byte_order_mark_before_the_first_line() -> None:
    assert list(batch.run(['\ufeff{"question": "a"}'], echo)) == [{"got": "a"}]


def test_every_result_is_one_line_of_json_flushed_at_once() -> None:
    class Flushed(io.StringIO):
        flushes = 0

        def flush(self) -> None:
            Flushed.flushes += 1

    out = Flushed()
    batch.write({"answer": "two\nlines \u2028 and 🎉"}, out)
    batch.write({"n": 1}, out)
    assert Flushed.flushes == 2
    lines = out.getvalue().split("\n")
    assert [json.loads(line) for line in lines[:-1]] == [{"answer": "two\nlines \u2028 and 🎉"}, {"n": 1}]


def test_a_field_says_what_it_got() -> None:
    with pytest.raises(InputError, match="is nothing"):
        batch.text_field({}, "question")
    with pytest.raises(InputError, match=r"is \[1"):
        batch.text_field({"question": [1] * 1000}, "question")
