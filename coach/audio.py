"""Recordings: read as 16 kHz mono, searched for speech, and packed into windows that a recogniser can hear."""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from coach.errors import AudioError

Samples = NDArray[np.float32]

SAMPLE_RATE = 16_000  # Hz; what Whisper and Silero were trained on
MAX_SECONDS = 300.0  # an answer of five minutes is the longest that is taken (issue: spoken practice)


@dataclass(frozen=True)
class Span:
    """A stretch of time in seconds."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """The length in seconds."""
        return self.end - self.start


def resampled(samples: Samples, rate: int) -> Samples:
    """One channel at `rate` Hz brought to 16 kHz by cutting or padding its spectrum (band-limited, no aliasing)."""
    if rate == SAMPLE_RATE or len(samples) == 0:
        return samples.astype(np.float32, copy=False)
    length = round(len(samples) * SAMPLE_RATE / rate)
    # A reflected tail keeps the jump from the last sample to the first out of the spectrum, and powers of two are fast.
    block = 1 << max(1, int(np.ceil(np.log2(len(samples) + rate // 10))))
    padded = np.zeros(block, dtype=np.float32)
    padded[: len(samples)] = samples
    target = round(block * SAMPLE_RATE / rate)
    spectrum = np.fft.rfft(padded)
    bins = target // 2 + 1
    spectrum = spectrum[:bins] if bins <= len(spectrum) else np.pad(spectrum, (0, bins - len(spectrum)))
    out = np.fft.irfft(spectrum, n=target) * (target / block)
    return out[:length].astype(np.float32)


def _too_long(path: Path, seconds: float) -> AudioError:
    minutes, rest = divmod(round(seconds), 60)
    return AudioError(
        f"{path.name} is {minutes} min {rest:02d} s long; {MAX_SECONDS / 60:.0f} minutes are the most that is taken. "
        "Record a shorter answer or cut the file."
    )


def _read_wave(path: Path) -> tuple[Samples, int] | None:
    """Samples and rate of a plain PCM wave file, or None when it is anything else."""
    try:
        with wave.open(str(path), "rb") as file:
            rate, channels, width = file.getframerate(), file.getnchannels(), file.getsampwidth()
            if rate > 0 and file.getnframes() / rate > MAX_SECONDS:
                raise _too_long(path, file.getnframes() / rate)
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError):
        return None
    if rate <= 0 or channels <= 0:
        return None
    data = data[: len(data) - len(data) % (width * channels)]
    match width:
        case 1:
            values = (np.frombuffer(data, dtype=np.uint8).astype(np.float32) - 128.0) / 128.0
        case 2:
            values = np.frombuffer(data, dtype="<i2").astype(np.float32) / 2**15
        case 3:
            raw = np.frombuffer(data, dtype=np.uint8).reshape(-1, 3)
            # The three bytes become the upper ones of a 32-bit number, so that the sign comes out right.
            wide = np.zeros((len(raw), 4), dtype=np.uint8)
            wide[:, 1:] = raw
            values = wide.view("<i4").reshape(-1).astype(np.float32) / 2**31
        case 4:
            values = np.frombuffer(data, dtype="<i4").astype(np.float32) / 2**31
        case _:
            return None
    return values.reshape(-1, channels).mean(axis=1).astype(np.float32), rate


def _read_any(path: Path) -> Samples:
    """Samples at 16 kHz of whatever PyAV (ffmpeg) can open."""
    import av

    parts: list[Samples] = []
    count = 0
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            if not container.streams.audio:
                raise AudioError(f"{path.name} holds no sound; choose a recording.")
            resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
            for frame in container.decode(audio=0):
                for piece in resampler.resample(frame):
                    count += piece.samples
                    if count <= MAX_SECONDS * SAMPLE_RATE:
                        parts.append(piece.to_ndarray().reshape(-1).astype(np.float32))
            for piece in resampler.resample(None):
                count += piece.samples
                parts.append(piece.to_ndarray().reshape(-1).astype(np.float32))
    except (av.FFmpegError, ValueError) as error:
        raise AudioError(
            f"{path.name} cannot be read as a recording ({error}); use a wav, webm, mp3, m4a, ogg or flac file."
        ) from error
    if count > MAX_SECONDS * SAMPLE_RATE:
        raise _too_long(path, count / SAMPLE_RATE)
    return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)


def read_audio(path: Path) -> Samples:
    """The recording in a file as 16 kHz mono in −1 … 1, shape (samples,).

    Plain wave files need no codec; everything else goes through PyAV. Raises `AudioError` when the file is missing,
    empty, broken, without sound, or longer than five minutes (with how long it was).
    """
    if not path.is_file():
        raise AudioError(f"There is no file {path}; check the name.")
    if path.stat().st_size == 0:
        raise AudioError(f"{path.name} is empty; record again.")
    try:
        plain = _read_wave(path)
        samples = resampled(*plain) if plain else _read_any(path)
    except OSError as error:
        raise AudioError(f"{path.name} cannot be read ({error}); check the file and its permissions.") from error
    if len(samples) == 0:
        raise AudioError(f"{path.name} holds no sound; record again.")
    if not np.isfinite(samples).all():
        raise AudioError(f"{path.name} holds values that are not numbers; record again.")
    return samples


# Voice activity: Silero's probability for speech every 32 ms (the model that comes with faster-whisper), its edges
# moved to where the energy rises above the noise. Chosen on the dev recordings of benchmarks/speech.py.
VAD_SAMPLES = 512  # samples a frame that Silero takes at 16 kHz
SURE_SPEECH = 0.5  # Silero's own usual threshold
LEAST_SPEECH = 0.12  # seconds; shorter bursts are clicks
JOIN_GAP = 0.1  # seconds; shorter gaps are stops inside a word
HOP = 160  # samples; 10 ms between energies
EDGE_REACH = 0.3  # seconds that an edge is moved at most


def speech_probabilities(samples: Samples) -> NDArray[np.float32]:
    """Silero's probability of speech for each 32 ms, shape (ceil(samples / 512),)."""
    from faster_whisper.vad import get_vad_model

    padded = np.pad(samples, (0, -len(samples) % VAD_SAMPLES)).astype(np.float32)
    if len(padded) == 0:
        return np.zeros(0, dtype=np.float32)
    return np.asarray(get_vad_model()(padded), dtype=np.float32).reshape(-1)


