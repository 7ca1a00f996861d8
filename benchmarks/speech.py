"""How right and how fast is the spoken side: words, terms, fillers, pauses, rate, time and memory.

    python benchmarks/speech.py [--split dev|test] [--terms entry|general|plain] [--only WORDS] [--show] [--json]
    python benchmarks/speech.py --hostile        silence, noise, music, coughs: nothing may be written
    python benchmarks/speech.py --speed          seconds for answers of 15 and 60 seconds, and memory

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
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
import wave
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from coach.audio import SAMPLE_RATE, Samples, Span, resampled
from coach.config import BUILT_IN_KNOWLEDGE, settings_from
from coach.delivery import Delivery, delivery, is_filler
from coach.doubts import doubts
from coach.speech import Whisper, load_transcriber
from coach.terms import VOCABULARY, folded, terms_in
from coach.transcript import Transcript
from coach.voice import spoken_text, wave_bytes

DATA = Path(__file__).parent / "data" / "speech.jsonl"
MARK = re.compile(r"\[([^\]]+)\]")
FILLERS = ("um", "uh", "er", "hmm")


@dataclass(frozen=True)
class Recording:
    """A made recording and the truth about it."""

    id: str
    entry: str
    voice: str
    noise: str
    samples: Samples
    words: tuple[str, ...]  # in order, fillers included, as written
    fillers: tuple[Span, ...]  # the spliced ones
    filler_count: int  # spliced and in the running text
    pauses: tuple[Span, ...]  # silences over 1 s
    speech: Span  # from the first sound to the last


@lru_cache(maxsize=1)
def piper():  # type: ignore[no-untyped-def]
    from coach.voice import Voice

    return Voice.load()


def wave_samples(path: Path) -> Samples:
    with wave.open(str(path)) as file:
        values = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2").astype(np.float32) / 2**15
        return resampled(values, file.getframerate())


def available(voice: str) -> bool:
    engine = voice.split()[0]
    return (
        piper() is not None
        if engine == "piper"
        else shutil.which("espeak-ng" if engine == "espeak" else engine) is not None
    )


def speak(voice: str, text: str) -> Samples:
    """One piece of text by one voice at 16 kHz, the silence around it cut off."""
    engine, name, speed, *more = voice.split()
    if engine == "piper":
        samples = resampled(*piper().samples(text, float(speed), float(more[0]) if more else None))
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "out.wav"
            command = (
                ["espeak-ng", "-v", name, "-s", speed, "-w", str(path), text]
                if engine == "espeak"
                else ["flite", "-voice", name, "--setf", f"duration_stretch={speed}", "-t", text, "-o", str(path)]
            )
            subprocess.run(command, check=True, capture_output=True, timeout=60)
            samples = wave_samples(path)
    loud = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    return samples[loud[0] : loud[-1] + 1] if len(loud) else samples


def changed(samples: Samples, effect: str) -> Samples:
    """Samples after an effect of sox that keeps the length, such as "pitch 200" or "reverb 30"."""
    if not effect:
        return samples
    with tempfile.TemporaryDirectory() as folder:
        before, after = Path(folder) / "before.wav", Path(folder) / "after.wav"
        before.write_bytes(wave_bytes(samples, SAMPLE_RATE))
        subprocess.run(["sox", str(before), str(after), *effect.split()], check=True, capture_output=True, timeout=60)
        return wave_samples(after)


def noise(kind: str, length: int, seed: int) -> Samples:
    """White or pink noise with an effective value of one."""
    rng = np.random.default_rng(seed)
    white = rng.standard_normal(length)
    if kind == "pink":
        spectrum = np.fft.rfft(white)
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        white = np.fft.irfft(spectrum, n=length)
    return (white / np.sqrt(np.mean(white**2))).astype(np.float32)


def build(row: dict[str, str], seed: int, as_written: bool = False) -> Recording:
    """The recording of one line of the data file, short forms said as people say them unless `as_written`."""
    rng = np.random.default_rng(seed)
    parts: list[Samples] = [np.zeros(int(rng.uniform(0.3, 1.2) * SAMPLE_RATE), dtype=np.float32)]
    position = len(parts[0])
    speech_start = position / SAMPLE_RATE
    words: list[str] = []
    fillers: list[Span] = []
    level = None

    def add(samples: Samples) -> None:
        nonlocal position
        parts.append(samples)
        position += len(samples)

    def gap(seconds: float) -> None:
        add(np.zeros(int(seconds * SAMPLE_RATE), dtype=np.float32))

    for index, piece in enumerate(MARK.split(row["text"])):
        if index % 2 == 0 and piece.strip(" .,"):
            samples = speak(row["voice"], piece.strip() if as_written else spoken_text(piece))
            level = level or float(np.sqrt(np.mean(samples**2)))
            add(samples * (0.08 / level))
            words += piece.split()
            gap(0.15)
        elif index % 2 and piece in FILLERS:
            samples = speak(row["voice"], piece.capitalize() + ".")
            fillers.append(Span(position / SAMPLE_RATE, (position + len(samples)) / SAMPLE_RATE))
            add(samples * (0.07 / max(1e-6, float(np.sqrt(np.mean(samples**2))))))
            words.append(piece)
            gap(float(rng.uniform(0.1, 0.4)))
        elif index % 2:
            # The gap after the piece before counts, so that the silence is as long as the text says.
            position -= len(parts[-1])
            parts.pop()
            gap(float(piece))
    position -= len(parts[-1])
    parts.pop()
    speech = Span(speech_start, position / SAMPLE_RATE)
    gap(float(rng.uniform(0.3, 1.0)))
    samples = np.concatenate(parts)
    pauses = tuple(silences(samples, speech, 1.0))
    samples = changed(samples, row.get("effect", ""))
    if row["noise"]:
        kind, ratio = row["noise"].split()
        samples = samples + 0.08 * 10 ** (-float(ratio) / 20) * noise(kind, len(samples), seed)
    else:
        samples = samples + 1e-4 * noise("pink", len(samples), seed)
    running = [w for w in words if re.sub(r"\W", "", w).lower() in FILLERS]
    return Recording(
        row["id"], row["entry"], row["voice"], row["noise"], samples.astype(np.float32), tuple(words), tuple(fillers),
        len(running), pauses, speech,
    )  # fmt: skip


def silences(clean: Samples, within: Span, least: float) -> Iterator[Span]:
    """Silences of a recording without noise that last longer than `least` seconds."""
    low, high = int(within.start * SAMPLE_RATE), int(within.end * SAMPLE_RATE)
    loud = np.flatnonzero(np.abs(clean[low:high]) > 1e-3) + low
    for i in np.flatnonzero(np.diff(loud) > least * SAMPLE_RATE):
        yield Span(float(loud[i]) / SAMPLE_RATE, float(loud[i + 1]) / SAMPLE_RATE)


def recordings(split: str, only: str = "", as_written: bool = False) -> Iterator[Recording]:
    for number, line in enumerate(DATA.read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        if row["split"] == split and only in f"{row['id']} {row['voice']} {row['noise']}" and available(row["voice"]):
            yield build(row, number, as_written)


def left_out(split: str) -> int:
    rows = [json.loads(line) for line in DATA.read_text(encoding="utf-8").splitlines()]
    return sum(row["split"] == split and not available(row["voice"]) for row in rows)


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


def bursts(seed: int, kind: str) -> Samples:
    """Eight seconds with coughs (two noisy bursts with a voiced end) or key strokes."""
    rng = np.random.default_rng(seed)
    samples = 1e-3 * noise("pink", 8 * SAMPLE_RATE, seed)
    starts = (1.0, 1.45, 4.0, 4.4, 4.8) if kind == "cough" else np.sort(rng.uniform(0.3, 7.3, 25))
    for start in starts:
        length = int((0.3 if kind == "cough" else 0.05) * SAMPLE_RATE)
        t = np.arange(length) / SAMPLE_RATE
        burst = rng.standard_normal(length)
        if kind == "cough":
            spectrum, f = np.fft.rfft(burst), np.fft.rfftfreq(length, 1 / SAMPLE_RATE)
            spectrum *= np.exp(-(((f - 500) / 400) ** 2)) + 0.6 * np.exp(-(((f - 1500) / 600) ** 2)) + 0.2
            burst = np.fft.irfft(spectrum, length)
            burst = 0.4 * burst / np.abs(burst).max() * np.where(t < 0.03, t / 0.03, np.exp(-(t - 0.03) / 0.06))
            burst += 0.05 * np.sign(np.sin(2 * np.pi * 140 * t)) * (t > 0.15) * np.exp(-np.maximum(t - 0.15, 0) / 0.05)
        else:
            burst = 0.3 * burst * np.exp(-t / 0.005)
        first = int(start * SAMPLE_RATE)
        samples[first : first + length] += burst.astype(np.float32)
    return samples


def music(seed: int, vibrato: float, decay: float) -> Samples:
    """Fifteen seconds of chords with overtones."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(15 * SAMPLE_RATE)
    t = np.arange(int(1.2 * SAMPLE_RATE)) / SAMPLE_RATE
    for k in range(24):
        root = 220 * 2 ** (rng.choice([0, 3, 5, 7, 10, -2, -5]) / 12)
        chord = np.zeros(len(t))
        for interval in (0, rng.choice([3, 4]), 7):
            for h in range(1, 8):
                wave_ = np.sin(2 * np.pi * root * 2 ** (interval / 12) * h * t + vibrato * np.sin(11 * np.pi * t))
                chord += 0.03 * wave_ / h**1.3
        first = int(k * 0.6 * SAMPLE_RATE)
        part = (chord * np.minimum(1, t / 0.01) * np.exp(-t / decay))[: len(samples) - first]
        samples[first : first + len(part)] += part
    return samples.astype(np.float32)


