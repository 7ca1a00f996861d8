"""Sentence encoders: texts in, unit vectors out."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from coach.errors import RetrievalError
from coach.plain_text import readable
from coach.words import Words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

_WORD = re.compile(r"\w+")
FEW_TEXTS = 5  # up to here a single thread is quicker than several that wait for each other


class Encoder(Protocol):
    """Turns texts into unit vectors, shape (texts, dimensions), float32."""

    @property
    def name(self) -> str:
        """What identifies the encoder, so that a changed one rebuilds the index."""
        ...

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, one row each."""
        ...


@runtime_checkable
class WordEncoder(Protocol):
    """An encoder that also reads the words of a text, each in its context."""

    def words(self, texts: Sequence[str]) -> list[Words]:
        """The words of each text."""
        ...


def words_of(encoder: Encoder, texts: Sequence[str]) -> list[Words]:
    """The words of each text in context; without it where an encoder reads only whole texts."""
    return encoder.words(texts) if isinstance(encoder, WordEncoder) else _words_alone(encoder, texts)


def _words_alone(encoder: Encoder, texts: Sequence[str]) -> list[Words]:
    """The words of each text, each encoded by itself."""
    split = [tuple(_WORD.findall(text)) for text in texts]
    return [Words(words, encoder.encode(words or ("-",))[: len(words)]) for words in split]


class SentenceEncoder:
    """Any sentence-transformers model."""

    def __init__(self, model: Any, name: str, one_thread: Executor) -> None:
        self._model = model
        self.name = name
        self._one_thread = one_thread

    @classmethod
    def load(cls, name_or_path: str, device: str | None = None) -> SentenceEncoder:
        """Load a model by hub name or folder; raises `RetrievalError` when it cannot be loaded."""
        from sentence_transformers import SentenceTransformer

        without_bars()
        try:
            model = SentenceTransformer(name_or_path, device=device)
        except (OSError, ValueError, RuntimeError) as error:
            raise RetrievalError(
                f"The sentence encoder {name_or_path!r} cannot be loaded ({error}). Name a folder that holds a "
                "sentence-transformers model, or leave --encoder unset for the embedded one."
            ) from error
        return cls(model, Path(name_or_path).name, _single_threaded())

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, shape (texts, dimensions)."""
        if len(texts) <= FEW_TEXTS:
            return self._one_thread.submit(self._encode, texts).result()
        return self._encode(texts)

    def _encode(self, texts: Sequence[str]) -> Vectors:
        import numpy as np

        vectors = self._model.encode(
            [readable(text) for text in texts],
            normalize_embeddings=True,
            convert_to_numpy=True,
            show_progress_bar=False,
            batch_size=32,
        )
        return np.ascontiguousarray(vectors, dtype=np.float32)

    def words(self, texts: Sequence[str]) -> list[Words]:
        """The words of each text with their vectors in context; without it where the model reads none."""
        texts = [readable(text) for text in texts]
        if not getattr(self._model.tokenizer, "is_fast", False):
            return _words_alone(self, texts)
        states = self._one_thread.submit(self._states, texts).result()
        return [self._gathered(text, state.float().cpu().numpy()) for text, state in zip(texts, states, strict=True)]

    def _states(self, texts: Sequence[str]) -> Any:
        return self._model.encode(list(texts), output_value="token_embeddings", show_progress_bar=False)

    def _gathered(self, text: str, states: Vectors) -> Words:
        """The words of a text from the states of its tokens: a word's vector is the mean of its pieces."""
        import numpy as np

        read = self._model.tokenizer(text, truncation=True, max_length=len(states), return_offsets_mapping=True)
        pieces: dict[int, list[int]] = {}
        for place, word in enumerate(read.word_ids()):
            if word is not None:
                pieces.setdefault(word, []).append(place)
        spans = read["offset_mapping"]
        texts = tuple(text[spans[places[0]][0] : spans[places[-1]][1]] for places in pieces.values())
        vectors = np.zeros((len(pieces), states.shape[1]), dtype=np.float32)
        for row, places in enumerate(pieces.values()):
            vectors[row] = states[places].mean(axis=0)
        return Words(texts, vectors / np.linalg.norm(vectors, axis=1, keepdims=True).clip(1e-9))


def without_bars() -> None:
    """Load models without a bar each on standard error: what is loading is told on the page and by `doctor`."""
    from transformers.utils import logging

    logging.disable_progress_bar()


def _single_threaded() -> Executor:
    """A worker whose torch uses one thread: a short text takes 9 ms on it, also while a language model keeps every
    core busy, where threads that wait for each other took 500 ms."""
    import torch

    threads = torch.get_num_threads()
    worker = ThreadPoolExecutor(1, "encode", lambda: torch.set_num_threads(1))
    worker.submit(bool).result()
    # torch gives new threads the number that was set last anywhere: set it back for them.
    restore = threading.Thread(target=torch.set_num_threads, args=(threads,))
    restore.start()
    restore.join()
    return worker
