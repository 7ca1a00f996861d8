"""Terms and fillers that a recogniser misheard: what may have been said instead, and how right that is."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from coach.delivery import is_filler
from coach.pronunciation import syllables
from coach.terms import Candidate
from coach.transcript import bare

TOKENS_AFTER = 6  # tokens after a change whose probability counts too
# How right a term is that sounds like what was written, as the logarithm of its odds: fitted by logistic regression on
# 502 candidates (64 right ones) of the 98 dev recordings of benchmarks/speech.py. With recordings left out in turn it
# puts 49 terms right and 4 wrong, where thresholds chosen by hand on the same recordings put 37 right and 6 wrong.
ODDS = 5.5
PER_COST, MOST_COST = 0.34, 15.0  # of log-probability that the term costs instead of what was written
PER_DISTANCE = 20.9  # in sound
PER_SOUND, MOST_SOUNDS = 0.25, 16  # few other words sound like a long term
PER_DOUBT, LEAST_DOUBT = 0.95, 1e-3  # natural logarithm of how unsure the least sure written token is
IF_KNOWN = -2.35  # when what was written is made of words of terms
IF_SINGLE = -1.6  # when what was written is a single token, so a common word
# The same for putting in "um" or "uh" for a short word that stands alone, larger for words that end in a hum.
FILLERS_HEARD = (" um", " uh")
FILLER_ALLOWANCE, HUM_ALLOWANCE = 3.0, 7.0
HUM = re.compile(r"[aeiou]mb?e?$")
NEAR_UNEXPECTED = 0.2  # distance in sound beyond which a term that nobody expects is not tried


@dataclass(frozen=True)
class Change:
    """Other tokens for the tokens `first` … `last` − 1 of a text, and the log-odds that they are right at no cost."""

    first: int
    last: int
    tokens: list[int]
    odds: float

    def worth(self, cost: float) -> float:
        """The log-odds that the change is right when it costs so much log-probability; it is made from zero."""
        return self.odds - PER_COST * min(cost, MOST_COST)

    def apart_from(self, other: Change, by: int = 0) -> bool:
        """Whether at least `by` tokens, and no shared one, stand between two changes."""
        return self.first >= other.last + by or other.first >= self.last + by


def rounds(changes: Sequence[Change]) -> list[list[Change]]:
    """The changes in as few groups as it takes to keep those of a group apart: a group costs a single alignment."""
    groups: list[list[Change]] = []
    for change in changes:
        for group in groups:
            if all(change.apart_from(other, TOKENS_AFTER) for other in group):
                group.append(change)
                break
        else:
            groups.append([change])
    return [sorted(group, key=lambda change: change.first) for group in groups]


def odds(candidate: Candidate, probabilities: Sequence[float]) -> float:
    """The logarithm of the odds that a term was said, if it costs nothing, where tokens so probable are written."""
    doubt = max(LEAST_DOUBT, 1 - float(np.min(probabilities)))
    return (
        ODDS
        - PER_DISTANCE * candidate.distance
        + PER_SOUND * min(candidate.sounds, MOST_SOUNDS)
        + PER_DOUBT * float(np.log(doubt))
        + IF_KNOWN * candidate.known
        + IF_SINGLE * (len(probabilities) == 1)
    )


def worth_trying(candidates: Sequence[Candidate], expects: Callable[[str], bool]) -> list[Candidate]:
    """Of candidates for one term in one place the nearest in sound, and none that is far and unexpected.

    Each costs an alignment, a fifth of a second on two cores. In the minute of `benchmarks/speech.py --speed` it is
    also the nearest stretch that costs least to hear.
    """
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: c.distance):
        if one.distance > NEAR_UNEXPECTED and not expects(one.term):
            continue
        if all(one.term != c.term or one.first >= c.last or one.last <= c.first for c in kept):
            kept.append(one)
    return sorted(kept, key=lambda c: (c.first, c.last))


def filler_places(texts: Sequence[str]) -> list[int]:
    """Where a short word stands alone between marks of punctuation and may be an "um" or "uh" misheard."""
    places: list[int] = []
    for i, text in enumerate(texts):
        word = bare(text)
        if not word or len(word) > 5 or is_filler(word) or syllables(word) != 1:
            continue
        before = i > 0 and not re.search(r"\w", texts[i - 1])
        after = i + 1 < len(texts) and re.match(r"\s*[,.;]", texts[i + 1]) is not None
        if before and after:
            places.append(i)
    return places
