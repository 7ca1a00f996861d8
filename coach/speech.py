"""Speech to words: the `Transcriber` protocol and Whisper behind it."""

from __future__ import annotations

import logging
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from coach.audio import SAMPLE_RATE, Samples, Span, Window, read_audio, resampled, speech_spans, windows
from coach.config import Device, Settings
from coach.delivery import is_filler
from coach.errors import AudioError
from coach.hearing import Alignment, Heard, Tried, at_once
from coach.mishearing import (
    FILLER_ALLOWANCE,
    FILLERS_HEARD,
    HUM,
    HUM_ALLOWANCE,
    PER_COST,
    Change,
    filler_places,
    odds,
    rounds,
    worth_trying,
)
from coach.pronunciation import SoundIndex, sounds
from coach.terms import Lexicon, related_terms, widened
from coach.transcript import Transcript, Word, bare

log = logging.getLogger(__name__)

# What the prompt is for: Whisper keeps fillers and spellings that it has seen just before, and drops those it has not.
FILLER_LEAD = "Umm, let me think, uh, so, um..."
FILLER_TAIL = "Uh, so, um,"
GENERAL_TERMS = (
    "dropout", "ReLU", "tanh", "sigmoid", "softmax", "logits", "LSTM", "GRU", "RNN", "CNN", "GAN", "LoRA", "XOR", "SGD",
    "AdamW", "mini-batch", "backpropagation", "overfitting", "ImageNet", "ResNet", "BERT", "GPT",
)  # fmt: skip
PROMPT_TOKENS = 200  # Whisper takes 223 tokens of prompt at most
MOST_THREADS = 8  # more threads gain nothing for a model this small
# Windows that are heard at the same time, the threads shared out among them: a step of decoding is too small for two
# threads, which take as long as one. `python benchmarks/speech.py --speed` chose it.
WORKERS = 2
TEMPERATURES = (0.2, 0.4)  # of sampling where the search ends in nothing likely
REPETITIVE = 2.4  # compression ratio above which a text repeats itself (Radford et al. 2022, section 4.5)
# So many words in a row, so many times in half a minute, are a circle too, which compression doesn't show. No text of
# benchmarks/speech.py and none of 5,393 answers holds one; the decoder ran in one on one of the 98 dev recordings.
CIRCLE_WORDS, CIRCLES = 6, 3
# Tokens in a row that may come again when a text runs in circles and is searched anew. Of the 98 dev recordings of
# benchmarks/speech.py two run in circles; sampling leaves one or both of them there, from run to run, this neither.
LONGEST_REPEATED = 4
MOST_LETTERS = 28.0  # a second, blanks included; about 280 words a minute, faster than anybody answers questions
# With the prompt, 40 recordings of real and game voices scored above −0.9 in mean log-probability at a no-speech
# probability below 0.25, apart from two cries; 45 noises and pieces of music scored below −1.0 or far above 0.25.
UNLIKELY = -1.0
DOUBTFUL, NO_SPEECH = -0.8, 0.25
MUMBLED = -1.6  # instead of UNLIKELY for stretches of four seconds and more, where voice activity is seldom wrong
SHORT_FRAMES = 400  # hundredths of a second under which a text is checked for being an echo of the prompt
ECHO_DISTANCE = 0.4  # in sound, between the text and what is heard without the prompt


class Transcriber(Protocol):
    """Anything that turns sound into words with times."""

    def transcribe(self, audio: Samples, sample_rate: int, terms: Sequence[str] = ()) -> Transcript:
        """The words of one channel of samples (−1 … 1); `terms` are spellings to expect."""
        ...


def prompt_text(terms: Sequence[str]) -> str:
    """The prompt: fillers, the terms to expect, fillers again."""
    listed = ", ".join(dict.fromkeys(terms or GENERAL_TERMS))
    return f"{FILLER_LEAD} {listed}. {FILLER_TAIL}"


