"""What the command line prints as JSON, in the shapes that other programs rely on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coach.events import Finished
from coach.grading import Scorecard
from coach.retrieval import SearchResult

if TYPE_CHECKING:
    from coach.transcript import Transcript


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


def grade_record(card: Scorecard | None, seconds: float) -> dict[str, Any]:
    """A graded answer in the shape that other programs rely on, with nothing said to it yet."""
    record: dict[str, Any] = {"score": None, "interval": None, "verdicts": [], "misconceptions": []}
    record.update({"feedback": None, "follow_up": None, "seconds": round(seconds, 3)})
    if card is None:
        return record
    record["score"] = card.score
    record["interval"] = list(card.interval)
    record["verdicts"] = [
        {
            "key_point": v.key_point.text,
            "status": v.status,
            "probability": v.probability,
            "evidence": v.evidence or None,
        }
        for v in card.verdicts
    ]
    record["misconceptions"] = [
        {"claim": f.claim, "correction": f.correction, "evidence": f.evidence, "probability": f.probability}
        for f in card.misconceptions
    ]
    return record


def transcript_record(transcript: Transcript, file: str) -> dict[str, Any]:
    """The JSON object that `transcribe --json` prints: words and delivery, times in seconds."""
    from coach.delivery import delivery  # brings numpy, which most commands need only later

    measured = delivery(transcript)
    return {
        "file": file,
        "text": transcript.text,
        "words": [
            {"text": w.text, "start": w.start, "end": w.end, "probability": round(w.probability, 3)}
            for w in transcript.words
        ],
        "delivery": measured.record(),
    }
