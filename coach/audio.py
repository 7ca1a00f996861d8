"""Recordings: reading them from files as 16 kHz mono."""

from __future__ import annotations

import wave
from dataclasses import dataclass
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
