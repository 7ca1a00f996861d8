"""Transcription with the embedded Whisper, on recordings that espeak-ng makes."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from coach.audio import SAMPLE_RATE, WINDOW_SECONDS, Samples, Span, Window, read_audio
from coach.config import Settings
from coach.delivery import delivery
from coach.errors import AudioError, WeightsError
from coach.hearing import Alignment, Heard, Tried
from coach.mishearing import Change
from coach.records import transcript_record
from coach.speech import Whisper, capitalised, load_transcriber, prompt_text, settled, transcribe_file
from coach.transcript import Word

TERMS = ("dropout", "co-adaptation", "inverted dropout", "inference")
TEXT = "Dropout is a regularisation technique. At inference you switch it off."


@pytest.fixture(scope="module")
def whisper(small_model_cache: Path) -> Whisper:
    try:
        return load_transcriber(Settings(cache=small_model_cache, device="cpu", threads=2))
    except WeightsError as error:
        pytest.skip(f"the embedded Whisper is not installed: {error}")


Speak = Callable[[str], Samples]


@pytest.fixture(scope="module")
def speak(tmp_path_factory: pytest.TempPathFactory) -> Speak:
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng is not installed")
    folder = tmp_path_factory.mktemp("spoken")

    def spoken(text: str) -> Samples:
        path = folder / "spoken.wav"
        subprocess.run(["espeak-ng", "-v", "en-us", "-s", "160", "-w", str(path), text], check=True, timeout=30)
        samples = read_audio(path)
        loud = np.flatnonzero(np.abs(samples) > 0.01)
        return samples[loud[0] : loud[-1] + 1]

    return spoken


def silence(seconds: float) -> Samples:
    return np.zeros(int(seconds * SAMPLE_RATE), dtype=np.float32)


def test_words_times_terms_fillers_and_pauses(whisper: Whisper, speak: Speak) -> None:
    first, um, last = (
        speak("Dropout is a regularisation technique."),
        speak("um"),
        speak("At inference you switch it off."),
    )
    audio = np.concatenate([silence(1.0), first, silence(0.3), um, silence(1.5), last, silence(0.5)])
    transcript = whisper.transcribe(audio, SAMPLE_RATE, TERMS)
    plain = transcript.text.lower()
    assert "dropout" in plain
    assert "you switch it off" in plain
    assert all(0 <= word.probability <= 1 for word in transcript.words)
    starts = [word.start for word in transcript.words]
    assert starts == sorted(starts)
    figures = delivery(transcript)
    assert [filler.text.lower().rstrip(",.") for filler in figures.fillers] == ["um"]
    um_start = 1.3 + len(first) / SAMPLE_RATE
    assert figures.fillers[0].start == pytest.approx(um_start, abs=0.3)
    assert len(figures.pauses) == 1
    pause_start = um_start + len(um) / SAMPLE_RATE
    assert figures.pauses[0].start == pytest.approx(pause_start, abs=0.15)
    assert figures.pauses[0].seconds == pytest.approx(1.5, abs=0.15)
    assert figures.time_to_first_word == pytest.approx(1.0, abs=0.1)
    true_rate = 60 * 12 / (len(audio) / SAMPLE_RATE - 1.5)
    # One of the twelve words may be missed; the mean error over many recordings is in benchmarks/speech.py.
    assert figures.words_per_minute == pytest.approx(true_rate, rel=1 / 11)


@pytest.mark.parametrize("kind", ["silence", "white", "pink", "tones", "bursts"])
def test_without_speech_nothing_is_written(whisper: Whisper, kind: str) -> None:
    rng = np.random.default_rng(3)
    t = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE
    white = rng.standard_normal(len(t))
    match kind:
        case "silence":
            sound = np.zeros(len(t))
        case "white":
            sound = 0.05 * white
        case "pink":
            spectrum = np.fft.rfft(white)
            sound = 0.5 * np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(len(spectrum)), 1)), len(t))
        case "tones":
            sound = sum(0.1 * np.sin(2 * np.pi * f * t) * (t % 1 < 0.8) for f in (262, 330, 392, 523))
        case _:
            sound = 0.4 * white * np.exp(-(t % 1.5) / 0.05)
    transcript = whisper.transcribe(sound.astype(np.float32), SAMPLE_RATE, TERMS)
    assert transcript.text == ""
    assert "No speech" in transcript.message
    assert transcript_record(transcript, "a.wav")["delivery"]["fillers"] == []


def test_forced_to_listen_to_noise_the_recogniser_does_not_echo_its_prompt(whisper: Whisper) -> None:
    noise = (0.05 * np.random.default_rng(4).standard_normal(5 * SAMPLE_RATE)).astype(np.float32)
    assert whisper.window_words(Window((Span(0.0, 5.0),)), noise, TERMS) == []


def test_no_samples_give_no_words(whisper: Whisper) -> None:
    assert whisper.transcribe(silence(0), SAMPLE_RATE).words == ()


def test_terms_are_spelt_as_the_field_spells_them(whisper: Whisper, speak: Speak) -> None:
    audio = np.concatenate([silence(0.3), speak("We use ray loo, soft max and drop out in the L S T M."), silence(0.3)])
    text = whisper.transcribe(audio, SAMPLE_RATE, ("ReLU", "softmax", "dropout", "LSTM")).text
    assert [term for term in ("ReLU", "softmax", "dropout", "LSTM") if term not in text] == []


def test_fillers_and_terms_hold_in_every_window(whisper: Whisper, speak: Speak) -> None:
    sentences = (
        "Dropout switches units off at random while the network is being trained.",
        "The learning rate is the most important thing to tune, so start there.",
        "With dropout the network cannot lean on any single unit, and that helps.",
        "When the validation loss rises again you stop early and keep the best weights.",
        "Most people forget to turn dropout off before they measure anything.",
        "More data helps more than any trick, but it is often expensive to collect.",
        "In convolutional layers dropout does less, because neighbours are alike.",
        "In the end I would compare all of this on a held out set of examples.",
    )
    um = np.concatenate([silence(0.5), speak("um"), silence(0.5)])
    transcript = whisper.transcribe(
        np.concatenate([part for text in sentences for part in (speak(text), um)]), SAMPLE_RATE, TERMS
    )
    assert transcript.duration > 2 * WINDOW_SECONDS * 0.7
    assert transcript.text.lower().count("dropout") == 4
    heard = len(delivery(transcript).fillers)
    assert 7 <= heard <= 8
    # The "um" that one may miss can be the last, whose sound and silence then follow the last word.
    missed = len(um) / SAMPLE_RATE if heard == 7 else 0.0
    assert transcript.duration - 1.0 - missed <= transcript.words[-1].end <= transcript.duration + 1.0


def test_a_file_becomes_the_record_of_the_contract(whisper: Whisper, speak: Speak, tmp_path: Path) -> None:
    path = tmp_path / "answer.wav"
    subprocess.run(["espeak-ng", "-w", str(path), TEXT], check=True, timeout=30)
    record = transcript_record(transcribe_file(whisper, path, TERMS), str(path))
    assert set(record) == {"file", "text", "words", "delivery"}
    assert record["file"] == str(path)
    assert set(record["words"][0]) == {"text", "start", "end", "probability"}
    assert " ".join(word["text"] for word in record["words"]) == record["text"]
    assert isinstance(record["delivery"]["advice"], str)


def test_a_file_that_is_missing_is_refused(whisper: Whisper, tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="no file"):
        transcribe_file(whisper, tmp_path / "nothing.wav")


def test_a_recogniser_that_is_none_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="'default'"):
        Whisper.load(tmp_path, "cpu")


def test_the_prompt_names_the_terms_between_fillers() -> None:
    prompt = prompt_text(("logits", "softmax"))
    assert "logits, softmax" in prompt
    assert prompt.lower().startswith("um")
    assert "ReLU" in prompt_text(())


def test_words_are_clipped_to_speech_and_stray_ones_dropped() -> None:
    speech = (Span(1.0, 2.0), Span(4.0, 5.0))
    words = [
        Word("one", 0.8, 1.5, 0.9),
        Word("two", 1.5, 3.9, 0.9),
        Word("ghost", 2.9, 3.1, 0.2),
        Word("three", 4.1, 4.8, 0.9),
    ]
    placed = settled(words, speech)
    assert [(w.text, w.start, w.end) for w in placed] == [("one", 1.0, 1.5), ("two", 1.5, 2.0), ("three", 4.1, 4.8)]


def test_changes_cost_the_same_tried_together_and_alone(whisper: Whisper, speak: Speak) -> None:
    audio = speak("We use dropout in the big layers of the network and batch normalisation in all of the others.")
    heard = Heard.of(whisper.model, Window((Span(0.0, len(audio) / SAMPLE_RATE),)), audio)
    tokens = whisper._decode(heard, start := [*whisper._prompt(TERMS), *whisper._tokenizer.sot_sequence])
    alignment = heard.align(start, tokens)
    last = len(tokens) - 2
    changes = [Change(2, 3, tokens[2:3], 0.0), Change(last, last + 1, tokens[:1], 0.0)]
    together = [one.cost for one in heard.tried(start, alignment, changes)]
    alone = [heard.tried(start, alignment, [change])[0].cost for change in changes]
    assert together == pytest.approx(alone, abs=1e-3)
    assert together[0] == pytest.approx(0.0, abs=1e-3)
    assert together[1] > 1.0


def test_changed_tokens_share_the_time_of_those_they_replace() -> None:
    alignment = Alignment((1, 2, 3, 4), np.array([0.0, 1.0, 2.0, 3.0, 4.0]), np.array([0.9, 0.1, 0.2, 0.8]))
    changed = alignment.changed(
        [
            Tried(Change(1, 3, [7], 0.0), 0.0, np.array([0.6])),
            Tried(Change(3, 4, [8, 9], 0.0), 0.0, np.array([0.5, 0.4])),
        ]
    )
    assert changed.tokens == (1, 7, 8, 9)
    assert changed.starts.tolist() == [0.0, 1.0, 3.0, 3.5, 4.0]
    assert changed.probabilities.tolist() == [0.9, 0.6, 0.5, 0.4]
    assert alignment.changed([]).tokens == alignment.tokens


class Circling:
    """A recogniser that says a text unless it is kept from repeating itself, as the real one now and then does."""

    def __init__(self, model: Any, tokens: list[int]) -> None:
        self._model, self._tokens = model, tokens

    def __getattr__(self, name: str) -> Any:
        return self if name == "model" else getattr(self._model, name)

    def generate(self, encoded: Any, prompts: Any, **options: Any) -> Any:
        if "no_repeat_ngram_size" not in options:
            return [SimpleNamespace(sequences_ids=[self._tokens], scores=[-0.2], no_speech_prob=0.0)]
        return self._model.model.generate(encoded, prompts, **options)

    def align(self, *arguments: Any) -> Any:
        return self._model.model.align(*arguments)


STRETCH = " Beam search keeps temperature, top-k and top-p make it more varied."
SHORT_CIRCLE = " a-" * 80
LONG_CIRCLE = (
    " The tokenizer splits text into tokens, and each token becomes an embedding. The decoder predicts logits for the "
    "next one, and softmax turns these into probabilities. With greedy decoding you always take the best."
) + 3 * STRETCH


@pytest.mark.parametrize("said", [SHORT_CIRCLE, LONG_CIRCLE])
def test_a_text_that_runs_in_circles_is_searched_anew(whisper: Whisper, speak: Speak, said: str) -> None:
    audio = np.concatenate([silence(0.3), speak(TEXT), silence(0.3)])
    circling = Whisper(Circling(whisper.model, whisper._tokenizer.encode(said)), whisper._tokenizer)
    assert "regularisation technique" in circling.transcribe(audio, SAMPLE_RATE, TERMS).text


def test_a_stretch_said_twice_is_no_circle(whisper: Whisper, speak: Speak) -> None:
    audio = np.concatenate([silence(0.3), speak(TEXT), silence(0.3)])
    said = LONG_CIRCLE.removesuffix(STRETCH)
    repeating = Whisper(Circling(whisper.model, whisper._tokenizer.encode(said)), whisper._tokenizer)
    assert repeating.transcribe(audio, SAMPLE_RATE, TERMS).text.count("more varied") == 2


def test_sentences_begin_with_a_capital() -> None:
    words = [Word(text, float(i), i + 0.5, 0.9) for i, text in enumerate("so it is. what else? ReLU".split())]
    assert " ".join(word.text for word in capitalised(words)) == "So it is. What else? ReLU"
    assert capitalised([]) == []
