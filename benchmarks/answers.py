"""How right are the answers? Facts present and false claims over `data/answers.jsonl`.

`python benchmarks/answers.py --split test` answers every question as the command line does. `--model none` measures the
curated floor alone. False claims are counted in what is shown, and in what would be shown without the check.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from coach.coach import Coach
from coach.config import settings_from
from coach.events import Finished, Refused, Text
from coach.session import Session

DATA = Path(__file__).parent / "data" / "answers.jsonl"


def answer(coach: Coach, turns: list[str]) -> tuple[Finished, str, list[str]]:
    """The last turn's answer, the part of it that the model wrote, and the model's sentences that were refused."""
    session = Session()
    written = ""
    refused: list[str] = []
    finished = None
    for turn in turns:
        written, refused = "", []
        for event in coach.ask(session, turn):
            if isinstance(event, Refused):
                refused.append(event.text)
            if isinstance(event, Text) and not event.curated:
                written += event.text
            if isinstance(event, Finished):
                finished = event
                session = event.session
    assert finished is not None
    return finished, written, refused


def matches(patterns: list[str], text: str) -> bool:
    return any(re.search(pattern, text, re.IGNORECASE) for pattern in patterns)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--model", default=None)
    parser.add_argument("--limit", type=int, default=0)
    parser.add_argument("--wrong", action="store_true", help="list what is missing or false")
    args = parser.parse_args()
    records: list[dict[str, Any]] = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    records = [r for r in records if r["split"] == args.split]
    records = records[:: max(1, len(records) // args.limit)][: args.limit] if args.limit else records
    coach = Coach.load(settings_from(None, model=args.model))
    coach.wait_ready(model=True)
    facts = present = false = false_unchecked = sentences_refused = refused = answered_wrongly = with_addition = 0
    first: list[float] = []
    total: list[float] = []
    for record in records:
        begin = time.monotonic()
        finished, written, dropped = answer(coach, record.get("turns") or [record["question"]])
        total.append(time.monotonic() - begin)
        first.append(finished.first_token)
        shown = " / ".join(record.get("turns") or [record["question"]])
        found = [matches(alternatives, finished.text) for alternatives in record["must"]]
        claims = [p for p in record["must_not"] if re.search(p, finished.text, re.IGNORECASE)]
        if record["entry"] is None:
            answered_wrongly += finished.answerable
            if finished.answerable and args.wrong:
                print(f"ANSWERED {shown}", file=sys.stderr)
            continue
        facts += len(found)
        present += sum(found)
        false += bool(claims)
        unchecked = " ".join([finished.text, *dropped])
        false_unchecked += any(re.search(p, unchecked, re.IGNORECASE) for p in record["must_not"])
        sentences_refused += len(dropped)
        refused += not finished.answerable
        with_addition += bool(written.strip())
        if args.wrong and (not all(found) or claims):
            missing = [a[0] for a, ok in zip(record["must"], found, strict=True) if not ok]
            print(f"{shown}\n  missing {missing} false {claims}\n  {finished.text}\n", file=sys.stderr)
        if args.wrong and written.strip():
            print(f"ADDED {shown}: {written.strip()}", file=sys.stderr)
        if args.wrong and dropped:
            print(f"REFUSED {shown}: {' | '.join(dropped)}", file=sys.stderr)
    answerable = sum(r["entry"] is not None for r in records)
    print(
        json.dumps(
            {
                "questions": len(records),
                "facts_present": round(present / max(facts, 1), 4),
                "facts": facts,
                "answers_with_a_false_claim": false,
                "answers_with_a_false_claim_without_the_check": false_unchecked,
                "model_sentences_refused": sentences_refused,
                "answerable_refused": refused,
                "unanswerable_answered": answered_wrongly,
                "unanswerable": len(records) - answerable,
                "answers_with_a_model_sentence": with_addition,
                "seconds_first_median": round(sorted(first)[len(first) // 2], 3),
                "seconds_total_median": round(sorted(total)[len(total) // 2], 2),
            }
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
