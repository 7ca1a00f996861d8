"""Recordings of which the truth is known: made on the fly from `data/speech.jsonl` with Piper, espeak-ng and flite.

In a text, `[1.4]` is a silence of that many seconds and `[um]` a filler that is synthesised apart; some recordings are
changed by sox. Voices that are not installed are left out.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import wave
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from sounds import noise

from coach.audio import SAMPLE_RATE, Samples, Span, resampled
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
