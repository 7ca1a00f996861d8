"""Sentence encoders: texts in, unit vectors out."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from coach.errors import RetrievalError
from coach.plain_text import readable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

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
