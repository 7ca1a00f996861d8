"""JSON objects in, JSON objects out, one a line; a bad line yields an error for itself and the run goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from coach.errors import CoachError, InputError
from coach.plain_text import readable


def text_field(record: dict[str, Any], name: str) -> str:
    """A field that must be a text that is not empty; raises `InputError` otherwise."""
    value = record.get(name)
    if not isinstance(value, str) or not readable(value).strip():
        got = "nothing" if name not in record else json.dumps(value)[:80]
        raise InputError(f'"{name}" is {got}; give it a text that is not empty.')
    return readable(value)


def run(lines: Iterable[str], work: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The result of `work` for every line, in order.

    A blank line between others is a bad line, so that the nth result belongs to the nth line; blank lines at the end
    are passed over.
    """
    blank: list[int] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            blank.append(number)
            continue
        for empty in blank:
            yield _failed(empty, "The line is empty; write one JSON object a line.")
        blank.clear()
        try:
            yield work(_record(line))
        except CoachError as error:
            yield _failed(number, str(error))
        except Exception as error:  # noqa: BLE001 - one line must not end the run: the error is reported for it
            yield _failed(number, f"unexpected {type(error).__name__}: {error}")


def _failed(number: int, message: str) -> dict[str, Any]:
    print(f"line {number}: {message}", file=sys.stderr)
    return {"error": message}


def _record(line: str) -> dict[str, Any]:
    try:
        value = json.loads(line.removeprefix("\ufeff"))  # some editors put a byte order mark before the first line
    except (ValueError, RecursionError) as error:
        raise InputError(f"The line is not valid JSON ({error}); write one object a line.") from error
    if not isinstance(value, dict):
        raise InputError(f"The line holds {type(value).__name__}, not an object; write one object a line.")
    return value


def write(result: dict[str, Any], out: TextIO) -> None:
    """Write one result as a line at once, so that a reader sees it before the run ends."""
    out.write(json.dumps(result, ensure_ascii=False) + "\n")
    out.flush()
