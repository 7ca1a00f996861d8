"""From a question to ranked entries with their best passages, and whether the knowledge answers it at all."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import tempfile
import threading
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from coach.errors import RetrievalError
from coach.knowledge import Entry
from coach.outside import outside_passages
from coach.sentences import split_sentences

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Vectors = NDArray[np.float32]

PassageKind = Literal["question", "alias", "answer", "key_point", "why", "follow_up", "expected", "claim", "correction"]

FEW_TEXTS = 4  # up to here a single thread is quicker than several that wait for each other
INDEX_FORMAT = 2  # part of the cache key: raise it when passages or vectors change their meaning

# Weights of the two rankings and the logistic that turns their features into a probability, all chosen by
# `benchmarks/retrieval.py --fit` on the development half of its questions.
LEXICAL_WEIGHT = 0.12
ANSWER_BIAS = -4.0
ANSWER_WEIGHTS = (12.0, 8.0, 2.0)
ANSWERABLE_PROBABILITY = 0.5

_WORD = re.compile(r"[a-z0-9]+")
_STOP_WORDS = frozenset(
    "a an and are as at be been but by can could d did do does doing for from had has have how i if in into is it "
    "its just ll m me my no not of on or our please re s should so some t tell than that the their them then there "
    "these they this those to too up us ve very was we were what when where which while who why will with would you "
    "your explain describe mean means".split()
)


@dataclass(frozen=True)
class Passage:
    """A piece of an entry that a question can match; `key` is the key point behind it, where there is one."""

    entry: str
    kind: PassageKind
    text: str
    key: str = ""


@dataclass(frozen=True)
class Hit:
    """An entry that matches a question; `score` grows with the match, `passages` are the best first."""

    entry: Entry
    score: float
    passages: tuple[Passage, ...]


@dataclass(frozen=True)
class SearchResult:
    """Entries, best first, and the probability (0 to 1) that the knowledge answers the question."""

    hits: tuple[Hit, ...]
    probability: float

    @property
    def answerable(self) -> bool:
        """Whether the knowledge answers the question."""
        return self.probability >= ANSWERABLE_PROBABILITY


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
            list(texts),
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


def passages_of(entry: Entry) -> tuple[Passage, ...]:
    """Everything in an entry that a question can match."""
    found = [Passage(entry.id, "question", entry.question)]
    found += [Passage(entry.id, "alias", alias) for alias in entry.aliases]
    found += [Passage(entry.id, "answer", sentence) for sentence in split_sentences(entry.answer)]
    for point in entry.key_points:
        found.append(Passage(entry.id, "key_point", point.text, point.id))
        if point.why:
            found.append(Passage(entry.id, "why", point.why, point.id))
    for follow_up in entry.follow_ups:
        found.append(Passage(entry.id, "follow_up", follow_up.question, follow_up.probes))
        found += [Passage(entry.id, "expected", text, follow_up.probes) for text in follow_up.expects]
    for misconception in entry.misconceptions:
        found.append(Passage(entry.id, "claim", misconception.claim))
        found.append(Passage(entry.id, "correction", misconception.correction))
    return tuple(dict.fromkeys(found))


def terms(text: str) -> list[str]:
    """The words of a text that carry meaning, lower case, with plural endings taken off."""
    words = [word for word in _WORD.findall(text.lower()) if word not in _STOP_WORDS]
    return [_singular(word) for word in words]


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


class Index:
    """Passages of all entries in a FAISS index beside a BM25 ranking of the same passages."""

    def __init__(
        self,
        entries: Sequence[Entry],
        encoder: Encoder,
        passages: Sequence[Passage],
        dense: Any,
        lexical: Any,
        outside: Vectors,
    ) -> None:
        self.entries = tuple(entries)
        self.encoder = encoder
        self.passages = tuple(passages)
        self._dense = dense
        self._lexical = lexical
        self._outside = outside
        self._by_id = {entry.id: entry for entry in self.entries}
        self._rows = {passage: row for row, passage in enumerate(self.passages)}
        self._vocabulary = {term for passage in self.passages for term in terms(passage.text)}

    @classmethod
    def build(cls, entries: Sequence[Entry], encoder: Encoder, cache_dir: Path | None = None) -> Index:
        """Index the entries; vectors are taken from `cache_dir` when entries and encoder are unchanged.

        Raises `RetrievalError` when there is no entry.
        """
        import bm25s
        import faiss
        import numpy as np

        if not entries:
            raise RetrievalError("There is no entry to index; name a folder that holds at least one.")
        passages = [passage for entry in entries for passage in passages_of(entry)]
        outside = outside_passages()
        texts = [passage.text for passage in passages] + list(outside)
        vectors = _cached_vectors(texts, encoder, cache_dir)
        inside = np.ascontiguousarray(vectors[: len(passages)])
        dense = faiss.IndexFlatIP(inside.shape[1])
        dense.add(inside)
        lexical = bm25s.BM25(method="lucene")
        lexical.index([terms(passage.text) or ["-"] for passage in passages], show_progress=False)
        return cls(entries, encoder, passages, dense, lexical, vectors[len(passages) :])

    def entry(self, key: str) -> Entry:
        """The entry with this id; raises `RetrievalError` that names what there is."""
        if key not in self._by_id:
            raise RetrievalError(f"There is no entry {key!r}; use one of {', '.join(sorted(self._by_id))}.")
        return self._by_id[key]

    def vectors_of(self, passages: Sequence[Passage]) -> Vectors:
        """Stored unit vectors of indexed passages, shape (passages, dimensions); raises `KeyError` for others."""
        import numpy as np

        rows = np.array([self._rows[passage] for passage in passages], dtype=np.int64)
        vectors: Vectors = self._dense.reconstruct_batch(rows)
        return vectors

    def search(self, query: str, best: int = 8, prior: dict[str, float] | None = None) -> SearchResult:
        """The `best` entries for a query and whether they answer it; `prior` adds to entries' scores."""
        import numpy as np

        vector, similarity = self._similarity(query)
        lexical = self._lexical_scores(query)
        combined = similarity + LEXICAL_WEIGHT * lexical
        by_entry: dict[str, list[int]] = {}
        for position in np.argsort(-combined):
            by_entry.setdefault(self.passages[position].entry, []).append(int(position))
        prior = prior or {}
        ranked = sorted(
            ((float(combined[rows[0]]) + prior.get(key, 0.0), key) for key, rows in by_entry.items()),
            key=lambda pair: (-pair[0], pair[1]),
        )
        hits = tuple(
            Hit(self._by_id[key], score, tuple(self.passages[row] for row in by_entry[key][:6]))
            for score, key in ranked[: max(best, 1)]
        )
        features = self._features(query, vector, similarity, lexical)
        return SearchResult(hits, _logistic(features))

    def features(self, query: str) -> tuple[float, ...]:
        """What answerability is judged by; for `benchmarks/retrieval.py --fit`."""
        vector, similarity = self._similarity(query)
        return self._features(query, vector, similarity, self._lexical_scores(query))

    def _similarity(self, query: str) -> tuple[Vectors, Vectors]:
        """The query's vector, shape (1, dimensions), and its cosine with every passage, shape (passages,)."""
        import numpy as np

        vector = self.encoder.encode([query])
        scores, order = self._dense.search(vector, len(self.passages))
        similarity = np.empty(len(self.passages), dtype=np.float32)
        similarity[order[0]] = scores[0]
        return vector, similarity

    def _features(self, query: str, vector: Vectors, similarity: Vectors, lexical: Vectors) -> tuple[float, ...]:
        inside = float(similarity.max())
        outside = float((self._outside @ vector[0]).max())
        words = set(terms(query))
        known = len(words & self._vocabulary) / len(words) if words else 0.0
        return (inside, inside - outside, known)

    def _lexical_scores(self, query: str) -> Vectors:
        """BM25 of every passage, scaled so that the best of this query is 1 (0 without a shared term)."""
        import numpy as np

        words = [word for word in terms(query) if word in self._vocabulary]
        if not words:
            return np.zeros(len(self.passages), dtype=np.float32)
        scores = np.asarray(self._lexical.get_scores(words), dtype=np.float32)
        top = float(scores.max())
        return scores / top if top > 0 else scores


