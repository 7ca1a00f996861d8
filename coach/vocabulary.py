"""The words of the field: how texts become terms, which terms are rare, and how misspelt ones are put right."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence

from coach.knowledge import Entry
from coach.passages import Passage

SPELLING = 0.83  # similarity (difflib ratio) from which an unknown word is taken for a misspelt one
MOST_MENDED = 20  # unknown words looked at in one text: each costs a millisecond
INFLECTED = 7  # first letters by which words are the same in another form: "saturation" and "saturate"
# How many times as many passages of one entry have a term as of another for the term to belong to the first: chosen
# on the development turns of `benchmarks/retrieval.py`, of which 2 to 3 send 43 of 45 elsewhere, 5 and more 42.
BELONGS = 3
RARE = 0.4  # a term in at most this share of the entries is rare enough to name one

_LONG_WORD = re.compile(r"[A-Za-z]{5,}")
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
# What people say around a subject when they turn to it: "ok, next topic please: GPUs".
_TURNING = frozenset(
    "about again alright back let let's come different fine first go going good great hm know like look move next now "
    "ok okay once more one other question return returning right sure switch talk thank thanks thing topic want well "
    "another learn hear subject something else continue yes also oh need understand say".split()
)


_TEST_TIME = re.compile(r"\b(?:test|evaluation|prediction|inference) time\b|\beval(?:uation)? mode\b", re.IGNORECASE)


def at_inference(text: str) -> str:
    """A text in which the time when a model is only used has one name, inference."""
    return _TEST_TIME.sub("inference", text)


def terms(text: str) -> list[str]:
    """The words of a text that carry meaning: lower case, plural endings off, British and American spelling as one."""
    words = [word for word in _WORD.findall(in_full(text.lower())) if word not in _STOP_WORDS]
    return [stem(word) for word in words]


def stem(word: str) -> str:
    """A word without its plural ending, in British spelling."""
    word = _AMERICAN.sub("is", word)
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if word.endswith("us") and len(word) <= 4:
        return word[:-1]  # gpus, cpus, tpus
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def in_full(text: str) -> str:
    """A text with the field's abbreviations written out, since a sentence encoder knows few of them."""
    return _ABBREVIATION.sub(lambda match: _ABBREVIATIONS[match.group().lower()], text)


class Vocabulary:
    """The terms of all entries, how rare each is, and which of them name an entry."""

    def __init__(self, entries: Sequence[Entry], passages: Sequence[Passage]) -> None:
        self.by_entry: dict[str, set[str]] = {entry.id: set() for entry in entries}
        self._passages = {entry.id: Counter[str]() for entry in entries}  # how many have each term, in any form
        for passage in passages:
            found = set(terms(passage.text))
            self.by_entry[passage.entry].update(found)
            self._passages[passage.entry].update({term[:INFLECTED] for term in found})
        counts = Counter(term for found in self.by_entry.values() for term in found)
        self._total = len(entries)
        self.known = frozenset(counts)
        self._rare = {term for term, count in counts.items() if count <= RARE * self._total}
        # A word that only one passage holds may be an alias's own misspelling: nothing is mended into it.
        seen = Counter(word for p in passages for word in set(_LONG_WORD.findall(p.text.lower())))
        self._words = frozenset(seen)
        self._by_initial: dict[str, list[str]] = {}
        for word, count in seen.items():
            if count > 1:
                self._by_initial.setdefault(word[0], []).append(word)
        self._names = {entry.id: _names(entry) for entry in entries}

    def mended(self, text: str) -> str:
        """A text with misspelt words of the field put right ("acuracy", "kernal")."""
        left = MOST_MENDED

        def mend(match: re.Match[str]) -> str:
            nonlocal left
            word = match.group()
            lowered = word.lower()
            if lowered in self._words or stem(lowered) in self.known or left == 0:
                return word
            left -= 1
            near = [w for w in self._by_initial.get(lowered[0], ()) if abs(len(w) - len(lowered)) <= 2]
            close = difflib.get_close_matches(lowered, near, 1, SPELLING)
            return close[0] if close else word

        return _LONG_WORD.sub(mend, text)

    def named(self, text: str) -> tuple[str, ...]:
        """Ids of the entries whose name a text says outright, such as "gan" in "and what about a GAN?".

        A name of several words has to be there as a whole; so does a name of one rare word. A common word ("layers")
        names its entry when the text says nothing else.
        """
        said = self._said(text)
        found = []
        for key, names in self._names.items():
            for name in names:
                if name <= said and (len(name) > 1 or name <= self._rare or said - name <= _TURNING):
                    found.append(key)
                    break
        return tuple(found)

    def only_named(self, text: str) -> str:
        """The id of the entry whose name is all that a text says, such as "gan" in "ok, and GANs?"; empty if none."""
        said = self._said(text)
        return next(
            (key for key, names in self._names.items() if any(n <= said and said - n <= _TURNING for n in names)), ""
        )

    def new_terms(self, text: str, known_by: str, held_by: str) -> frozenset[str]:
        """The rare terms of a text that belong to the entry `held_by` rather than to `known_by`."""
        known, held = self._passages[known_by], self._passages[held_by]
        said = self._said(text) & self._rare & self.by_entry[held_by]
        return frozenset(term for term in said if BELONGS * known[term[:INFLECTED]] < held[term[:INFLECTED]])

    def speaks_of(self, key: str, text: str) -> bool:
        """Whether an entry holds every term of a text; letters alone are too few, as of "k-means"."""
        said = self._said(text)
        return said <= self.by_entry[key] and any(len(term) > 1 for term in said)

    def _said(self, text: str) -> frozenset[str]:
        return frozenset(terms(self.mended(text)))


def _names(entry: Entry) -> tuple[frozenset[str], ...]:
    """The sets of terms that each name an entry: its title, its id, and what it is called for short."""
    texts = (entry.title, entry.id.replace("-", " "), *_SHORT_NAMES.get(entry.id, ()))
    return tuple(dict.fromkeys(frozenset(found) for text in texts if (found := terms(text))))


_SHORT_NAMES = {
    "artificial-neural-network": ("neural network", "neural net"),
    "batch-normalisation": ("batch norm", "batchnorm"),
    "bias-variance": ("bias variance", "bias-variance trade-off", "bias-variance tradeoff"),
    "cnn": ("convnet", "convolutional network", "cnn"),
    "forward-backward-propagation": ("backpropagation", "back propagation", "forward pass", "backward pass"),
    "gpu": ("graphics card",),
    "hyperparameters": ("hyperparameter",),
    "llm-ethics": ("llm risks", "risks of language models"),
    "single-vs-multilayer-perceptron": ("perceptron", "mlp"),
    "text-generation": ("generating text",),
    "transformer": ("self-attention",),
}
