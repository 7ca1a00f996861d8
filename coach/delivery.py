"""How an answer came across: rate, pauses, fillers, repetitions, hedges; observed in words and sound, never guessed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from coach.audio import Span, gaps
from coach.pronunciation import said_number, syllables
from coach.transcript import Transcript, Word, bare


@dataclass(frozen=True)
class Range:
    """A usual range of a figure and who says so."""

    low: float
    high: float
    source: str


# Words a minute. Tauroza and Allison 1990 call 125 to 160 average and more than 185 fast; coaches of public speaking
# ask for 130 to 170; together 120 to 170.
RATE = Range(120, 170, "English speech 125–160, Tauroza and Allison 1990; speaking coaches 130–170 words a minute")
# Syllables a second without pauses.
ARTICULATION = Range(4.4, 5.9, "English interviews without their pauses, Goldman-Eisler 1968")
DISFLUENCIES = Range(6, 10, "6–10 per 100 words are normal, Li and Tilsen 2015")
LENGTH = Range(60, 90, "seconds that suit an interview question of this kind; coaching practice")
SENTENCE = Range(8, 20, "words a sentence in speech that is easy to follow; plain-language practice")
FIRST_WORD = Range(0, 5, "a few seconds to think are welcome; coaching practice")
LONGEST_PAUSE = Range(0, 3, "seconds of thinking that listeners hardly mind; coaching practice")
HEDGES_PER_100 = Range(0, 4, "softening phrases per 100 words; a convention of this coach, studies differ by field")

PAUSE_SECONDS = 1.0  # shorter silences belong to the rhythm of speech (issue: pauses over 1 s)
# A silence from 0.25 s is a pause for the articulation rate (Goldman-Eisler 1968; de Jong and Bosker 2013).
SILENT_SECONDS = 0.25

FILLER = re.compile(r"u+m+|u+h+m*|e+rm*|e+h+|h+m+|m{2,}|a+h+m*")
# Doubled on purpose, so not slips: "very very", "had had".
DOUBLED = frozenset(
    "very really so much far many long no yes yeah bye had that is ha more again zero one two three four five six "
    "seven eight nine ten hundred okay ok knock".split()
)
LONGEST_REPEAT = 4  # words
HEDGES = (
    "i think", "i guess", "i believe", "i suppose", "i assume", "i'm not sure", "i am not sure", "not entirely sure",
    "not quite sure", "if i remember correctly", "if i recall", "as far as i know", "sort of", "kind of", "maybe",
    "perhaps", "probably", "possibly", "i would guess", "i'd guess", "i'd say", "i would say", "or something",
    "somehow", "more or less", "might be wrong", "could be wrong", "i feel like", "it seems like", "i don't know",
)  # fmt: skip
# "sort of" and "kind of" soften after these words, at the start of a clause, and before a full stop; elsewhere they
# name a sort ("this kind of layer").
SOFTENED = frozenset(
    "is are was were be been being am it's that's they're there's you're we're i'm it i you we they he she just and "
    "but so then also really like all or because which to not only can will would could might do does did".split()
)
KINDS_FOLLOW = frozenset("a an the this that these those what which some any each every one no same".split())


@dataclass(frozen=True)
class Stretch:
    """Something that was said and when, in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Delivery:
    """The figures of one answer: seconds, words a minute, syllables a second; advice in one or two sentences.

    `pauses` are silences over 1.0 s between the first and the last word; silence before and after is not a pause.
    `words_per_minute` counts every word as it is said, fillers included and numbers in words, over the time from the
    first sound of speech to the last; `articulation_rate` counts syllables over the time with silences from 0.25 s
    taken out.
    """

    duration: float
    words: int
    words_per_minute: float
    articulation_rate: float
    time_to_first_word: float | None
    fillers: tuple[Stretch, ...]
    pauses: tuple[Span, ...]
    repetitions: tuple[Stretch, ...]
    restarts: tuple[Stretch, ...]
    hedges: tuple[Stretch, ...]
    sentence_length: float

    @property
    def longest_pause(self) -> Span | None:
        """The longest pause, if there was one."""
        return max(self.pauses, key=lambda pause: pause.seconds, default=None)

    @property
    def disfluencies_per_100_words(self) -> float:
        """Fillers, repetitions and restarts per 100 words."""
        return 100 * (len(self.fillers) + len(self.repetitions) + len(self.restarts)) / max(1, self.words)

    @property
    def advice(self) -> str:
        """One or two sentences on what matters most."""
        return advice(self)

    def record(self) -> dict[str, Any]:
        """The figures that the command line prints, as JSON values rounded to what the measurement is good for."""
        return {
            "duration": round(self.duration, 2),
            "words_per_minute": round(self.words_per_minute, 1),
            "articulation_rate": round(self.articulation_rate, 2),
            "time_to_first_word": None if self.time_to_first_word is None else round(self.time_to_first_word, 2),
            "fillers": [asdict(f) for f in self.fillers],
            "pauses": [{"start": round(p.start, 2), "end": round(p.end, 2)} for p in self.pauses],
            "repetitions": [asdict(r) for r in self.repetitions],
            "hedges": [asdict(h) for h in self.hedges],
            "advice": self.advice,
        }