def energies(samples: Samples) -> NDArray[np.float32]:
    """The level in dB of each 10 ms, over 25 ms around it, shape (ceil(samples / 160),)."""
    squares = np.concatenate([[0.0], np.cumsum(samples.astype(np.float64) ** 2)])
    centres = np.arange(0, len(samples), HOP) + HOP // 2
    low = np.clip(centres - 200, 0, len(samples))
    high = np.clip(centres + 200, 0, len(samples))
    means = (squares[high] - squares[low]) / np.maximum(1, high - low)
    return np.asarray(10 * np.log10(means + 1e-10), dtype=np.float32)


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def speech_spans(samples: Samples) -> tuple[Span, ...]:
    """Where somebody speaks in 16 kHz samples, in order, gaps under 0.1 s joined; empty for silence and noise."""
    probabilities = speech_probabilities(samples)
    sure = probabilities >= SURE_SPEECH
    if sure.sum() * VAD_SAMPLES < LEAST_SPEECH * SAMPLE_RATE:
        return ()
    level = energies(samples)
    frame_of = np.minimum(np.arange(len(level)) * HOP // VAD_SAMPLES, len(sure) - 1)
    speech, other = level[sure[frame_of]], level[(probabilities < 0.1)[frame_of]]
    loud = float(np.percentile(speech, 80))
    floor = float(np.median(other)) if len(other) >= 20 else float(np.percentile(level, 5))
    # Between the noise and the voice, nearer to the noise; with digital silence, 35 dB under the voice.
    threshold = max(loud - 35.0, floor + max(4.0, 0.3 * (loud - floor)))
    voiced = level > threshold
    reach = int(EDGE_REACH * SAMPLE_RATE / HOP)
    spans: list[Span] = []
    for first, last in _runs(sure):
        a, b = first * VAD_SAMPLES // HOP, min(len(level), last * VAD_SAMPLES // HOP)
        inside = np.flatnonzero(voiced[a:b])
        if not len(inside):
            continue
        # Silero hangs on after the end and starts late: move each edge to where the voice is above the noise.
        start = a + int(inside[0]) if inside[0] else a - _run_back(voiced[max(0, a - reach) : a])
        end = a + int(inside[-1]) + 1
        if end == b:
            end = b + _run_back(voiced[b : b + reach][::-1])
        spans.append(Span(start * HOP / SAMPLE_RATE, min(len(samples), end * HOP) / SAMPLE_RATE))
    joined: list[Span] = []
    for span in spans:
        if joined and span.start - joined[-1].end < JOIN_GAP:
            joined[-1] = Span(joined[-1].start, max(joined[-1].end, span.end))
        else:
            joined.append(span)
    return tuple(span for span in joined if span.seconds >= LEAST_SPEECH)


def _run_back(flags: NDArray[np.bool_]) -> int:
    """How many of the last flags are set without a gap."""
    unset = np.flatnonzero(~flags)
    return len(flags) if not len(unset) else len(flags) - 1 - int(unset[-1])


def gaps(spans: tuple[Span, ...], least: float) -> tuple[Span, ...]:
    """The gaps between spans that last longer than `least` seconds."""
    between = (Span(a.end, b.start) for a, b in pairwise(spans))
    return tuple(gap for gap in between if gap.seconds > least)


WINDOW_SECONDS = 28.0  # Whisper hears 30 s at a time
KEPT_SILENCE = 0.6  # seconds of a longer silence that the recogniser hears; it stretches words over long ones


@dataclass(frozen=True)
class Window:
    """Stretches of a recording that are heard together."""

    pieces: tuple[Span, ...]

    def samples(self, audio: Samples) -> Samples:
        """The stretches, one after the other."""
        return np.concatenate([audio[int(p.start * SAMPLE_RATE) : int(p.end * SAMPLE_RATE)] for p in self.pieces])

    def time(self, seconds: float) -> float:
        """The time in the recording of a time in the window."""
        for piece in self.pieces:
            if seconds <= piece.seconds:
                return piece.start + max(0.0, seconds)
            seconds -= piece.seconds
        return self.pieces[-1].end


def windows(speech: Sequence[Span], duration: float, audio: Samples) -> tuple[Window, ...]:
    """Speech packed into windows of at most 28 s, cut at the longest gaps, long silences shortened."""
    pieces: list[Span] = []
    gaps_before: list[float] = []
    for i, span in enumerate(speech):
        before = span.start if i == 0 else span.start - speech[i - 1].end
        after = duration - span.end if i == len(speech) - 1 else speech[i + 1].start - span.end
        start = span.start - min(before if i == 0 else before / 2, KEPT_SILENCE / 2)
        end = span.end + min(after if i == len(speech) - 1 else after / 2, KEPT_SILENCE / 2)
        parts = _cut(Span(start, end), audio)
        pieces += parts
        gaps_before += [before] + [0.0] * (len(parts) - 1)
    packed: list[Window] = []
    first = 0
    while first < len(pieces):
        lengths = np.cumsum([piece.seconds for piece in pieces[first:]])
        cut = first + int(np.searchsorted(lengths, WINDOW_SECONDS, side="right"))
        if cut < len(pieces):
            # Cut at the longest gap in the second half of what fits.
            half = first + 1 + int(np.searchsorted(lengths, lengths[cut - first - 1] / 2))
            cut = max(range(half, cut + 1), key=lambda k: gaps_before[k])
        packed.append(Window(tuple(pieces[first:cut])))
        first = cut
    return tuple(packed)


def _cut(span: Span, audio: Samples) -> list[Span]:
    """A span cut at its quietest places into parts that fit into a window."""
    if span.seconds <= WINDOW_SECONDS:
        return [span]
    low, high = span.start + WINDOW_SECONDS / 2, span.start + WINDOW_SECONDS - 1.0
    level = energies(audio[int(low * SAMPLE_RATE) : int(high * SAMPLE_RATE)])
    quiet = low + float(np.argmin(np.convolve(level, np.ones(5), mode="same")[3:-3]) + 3) * 0.01
    return [Span(span.start, quiet), *_cut(Span(quiet, span.end), audio)]
