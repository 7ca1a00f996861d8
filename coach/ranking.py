"""How well each entry matches a question, and whether any of them answers it: features and learned weights."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from coach.passages import ASKED, Passage
from coach.vocabulary import terms

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from coach.encoder import Vectors

    Scores = NDArray[np.float64]

# What `benchmarks/retrieval.py --fit` chose on the development questions: a conditional logit over the entries, and a
# logistic regression for "answerable".
RANK_FEATURES = ("asked", "nearest", "terms", "terms, one passage", "probe", "spelling")
RANK_WEIGHTS = (0.149, 0.23, 0.082, 0.102, 0.257, 0.18)
ANSWER_FEATURES = ("lead", "nearest", "terms", "outside", "spelling")
ANSWER_BIAS = -6.97
ANSWER_WEIGHTS = (14.09, 18.74, 6.26, -15.75, 5.58)
ANSWERABLE_PROBABILITY = 0.5

# A turn of a conversation strays when its own words lie nearer to a topic outside than this many cosines for one of
# lead allow: chosen on the turns of `data/turns.jsonl`. One that does not is more likely to be answered by what the
# conversation is about than the same words would be alone.
STRAYING = (0.9, -0.33)
CONTEXT_BIAS = 1.0

NEAREST_PASSAGES = 8
LEAD_PASSAGES = 3
MOST_TERMS = 2.0  # BM25 (in tens) from which more shared terms say nothing more
RIDGE = 10.0  # of the linear probe: the larger, the nearer to a plain mean of an entry's vectors

RECENT = 8  # questions whose words are remembered: one for each of several visitors at a time

_GRAM_SIZES = (3, 4)
_LETTERS = re.compile(r"[a-z0-9]+")


@dataclass(frozen=True)
class Look:
    """A question as vectors: of the whole text, and of what the user typed of it."""

    text: str
    whole: Vectors
    typed: Vectors


class Ranking:
    """What the entries hold, arranged so that a question is compared with all of it at once.

    `passages` stand entry by entry; `vectors` has a row for each, `outside` one for each topic that no entry covers.
    """

    def __init__(self, passages: Sequence[Passage], vectors: Vectors, outside: Vectors) -> None:
        import numpy as np

        self._passages = vectors
        self._outside = outside
        self.entries = tuple(dict.fromkeys(p.entry for p in passages))
        place = {key: n for n, key in enumerate(self.entries)}
        self._entry_of = np.array([place[p.entry] for p in passages])
        self._starts = np.searchsorted(self._entry_of, np.arange(len(self.entries)))
        self._asked = np.flatnonzero([p.kind in ASKED for p in passages])
        self._asked_starts = np.searchsorted(self._entry_of[self._asked], np.arange(len(self.entries)))
        words = [terms(p.text) for p in passages]
        by_entry: list[list[str]] = [[] for _ in self.entries]
        for n, found in zip(self._entry_of, words, strict=True):
            by_entry[n] += found
        self._by_entry = _bm25(by_entry)
        self._by_passage = _bm25(words)
        self._known = frozenset(word for found in words for word in found)
        self._spelling = _Spelling([p.text for p in passages if p.kind in ASKED])
        # Ranking and "answerable" both ask for the same question's words, one after the other.
        self._by_words = lru_cache(maxsize=RECENT)(self._words)
        self._probe = _probe(vectors[self._asked], self._entry_of[self._asked], outside)

    def features(self, look: Look, similarity: Vectors) -> Scores:
        """What entries are ranked by, shape (entries, features); `similarity` is the cosine with every passage."""
        import numpy as np

        asked = self._best_asked(similarity[self._asked])
        rows = np.split(similarity, self._starts[1:])
        nearest = np.array(
            [
                np.partition(row, -NEAREST_PASSAGES)[-NEAREST_PASSAGES:].mean()
                if len(row) > NEAREST_PASSAGES
                else row.mean()
                for row in rows
            ]
        )
        weights, bias = self._probe
        probe = (look.whole @ weights + bias)[: len(self.entries)]
        whole, single, spelling = self._by_words(look.text)
        table: Scores = np.stack(
            [asked, nearest, _scaled(whole), _scaled(single), probe, spelling], axis=1, dtype=np.float64
        )
        return table

    def answer_features(self, look: Look, similarity: Vectors, best: int) -> tuple[float, ...]:
        """What "answerable" is judged by, with the entry `best` on top.

        The lead is that of the nearest passages over the nearest topics outside, by what the user typed: words added
        from the conversation would bring a question about bread near to the entry that was talked about.
        """
        import numpy as np

        lead, outside = self._lead(look.typed, similarity if look.typed is look.whole else None)
        whole, _, spelling = self._by_words(look.text)
        return (
            lead,
            float(np.sort(similarity)[-NEAREST_PASSAGES:].mean()),
            min(float(whole[best]) / 10, MOST_TERMS),
            outside,
            float(spelling[best]),
        )

    def strays(self, look: Look) -> bool:
        """Whether what the user typed in a conversation asks for a topic outside, whatever was talked about."""
        lead, outside = self._lead(look.typed)
        return lead - STRAYING[0] * outside < STRAYING[1]

    def _lead(self, vector: Vectors, similarity: Vectors | None = None) -> tuple[float, float]:
        """How much nearer the nearest passages are than the nearest topics outside, and how near those are."""
        import numpy as np

        inside = np.sort(self._passages @ vector if similarity is None else similarity)[-LEAD_PASSAGES:]
        outside = np.sort(self._outside @ vector)[-LEAD_PASSAGES:] if len(self._outside) else np.zeros(1)
        return float(inside.mean() - outside.mean()), float(outside.max())

    def _best_asked(self, values: Any) -> Any:
        import numpy as np

        return np.maximum.reduceat(values, self._asked_starts)

    def _words(self, text: str) -> tuple[Any, Any, Any]:
        """For every entry: BM25 as a whole, of its best passage, and likeness in spelling."""
        return (*self._terms(text), self._best_asked(self._spelling.scores(text)))

    def _terms(self, text: str) -> tuple[Any, Any]:
        """BM25 of every entry as a whole, and of its best passage."""
        import numpy as np

        words = [word for word in dict.fromkeys(terms(text)) if word in self._known]
        if not words:
            return np.zeros(len(self.entries)), np.zeros(len(self.entries))
        return self._by_entry.get_scores(words), np.maximum.reduceat(self._by_passage.get_scores(words), self._starts)


def entry_scores(features: Scores) -> Scores:
    """The score of each entry, from its features."""
    import numpy as np

    scores: Scores = features @ np.array(RANK_WEIGHTS)
    return scores


def answerable_probability(features: Sequence[float], in_context: bool = False) -> float:
    """The probability (0 to 1) that the knowledge answers the question."""
    score = ANSWER_BIAS + CONTEXT_BIAS * in_context + sum(w * f for w, f in zip(ANSWER_WEIGHTS, features, strict=True))
    return 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, score))))


class _Spelling:
    """Nearness of texts by the groups of letters they share, which survives slips of the finger (TF-IDF, cosine)."""

    def __init__(self, texts: Sequence[str]) -> None:
        import numpy as np

        self._count = len(texts)
        counted = [Counter(_grams(text)) for text in texts]
        seen = Counter(gram for counts in counted for gram in counts)
        self._idf = {gram: math.log(1 + self._count / count) for gram, count in seen.items()}
        found: dict[str, tuple[list[int], list[float]]] = {gram: ([], []) for gram in seen}
        for row, counts in enumerate(counted):
            weights = self._weights(counts)
            for gram, weight in weights.items():
                rows, values = found[gram]
                rows.append(row)
                values.append(weight)
        self._found = {gram: (np.array(rows), np.array(values)) for gram, (rows, values) in found.items()}

    def scores(self, text: str) -> Any:
        """Cosine (0 to 1) of a text with every indexed one, shape (texts,)."""
        import numpy as np

        total = np.zeros(self._count)
        for gram, weight in self._weights(Counter(_grams(text))).items():
            if gram in self._found:
                rows, values = self._found[gram]
                total[rows] += weight * values
        return total

    def _weights(self, counts: Counter[str]) -> dict[str, float]:
        unseen = math.log(1 + self._count)
        weights = {gram: (1 + math.log(n)) * self._idf.get(gram, unseen) for gram, n in counts.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values()))
        return {gram: weight / length for gram, weight in weights.items()}


def _grams(text: str) -> list[str]:
    spaced = f" {' '.join(_LETTERS.findall(text.lower()))} "
    return [spaced[n : n + size] for size in _GRAM_SIZES for n in range(len(spaced) - size + 1)]


def _bm25(documents: Sequence[Sequence[str]]) -> Any:
    import bm25s

    found = bm25s.BM25(method="lucene")
    found.index([list(words) or ["-"] for words in documents], show_progress=False)
    return found


def _scaled(scores: Any) -> Any:
    """Scores so that the best is 1; all 0 when none is positive."""
    top = scores.max()
    return scores / top if top > 0 else scores


def _probe(vectors: Vectors, entry_of: Any, outside: Vectors) -> tuple[Any, Any]:
    """A linear probe: weights and bias that tell an entry's questions from those of the others and from outside.

    Ridge regression on one indicator for each entry and one for outside, each group of the same total weight.
    """
    import numpy as np

    groups = int(entry_of.max()) + 1
    rows = np.concatenate([vectors, outside]).astype(np.float64)
    group = np.concatenate([entry_of, np.full(len(outside), groups)])
    weight = (1.0 / np.bincount(group, minlength=groups + 1).clip(1))[group]
    weight *= len(weight) / weight.sum()
    targets = np.eye(groups + 1)[group]
    middle = np.average(rows, axis=0, weights=weight)
    share = np.average(targets, axis=0, weights=weight)
    weighted = ((rows - middle) * weight[:, None]).T
    found = np.linalg.solve(weighted @ (rows - middle) + RIDGE * np.eye(rows.shape[1]), weighted @ (targets - share))
    return found, share - middle @ found