def _stretch(words: Sequence[Word]) -> Stretch:
    return Stretch(" ".join(word.text for word in words).rstrip(",.;:"), words[0].start, words[-1].end)


def is_filler(word: str) -> bool:
    """Whether a word is a filled pause: um, uh, er, hmm, ah, mm in any spelling."""
    return FILLER.fullmatch(bare(word)) is not None


def fillers(words: Sequence[Word]) -> tuple[Stretch, ...]:
    """Filled pauses, and "like" and "you know" where commas or silence on both sides leave no other reading."""
    found: list[Stretch] = []
    for i, word in enumerate(words):
        if is_filler(word.text):
            found.append(_stretch([word]))
            continue
        phrase = (
            1 if bare(word.text) == "like" else 2 if [bare(w.text) for w in words[i : i + 2]] == ["you", "know"] else 0
        )
        if phrase and 0 < i < len(words) - phrase:
            last = words[i + phrase - 1]
            apart = words[i - 1].ends_clause or word.start - words[i - 1].end > SILENT_SECONDS
            if apart and last.text.endswith(",") and not words[i - 1].ends_sentence:
                found.append(_stretch(words[i : i + phrase]))
    return tuple(found)


def repetitions(words: Sequence[Word]) -> tuple[Stretch, ...]:
    """Up to four words said twice in a row ("the the", "it is it is"), fillers between them ignored."""
    kept = [word for word in words if not is_filler(word.text)]
    said = [bare(word.text) for word in kept]
    found: list[Stretch] = []
    i = 0
    while i < len(kept):
        for size in range(LONGEST_REPEAT, 0, -1):
            first, second = said[i : i + size], said[i + size : i + 2 * size]
            if len(second) < size or first != second or any(w.ends_sentence for w in kept[i : i + size]):
                continue
            if not all(first) or (size == 1 and (first[0] in DOUBLED or re.search(r"\d", first[0]))):
                continue
            times = 2
            while said[i + times * size : i + (times + 1) * size] == first:
                times += 1
            found.append(_stretch(kept[i : i + times * size]))
            i += times * size - 1
            break
        i += 1
    return tuple(found)


def restarts(words: Sequence[Word]) -> tuple[Stretch, ...]:
    """Words that were broken off, which the recogniser writes with a dash at their end ("drop-", "the net—")."""
    broken = [w for w in words if re.search(r"\w(?:-|–|—)+,?$", w.text) and not is_filler(w.text)]
    return tuple(_stretch([word]) for word in broken)


def hedges(words: Sequence[Word]) -> tuple[Stretch, ...]:
    """Softening phrases with their times; "kind of" and "sort of" only where they soften."""
    said = [bare(word.text) for word in words]
    found: list[Stretch] = []
    for i in range(len(words)):
        for phrase in HEDGES:
            parts = phrase.split()
            if said[i : i + len(parts)] != parts:
                continue
            follows = said[i + len(parts)] if i + len(parts) < len(said) else ""
            if phrase in ("sort of", "kind of"):
                opens = i == 0 or words[i - 1].ends_clause
                ends = words[i + 1].ends_clause
                if not (opens or ends or said[i - 1] in SOFTENED) or (i and said[i - 1] in KINDS_FOLLOW):
                    continue
            if phrase == "i think" and (follows in ("about", "of") or (i and said[i - 1] in ("when", "how", "what"))):
                continue
            found.append(_stretch(words[i : i + len(parts)]))
            break
    return tuple(found)


