"""From a question to ranked entries with their best passages, and whether the knowledge answers it at all."""

from __future__ import annotations

import difflib
import hashlib
import json
import math
import os
import re
import tempfile
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
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

# An entry's score is a weighted sum of: its nearest question or alias (cosine), the mean of its nearest passages
# (cosine), and BM25 over all its words (the best entry is 1). The weights, and those of the logistic regression for
# "answerable", are what `benchmarks/retrieval.py --fit` chose on the development half of its questions.
RANK_WEIGHTS = (0.4, 0.26, 0.33)
NEAREST_PASSAGES = 8
ANSWER_BIAS = -6.24
ANSWER_WEIGHTS = (0.87, 9.2, 10.29, -0.1)
ANSWERABLE_PROBABILITY = 0.4
LONG_QUERY_WORDS = 18  # a longer query is also looked up sentence by sentence
SPELLING = 0.83  # similarity (difflib ratio) from which an unknown word is taken for a misspelt one
RARE = 0.4  # a term in at most this share of the entries is rare enough to name one

_LONG_WORD = re.compile(r"[A-Za-z]{5,}")
_ASKED = frozenset({"question", "alias", "follow_up"})
_WORD = re.compile(r"[a-z0-9]+")
_AMERICAN = re.compile(r"iz(?=(?:e|es|ed|er|ers|ing|ation|ations)$)")
_ABBREVIATIONS = {
    "nn": "neural network", "nns": "neural networks", "ann": "artificial neural network", "dl": "deep learning",
    "ml": "machine learning", "bn": "batch normalisation", "batchnorm": "batch normalisation",
    "batch norm": "batch normalisation", "mlp": "multilayer perceptron", "backprop": "backpropagation",
    "back prop": "backpropagation", "hparams": "hyperparameters", "hyperparams": "hyperparameters",
    "convnet": "convolutional network cnn", "convnets": "convolutional networks cnn", "lr": "learning rate",
    "val": "validation", "acc": "accuracy", "params": "parameters", "fn": "function", "fns": "functions",
    "llm": "large language model llm", "llms": "large language models llm", "bs": "batch size", "nlp": "language",
    "ft": "fine-tuning", "finetune": "fine-tune", "finetuning": "fine-tuning", "pretrain": "pretrain",
}  # fmt: skip
_ABBREVIATION = re.compile(r"\b(?:" + "|".join(map(re.escape, _ABBREVIATIONS)) + r")\b", re.IGNORECASE)
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
    """The words of a text that carry meaning: lower case, plural endings off, British and American spelling as one."""
    words = [word for word in _WORD.findall(_in_full(text.lower())) if word not in _STOP_WORDS]
    return [_stem(word) for word in words]


