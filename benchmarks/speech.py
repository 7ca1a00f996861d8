"""How right and how fast is the spoken side: words, terms, fillers, pauses, rate, time and memory.

    python benchmarks/speech.py [--split dev|test] [--terms entry|general|plain] [--only WORDS] [--show] [--json]
    python benchmarks/speech.py --hostile        silence, noise, music, coughs: nothing may be written
    python benchmarks/speech.py --speed          seconds for answers of 15 and 60 seconds, and memory
    python benchmarks/speech.py --clips FILE     words wrong in other recordings: a path, a tab and the text a line

Recordings are made on the fly from `benchmarks/data/speech.jsonl` with Piper, espeak-ng and flite, some changed by sox
(voices that are not installed are left out and counted). `--terms entry` gives the recogniser the entry's terms,
`general` only the general vocabulary, `plain` is faster-whisper as it comes. In a text, `[1.4]` is a silence of that
many seconds and `[um]` a filler that is synthesised apart; short forms are said as people say them ("G R U", where
espeak-ng would read "groo"), unless `--as-written`. Thresholds were chosen on `dev`; `test` has other texts, voices
and speeds and was only measured. `doubts_…` are about words that bear on a key point: how many of those that the
coach asks back about are wrong, how many of the wrong ones it asks about, and how many it asks about in an answer.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import time
import tomllib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import psutil
from recordings import Recording, left_out, recordings
from sounds import hostile

from coach.audio import SAMPLE_RATE, read_audio
from coach.config import BUILT_IN_KNOWLEDGE, settings_from
from coach.delivery import Delivery, delivery, is_filler
from coach.doubts import doubts
from coach.speech import Whisper, load_transcriber
from coach.terms import VOCABULARY, folded, terms_in
from coach.transcript import Transcript


def entry_terms(entry: str) -> tuple[str, ...]:
    """The terms of an entry's question, answer, spoken form and key points; none when there is no such entry."""
    path = BUILT_IN_KNOWLEDGE / f"{entry}.toml"
    if not path.is_file():
        return ()
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return terms_in([data["question"], data["answer"], data["spoken"], *(k["text"] for k in data["key_points"])])


def entry_points(entry: str) -> tuple[str, ...]:
    """What verdicts and flags of an entry are about; nothing when there is no such entry."""
    path = BUILT_IN_KNOWLEDGE / f"{entry}.toml"
    if not path.is_file():
        return ()
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    return (*(k["text"] for k in data["key_points"]), *(m["claim"] for m in data["misconceptions"]))


def plain_words(text: str) -> list[str]:
    """Words for comparison: lower case, hyphens as blanks, "-ise" as "-ize", every filler the same."""
    words = [re.sub(r"[^a-z0-9']", "", word).strip("'") for word in folded(text).split()]
    return ["<filler>" if is_filler(word) else word for word in words if word]


def aligned(truth: Sequence[str], heard: Sequence[str]) -> tuple[int, list[tuple[int, int]]]:
    """The word errors between two texts, and the index pairs of equal words in the alignment with the fewest."""
    table = np.zeros((len(truth) + 1, len(heard) + 1), dtype=int)
    table[:, 0], table[0, :] = np.arange(len(truth) + 1), np.arange(len(heard) + 1)
    for i, word in enumerate(truth, 1):
        for j, other in enumerate(heard, 1):
            table[i, j] = min(table[i - 1, j - 1] + (word != other), table[i - 1, j] + 1, table[i, j - 1] + 1)
    i, j, pairs = len(truth), len(heard), []
    while i and j:
        if table[i, j] == table[i - 1, j - 1] + (truth[i - 1] != heard[j - 1]):
            i, j = i - 1, j - 1
            if truth[i] == heard[j]:
                pairs.append((i, j))
        elif table[i, j] == table[i - 1, j] + 1:
            i -= 1
        else:
            j -= 1
    return int(table[-1, -1]), pairs


def counted_terms(terms: Sequence[str], words: Sequence[str]) -> Counter[str]:
    """How often each term stands among the words, plurals apart."""
    text = f" {' '.join(words)} "
    return Counter({term: text.count(f" {' '.join(plain_words(term))} ") for term in terms})