def said_words(word: str) -> int:
    """How many words a written one is when said: "1000" is two, "28x28" three ("twenty-eight" is one), others one."""
    numbers = re.fullmatch(r"\W*(\d[\d,]*(?:\.\d+)?)(?:[x×](\d+))?(%?)\W*", word)
    if numbers is None:
        return 1
    first, second, per_cent = numbers.groups()
    written = " by ".join(said_number(number.rstrip(",")) for number in (first, second) if number)
    hyphenated = re.sub(r"ty (?=(?:one|two|three|four|five|six|seven|eight|nine)\b)", "ty-", written)
    return len(hyphenated.split()) + bool(per_cent)


def delivery(transcript: Transcript) -> Delivery:
    """Every figure of a transcript; all zero, and no time to the first word, when nothing was said."""
    words, speech = transcript.words, transcript.speech
    if not words or not speech:
        return Delivery(transcript.duration, 0, 0.0, 0.0, None, (), (), (), (), (), 0.0)
    spoken = speech[-1].end - speech[0].start
    silent = sum(gap.seconds for gap in gaps(speech, SILENT_SECONDS))
    sentences = max(1, sum(1 for word in words if word.ends_sentence) + (not words[-1].ends_sentence))
    return Delivery(
        duration=transcript.duration,
        words=len(words),
        words_per_minute=60 * sum(said_words(word.text) for word in words) / max(spoken, 0.1),
        articulation_rate=sum(syllables(word.text) for word in words) / max(spoken - silent, 0.1),
        time_to_first_word=speech[0].start,
        fillers=fillers(words),
        pauses=gaps(speech, PAUSE_SECONDS),
        repetitions=repetitions(words),
        restarts=restarts(words),
        hedges=hedges(words),
        sentence_length=len(words) / sentences,
    )


def pause_before(pauses: Sequence[Span], points: Sequence[tuple[str, float]]) -> str | None:
    """The name of the key point that the longest pause came before, from (name, seconds when it was made) pairs."""
    longest = max(pauses, key=lambda pause: pause.seconds, default=None)
    if longest is None:
        return None
    later = [(time, name) for name, time in points if time >= longest.end - SILENT_SECONDS]
    return min(later)[1] if later else None


def advice(figures: Delivery) -> str:
    """One or two kind sentences: what matters most of rate, fillers, pauses, length and hedges, in this order."""
    if not figures.words:
        return "No speech was found, so there is nothing to say about the delivery."
    rate, per_100 = figures.words_per_minute, figures.disfluencies_per_100_words
    longest = figures.longest_pause
    notes: list[str] = []
    if rate > RATE.high:
        notes.append(
            f"You spoke at {rate:.0f} words a minute; a little slower, around {RATE.low:.0f} to {RATE.high:.0f}, is "
            "easier to follow."
        )
    if per_100 > DISFLUENCIES.high:
        notes.append(
            f"There were {per_100:.0f} fillers and repeats per 100 words; {DISFLUENCIES.low:.0f} to "
            f"{DISFLUENCIES.high:.0f} are normal, and a short silent pause can take the place of some."
        )
    if longest and longest.seconds > LONGEST_PAUSE.high:
        notes.append(
            f"The longest pause was {longest.seconds:.1f} s, at {longest.start:.0f} s; saying aloud what you are "
            "working out keeps the listener with you."
        )
    if figures.duration > 1.5 * LENGTH.high:
        notes.append(
            f"The answer took {figures.duration:.0f} s; {LENGTH.low:.0f} to {LENGTH.high:.0f} s suit most questions, "
            "so you could lead with the main point and stop there."
        )
    if rate < RATE.low and not (longest and longest.seconds > LONGEST_PAUSE.high):
        notes.append(
            f"You spoke at {rate:.0f} words a minute, which is unhurried; up to {RATE.high:.0f} is "
            "still easy to follow."
        )
    if 100 * len(figures.hedges) / figures.words > HEDGES_PER_100.high:
        notes.append(
            f'There were {len(figures.hedges)} softening phrases such as "{figures.hedges[0].text.lower()}"; where '
            "you know it, plain statements come across more clearly."
        )
    if figures.duration < LENGTH.low / 2:
        notes.append(
            f"The answer took {figures.duration:.0f} s; there is room for an example, as {LENGTH.low:.0f} to "
            f"{LENGTH.high:.0f} s suit most questions."
        )
    if notes:
        return " ".join(notes[:2])
    disfluent = f" and {per_100:.0f} fillers and repeats per 100 words, which is normal" if per_100 >= 1 else ""
    return f"You spoke at {rate:.0f} words a minute{disfluent}; this is easy to follow, so keep it."
