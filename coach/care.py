"""Someone in distress is met with kindness and a pointer to people who help, never with a lesson or a mark."""

from __future__ import annotations

import re

_SIGNS = (
    r"(?:want|wish|going|plan|planning|ready|try|trying|would like|rather|just) (?:to )?(?:die|be dead|kill myself)",
    r"(?:want|wish|going|plan|planning|ready|trying|would like) (?:to )?(?:end my life|end it all|disappear forever)",
    r"(?:want|wish) (?:i was|i were|to be) (?:dead|never born|gone forever)|wish i (?:was|were) dead",
    r"(?:want|wish) to not (?:be here|exist|live|wake up)|wish i (?:was|were) never born",
    r"(?:don'?t|do not|no longer|never) want to (?:live|be alive|be here any ?more|exist|wake up|go on living)",
    r"(?:don'?t|do not) (?:want to|think i can|see how to) go on(?: any ?more| like this| living|$|[.,!?])",
    r"(?:can'?t|cannot|can not) go on (?:any ?more|like this|living)",
    r"(?:can'?t|cannot|can not) (?:take|bear|stand|do) (?:it|this|life|living) any ?more",
    r"kill(?:ing)? my ?self|(?:end|ending|take|taking) my (?:own )?life|end(?:ing)? it all|suicid(?:e|al)",
    r"(?:hurt|harm|cut)(?:t?ing)? my ?self|self[- ]harm(?:ing|ed)?",
    r"no (?:reason|point) (?:to|in|for me to) (?:live|living|going on|go on|being alive|carrying on|exist)",
    r"better off (?:dead|without me)|(?:nothing|not|isn'?t) (?:is )?worth living|life (?:is not|isn'?t) worth",
    r"(?:i feel|i'?m|i am|feeling) (?:so |completely |totally |utterly )?(?:hopeless|worthless|suicidal)",
    r"hate my life|hate myself|everyone would be (?:happier|better)|nobody would (?:miss|notice) me",
)
_DISTRESS = re.compile(r"\b(?:" + "|".join(_SIGNS) + r")(?:\b|(?<=\W)|$)", re.IGNORECASE)
# The same words as the subject of a system, in the field's own language.
_OF_MACHINES = re.compile(
    r"\b(?:(?:suicid(?:e|al)|self[- ]harm)\W+(?:\w+\W+){0,2}"
    r"(?:predict|detect|risk|prevent|classif|moderat|content|dataset)"
    r"|(?:predict|detect|classif|moderat)\w*\W+(?:\w+\W+){0,3}(?:suicid|self[- ]harm))",
    re.IGNORECASE,
)
_FIRST_PERSON = re.compile(r"\b(?:i|i'?m|i'?ve|my ?self|me|my)\b", re.IGNORECASE)

REPLY = (
    "I am sorry that it is this heavy right now. That matters far more than any interview, and you do not have to "
    "carry it alone. Please talk to someone now: a friend or a relative you trust, your doctor, or a crisis line. "
    "In the United States and Canada you can call or text 988, in the United Kingdom and Ireland you can call the "
    "Samaritans on 116 123, and findahelpline.com lists free lines in other countries. If you might act on these "
    "thoughts, call your local emergency number (112 in Europe, 911 in North America) or go to the nearest emergency "
    "department. The practice can wait; nothing here is being marked."
)


def needs_care(text: str) -> bool:
    """Whether someone writes of despair or self-harm, about themselves."""
    text = " ".join(text.replace("’", "'").split())
    for match in _DISTRESS.finditer(text):
        around = text[max(0, match.start() - 60) : match.end() + 60]
        if _FIRST_PERSON.search(around) and not _OF_MACHINES.search(around):
            return True
    return False
