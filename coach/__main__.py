"""The command line: `python -m coach search | ask | chat | grade | practice | transcribe | doctor`."""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from coach import batch
from coach.care import REPLY as CARE_REPLY
from coach.care import needs_care
from coach.coach import Coach
from coach.config import BUILT_IN_KNOWLEDGE
from coach.errors import CoachError, InputError
from coach.events import Finished, Graded, SourcesFound, Suggestions, Text
from coach.feedback import next_follow_up, summary
from coach.judge import Task
from coach.knowledge import TOPICS, Entry, load_entries
from coach.options import add_arguments, settings_of
from coach.plain_text import readable
from coach.records import ask_record, grade_record, search_record, transcript_record
from coach.session import Session

INTERRUPTED = 130  # the exit status of a program that Ctrl-C ended


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
    return [readable(turn) for turn in turns]


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
    text = readable(" ".join(args.question)).strip()
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


def _grade_one(coach: Coach, record: dict[str, Any], talk: bool) -> dict[str, Any]:
    begin = time.monotonic()
    answer = record.get("answer")
    if not isinstance(answer, str):
        raise InputError('"answer" is missing or not a text; give the candidate\'s answer.')
    answer = readable(answer)
    entry = None
    if record.get("entry") is not None:
        entry = coach.entry(batch.text_field(record, "entry"))
        task = Task.of_entry(entry, coach.foil(entry))
    else:
        question, reference = batch.text_field(record, "question"), batch.text_field(record, "reference")
        task = Task.of_reference(question, reference, coach.foil(None))
    if needs_care(answer):
        return {**grade_record(None, time.monotonic() - begin), "feedback": CARE_REPLY if talk else None}
    card = coach.grade(task, answer)
    graded = grade_record(card, time.monotonic() - begin)
    if not talk:
        return graded
    stop = threading.Event()
    said = " ".join(line.sentence.text for line in coach.wording.feedback(card, task.question, stop))
    follow_up = next_follow_up(entry, card, ()) if entry else None
    asked = coach.wording.follow_up(follow_up, card, (task.question,), stop) if follow_up else None
    return {**graded, "feedback": said, "follow_up": asked}


def _grade(args: argparse.Namespace, out: TextIO) -> int:
    answer, lines = _answered_with(args)
    coach = Coach.load(settings_of(args))
    coach.wait_ready(model=True)
    talk = not args.no_feedback
    if lines is not None:
        return _run_batch(lines, lambda r: _grade_one(coach, r, talk), out)
    spoken: dict[str, Any] = {}
    if args.audio:
        spoken = _transcribed(coach, args.audio, args.entry or "")
        answer = spoken["text"]
        if not answer.strip():
            raise InputError(f"No speech was found in {args.audio!r}; record again, or type the answer.")
    record = {"entry": args.entry, "question": args.question, "reference": args.reference, "answer": answer}
    result = _grade_one(coach, record, talk)
    if spoken:
        result = {**result, "transcript": spoken}
    if args.json:
        batch.write(result, out)
        return 0
    if result["score"] is None:
        print(result["feedback"] or "not graded", file=out)
        return 0
    low, high = result["interval"]
    print(f"{result['score']} of 10 ({low} to {high})", file=out)
    for verdict in result["verdicts"]:
        print(f"  {verdict['status']:8} {verdict['key_point']}", file=out)
    for flag in result["misconceptions"]:
        print(f'  wrong    you said "{flag["evidence"]}": {flag["correction"]}', file=out)
    if talk:
        print(f"\n{result['feedback']}", file=out)
    if result["follow_up"]:
        print(f"\nFollow-up: {result['follow_up']}", file=out)
    return 0


def _answered_with(args: argparse.Namespace) -> tuple[str, Iterator[str] | None]:
    """The answer given, or the lines of a batch; looked at before anything is loaded. Raises `InputError`."""
    ways = {"--answer": args.answer, "--answer-file": args.answer_file, "--audio": args.audio, "--batch": args.batch}
    given = [name for name, value in ways.items() if value is not None]
    if len(given) != 1:
        raise InputError(f"Got {' and '.join(given) or 'no answer'}; use one of {', '.join(ways)}.")
    if args.batch is not None:
        return "", _lines(args.batch)
    if args.entry is None and not (args.question and args.reference):
        raise InputError("There is nothing to grade against; use --entry ID, or --question TEXT with --reference TEXT.")
    return "".join(_lines(args.answer_file)) if args.answer_file else args.answer or "", None