def hostile() -> dict[str, Samples]:
    """Sounds without speech."""
    ten = 10 * SAMPLE_RATE
    t = np.arange(ten) / SAMPLE_RATE
    sounds = {"silence": np.zeros(ten, dtype=np.float32)}
    for level in (0.001, 0.02, 0.2):
        sounds |= {f"{kind} noise {level}": level * noise(kind, ten, 7) for kind in ("white", "pink")}
    sounds["hum"] = (0.05 * np.sin(100 * np.pi * t) + 0.03 * np.sin(300 * np.pi * t)).astype(np.float32)
    sounds["breath"] = 0.05 * noise("pink", ten, 8) * (0.5 + 0.5 * np.sin(0.6 * np.pi * t)).astype(np.float32) ** 3
    sounds |= {f"{kind} {seed}": bursts(seed, kind) for kind in ("cough", "keys") for seed in (1, 2, 3)}
    sounds |= {
        f"music {seed}": music(seed, vibrato, decay) for seed, vibrato, decay in ((1, 0, 1.2), (2, 2, 5), (3, 0, 5))
    }
    sounds["ringing"] = (0.2 * np.sin(880 * np.pi * t) * (t % 2 < 1)).astype(np.float32)
    return sounds


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
    parser.add_argument("--show", action="store_true", help="print every text beside the truth")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    whisper = load_transcriber(settings_from())
    result = refuse(whisper) if args.hostile else speed(whisper) if args.speed else measure(args, whisper)
    if args.json:
        print(json.dumps(result))
    else:
        for name, value in result.items():
            print(f"{name}: {value}")


if __name__ == "__main__":
    main()
