"""Reading recordings and finding speech in them."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest

from coach.audio import (
    MAX_SECONDS,
    SAMPLE_RATE,
    WINDOW_SECONDS,
    Samples,
    Span,
    Window,
    energies,
    gaps,
    read_audio,
    resampled,
    speech_spans,
    windows,
)
from coach.errors import AudioError


def tone(seconds: float, rate: int, frequency: float = 440.0) -> Samples:
    return (0.5 * np.sin(2 * np.pi * frequency * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write(path: Path, data: bytes, rate: int, channels: int, width: int) -> Path:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(width)
        file.setframerate(rate)
        file.writeframes(data)
    return path


def strongest(samples: Samples) -> float:
    return float(np.argmax(np.abs(np.fft.rfft(samples))) * SAMPLE_RATE / len(samples))


@pytest.mark.parametrize("rate", [8000, 16000, 22050, 44100, 48000])
def test_resampling_keeps_length_pitch_and_level(rate: int) -> None:
    out = resampled(tone(1.0, rate), rate)
    assert abs(len(out) - SAMPLE_RATE) <= 1
    assert strongest(out) == pytest.approx(440, abs=2)
    assert np.abs(out[2000:-2000]).max() == pytest.approx(0.5, abs=0.02)


def test_resampling_cuts_what_16_khz_cannot_hold() -> None:
    assert np.abs(resampled(tone(1.0, 48000, 15000.0), 48000)[500:-500]).max() < 0.01


@pytest.mark.parametrize("width", [1, 2, 3, 4])
def test_wave_files_of_every_width_give_the_same_sound(tmp_path: Path, width: int) -> None:
    sound = tone(0.5, SAMPLE_RATE)
    whole = np.round(sound.astype(np.float64) * (2 ** (8 * width - 1) - 1)).astype("<i8")
    match width:
        case 1:
            data = (whole + 128).astype(np.uint8).tobytes()
        case 3:
            data = whole.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
        case _:
            data = whole.astype(f"<i{width}").tobytes()
    read = read_audio(write(tmp_path / "a.wav", data, SAMPLE_RATE, 1, width))
    assert np.abs(read - sound).max() < 2.0 ** (1 - 8 * min(width, 2) + 1)


def test_stereo_is_mixed_down(tmp_path: Path) -> None:
    left, right = tone(0.5, 48000), np.zeros(24000, dtype=np.float32)
    data = (np.stack([left, right], axis=1) * 32767).astype("<i2").tobytes()
    read = read_audio(write(tmp_path / "a.wav", data, 48000, 2, 2))
    assert len(read) == SAMPLE_RATE // 2
    assert np.abs(read).max() == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize(
    ("suffix", "codec"), [("webm", "libopus"), ("ogg", "libopus"), ("flac", "flac"), ("m4a", "aac")]
)
def test_compressed_files_are_read(tmp_path: Path, suffix: str, codec: str) -> None:
    import av

    path = tmp_path / f"a.{suffix}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=48000, layout="mono")
        sound = (tone(1.0, 48000) * 32767).astype(np.int16).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(sound, format="s16", layout="mono")
        frame.sample_rate = 48000
        resampler = av.AudioResampler(
            format=stream.format.name, layout="mono", rate=48000, frame_size=stream.frame_size
        )
        for piece in [*resampler.resample(frame), *resampler.resample(None), None]:
            container.mux(stream.encode(piece))
    read = read_audio(path)
    assert len(read) / SAMPLE_RATE == pytest.approx(1.0, abs=0.1)
    assert strongest(read) == pytest.approx(440, abs=3)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no file"),
        (b"", "empty"),
        (b"RIFF\x00\x00", "cannot be read"),
        (b"not a recording at all" * 50, "cannot be read"),
    ],
)
def test_what_is_no_recording_is_refused(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "answer.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(AudioError, match=says):
        read_audio(path)


def test_a_wave_file_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no sound"):
        read_audio(write(tmp_path / "a.wav", b"", SAMPLE_RATE, 1, 2))


def test_a_long_file_is_refused_with_its_length(tmp_path: Path) -> None:
    twenty = np.zeros(20 * 60 * 8000, dtype=np.uint8).tobytes()
    with pytest.raises(AudioError, match="20 min 00 s"):
        read_audio(write(tmp_path / "a.wav", twenty, 8000, 1, 1))


def test_five_minutes_are_taken(tmp_path: Path) -> None:
    five = np.full(int(MAX_SECONDS) * 8000, 128, dtype=np.uint8).tobytes()
    assert len(read_audio(write(tmp_path / "a.wav", five, 8000, 1, 1))) == MAX_SECONDS * SAMPLE_RATE


def test_energies_are_levels_in_decibels() -> None:
    level = energies(np.concatenate([np.zeros(1600), np.full(1600, 0.1)]).astype(np.float32))
    assert len(level) == 20
    assert level[2] == pytest.approx(-100, abs=1)
    assert level[15] == pytest.approx(-20, abs=0.1)


@pytest.mark.parametrize("level", [0.0, 0.001, 0.1])
def test_there_is_no_speech_in_noise(level: float) -> None:
    noise = level * np.random.default_rng(1).standard_normal(5 * SAMPLE_RATE)
    assert speech_spans(noise.astype(np.float32)) == ()


def test_no_samples_hold_no_speech() -> None:
    assert speech_spans(np.zeros(0, dtype=np.float32)) == ()


def test_gaps_lie_between_spans() -> None:
    spans = (Span(0.5, 1.0), Span(1.4, 2.0), Span(3.2, 4.0))
    assert gaps(spans, 1.0) == (Span(2.0, 3.2),)
    assert len(gaps(spans, 0.3)) == 2
    assert gaps((), 1.0) == ()


def test_windows_hold_all_speech_are_short_enough_and_are_cut_at_the_longest_gaps() -> None:
    speech = (Span(0.5, 10.0), Span(10.4, 19.0), Span(21.0, 27.5), Span(27.8, 40.0), Span(45.0, 50.0))
    audio = np.zeros(52 * SAMPLE_RATE, dtype=np.float32)
    packed = windows(speech, 52.0, audio)
    assert all(sum(piece.seconds for piece in window.pieces) <= WINDOW_SECONDS for window in packed)
    pieces = [piece for window in packed for piece in window.pieces]
    assert all(any(p.start <= s.start and p.end >= s.end for p in pieces) for s in speech)
    assert packed[0].pieces[-1].end == pytest.approx(19.3)


def test_windows_are_cut_at_short_gaps_too_and_silence_has_none() -> None:
    speech = (Span(0.2, 9.9), Span(10.0, 19.9), Span(20.0, 24.0), Span(24.5, 27.0), Span(27.1, 40.0))
    audio = np.zeros(41 * SAMPLE_RATE, dtype=np.float32)
    first, second = windows(speech, 41.0, audio)
    assert first.pieces[-1].end == pytest.approx(24.25)
    assert second.pieces[0].start == pytest.approx(24.25)
    assert windows((), 41.0, audio) == ()


def test_endless_speech_is_cut_where_it_is_quiet() -> None:
    audio = np.ones(70 * SAMPLE_RATE, dtype=np.float32)
    audio[20 * SAMPLE_RATE : 20 * SAMPLE_RATE + 3200] = 0
    packed = windows((Span(0.0, 70.0),), 70.0, audio)
    assert packed[0].pieces[0].end == pytest.approx(20.1, abs=0.15)
    assert packed[-1].pieces[-1].end == 70.0


def test_window_times_are_times_of_the_recording() -> None:
    window = Window((Span(1.0, 3.0), Span(10.0, 12.0)))
    assert [window.time(t) for t in (0.0, 1.5, 2.5, 9.0)] == [1.0, 2.5, 10.5, 12.0]