def _practice(args: argparse.Namespace, out: TextIO) -> int:
    coach = Coach.load(settings_of(args))
    coach.wait_ready(model=True)
    session = coach.begin(Session(), entry=args.entry, topic=args.topic)
    print("Answer, or type hint, model, next or quit. A question is answered as a question.", file=sys.stderr)
    while session.exercise is not None:
        print(f"\ncoach: {session.exercise.asked}", file=out)
        try:
            text = input("you: ").strip()
        except (EOFError, KeyboardInterrupt):
            break
        if text in ("", "quit"):
            break
        if text == "hint":
            session, told = coach.hint(session)
            print(told, file=out)
        elif text == "model":
            print(coach.model_answer(session, spoken=True), file=out)
        elif text == "next":
            session = coach.begin(session, topic=args.topic)
        else:
            session = _practised(coach, session, text, out)
    return 0


def _practised(coach: Coach, session: Session, text: str, out: TextIO) -> Session:
    for event in coach.respond(session, text):
        if isinstance(event, Graded) and event.scorecard is not None and session.exercise is not None:
            print(summary(coach.entry(session.exercise.entry), event.scorecard), file=out)
        elif isinstance(event, Text):
            print(event.text, end="", file=out, flush=True)
        elif isinstance(event, Finished):
            session = event.session
    print(file=out)
    asked = session.exercise and session.exercise.last
    return coach.follow_up(session) if asked and "Follow-up: " in asked.feedback else session


def _entry_terms(entry: Entry | None) -> tuple[str, ...]:
    """The terms of an entry that the recogniser should expect."""
    from coach.terms import terms_in

    if entry is None:
        return ()
    return terms_in([entry.question, entry.answer, entry.spoken, *(p.text for p in entry.key_points)])


def _transcribed(coach: Coach, path: str, entry: str) -> dict[str, Any]:
    from coach.speech import load_transcriber, transcribe_file

    known = coach.entry(entry) if entry else None
    transcript = transcribe_file(load_transcriber(coach.settings), Path(path), _entry_terms(known))
    return transcript_record(transcript, path)


def _transcribe(args: argparse.Namespace, out: TextIO) -> int:
    from coach.speech import load_transcriber, transcribe_file

    settings = settings_of(args)
    known = None
    if args.entry:
        entries = {entry.id: entry for entry in load_entries(BUILT_IN_KNOWLEDGE, settings.knowledge)}
        if args.entry not in entries:
            raise InputError(f"There is no entry {args.entry!r}; use one of {', '.join(entries)}.")
        known = entries[args.entry]
    transcriber = load_transcriber(settings)
    for path in args.files:
        try:
            result = transcript_record(transcribe_file(transcriber, Path(path), _entry_terms(known)), path)
        except CoachError as error:
            print(f"{path}: {error}", file=sys.stderr)
            result = {"file": path, "error": str(error)}
        if args.json:
            batch.write(result, out)
        else:
            print(f"{path}: {result.get('error') or result['text']}", file=out)
            if "delivery" in result:
                print(f"  {result['delivery']['advice']}", file=out)
    return 0


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
    grading = command("grade", "grade an answer point by point", _grade)
    grading.add_argument("--entry", metavar="ID", help="the entry whose question was answered")
    grading.add_argument("--question", help="any other question, with --reference")
    grading.add_argument("--reference", help="the reference answer to --question")
    grading.add_argument("--answer", help="the answer")
    grading.add_argument("--answer-file", metavar="FILE", help="a file with the answer (- for standard input)")
    grading.add_argument("--audio", metavar="FILE", help="a recording of the answer")
    grading.add_argument("--batch", metavar="IN.jsonl", help="one JSON object a line (- for standard input)")
    grading.add_argument("--no-feedback", action="store_true", help="verdicts and score only")
    practice = command("practice", "practise in the terminal", _practice)
    practice.add_argument("--entry", metavar="ID", help="the entry to practise")
    practice.add_argument("--topic", choices=TOPICS, help="a topic to practise")
    hearing = command("transcribe", "transcribe recordings and measure the delivery", _transcribe)
    hearing.add_argument("files", nargs="+", metavar="FILE")
    hearing.add_argument("--entry", metavar="ID", help="the entry that is talked about; its terms are expected")
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
