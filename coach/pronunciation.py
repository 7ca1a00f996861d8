"""How written words are said: numbers in words, letters by name, syllables."""

from __future__ import annotations

import re

import numpy as np
from numpy.typing import NDArray

from coach.numerals import ONES, number_words

LETTERS = {
    "a": "ay", "b": "bee", "c": "cee", "d": "dee", "e": "ee", "f": "eff", "g": "jee", "h": "aitch", "i": "eye",
    "j": "jay", "k": "kay", "l": "ell", "m": "em", "n": "en", "o": "oh", "p": "pee", "q": "cue", "r": "ar",
    "s": "ess", "t": "tee", "u": "you", "v": "vee", "w": "double-you", "x": "ex", "y": "why", "z": "zee",
}  # fmt: skip
# Short forms that are said as words, with their syllables; capitals that are not here are spelt letter by letter.
SAID_AS_WORDS = {
    "relu": 2, "gelu": 2, "selu": 2, "elu": 2, "swiglu": 2, "glu": 1, "lora": 2, "qlora": 3, "gan": 1, "gans": 1,
    "wgan": 4, "dcgan": 4, "cuda": 2, "bert": 1, "roberta": 3, "adam": 2, "adamw": 5, "imagenet": 3, "resnet": 2,
    "alexnet": 3, "densenet": 2, "mobilenet": 3, "yolo": 2, "rouge": 1, "bleu": 1, "sift": 1, "hog": 1,
    "cifar":
    2, "faiss": 1, "pytorch": 2, "numpy": 2, "xavier": 3, "smote": 1, "rag": 1, "vit": 1, "unet": 2,
    "rmsprop": 4, "adagrad": 3, "softmax": 2, "argmax": 2, "minimax": 3, "map": 1, "mnist": 2, "coco": 2, "rope": 1,
    "nan": 1, "llama": 2, "xgboost": 4, "tanh": 2, "autodiff": 3, "sgd": 3, "kv": 2, "api": 3, "swish": 1,
    "tensorflow": 3,
}  # fmt: skip


def said_number(text: str) -> str:
    """Digits in words: years in pairs, decimals digit by digit, thousands without their commas."""
    plain = text.replace(",", "")
    whole, dot, fraction = plain.partition(".")
    if len(whole) > 15:
        return " ".join(ONES[int(digit)] for digit in whole)
    if not dot and len(whole) == 4 and whole[:2] in ("18", "19", "20") and whole[2] != "0":
        return f"{number_words(int(whole[:2]))} {number_words(int(whole[2:]))}"
    words = number_words(int(whole or "0"))
    return words + (" point " + " ".join(ONES[int(digit)] for digit in fraction) if fraction else "")


# Common words that the rule below gets wrong.
ODD_WORDS = {
    "every": 2, "several": 2, "average": 2, "hundred": 2, "real": 2, "query": 2, "zero": 2, "area": 3, "idea": 3,
    "being": 2, "doing": 2, "going": 2, "something": 2, "sometimes": 2, "someone": 2, "maybe": 2,
    "temperature":
    3, "business": 2, "different": 2, "interesting": 3, "hierarchy": 4, "create": 2, "created": 3,
    "bayesian": 3, "science": 2, "quiet": 2, "poem": 2, "therefore": 2, "isn't": 2, "doesn't": 2, "wasn't": 2,
    "didn't": 2, "couldn't": 2, "wouldn't": 2, "shouldn't": 2, "hasn't": 2, "haven't": 2, "hadn't": 2, "technique": 2,
    "unique": 2, "one": 1, "once": 1, "people": 2, "dying": 2,
}  # fmt: skip
FIRST_PARTS = re.compile(
    r"^(?:every|some|frame|base|time|there|where|fore|name|type|side|whole|free|more|code)(?=[a-z]{3})"
)
SILENT_E_INSIDE = re.compile(r"(?<=[sctvmnkpdgr])e(?=(?:ly|ment|ments|ful|less|ness)$)|(?<=c)a(?=lly$)|(?<=iqu)e")
SAID_APART = re.compile(
    r"(?<![tscgxq])i(?:a(?!ge)|o(?!us)|er|ers|ent|ents|en|ety)|(?<=[cr])eat(?=i|or)|(?<=[rl])ea[cl]ity|iu|uu|aye|^re(?=[aiou])(?!rea[dlsc][a-z]*$)"
    r"|^coa[dg]|^coo[rp]|(?<![qg])ua(?=l|t)|(?<=n)eo|[ao]ic(?=$|s)|uity|ysis|wer$|wers$|[aeiou]ying|(?<=[eiou])ing"
)


