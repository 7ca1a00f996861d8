"""Listening and reading aloud for the page: the recogniser and the voice, opened when first needed, shared by all."""

from __future__ import annotations

import base64
import logging
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from coach.config import Settings
from coach.errors import AudioError, CoachError
from coach.knowledge import Entry
from coach.transcript import Transcript, Word

if TYPE_CHECKING:
    from coach.speech import Transcriber
    from coach.voice import Voice

log = logging.getLogger(__name__)

LONGEST_SENTENCE = 600  # characters that are read aloud in one go


@dataclass(frozen=True)
class Heard:
    """What was said in a recording, and the words to ask back about before it is graded."""

    transcript: Transcript
    doubts: tuple[Word, ...]


def _points(entry: Entry) -> tuple[str, ...]:
    """What verdicts and flags are about."""
    return (*(point.text for point in entry.key_points), *(wrong.claim for wrong in entry.misconceptions))


class Spoken:
    """Turns recordings into transcripts and sentences into sound; holds no visitor's words.

    `keep` is the folder for recordings that the user chose to keep; without it each is deleted once it was read.
    """

    def __init__(
        self,
        open_transcriber: Callable[[], Transcriber],
        open_voice: Callable[[], Voice | None],
        keep: Path | None = None,
    ) -> None:
        self._open_transcriber, self._open_voice, self._keep = open_transcriber, open_voice, keep
        self._transcriber: Transcriber | None = None
        self._voice: Voice | None = None
        self._voice_opened = False
        self._hearing, self._speaking = threading.Lock(), threading.Lock()

    @classmethod
    def of(cls, settings: Settings) -> Spoken:
        """With the recogniser that the settings name and the installed voice."""

        def transcriber() -> Transcriber:
            from coach.speech import load_transcriber

            return load_transcriber(settings)

        def voice() -> Voice | None:
            from coach.voice import Voice

            return Voice.load()

        return cls(transcriber, voice, settings.cache_dir / "recordings" if settings.keep_audio else None)

    def heard(self, path: Path, entry: Entry | None = None) -> Heard:
        """The transcript of a recording, which is then deleted; raises `AudioError` with what to do.

        `entry` is the question being answered: its terms are expected, and doubtful words are asked back where they
        bear on one of its key points or misconceptions.
        """
        from coach.audio import SAMPLE_RATE, read_audio
        from coach.doubts import doubts
        from coach.terms import terms_in

        try:
            sound = read_audio(path)
        finally:
            self.put_away(path)
        terms = terms_in([entry.question, entry.answer, *(p.text for p in entry.key_points)]) if entry else ()
        with self._hearing:
            transcript = self._opened().transcribe(sound, SAMPLE_RATE, terms)
        if transcript.message:
            raise AudioError(transcript.message)
        return Heard(transcript, doubts(transcript, _points(entry)) if entry else ())

    def prepare(self) -> None:
        """Open the recogniser in the background, as when somebody begins to speak."""

        def opened() -> None:
            with self._hearing:
                try:
                    self._opened()
                except CoachError:
                    log.exception("the recogniser could not be opened")  # told to whoever sends a recording

        threading.Thread(target=opened, name="recogniser", daemon=True).start()

    def _opened(self) -> Transcriber:
        if self._transcriber is None:
            self._transcriber = self._open_transcriber()
        return self._transcriber

    def put_away(self, path: Path) -> None:
        """Delete a recording, or move it to the folder of those that are kept."""
        if self._keep is not None and path.is_file():
            self._keep.mkdir(parents=True, exist_ok=True)
            target = self._keep / f"{len(list(self._keep.iterdir())) + 1:05d}{path.suffix}"
            shutil.move(path, target)
        path.unlink(missing_ok=True)

    def said(self, sentence: str) -> str:
        """A sentence read aloud, as a `data:` address of a wave file; empty without an installed voice."""
        from coach.voice import spoken_text

        text = sentence.strip()[:LONGEST_SENTENCE]
        with self._speaking:
            if not self._voice_opened:
                self._voice = self._open_voice()
                self._voice_opened = True
            if self._voice is None or not spoken_text(text):
                return ""
            return "data:audio/wav;base64," + base64.b64encode(self._voice.wave(text)).decode()