def _logistic(features: Sequence[float]) -> float:
    score = ANSWER_BIAS + sum(w * f for w, f in zip(ANSWER_WEIGHTS, features, strict=True))
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))


def _cached_vectors(texts: Sequence[str], encoder: Encoder, cache_dir: Path | None) -> Vectors:
    import numpy as np

    if cache_dir is None:
        return encoder.encode(texts)
    # The first vector tells encoders of one name apart; rounded, so that processors agree on it.
    probe = encoder.encode(texts[:1])[0].round(2).tolist()
    key = hashlib.sha256(json.dumps([INDEX_FORMAT, encoder.name, probe, list(texts)]).encode()).hexdigest()[:32]
    path = cache_dir / "index" / f"{key}.npy"
    if path.is_file():
        try:
            vectors: Vectors = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError):
            vectors = np.zeros((0, 0), dtype=np.float32)  # damaged: built again below
        if len(vectors) == len(texts):
            return vectors
    vectors = encoder.encode(texts)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npy")
    with os.fdopen(handle, "wb") as file:
        np.save(file, vectors)
    os.replace(temporary, path)
    for old in sorted(path.parent.glob("*.npy"), key=lambda p: p.stat().st_mtime)[:-4]:
        old.unlink(missing_ok=True)
    return vectors
