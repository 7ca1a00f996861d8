"""The command line: `python -m coach search | ask | chat | doctor`."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from coach import batch
from coach.coach import Coach
from coach.errors import CoachError, InputError
from coach.events import Finished, SourcesFound, Suggestions, Text
from coach.options import add_arguments, settings_of
from coach.retrieval import SearchResult
from coach.session import Session

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


def search_record(found: SearchResult) -> dict[str, Any]:
    """A search result in the shape that other programs rely on."""
    return {
        "answerable": found.answerable,
        "hits": [
            {"id": hit.entry.id, "score": round(hit.score, 4), "passage": hit.passages[0].text} for hit in found.hits
        ],
    }


def ask_record(finished: Finished) -> dict[str, Any]:
    """An answer in the shape that other programs rely on."""
    return {
        "answer": finished.text,
        "citations": list(finished.citations),
        "answerable": finished.answerable,
        "finish_reason": finished.finish_reason,
        "seconds": {"first_token": round(finished.first_token, 3), "total": round(finished.total, 3)},
    }


def _answered(coach: Coach, session: Session, text: str) -> Finished:
    for event in coach.ask(session, text):
        if isinstance(event, Finished):
            return event
    raise CoachError("The answer ended without a result; please report this.")


def _ask_all(coach: Coach, turns: Sequence[str]) -> Finished:
    session = Session()
    finished = None
    for turn in turns:
        finished = _answered(coach, session, turn)
        session = finished.session
    assert finished is not None
    return finished


def _turns(record: dict[str, Any]) -> list[str]:
    if "turns" not in record:
        return [batch.text_field(record, "question")]
    turns = record["turns"]
    if not isinstance(turns, list) or not turns or not all(isinstance(t, str) and t.strip() for t in turns):
        raise InputError('"turns" must be a list of texts, none empty; the last one is answered.')
    return [batch.readable(turn) for turn in turns]


def _lines(path: str) -> Iterator[str]:
    """The lines of a file or of standard input, opened at once; raises `InputError`."""
    try:
        file = sys.stdin.buffer if path == "-" else Path(path).open("rb")  # noqa: SIM115 - closed after its last line
    except (OSError, ValueError) as error:
        raise InputError(f"{path!r} cannot be read ({error}); name a file of JSON lines.") from error

    def read() -> Iterator[str]:
        with file:
            for line in file:
                yield line.decode("utf-8", "replace")

    return read()


def _run_batch(lines: Iterator[str], work: Callable[[dict[str, Any]], dict[str, Any]], out: TextIO) -> int:
    for result in batch.run(lines, work):
        batch.write(result, out)
    return 0


def _search(args: argparse.Namespace, out: TextIO) -> int:
    question, lines = _asked(args)
    coach = Coach.load(settings_of(args, model="none"))
    coach.wait_ready()
    if lines is not None:
        return _run_batch(lines, lambda r: search_record(coach.index.search(batch.text_field(r, "question"))), out)
    found = coach.index.search(question)
    if args.json:
        batch.write(search_record(found), out)
        return 0
    print("answerable" if found.answerable else "not answerable from the knowledge", file=out)
    for hit in found.hits:
        print(f"{hit.score:6.3f}  {hit.entry.id:36} {hit.passages[0].text}", file=out)
    return 0


def _ask(args: argparse.Namespace, out: TextIO) -> int:
    question, lines = _asked(args)
    coach = Coach.load(settings_of(args))
    coach.wait_ready(model=True)
    if lines is not None:
        return _run_batch(lines, lambda r: ask_record(_ask_all(coach, _turns(r))), out)
    if args.json:
        batch.write(ask_record(_answered(coach, Session(), question)), out)
        return 0
    _show(coach, Session(), question, out)
    return 0


def _asked(args: argparse.Namespace) -> tuple[str, Iterator[str] | None]:
    """The question, or the lines of a batch; looked at before anything is loaded. Raises `InputError`."""
    text = batch.readable(" ".join(args.question)).strip()
    if bool(text) == bool(args.batch):
        got = "a question and --batch" if text else "neither a question nor --batch FILE"
        raise InputError(f"There is {got}; give one of the two.")
    return text, _lines(args.batch) if args.batch else None


def _show(coach: Coach, session: Session, text: str, out: TextIO) -> Session:
    """Print an answer as it comes; Ctrl-C stops it and keeps what was said."""
    stop = threading.Event()
    events = coach.ask(session, text, stop)
    while True:
        try:
            event = next(events, None)
        except KeyboardInterrupt:
            stop.set()
            continue
        if event is None:
            return session
        if isinstance(event, SourcesFound):
            for source in event.sources:
                print(f"  source: {source.entry.title} [{source.entry.id}]", file=sys.stderr)
        elif isinstance(event, Text):
            print(event.text, end="", file=out, flush=True)
        elif isinstance(event, Suggestions):
            print("\n\nYou could ask: " + " · ".join(event.questions), end="", file=out)
        elif isinstance(event, Finished):
            print(file=out)
            session = event.session


def _chat(args: argparse.Namespace, out: TextIO) -> int:
    coach = Coach.load(settings_of(args))
    coach.wait_ready()
    print("Ask about deep learning. An empty line or Ctrl-D ends the talk, Ctrl-C stops an answer.", file=sys.stderr)
    session = Session()
    while True:
        try:
            text = input("\nyou: ").strip()
        except (EOFError, KeyboardInterrupt):
            return 0
        if not text:
            return 0
        if args.json:
            finished = _answered(coach, session, text)
            session = finished.session
            batch.write(ask_record(finished), out)
        else:
            session = _show(coach, session, text, out)


def _doctor(args: argparse.Namespace, out: TextIO) -> int:
    from coach.doctor import in_words, report

    coach = Coach.load(settings_of(args))
    failed = 0
    try:
        coach.wait_ready(model=True)
    except CoachError as error:
        print(str(error), file=sys.stderr)
        failed = 1
    found = report(coach)
    if args.json:
        batch.write(found, out)
    else:
        print(in_words(found), file=out)
    return failed


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m coach", description="The interview coach in the terminal.")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, text: str, run: Callable[[argparse.Namespace, TextIO], int]) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.add_argument("--json", action="store_true", help="write JSON instead of text")
        add_arguments(sub)
        sub.set_defaults(run=run)
        return sub

    for name, text, run in (
        ("search", "find the entries that answer a question", _search),
        ("ask", "answer a question from the knowledge", _ask),
    ):
        sub = command(name, text, run)
        sub.add_argument("question", nargs="*", help="the question")
        sub.add_argument("--batch", metavar="IN.jsonl", help="one JSON object a line (- for standard input)")
    command("chat", "ask and ask on, in the terminal", _chat)
    command("doctor", "what runs where, and how fast", _doctor)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status (0 done, 1 an error that is explained, 2 wrong usage, 130 Ctrl-C)."""
    args = _parser().parse_args(argv)
    for stream in (sys.stdin, sys.stdout):
        if isinstance(stream, io.TextIOWrapper):
            # JSON is UTF-8 wherever it is written; text that a terminal cannot show must not end the answer.
            stream.reconfigure(encoding="utf-8" if args.json or _batched(args) else None, errors="replace")
    out = sys.stdout
    # Whatever a library prints belongs to standard error: standard output carries results alone.
    with contextlib.redirect_stdout(sys.stderr):
        try:
            return int(args.run(args, out))
        except CoachError as error:
            if getattr(args, "json", False):
                json.dump({"error": str(error)}, out)
                out.write("\n")
            print(f"error: {error}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            # The reader has gone: what is still buffered goes nowhere, so that closing does not fail once more.
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())
            return 1
        except KeyboardInterrupt:
            return INTERRUPTED


def _batched(args: argparse.Namespace) -> bool:
    return bool(getattr(args, "batch", None))


if __name__ == "__main__":
    sys.exit(main())