def _word_syllables(word: str) -> int:
    """Syllables of one lower-case English word: groups of vowels, less silent ones, plus those said apart."""
    plain = re.sub(r"[^a-z']", "", word).strip("'")
    known = SAID_AS_WORDS.get(plain) or ODD_WORDS.get(plain)
    if known:
        return known
    if first := FIRST_PARTS.match(plain):
        rest = plain[first.end() :]
        return _word_syllables(first.group()) + _word_syllables(rest)
    plain = plain.removesuffix("'s")
    vowels = len(re.findall(r"[aeiouy]+", plain))
    if not vowels:
        return len(plain) if len(plain) > 2 else 1
    if re.search(r"[^aeiouy]e$", plain) and not re.search(r"[^aeiouy]le$", plain):
        vowels -= 1  # "code", but not "sample"
    elif re.search(r"[^aeiouytd]ed$", plain) and not re.search(r"[^aeiouyl]led$", plain):
        vowels -= 1  # "trained", but not "updated"
    elif re.search(r"[^aeiouyscxzg]es$", plain) and not re.search(r"(?:sh|ch|[^aeiouy]l)es$", plain):
        vowels -= 1  # "spikes", but not "batches"
    vowels += len(re.findall(r"(?:[sz]|th)ms?$", plain))  # "algorithm"
    return max(1, vowels - len(SILENT_E_INSIDE.findall(plain)) + len(SAID_APART.findall(plain)))


def syllables(text: str) -> int:
    """How many syllables a written word has when said: acronyms by letter, numbers in words, short forms as known."""
    total = 0
    for part in re.findall(r"[A-Za-z']+|\d[\d,]*(?:\.\d+)?|%|×|²", text.replace("’", "'")):
        if part == "×":
            total += 1  # "by"
        elif part in "%²":
            total += 2  # "per cent", "squared"
        elif part[0].isdigit():
            total += sum(_word_syllables(word) for word in said_number(part.rstrip(",")).split())
        elif part.lower().strip("'") in SAID_AS_WORDS:
            total += SAID_AS_WORDS[part.lower().strip("'")]
        elif re.fullmatch(r"[A-Z]+s?", part):
            total += sum(3 if letter == "W" else 1 for letter in part if letter.isupper())
        elif part == "x":
            total += 1
        else:
            total += _word_syllables(part.lower())
    return total


# From letters to rough sounds, in this order: S is "sh", C is "ch", T is "th"; a vowel is one of a, e, i, o, u.
SOUND_RULES = tuple(
    (re.compile(letters), sound)
    for letters, sound in (
        ("sch", "sk"), ("tch", "C"), ("ch(?=[rl])", "k"), ("ch", "C"), ("sh", "S"), ("ph", "f"), ("th", "T"),
        ("wh", "w"), ("ck", "k"), ("^kn", "n"), ("^wr", "r"), ("^x", "z"), ("que$", "k"), ("qu", "kw"),
        ("dge", "j"), ("(?<=[aeiou])gh", ""), ("gh", "g"), ("[ts]ion", "Sn"), ("[ct]ia", "Sa"),
        ("tu(?=re|al)", "Cu"), ("x", "ks"), ("c(?=[eiy])", "s"), ("g(?=[eiy])(?!ge)", "j"), ("c", "k"), ("q", "k"),
        ("z", "s"), ("(?<=[^aeiou])e$", ""), ("(?<=[^aeiou])es$", "s"), ("(?<=[^aeioutd])ed$", "d"),
        (r"([^aeiou])\1", r"\1"), ("ee|ea|ie|ei", "i"), ("oo|ou|ew|eu|ue|ui", "u"), ("ai|ay|ey", "e"),
        ("au|aw|oa|ow", "o"), ("y", "i"), ("w(?![aeiou])", ""),
    )
)  # fmt: skip
ODD_SOUNDS = {
    "relu": "relu", "tanh": "tanC", "lora": "lora", "yolo": "iolo", "cache": "kaS", "epoch": "epok",
    "bayesian": "beiSn", "one": "wan", "cuda": "kuda", "adamw": "adamdabliu", "bleu": "blu", "rouge": "ruS",
    "vit": "vit", "faiss": "fais",
}  # fmt: skip
ALPHABET = "aeiouptkbdgfvsSCjTmnrlwh"
VOWELS = "aeiou"
ALIKE = ("pb", "td", "kg", "fv", "sSCjT", "mn", "rl")  # consonants that are easily taken for each other
# Costs of an edit, against 1 for exchanging a vowel with a consonant; vowels carry little in a rough transcription.
VOWEL_FOR_VOWEL, ALIKE_FOR_ALIKE, OTHER_CONSONANT = 0.35, 0.45, 0.9
VOWEL_GAP, WEAK_GAP, CONSONANT_GAP = 0.45, 0.7, 0.8