def _stem(word: str) -> str:
    word = _AMERICAN.sub("is", word)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def _in_full(text: str) -> str:
    """A text with the field's abbreviations written out, since a sentence encoder knows few of them."""
    return _ABBREVIATION.sub(lambda match: _ABBREVIATIONS[match.group().lower()], text)


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
        self._groups = [
            (
                entry.id,
                [n for n, p in enumerate(self.passages) if p.entry == entry.id],
                [n for n, p in enumerate(self.passages) if p.entry == entry.id and p.kind in _ASKED],
            )
            for entry in self.entries
        ]
        self._entry_terms = {entry.id: set[str]() for entry in self.entries}
        for passage in self.passages:
            self._entry_terms[passage.entry].update(terms(passage.text))
        counts = Counter(term for found in self._entry_terms.values() for term in found)
        self._words = {word for p in self.passages for word in _LONG_WORD.findall(p.text.lower())}
        # Words that only one passage holds may be an alias's own misspelling: nothing is mended into them.
        seen = Counter(word for p in self.passages for word in set(_LONG_WORD.findall(p.text.lower())))
        self._by_initial: dict[str, list[str]] = {}
        for word, count in seen.items():
            if count > 1:
                self._by_initial.setdefault(word[0], []).append(word)
        self._idf = {term: _idf(count, len(self.entries)) for term, count in counts.items()}
        rare = _idf(RARE * len(self.entries), len(self.entries))
        self._names = {
            entry.id: {
                term
                for term in terms(f"{entry.title} {entry.id.replace('-', ' ')}")
                if self._idf.get(term, 0.0) >= rare
            }
            for entry in self.entries
        }

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
        words: dict[str, list[str]] = {entry.id: [] for entry in entries}
        for passage in passages:
            words[passage.entry] += terms(passage.text)
        lexical = bm25s.BM25(method="lucene")
        lexical.index([found or ["-"] for found in words.values()], show_progress=False)
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

    def strays(self, text: str, key: str) -> bool:
        """Whether a text has words that no entry knows, and at most half of its words are in the entry `key`."""
        own = set(terms(text))
        return bool(own - set(self._idf)) and 2 * len(own & self._entry_terms[key]) <= len(own)

    def named(self, text: str) -> tuple[str, ...]:
        """Ids of the entries whose name a text says outright, such as "gan" in "and what about a GAN?"."""
        said = set(terms(text))
        return tuple(key for key, own in self._names.items() if own and len(own & said) * 2 >= len(own))

    def search(
        self, query: str, best: int = 8, prior: Mapping[str, float] | None = None, typed: str | None = None
    ) -> SearchResult:
        """The `best` entries for a query, best first, and the probability that they answer it.

        `prior` adds to entries' scores. `typed` is what the user wrote, where the query was completed from the
        conversation: whether it lies outside the knowledge is judged by these words.
        """
        import numpy as np

        _, similarity = self._similarity(query)
        scores = self._scores(query, similarity)
        for key, extra in (prior or {}).items():
            scores[key] += extra
        ranked = sorted(scores, key=lambda key: (-scores[key], key))[: max(best, 1)]
        order = np.argsort(-similarity)
        hits = tuple(
            Hit(
                self._by_id[key],
                scores[key],
                tuple(self.passages[n] for n in order if self.passages[n].entry == key)[:6],
            )
            for key in ranked
        )
        return SearchResult(hits, _logistic(self._features(typed or query, ranked[0], similarity)))

    def features(self, query: str, typed: str | None = None) -> tuple[float, ...]:
        """What "answerable" is judged by; for `benchmarks/retrieval.py --fit`."""
        _, similarity = self._similarity(query)
        scores = self._scores(query, similarity)
        return self._features(typed or query, max(scores, key=lambda key: scores[key]), similarity)

    def rank_features(self, query: str) -> dict[str, tuple[float, ...]]:
        """What entries are ranked by, for each entry; for `benchmarks/retrieval.py --fit`."""
        _, similarity = self._similarity(query)
        return self._rank_features(query, similarity)

    def _similarity(self, query: str) -> tuple[Vectors, Vectors]:
        """The query's vectors (whole text first) and its best cosine with every passage, shape (passages,)."""
        import numpy as np

        query = _in_full(self._spelt(query))
        texts = [query]
        if len(query.split()) > LONG_QUERY_WORDS:
            texts += [s for s in split_sentences(query, loose=True) if len(s.split()) >= 4][: FEW_TEXTS - 1]
        vectors = self.encoder.encode(texts)
        scores, order = self._dense.search(vectors, len(self.passages))
        similarity = np.full(len(self.passages), -1.0, dtype=np.float32)
        for row_scores, row_order in zip(scores, order, strict=True):
            similarity[row_order] = np.maximum(similarity[row_order], row_scores)
        return vectors, similarity

    def _spelt(self, text: str) -> str:
        """A text with misspelt words of the field put right ("acuracy", "kernal")."""

        def mend(match: re.Match[str]) -> str:
            word = match.group()
            lowered = word.lower()
            if lowered in self._words or _stem(lowered) in self._idf:
                return word
            near = [w for w in self._by_initial.get(lowered[0], ()) if abs(len(w) - len(lowered)) <= 2]
            close = difflib.get_close_matches(lowered, near, 1, SPELLING)
            return close[0] if close else word

        return _LONG_WORD.sub(mend, text)

    def _scores(self, query: str, similarity: Vectors) -> dict[str, float]:
        return {
            key: sum(w * f for w, f in zip(RANK_WEIGHTS, features, strict=True))
            for key, features in self._rank_features(query, similarity).items()
        }

    def _rank_features(self, query: str, similarity: Vectors) -> dict[str, tuple[float, ...]]:
        import numpy as np

        lexical = self._lexical_scores(query)
        features: dict[str, tuple[float, ...]] = {}
        for n, (key, rows, asked) in enumerate(self._groups):
            nearest = np.sort(similarity[rows])[-NEAREST_PASSAGES:]
            features[key] = (float(similarity[asked].max()), float(nearest.mean()), float(lexical[n]))
        return features

    def _features(self, typed: str, best: str, similarity: Vectors) -> tuple[float, ...]:
        """Nearest passage, its lead over the topics outside, mean of the nearest, share of rare words known."""
        import numpy as np

        vectors, own = self._similarity(typed)
        inside = float(similarity.max())
        outside = float((self._outside @ vectors.T).max())
        words = set(terms(typed))
        unknown = _idf(0, len(self.entries))
        total = sum(self._idf.get(word, unknown) for word in words)
        known = sum(self._idf[word] for word in words & self._entry_terms[best])
        nearest = float(np.sort(similarity)[-NEAREST_PASSAGES:].mean())
        return (inside, max(inside, float(own.max())) - outside, nearest, known / total if total else 0.0)

    def _lexical_scores(self, query: str) -> Vectors:
        """BM25 of every entry, scaled so that the best of this query is 1 (0 without a shared term)."""
        import numpy as np

        words = [word for word in terms(query) if word in self._idf]
        if not words:
            return np.zeros(len(self.entries), dtype=np.float32)
        scores = np.asarray(self._lexical.get_scores(words), dtype=np.float32)
        top = float(scores.max())
        return scores / top if top > 0 else scores


def _idf(count: float, total: int) -> float:
    return math.log(1 + (total - count + 0.5) / (count + 0.5))


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