def scored(recording: Recording, text: str, measured: Delivery | None) -> dict[str, float]:
    """The counts of one recording that the figures are made of."""
    truth, heard = plain_words(" ".join(recording.words)), plain_words(text)
    errors, _ = aligned([w for w in truth if w != "<filler>"], [w for w in heard if w != "<filler>"])
    _, pairs = aligned(truth, heard)
    terms = terms_in([" ".join(recording.words)])
    said, found = counted_terms(terms, truth), counted_terms(terms, heard)
    known = tuple(dict.fromkeys([*entry_terms(recording.entry), *VOCABULARY]))
    invented = counted_terms(known, heard) - counted_terms(known, truth)
    counts: dict[str, float] = {
        "words": sum(w != "<filler>" for w in truth),
        "errors": errors,
        "terms": sum(said.values()),
        "terms_right": sum(min(count, found[term]) for term, count in said.items()),
        "terms_invented": sum(invented.values()),
        "fillers": truth.count("<filler>"),
        "fillers_heard": heard.count("<filler>"),
        "fillers_right": sum(truth[i] == "<filler>" for i, _ in pairs),
    }
    if measured is not None:
        counts["pauses"] = len(recording.pauses)
        counts["pauses_heard"] = len(measured.pauses)
        counts["pauses_right"] = sum(
            any(p.start < t.end and p.end > t.start for p in measured.pauses) for t in recording.pauses
        )
        true_rate = 60 * len(recording.words) / recording.speech.seconds
        counts["rate_error"] = abs(measured.words_per_minute / true_rate - 1)
        placed = [
            f
            for f in measured.fillers
            if any(f.start < t.end + 0.3 and f.end > t.start - 0.3 for t in recording.fillers)
        ]
        counts["fillers_placed"] = min(len(placed), len(recording.fillers))
        counts["fillers_spliced"] = len(recording.fillers)
    return counts


def doubted(recording: Recording, transcript: Transcript) -> dict[str, float]:
    """Of the words that bear on a key point: how many are wrong, how many are asked back, and how many are both."""
    truth = plain_words(" ".join(recording.words))
    parts = [(index, part) for index, word in enumerate(transcript.words) for part in plain_words(word.text)]
    _, pairs = aligned(truth, [part for _, part in parts])
    right = {j for _, j in pairs}
    wrong = {transcript.words[index] for j, (index, _) in enumerate(parts) if j not in right}
    points = entry_points(recording.entry)
    bearing = set(doubts(transcript, points, below=2.0, most=len(transcript.words)))
    asked = set(doubts(transcript, points))
    return {
        "bearing_wrong": len(bearing & wrong),
        "asked": len(asked),
        "asked_wrong": len(asked & wrong),
        "answers": bool(points),
    }


def figures(rows: Sequence[dict[str, float]]) -> dict[str, float]:
    """Shares and rates from counts."""
    total = {key: sum(row.get(key, 0) for row in rows) for key in set().union(*rows)}

    def share(part: str, whole: str) -> float:
        return round(total[part] / max(1, total[whole]), 3)

    result = {
        "recordings": len(rows),
        "word_error": share("errors", "words"),
        "terms_right": share("terms_right", "terms"),
        "terms_invented_per_1000_words": round(1000 * total["terms_invented"] / max(1, total["words"]), 1),
        "filler_precision": share("fillers_right", "fillers_heard"),
        "filler_recall": share("fillers_right", "fillers"),
    }
    if "asked" in total:
        result |= {
            "doubts_precision": share("asked_wrong", "asked"),
            "doubts_recall": share("asked_wrong", "bearing_wrong"),
            "doubts_an_answer": share("asked", "answers"),
        }
    if "pauses" in total:
        result |= {
            "pause_precision": share("pauses_right", "pauses_heard"),
            "pause_recall": share("pauses_right", "pauses"),
            "rate_error_mean": round(total["rate_error"] / len(rows), 4),
            "rate_error_worst": round(max(row["rate_error"] for row in rows), 4),
            "fillers_placed_within_0.3_s": share("fillers_placed", "fillers_spliced"),
        }
    return result


