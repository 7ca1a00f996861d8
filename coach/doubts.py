"""Which words of a recording to ask back about: those that may be misheard and on which a verdict may hang."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from coach.pronunciation import SoundIndex, sounds
from coach.terms import FUNCTION_WORDS, folded, terms_in
from coach.transcript import Transcript, Word, bare, doubtful

# The highest probability under which two in five of the words asked about are wrong; a third of the wrong words that
# bear on a point are found, with 1.5 questions an answer (dev recordings of benchmarks/speech.py).
DOUBTFUL = 0.5
MOST_ASKED = 3  # words asked about at a time, the least sure ones; more would be a chore
LEAST_SHARED = 2  # content words that a sentence shares with a point from which it is about that point
SOUNDS_LIKE = 0.35  # distance in sound from a point's word up to which another word may be that word misheard
TURNS_ROUND = frozenset(
    "not no never none neither nor without only always zero less more fewer lower higher smaller larger before after "
    "don't doesn't didn't isn't aren't wasn't won't can't cannot increases decreases increase decrease".split()
)
_NUMBER = re.compile(r"\d")
_PLAIN = FUNCTION_WORDS | frozenset(
    "each every from into when where which what who how they them their there these those some any all one two he she "
    "be been being can could would should may might will do does did than also just very like such only not no i me "
    "my your our us if because between over under about up out".split()
)


def stems(text: str) -> set[str]:
    """The content words of a text without their endings."""
    words = (re.sub(r"[^\w']", "", word) for word in folded(text).split())
    return {re.sub(r"(?<=\w{3})(?:ing|ed|es|s|e)$", "", word) for word in words if word and word not in _PLAIN}


def doubts(
    transcript: Transcript, points: Sequence[str], below: float = DOUBTFUL, most: int = MOST_ASKED
) -> tuple[Word, ...]:
    """The `most` least sure words under `below` that would change what a sentence says about one of the points.

    Such a word is a term of a point, or stands in a sentence about a point and is one of that point's words, sounds
    like one that the sentence lacks, turns the sentence round ("not"), or is a number.
    """
    found = set(doubtful(transcript, terms_in(points), below))
    about = [(stems(point), SoundIndex(tuple(sounds(word) for word in sorted(stems(point))))) for point in points]
    for sentence in _sentences(transcript.words):
        said = stems(" ".join(word.text for word in sentence))
        unsure = [word for word in sentence if word.probability < below]
        found.update(word for word in unsure if any(_bears(word, said, *point) for point in about))
    least = sorted(found, key=lambda word: word.probability)[:most]
    return tuple(sorted(least, key=lambda word: word.start))


def _bears(word: Word, said: set[str], wanted: set[str], index: SoundIndex) -> bool:
    """Whether another word in this place would change what a sentence (its stems `said`) says about a point."""
    own = stems(word.text)
    shared = len(wanted & (said - own))
    if own & wanted:
        return shared >= LEAST_SHARED - 1
    if shared < LEAST_SHARED:
        return False
    if bare(word.text) in TURNS_ROUND or _NUMBER.search(word.text):
        return True
    return bool(own) and float(index.distances(sounds(bare(word.text))).min()) <= SOUNDS_LIKE


def _sentences(words: Sequence[Word]) -> Iterator[list[Word]]:
    sentence: list[Word] = []
    for word in words:
        sentence.append(word)
        if word.ends_sentence:
            yield sentence
            sentence = []
    if sentence:
        yield sentence
