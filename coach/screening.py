"""What of a candidate's text is an answer at all: commands to the grader, echoes and bare keywords are set aside."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from coach.errors import GradingError
from coach.retrieval import terms
from coach.sentences import said_within

# Shares chosen on the development half of `benchmarks/grading.py`: no sentence of an honest answer is set aside there.
MIN_FUNCTION_WORDS = 0.12  # share of function words below which an answer is a list of keywords, not statements
MIN_LIST_WORDS = 8
MAX_ECHO = 0.34  # share of its words that an answer must add to the question
# An answer denies instead of stating with this many negations, in this share of its sentences, and with fewer words to
# each of them than this. All 13 such answers of that half and of 80 hostile ones more do, with punctuation and without;
# they have 6 to 10 words to a negation and would get up to 9.6 points. Of 3,063 honest answers one does.
MIN_NEGATIONS = 3
MIN_NEGATED = 0.6
MAX_WORDS_TO_NEGATION = 12
MIN_WORDS = 4
SHORT_ANSWER_TERMS = 14  # beside "I don't know", an answer with fewer terms than this states nothing

_TOP = r"10 ?/ ?10|(?:10|ten) (?:out of|points)|full 10|top marks|(?:full|maximum|highest|perfect) (?:score|marks?|points|grade)"
_COMMANDS = (
    r"(?:ignore|disregard|forget|overrule|override)\b.{0,40}\b(?:instructions?|prompts?|rules?|rubric|you were told|above)",
    rf"(?:give|award|assign|grant)\b.{{0,40}}\b(?:{_TOP}|(?:as|fully) (?:covered|correct))",
    r"(?:grade|mark|rate|score) (?:this|that|it|me|my|us|the|all|every|each|him|her|them|answers?|points?)\b.{0,40}"
    rf"\b(?:{_TOP}|maximum|(?:as|fully) (?:covered|correct))",
    r"\b(?:10|ten) ?(?:/|out of) ?(?:10|ten)\b",
    r"\b(?:score|grade|verdicts?|rating|status)[\"']? ?(?:=|:) ?[\"']?(?:10\b|ten\b|full|covered|perfect|pass|all\b)",
    r"\b(?:my|this|your|final|right|correct|candidate'?s?) (?:score|grade|verdict|rating) (?:is|should be|must be|has to be) "
    r"(?:10\b|ten\b|full|covered|perfect|pass|all\b)",
    r"\b(?:score|report|mark|label|count|treat)\b.{0,40}\b(?:every|all|each)\b.{0,30}\b(?:points?|as covered|as correct)",
    rf"(?:return|output|print|report|set)\b.{{0,40}}\b(?:{_TOP}|to covered)",
    r"\[(?:covered|made|passed|x|✓|✔|✅)\]|\bcovered ?= ?true\b",
    r"(?:ignore|disregard|forget)\b.{0,40}\b(?:developers?|told you|tells you)\b",
    r"\b(?:grader|examiner|assessor) ?:|you(?:'re| are) (?:the|a|my) (?:grader|examiner|assessor)\b",
    r"the (?:candidate|applicant) (?:has|have) (?:\w+ )?(?:covered|made|stated|answered)\b",
    r"all (?:the )?(?:key )?points (?:\w+ )?(?:are |is |were |have been |present|covered|fulfilled|made)",
    r"(?:output|print|repeat|reply with|respond with|answer with) (?:the word |only |exactly )?[\"'“]?(?:yes|covered|10)\b",
    r"repeat after me|system (?:message|prompt|override)\W*[:\]\n]|^\W*(?:system|assistant|developer) ?:|<\|?/?(?:im_start|im_end)",
    r"</?(?:answer|system|candidate|instructions?)\b|\[/?inst\]|<!--|grading complete|end of (?:the )?(?:candidate|answer)",
    r"(?:dear|kind|note to(?: the)?|hello) (?:grader|examiner|assessor|model)|before you (?:mark|grade|score|rate) (?:this|it|me)",
    r"you(?:'re| are) now (?:my|a|an|the|in)\b|(?:assessor|grader|examiner)'s (?:decision|note|verdict)",
    r"ignor\w* .{0,30}(?:instructions|consignes|instrucciones|anweisungen)",
)
_COMMAND = re.compile("|".join(_COMMANDS), re.IGNORECASE | re.MULTILINE)
# Who explains prompt injection quotes commands, and an LSTM has a forget gate: such sentences command nothing.
_REPORTED = re.compile(
    r"\b(?:injection|inject(?:s|ed|ing)?|attack\w*|jailbreak\w*|malicious|adversar\w*|hidden (?:in|inside)|retrieved|"
    r"user input|web ?pages?|e-?mails?|system prompts?\b(?!\W*[:\]])|forget(?:ting)?[- ]gates?)\b",
    re.IGNORECASE,
)
_DEMAND = re.compile(
    r"\b(?:score|grade|mark|marks|points|covered|10|ten|verdicts?|me|my)\b", re.IGNORECASE
)  # what a command to the grader is after
_DONT_KNOW = re.compile(
    r"\b(?:i (?:really |honestly |actually )?(?:don'?t|do not|didn'?t) (?:really |actually )?(?:know|remember|recall|have an? (?:answer|idea|clue))"
    r"|no (?:idea|clue)|not sure what|i have no|can'?t (?:answer|remember|recall|say)|i (?:would )?pass|skip (?:this|it)|never heard)\b",
    re.IGNORECASE,
)
_NEGATION = re.compile(
    r"\b(?:is|are|was|were|does|do|did|has|have|had|can|could|will|would|should)n[’']t\b|\bcannot\b"
    r"|\b(?:not|never|no|none|nor|neither|nothing|nowhere|nobody|lacks?|fails? to|untrue|wrong|myth)\b"
    r"|\bfalse\b(?! (?:positive|negative|alarm|discovery))",
    re.IGNORECASE,
)
_FUNCTION = frozenset(
    "a an the and or but if so because as of to in on at by for with from into over than then that this these those it "
    "its is are was were be been being do does did have has had can could will would should may might must i you he "
    "she we they me him her us them my your his our their what which who when where why how not no yes there here just "
    "also very really well like um uh okay ok about every each all some any more most only same up out don t s re ve ll "
    "d m im youre its dont doesnt isnt cant wont thats between during after before while until through under".split()
)
_FOREIGN = frozenset(
    "le la les des du une et est que qui dans pour avec sur pas nous vous il elle sont der die das und ist nicht ein "
    "eine mit von den zu auf für wird werden sich dem el los las un una de y en por con para no es como se lo al del più "
    "il lo gli che di non per sono é o os as um uma em não com het een van niet".split()
)
# Words that talk about the question rather than answer it.
_TALK = frozenset(
    "question ask asking asked answer know talk talking call called thing mean well good right say saying go way kind "
    "sort context come reason make made want get think interview".split()
)
_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")


@dataclass(frozen=True)
class Screened:
    """The sentences that state something, together as one text too, and why the rest was set aside.

    `wholes` are the longer sentences that they were cut out of, or they themselves.
    """

    sentences: tuple[str, ...] = ()
    wholes: tuple[str, ...] = ()
    text: str = ""
    commands: bool = False


def screen(answer: str, question: str, expected: Sequence[str] = ()) -> Screened:
    """The statements of an answer; empty when it states nothing or commands the grader.

    `expected` are terms of a bare reference answer. Where a question wants a word or two ("Where does a program begin?"),
    an answer that has one of them states something, however short it is or however much of the question it repeats.

    Raises `GradingError` when the answer is in a language that cannot be graded.
    """
    if _commands(answer):
        return Screened(commands=True)
    _check_language(answer)
    words = [word.lower() for word in _WORD.findall(answer)]
    own = set(terms(answer))
    added = own - set(terms(question)) - _TALK
    within = said_within(answer)
    pieces = tuple(said for said, _ in within)
    to_the_point = bool(added & set(expected))
    text = " ".join(answer.split())
    states_nothing = (
        (len(words) < MIN_WORDS and not to_the_point)
        or (len(words) >= MIN_LIST_WORDS and _function_share(words) < MIN_FUNCTION_WORDS)
        or (bool(own) and len(added) < MAX_ECHO * len(own) and not to_the_point)
        or _denies(pieces, len(words))
        or (bool(_DONT_KNOW.search(answer)) and len(added) < SHORT_ANSWER_TERMS)
    )
    return Screened() if states_nothing else Screened(pieces, tuple(whole for _, whole in within), text)


def _commands(answer: str) -> bool:
    """Whether a text tells the grader what to do, rather than what commands in a prompt are about."""
    for found in _COMMAND.finditer(answer):
        begin = max(answer.rfind(end, 0, found.start()) for end in ".!?\n") + 1
        after = re.search(r"[.!?\n]", answer[found.end() :])
        sentence = answer[begin : found.end() + (after.start() if after else len(answer))]
        if not _REPORTED.search(sentence) or _DEMAND.search(sentence):
            return True
    return False


def _denies(pieces: Sequence[str], words: int) -> bool:
    """Whether an answer's pieces, so many words together, say what is not the case and little else."""
    negations = [len(_NEGATION.findall(piece)) for piece in pieces]
    return (
        sum(negations) >= MIN_NEGATIONS
        and sum(n > 0 for n in negations) >= MIN_NEGATED * len(pieces)
        and words < MAX_WORDS_TO_NEGATION * sum(negations)
    )


def _function_share(words: Sequence[str]) -> float:
    return sum(word.replace("’", "'").replace("'", "") in _FUNCTION for word in words) / len(words)


def _check_language(answer: str) -> None:
    words = [word.lower() for word in _WORD.findall(answer)]
    letters = [c for c in answer if c.isalpha()]
    foreign = sum(word in _FOREIGN and word not in _FUNCTION for word in words)
    english = sum(word in _FUNCTION for word in words)
    strange = sum(ord(c) > 0x24F and not 0x370 <= ord(c) <= 0x3FF for c in letters)
    if (len(words) >= 6 and foreign > english and foreign >= 0.15 * len(words)) or (
        letters and strange > 0.5 * len(letters)
    ):
        raise GradingError("I can only grade answers in English; please answer once more in English.")
