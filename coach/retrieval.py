"""From a question to ranked entries with their best passages, and whether the knowledge answers it at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coach import ranking
from coach.encoder import Encoder, SentenceEncoder, words_of
from coach.errors import RetrievalError
from coach.knowledge import Entry
from coach.outside import built_in_ids, outside_passages
from coach.passages import Passage, passages_of
from coach.plain_text import readable
from coach.ranking import Look, Ranking, answerable_probability, entry_scores
from coach.vector_store import kept_vectors
from coach.vocabulary import Vocabulary, in_full, terms
from coach.words import Words

if TYPE_CHECKING:
    from coach.encoder import Vectors as Vectors
    from coach.ranking import Scores

__all__ = ["Encoder", "Hit", "Index", "Passage", "SearchResult", "SentenceEncoder", "passages_of", "terms"]

MOST_CHARACTERS = 4000  # of a query, half from its start and half from its end: an encoder reads no more
SHOWN_PASSAGES = 6

# Cosine of a topic outside with a passage of a user's own entry from which that entry covers it. At 0.5, 12 of 16 plain
# questions to a bare entry (XGBoost, PCA, RLHF ...) were answered, at 0.7 10, and none to another topic at either.
COVERED_BY_OWN = 0.5


@dataclass(frozen=True)
class Hit:
    """An entry that matches a question; `score` grows with the match.

    `passages` are the best first. Misconceptions find their entry but are never among them: they would read as true.
    """

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
        return self.probability >= ranking.ANSWERABLE_PROBABILITY


class Index:
    """Passages of all entries in a FAISS index beside a BM25 ranking of the same passages."""

    def __init__(
        self, entries: Sequence[Entry], encoder: Encoder, passages: Sequence[Passage], dense: Any, ranking: Ranking
    ) -> None:
        self.entries = tuple(entries)
        self.encoder = encoder
        self.passages = tuple(passages)
        self._dense = dense
        self._ranking = ranking
        self._by_id = {entry.id: entry for entry in self.entries}
        self._rows = {passage: row for row, passage in enumerate(self.passages)}
        self._text_rows = {passage.text: row for row, passage in enumerate(self.passages)}
        self._vocabulary = Vocabulary(self.entries, self.passages)

    @classmethod
    def build(cls, entries: Sequence[Entry], encoder: Encoder, cache_dir: Path | None = None) -> Index:
        """Index the entries; the vectors of texts that were indexed before are taken from `cache_dir`.

        Raises `RetrievalError` when there is no entry.
        """
        import faiss
        import numpy as np

        if not entries:
            raise RetrievalError("There is no entry to index; name a folder that holds at least one.")
        passages = [passage for entry in entries for passage in passages_of(entry)]
        texts = [passage.text for passage in passages] + list(outside_passages())
        vectors = kept_vectors(texts, encoder, cache_dir)
        inside, outside = np.ascontiguousarray(vectors[: len(passages)]), vectors[len(passages) :]
        built_in = built_in_ids()
        own = np.array([passage.entry not in built_in for passage in passages])
        if own.any():
            outside = outside[(outside @ inside[own].T).max(axis=1) < COVERED_BY_OWN]
        dense = faiss.IndexFlatIP(inside.shape[1])
        dense.add(inside)
        return cls(entries, encoder, passages, dense, Ranking(passages, inside, np.ascontiguousarray(outside)))

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

    @property
    def name(self) -> str:
        """The name of the encoder: an index is one that knows its own texts."""
        return self.encoder.name

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Unit vectors of the texts, shape (texts, dimensions); those of indexed texts are looked up."""
        import numpy as np

        vectors = np.empty((len(texts), self._dense.d), dtype=np.float32)
        rows = [self._text_rows.get(text) for text in texts]
        known = [n for n, row in enumerate(rows) if row is not None]
        others = [n for n, row in enumerate(rows) if row is None]
        if known:
            vectors[known] = self._dense.reconstruct_batch(np.array([rows[n] for n in known], dtype=np.int64))
        if others:
            vectors[others] = self.encoder.encode([texts[n] for n in others])
        return vectors

    def words(self, texts: Sequence[str]) -> list[Words]:
        """The words of each text in context, as the encoder reads them; see `words_of`."""
        return words_of(self.encoder, texts)

    def named(self, text: str) -> tuple[str, ...]:
        """Ids of the entries whose name a text says outright, such as "gan" in "and what about a GAN?"."""
        return self._vocabulary.named(readable(text))

    def only_named(self, text: str) -> str:
        """The id of the entry whose name is all that a text says; empty if there is none."""
        return self._vocabulary.only_named(readable(text))

    def new_terms(self, text: str, known_by: str, held_by: str) -> frozenset[str]:
        """The rare terms of a text that belong to one entry rather than to another, which was talked about."""
        return self._vocabulary.new_terms(readable(text), known_by, held_by)

    def speaks_of(self, key: str, text: str) -> bool:
        """Whether an entry holds every term of a text."""
        return self._vocabulary.speaks_of(key, readable(text))

    def search(
        self,
        query: str,
        best: int = 8,
        prior: Mapping[str, float] | None = None,
        typed: str | None = None,
        held: bool = False,
    ) -> SearchResult:
        """The `best` entries for a query, best first, and the probability that they answer it.

        `prior` adds to entries' scores. `typed` is what the user wrote, where the query was completed from the
        conversation: when these words alone lie outside the knowledge, they alone are looked up, unless the entry that
        is talked about has them all (`held`): "what is temperature?" asks something else in a talk of sampling.
        """
        import numpy as np

        look = self._look(query, typed)
        if typed is not None and self._ranking.strays(look):
            if not held:
                return self.search(typed, best)
            look = replace(look, typed=look.whole)
        similarity, order = self._similarity(look.whole)
        scores = entry_scores(self._ranking.features(look, similarity))
        for key, extra in (prior or {}).items():
            scores[self._ranking.entries.index(key)] += extra
        ranked = np.argsort(-scores, kind="stable")[: max(best, 1)]
        shown: dict[str, list[Passage]] = {self._ranking.entries[n]: [] for n in ranked}
        for row in order:
            passage = self.passages[row]
            found = shown.get(passage.entry)
            if found is not None and passage.kind != "claim" and len(found) < SHOWN_PASSAGES:
                found.append(passage)
        hits = tuple(
            Hit(self._by_id[key], float(scores[n]), tuple(shown[key]))
            for n, key in ((n, self._ranking.entries[n]) for n in ranked)
        )
        features = self._ranking.answer_features(look, similarity, int(ranked[0]))
        return SearchResult(hits, answerable_probability(features, typed is not None))

    def features(self, query: str, typed: str | None = None) -> tuple[Scores, tuple[float, ...]]:
        """What entries are ranked by, in their order, and what "answerable" is judged by: for fitting the weights."""
        look = self._look(query, typed)
        similarity, _ = self._similarity(look.whole)
        table = self._ranking.features(look, similarity)
        return table, self._ranking.answer_features(look, similarity, int(entry_scores(table).argmax()))

    def _look(self, query: str, typed: str | None) -> Look:
        """A query as vectors, all of them encoded at once."""
        text = self._completed(query)
        vectors = self.encoder.encode([text] if typed is None else [text, self._completed(typed)])
        whole = vectors[0]
        return Look(text, whole, whole if typed is None else vectors[1])

    def _completed(self, text: str) -> str:
        """A text cut to a length, with misspelt words put right and abbreviations written out."""
        text = readable(text)
        if len(text) > MOST_CHARACTERS:
            text = f"{text[: MOST_CHARACTERS // 2]} {text[-MOST_CHARACTERS // 2 :]}"
        return in_full(self._vocabulary.mended(text))

    def _similarity(self, vector: Vectors) -> tuple[Vectors, Sequence[int]]:
        """The cosine of a vector with every passage, shape (passages,), and the passages' rows, nearest first."""
        import numpy as np

        scores, order = self._dense.search(vector[None, :], len(self.passages))
        similarity = np.empty(len(self.passages), dtype=np.float32)
        similarity[order[0]] = scores[0]
        return similarity, order[0].tolist()
