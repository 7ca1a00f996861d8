"""JSON objects in, JSON objects out, one a line; a bad line yields an error for itself and the run goes on."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TextIO

from coach.errors import CoachError, InputError


def text_field(record: dict[str, Any], name: str) -> str:
    """A field that must be a text that is not empty; raises `InputError` otherwise."""
    value = record.get(name)
    if not isinstance(value, str) or not value.strip():
        got = "nothing" if name not in record else json.dumps(value)[:80]
        raise InputError(f'"{name}" is {got}; give it a text that is not empty.')
    return readable(value)


def readable(text: str) -> str:
    """A text without lone surrogates, which no encoder and no file takes; each becomes a replacement character."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def run(lines: Iterable[str], work: Callable[[dict[str, Any]], dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The result of `work` for every line, in order; lines that hold only white space are passed over."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield work(_record(line))
        except CoachError as error:
            print(f"line {number}: {error}", file=sys.stderr)
            yield {"error": str(error)}
        except Exception as error:  # noqa: BLE001 - one line must not end the run: the error is reported for it
            print(f"line {number}: unexpected {error!r}", file=sys.stderr)
            yield {"error": f"unexpected {type(error).__name__}: {error}"}


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
