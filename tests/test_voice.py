"""Reading aloud: text as it is said, and sound where Piper is installed."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import wave

import numpy as np
import pytest

from coach.errors import AudioError
from coach.voice import VOICE_PACKAGE, Voice, spoken_text, voice_files, wave_bytes


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("Use **dropout** [1], e.g. `p = 0.5`.", "Use dropout, for example p equals zero point five."),
        ("A 28×28 image and a 7x7 kernel.", "A twenty eight by twenty eight image and a seven by seven kernel."),
        ("# Heading\n- one\n- two", "Heading one two"),
        ("See [the paper](https://example.org).", "See the paper."),
        ("50% of 1,000 steps, 10–20 layers.", "fifty per cent of one thousand steps, ten to twenty layers."),
        ("x ≥ 0 → GAN", "x at least zero to gann"),
        ("mean/variance, vs. ReLU", "mean or variance, versus ray loo"),
        ("Released in 2012.", "Released in twenty twelve."),
        ("", ""),
    ],
)
def test_text_as_it_is_said(written: str, said: str) -> None:
    assert spoken_text(written) == said


def test_wave_bytes_hold_the_samples() -> None:
    samples = np.array([0.0, 0.5, -0.5, 2.0], dtype=np.float32)
    with wave.open(io.BytesIO(wave_bytes(samples, 22050))) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (22050, 1, 2)
        assert np.frombuffer(file.readframes(4), dtype="<i2").tolist() == [0, 16383, -16383, 32767]


def test_the_voice_is_found_exactly_when_its_package_is_installed() -> None:
    try:
        importlib.metadata.version(VOICE_PACKAGE)
    except importlib.metadata.PackageNotFoundError:
        assert voice_files() is None
        assert Voice.load() is None
    else:
        files = voice_files()
        assert files
        assert [file.suffix for file in files] == [".onnx", ".json"]


@pytest.fixture(scope="module")
def voice() -> Voice:
    if voice_files() is None or importlib.util.find_spec("piper") is None:
        pytest.skip("the extra 'voice' (Piper and its voice) is not installed")
    loaded = Voice.load()
    assert loaded
    return loaded


def test_each_sentence_comes_with_its_sound(voice: Voice) -> None:
    pieces = list(voice.sentences("Dropout zeroes units. It is off at test time."))
    assert [text for text, _ in pieces] == ["Dropout zeroes units.", "It is off at test time."]
    for _, sound in pieces:
        with wave.open(io.BytesIO(sound)) as file:
            values = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
            assert 0.5 < len(values) / file.getframerate() < 6
            assert np.abs(values).max() > 3000


def test_a_slower_pace_takes_longer(voice: Voice) -> None:
    # Piper speaks a text a little differently each time, and the longer it is the less that tells.
    text = (
        "Dropout zeroes units at random during training, so that no unit can rely on the others being there, and at "
        "test time every unit takes part, because the outputs were scaled while the network was being trained."
    )
    assert len(voice.wave(text, pace=1.4)) > 1.2 * len(voice.wave(text, pace=1.0))


@pytest.mark.parametrize(("text", "says"), [("", "no text"), (" ** ", "no text"), ("word " * 1001, "5005 characters")])
def test_text_that_cannot_be_read_aloud_is_refused(voice: Voice, text: str, says: str) -> None:
    with pytest.raises(AudioError, match=says):
        list(voice.sentences(text))