def _opened(name: str, on: str, cores: int) -> Any:
    from faster_whisper import WhisperModel

    workers = 1 if on == "cuda" else min(WORKERS, cores)
    model = WhisperModel(
        name,
        device=on,
        compute_type="float16" if on == "cuda" else "int8",
        cpu_threads=-(-cores // workers),
        num_workers=workers,
    )
    if on == "cuda":
        # Missing CUDA libraries only show when something is computed.
        bands = model.feature_extractor.mel_filters.shape[0]
        model.encode(np.zeros((bands, model.feature_extractor.nb_max_frames), dtype=np.float32))
    return model


class Whisper:
    """Whisper through faster-whisper; the model and its tokenizer are handed in."""

    def __init__(self, model: Any, tokenizer: Any, beam: int = 5) -> None:
        self.model = model
        self._tokenizer = tokenizer
        self._beam = beam

    @classmethod
    def load(cls, name: str | Path, device: Device = "auto", threads: int = 0) -> Whisper:
        """A faster-whisper model by folder or name, int8 on the CPU, half precision on a GPU; raises `AudioError`."""
        import ctranslate2  # type: ignore[import-untyped]
        from faster_whisper.tokenizer import Tokenizer

        cores = threads or min(MOST_THREADS, os.cpu_count() or 1)
        try:
            if device == "auto" and ctranslate2.get_cuda_device_count() > 0:
                try:
                    model = _opened(str(name), "cuda", cores)
                except RuntimeError as error:
                    log.warning("the graphics card cannot be used for speech (%s); the processor does it", error)
                    model = _opened(str(name), "cpu", cores)
            else:
                model = _opened(str(name), "cuda" if device == "cuda" else "cpu", cores)
        except (OSError, RuntimeError, ValueError) as error:
            raise AudioError(
                f"The recogniser {str(name)!r} cannot be loaded ({error}); use 'default', a folder with a "
                "faster-whisper model, or the name of one that can be downloaded."
            ) from error
        tokenizer = Tokenizer(model.hf_tokenizer, model.model.is_multilingual, task="transcribe", language="en")
        return cls(model, tokenizer)

    def transcribe(self, audio: Samples, sample_rate: int, terms: Sequence[str] = ()) -> Transcript:
        """The words of one channel of samples, with times; an empty transcript when nobody speaks."""
        samples = resampled(audio, sample_rate)
        duration = len(samples) / SAMPLE_RATE
        speech = speech_spans(samples)
        heard = at_once(lambda window: Heard.of(self.model, window, samples), windows(speech, duration, samples))
        parts = at_once(lambda one: self._words(one, widened(terms)), heard)
        expected = () if terms else related_terms(" ".join(word.text for part in parts for word in part))
        if expected:
            # Nobody said what it is about, but the first look has: a second one with the terms of that topic.
            again = at_once(lambda one: self._words(one, expected), heard)
            parts = [new or old for new, old in zip(again, parts, strict=True)]
        words = [word for part in parts for word in part]
        return Transcript(tuple(capitalised(settled(words, speech))), speech, duration)

    def _prompt(self, terms: Sequence[str]) -> list[int]:
        tokens: list[int] = self._tokenizer.encode(" " + prompt_text(terms))
        if len(tokens) > PROMPT_TOKENS:
            kept = list(terms)
            while kept and len(tokens) > PROMPT_TOKENS:
                kept = kept[:-1]
                tokens = self._tokenizer.encode(" " + prompt_text(kept))
        return [self._tokenizer.sot_prev, *tokens]

    def window_words(self, window: Window, audio: Samples, terms: Sequence[str] = ()) -> list[Word]:
        """The words of one window, with times in the recording; none when the text is a guess or an echo."""
        return self._words(Heard.of(self.model, window, audio), terms)

    def _words(self, heard: Heard, terms: Sequence[str]) -> list[Word]:
        lexicon = Lexicon(terms)
        start = [*self._prompt(terms), *self._tokenizer.sot_sequence]
        tokens = self._decode(heard, start)
        if not tokens or (heard.frames < SHORT_FRAMES and self._echoes(heard, tokens, start)):
            return []
        words = _timed(self._tokenizer, self._repaired(heard, start, tokens, lexicon))
        time = heard.window.time
        return [
            replace(word, text=lexicon.spelling_in(word.text), start=time(word.start), end=time(word.end))
            for word in words
        ]

    def _repaired(self, heard: Heard, start: list[int], tokens: list[int], lexicon: Lexicon) -> Alignment:
        """The tokens with misheard terms put right where the sound allows it."""
        alignment = heard.align(start, tokens)
        texts, groups = self._tokenizer.split_to_word_tokens([*tokens, self._tokenizer.eot])
        texts, groups = texts[:-1], groups[:-1]
        places = [i for i, text in enumerate(texts) if re.search(r"\w", text)]
        written = [texts[i] + ("," if i + 1 < len(texts) and i + 1 not in places else "") for i in places]
        bounds = np.concatenate([[0], np.cumsum([len(group) for group in groups])])
        changes: list[Change] = []
        for candidate in worth_trying(lexicon.candidates([text.strip() for text in written]), lexicon.expects):
            a, b = int(bounds[places[candidate.first]]), int(bounds[places[candidate.last - 1] + 1])
            new = self._tokenizer.encode(" " + candidate.term)
            changes.append(Change(a, b, new, odds(candidate, alignment.probabilities[a:b].tolist())))
        for place in filler_places(texts):
            a, b = int(bounds[place]), int(bounds[place + 1])
            closed = place + 1 in places
            allowed = HUM_ALLOWANCE if HUM.search(bare(texts[place])) else FILLER_ALLOWANCE
            for filler in FILLERS_HEARD:
                changes.append(Change(a, b, self._tokenizer.encode(filler + "," * closed), PER_COST * allowed))
        trials = at_once(
            lambda group: heard.tried(start, alignment, group),
            rounds([change for change in changes if change.worth(0) >= 0]),
        )
        taken: list[Tried] = []
        for one in sorted((one for trial in trials for one in trial), key=lambda one: -one.worth):
            if one.worth >= 0 and all(one.change.apart_from(other.change) for other in taken):
                taken.append(one)
        return alignment.changed(taken)

    def _decode(self, heard: Heard, start: list[int]) -> list[int]:
        """The tokens of the best text; none when they are a guess on no speech."""
        best: tuple[bool, float, list[int]] = (False, -np.inf, [])
        no_speech = 0.0
        searched: dict[str, Any] = {"beam_size": self._beam}
        attempts = [searched, *({"beam_size": 1, "sampling_topk": 0, "sampling_temperature": t} for t in TEMPERATURES)]
        while attempts:
            options = attempts.pop(0)
            result = self.model.model.generate(
                heard.encoded,
                [[*start, self._tokenizer.no_timestamps]],
                return_scores=True,
                return_no_speech_prob=True,
                **options,
            )[0]
            no_speech = result.no_speech_prob
            tokens = [token for token in result.sequences_ids[0] if token < self._tokenizer.eot]
            score = result.scores[0] * len(tokens) / (len(tokens) + 1)
            text = self._tokenizer.decode(tokens)
            varied = _varied(text)
            # People repeat themselves too; a recogniser that is stuck does so faster than anybody speaks.
            stuck = not varied and len(text) > MOST_LETTERS * heard.frames / 100
            if (varied or not (attempts or stuck)) and (varied, score) > best[:2]:
                best = (varied, score, tokens)
            if (varied and score >= UNLIKELY) or (no_speech > NO_SPEECH and score < DOUBTFUL):
                break
            if not varied and options is searched:
                attempts.insert(0, searched | {"no_repeat_ngram_size": LONGEST_REPEATED + 1})
        _, score, tokens = best
        least = UNLIKELY if heard.frames < SHORT_FRAMES else MUMBLED
        invented = score < least or (score < DOUBTFUL and no_speech > NO_SPEECH)
        return [] if invented else tokens

    def _echoes(self, heard: Heard, tokens: list[int], prompt: list[int]) -> bool:
        """Whether a short text is only the prompt's words and sounds unlike what is heard without the prompt."""
        text = self._tokenizer.decode(tokens)
        said = {bare(word) for word in text.split() if not is_filler(word)}
        if said - {bare(word) for word in self._tokenizer.decode(prompt).split()}:
            return False
        unprompted = self._tokenizer.decode(self._decode(heard, list(self._tokenizer.sot_sequence)))
        distance = SoundIndex((sounds(text),)).distances(sounds(unprompted))[0]
        return not unprompted.strip() or bool(distance > ECHO_DISTANCE)


def _varied(text: str) -> bool:
    """Whether a text does not run in circles: it can't be compressed to little, and says no long stretch thrice."""
    words = [word for word in map(bare, text.replace("-", " ").split()) if word]
    stretches = Counter(tuple(words[i : i + CIRCLE_WORDS]) for i in range(len(words) - CIRCLE_WORDS + 1))
    small = len(text.encode()) > REPETITIVE * max(1, len(zlib.compress(text.encode())))
    return not small and max(stretches.values(), default=0) < CIRCLES


def _timed(tokenizer: Any, alignment: Alignment) -> list[Word]:
    """Words with times and mean token probabilities from an alignment; punctuation joins the word before it."""
    texts, groups = tokenizer.split_to_word_tokens([*alignment.tokens, tokenizer.eot])
    if len(groups) < 2:
        return []
    bounds = np.concatenate([[0], np.cumsum([len(group) for group in groups[:-1]])])
    words: list[Word] = []
    for text, a, b in zip(texts, bounds[:-1], bounds[1:], strict=False):
        probability = float(np.mean(alignment.probabilities[a:b]))
        start, end = float(alignment.starts[a]), float(alignment.starts[b])
        if words and not re.search(r"\w", text):
            words[-1] = replace(words[-1], text=words[-1].text + text.strip())
        elif words and not text.startswith(" "):
            joined = words[-1].text + text
            words[-1] = replace(words[-1], text=joined, end=end, probability=min(words[-1].probability, probability))
        elif text.strip():
            words.append(Word(text.strip(), start, end, probability))
    return words


# Words lying wholly in silence are invented, unless the recogniser is sure and its timing was merely off.
STRAY_SECONDS = 0.3
STRAY_PROBABILITY = 0.5


def settled(words: Sequence[Word], speech: Sequence[Span]) -> list[Word]:
    """Words clipped to where somebody speaks; words that lie in silence are dropped or moved to the nearest speech."""
    placed: list[Word] = []
    for word in words:
        inside = [(min(word.end, s.end) - max(word.start, s.start), s) for s in speech]
        overlap, span = max(inside, key=lambda pair: pair[0], default=(-np.inf, None))
        if span is None or (overlap < -STRAY_SECONDS and word.probability < STRAY_PROBABILITY):
            continue
        if overlap > 0:
            start, end = max(word.start, span.start), min(word.end, span.end)
        else:
            edge = span.end if word.start >= span.end else span.start
            start = end = edge
        start = max(start, placed[-1].end if placed else 0.0)
        placed.append(replace(word, start=round(start, 2), end=round(max(start, end), 2)))
    return placed


def capitalised(words: Sequence[Word]) -> list[Word]:
    """The words with a capital at the start of each sentence, which the prompt's lower case keeps away."""
    starts = [True, *(word.ends_sentence for word in words)]
    return [
        replace(word, text=word.text[0].upper() + word.text[1:]) if start else word
        for word, start in zip(words, starts, strict=False)
    ]


def load_transcriber(settings: Settings) -> Whisper:
    """The recogniser that the settings name, the embedded one by default; raises `AudioError` or `WeightsError`."""
    from coach.weights import whisper_folder

    name = whisper_folder(settings.cache_dir) if settings.recogniser == "default" else settings.recogniser
    return Whisper.load(name, settings.device, settings.threads)


def transcribe_file(transcriber: Transcriber, path: Path, entry_terms: Sequence[str] = ()) -> Transcript:
    """The transcript of a recording in a file; raises `AudioError` when it cannot be read."""
    return transcriber.transcribe(read_audio(path), SAMPLE_RATE, entry_terms)