def sounds(text: str, spelt: bool = False) -> str:
    """A rough phonetic transcription of English text; `spelt` says every word letter by letter, as with acronyms."""
    said: list[str] = []
    for part in re.findall(r"[A-Za-z']+|\d{1,15}", text.replace("’", "'")):
        low = part.lower().replace("'", "")
        if part.isdigit():
            said += said_number(part).split()
        elif spelt or (re.fullmatch(r"[A-Z]{2,}s?|[A-Z]", part) and low not in SAID_AS_WORDS):
            said += [LETTERS[letter] for letter in low]
        else:
            said.append(low)
    return "".join(ODD_SOUNDS.get(word) or _word_sounds(word) for word in said)


def _word_sounds(word: str) -> str:
    for pattern, sound in SOUND_RULES:
        word = pattern.sub(sound, word)
    return word


def _exchange(a: str, b: str) -> float:
    if a == b:
        return 0.0
    if a in VOWELS or b in VOWELS:
        return VOWEL_FOR_VOWEL if a in VOWELS and b in VOWELS else 1.0
    return ALIKE_FOR_ALIKE if any(a in group and b in group for group in ALIKE) else OTHER_CONSONANT


# Index 0 fills up the rows of shorter words.
_EXCHANGE = np.pad(np.array([[_exchange(a, b) for b in ALPHABET] for a in ALPHABET]), (1, 0))
_GAP = np.array([1.0] + [VOWEL_GAP if c in VOWELS else WEAK_GAP if c in "hwr" else CONSONANT_GAP for c in ALPHABET])


def _codes(transcription: str) -> list[int]:
    return [ALPHABET.index(sound) + 1 for sound in transcription if sound in ALPHABET]


class SoundIndex:
    """Transcriptions to be compared with others, all at once."""

    def __init__(self, transcriptions: tuple[str, ...]) -> None:
        coded = [_codes(transcription) for transcription in transcriptions]
        self.lengths = np.array([len(codes) for codes in coded])
        self._codes = np.zeros((len(coded), max(map(len, coded), default=0)), dtype=np.intp)
        for row, codes in zip(self._codes, coded, strict=True):
            row[: len(codes)] = codes

    def distances(self, transcription: str) -> NDArray[np.float64]:
        """Weighted edits to each indexed transcription, divided by the longer length: 0 is equal, 1 is foreign."""
        codes = _codes(transcription)
        gaps = _GAP[self._codes]
        # Running sums of gaps: a run of gaps after any place costs their difference, so each row takes one pass.
        skipped = np.concatenate([np.zeros((len(gaps), 1)), np.cumsum(gaps, axis=1)], axis=1)
        above = skipped
        for code in codes:
            row = np.empty_like(above)
            row[:, 0] = above[:, 0] + _GAP[code]
            row[:, 1:] = np.minimum(above[:, :-1] + _EXCHANGE[code][self._codes], above[:, 1:] + _GAP[code])
            above = np.minimum.accumulate(row - skipped, axis=1) + skipped
        edits = above[np.arange(len(gaps)), self.lengths]
        return np.asarray(edits / np.maximum(np.maximum(self.lengths, len(codes)), 1), dtype=np.float64)
