"""Listening and reading aloud for the page: what becomes of a recording, and what is asked back about it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fake_coach import FakeTranscriber, FakeVoice

from coach.config import BUILT_IN_KNOWLEDGE
from coach.errors import AudioError
from coach.knowledge import Entry, load_entries
from coach.spoken import Spoken
from coach.voice import Voice, wave_bytes


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "answer.wav"
    path.write_bytes(wave_bytes(0.1 * np.sin(np.arange(16_000) / 8).astype(np.float32), 16_000))
    return path


@pytest.fixture(scope="module")
def dropout() -> Entry:
    return next(entry for entry in load_entries(BUILT_IN_KNOWLEDGE) if entry.id == "dropout")


def voice() -> Voice | None:
    return FakeVoice()  # type: ignore[return-value]


def test_a_recording_is_deleted_once_it_was_read(recording: Path) -> None:
    assert Spoken(FakeTranscriber, voice).heard(recording).transcript.words
    assert not recording.exists()


def test_a_broken_recording_is_deleted_too_and_said_to_be_broken(tmp_path: Path) -> None:
    broken = tmp_path / "broken.webm"
    broken.write_bytes(b"no recording")
    with pytest.raises(AudioError, match="cannot be read"):
        Spoken(FakeTranscriber, voice).heard(broken)
    assert not broken.exists()


def test_a_recording_is_kept_where_the_user_chose_so(recording: Path, tmp_path: Path) -> None:
    Spoken(FakeTranscriber, voice, tmp_path / "kept").heard(recording)
    assert not recording.exists()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["00001.wav"]


def test_silence_is_said_to_be_silence(tmp_path: Path) -> None:
    silent = tmp_path / "silent.wav"
    silent.write_bytes(wave_bytes(np.zeros(16_000, dtype=np.float32), 16_000))
    with pytest.raises(AudioError, match="No speech"):
        Spoken(FakeTranscriber, voice).heard(silent)


def test_doubtful_words_are_asked_back_only_where_a_question_is_being_answered(
    recording: Path, tmp_path: Path, dropout: Entry
) -> None:
    again = tmp_path / "again.wav"
    again.write_bytes(recording.read_bytes())
    spoken = Spoken(FakeTranscriber, voice)
    assert spoken.heard(recording).doubts == ()
    assert [word.text for word in spoken.heard(again, dropout).doubts] == ["Dropout"]


def test_a_sentence_is_read_aloud_where_a_voice_is_installed() -> None:
    assert Spoken(FakeTranscriber, voice).said("Hello.").startswith("data:audio/wav;base64,")
    assert Spoken(FakeTranscriber, lambda: None).said("Hello.") == ""
    assert Spoken(FakeTranscriber, voice).said("  ") == ""