def measure(args: argparse.Namespace, whisper: Whisper) -> dict[str, object]:
    rows: list[tuple[Recording, dict[str, float]]] = []
    seconds = busy = 0.0
    for recording in recordings(args.split, args.only, args.as_written):
        terms = entry_terms(recording.entry) if args.terms == "entry" else ()
        start = time.perf_counter()
        if args.terms == "plain":
            pieces, _ = whisper.model.transcribe(recording.samples, language="en", word_timestamps=True)
            text, measured = " ".join(piece.text for piece in pieces), None
        else:
            transcript = whisper.transcribe(recording.samples, SAMPLE_RATE, terms)
            text, measured = transcript.text, delivery(transcript)
        busy += time.perf_counter() - start
        seconds += len(recording.samples) / SAMPLE_RATE
        counts = scored(recording, text, measured)
        if args.terms != "plain":
            counts |= doubted(recording, transcript)
        rows.append((recording, counts))
        if args.show:
            print(
                recording.id,
                recording.voice,
                recording.noise,
                rows[-1][1],
                f"\n  {' '.join(recording.words)}\n  {text}",
            )
    groups: dict[str, Callable[[Recording], bool]] = {
        "clean": lambda r: not r.noise,
        "noise": lambda r: bool(r.noise),
        **{
            f"clean, {engine}": (lambda r, e=engine: not r.noise and r.voice.startswith(e))
            for engine in ("piper", "espeak", "flite")
        },
    }
    chosen = {name: [counts for recording, counts in rows if test(recording)] for name, test in groups.items()}
    return {
        "split": args.split,
        "terms": args.terms,
        "left_out": left_out(args.split),
        **{name: figures(counts) for name, counts in chosen.items() if counts},
        "real_time_factor": round(busy / max(seconds, 1), 3),
    }


def refuse(whisper: Whisper) -> dict[str, object]:
    texts = {
        name: whisper.transcribe(samples, SAMPLE_RATE, entry_terms("dropout")).text
        for name, samples in hostile().items()
    }
    return {
        "sounds": len(texts),
        "silent": sum(not text for text in texts.values()),
        "texts": {k: v for k, v in texts.items() if v},
    }


def other(whisper: Whisper, clips: Path, show: bool) -> dict[str, object]:
    """Word errors in recordings that people bring, which may be about anything, with general terms."""
    errors = words = 0
    for line in clips.read_text(encoding="utf-8").splitlines():
        path, truth = line.split("\t")
        text = whisper.transcribe(read_audio(clips.parent / path), SAMPLE_RATE).text
        wrong, _ = aligned(plain_words(truth), plain_words(text))
        errors, words = errors + wrong, words + len(plain_words(truth))
        if show:
            print(wrong, path, f"\n  {truth}\n  {text}")
    return {"words": words, "errors": errors, "word_error": round(errors / max(1, words), 3)}


def speed(whisper: Whisper) -> dict[str, object]:
    """Median seconds of three runs, on speech joined from the dev recordings."""
    whole = np.concatenate([recording.samples for recording in recordings("dev", "espeak en-us 165")])
    result: dict[str, object] = {"cores": os.cpu_count(), "load": round(os.getloadavg()[0], 1)}
    for length in (15, 60):
        samples = whole[: length * SAMPLE_RATE]
        runs, used = [], []
        for _ in range(3):
            start, cpu = time.perf_counter(), time.process_time()
            whisper.transcribe(samples, SAMPLE_RATE, entry_terms("dropout"))
            runs.append(time.perf_counter() - start)
            used.append(time.process_time() - cpu)
        result[f"{length} s"] = {
            "seconds": round(float(np.median(runs)), 2),
            "cpu_seconds": round(float(np.median(used)), 2),
        }
    result["memory_mb"] = round(psutil.Process().memory_info().rss / 2**20)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--split", choices=("dev", "test"), default="test")
    parser.add_argument("--terms", choices=("entry", "general", "plain"), default="entry")
    parser.add_argument("--only", default="", help="only recordings whose id, voice or noise holds this")
    parser.add_argument("--as-written", action="store_true", help="leave short forms such as GRU to each voice's rules")
    parser.add_argument("--hostile", action="store_true")
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--clips", type=Path)
    parser.add_argument("--show", action="store_true", help="print every text beside the truth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    whisper = load_transcriber(settings_from())
    if args.clips:
        result = other(whisper, args.clips, args.show)
    else:
        result = refuse(whisper) if args.hostile else speed(whisper) if args.speed else measure(args, whisper)
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
