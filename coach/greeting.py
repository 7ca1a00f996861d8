"""Small talk: a greeting, thanks before anything was asked, "what can you do?"."""

from __future__ import annotations

import re
from typing import Literal

Greeting = Literal["hello", "thanks", "ready", "about", "nervous", "bye"]

_ADDRESS = r"(?:there|coach|everyone|all|again|friend|buddy|bot|you|dear|sir|mate|and|well|so|to you|my friend)"
_HELLO = (
    r"(?:hi+|hello+|hey+|hiya|howdy|yo|hallo|greetings|welcome|good (?:morning|afternoon|evening|day)|"
    r"how(?:'?s| is) it going|how (?:are|r) (?:you|u|things|ya)(?: (?:doing|today))*|what'?s up|sup|"
    r"nice to meet (?:you|u)|pleased to meet you)"
)
_POLITE = (
    r"(?:thanks?|thank you|thx|ty|cheers|ok|okay|k|great|cool|nice|fine|good|perfect|yes|no|yeah|yep|sure|alright|"
    r"right|got it|i see|please|very|so|much|a lot|really|then|all right)"
)
_BYE = (
    r"(?:bye+|good ?bye|bye bye|see (?:you|ya|u)(?: (?:later|tomorrow|soon|then|around|next time))?|good night|"
    r"farewell|take care|later|have a (?:nice|good|great) (?:day|evening|weekend)|until tomorrow|that'?s all|"
    r"i'?m done|for now)"
)
_ABOUT = (
    r"(?:please )?(?:help(?: me)?(?: please)?|menu|commands|who (?:are|r) (?:you|u)|what (?:are|r) (?:you|u)(?: for)?|"
    r"what(?:'?s| is) your name|(?:and )?what (?:else )?(?:can|could) (?:you|u|i) (?:do|ask|help(?: me)? with)(?: you)?"
    r"(?: (?:here|for me|about))*|what do you (?:do|know|cover|offer)(?: about)?|how (?:can|could) you help(?: me)?|"
    r"how do(?:es)? (?:you|this|it) work here|how do i (?:use|start) (?:you|this|with you)|where do i (?:start|begin)|"
    r"(?:tell me|say something) about yourself and what you do|what topics (?:do you (?:know|cover)|are there)|"
    r"which (?:topics|questions|subjects) (?:do you (?:know|cover)|are there|can i ask)(?: about)?|"
    r"what is this|what'?s this|is (?:any|some)(?:one|body) there|anybody here|"
    r"(?:are|r) (?:you|u) (?:an? )?(?:real |only |just )?"
    r"(?:human|bot|robot|machine|ai|person|chatgpt|gpt|alive|there|real)"
    r"(?: (?:or|and) (?:an? )?(?:real )?(?:human|bot|robot|machine|ai|person|computer))?|"
    r"(?:what|which) languages? (?:do|can) (?:you|u) (?:speak|understand|talk)|(?:do|can) you (?:speak|understand) \w+|"
    r"(?:who|which company) (?:made|built|created|trained) you|how old are you)"
)
_NERVOUS = re.compile(
    r"\b(?:nervous|anxious|scared|afraid|worried|stressed|panick\w*|freaking out)\b.*\binterview|"
    r"\binterview\b.*\b(?:nervous|anxious|scared|afraid|worried|stressed|panick\w*|freaking out)\b",
    re.IGNORECASE | re.DOTALL,
)
_BETWEEN = r"[\s,.!?…:;)(~-]*"
_MOST_CHARACTERS = 120


def _made_of(*patterns: str) -> re.Pattern[str]:
    """Matches a text that consists of such pieces and nothing else."""
    return re.compile(rf"{_BETWEEN}(?:(?:{'|'.join(patterns)})\b{_BETWEEN})+", re.IGNORECASE)


# For each kind, what has to be in the text and what the whole text may be made of.
_KINDS: tuple[tuple[Greeting, re.Pattern[str], re.Pattern[str]], ...] = (
    ("thanks", re.compile(r"\b(?:thank|thx|ty\b|cheers)", re.IGNORECASE), _made_of(_POLITE)),
    ("ready", re.compile(r"\w"), _made_of(_POLITE)),
    ("hello", re.compile(rf"\b{_HELLO}\b", re.IGNORECASE), _made_of(_HELLO, _ADDRESS, _POLITE)),
    ("bye", re.compile(rf"\b{_BYE}\b", re.IGNORECASE), _made_of(_BYE, _HELLO, _ADDRESS, _POLITE)),
    ("about", re.compile(rf"\b{_ABOUT}\b", re.IGNORECASE), _made_of(_ABOUT, _HELLO, _ADDRESS, _POLITE)),
)

_OFFER = "Ask me about any of the thirty topics, from what a neural network is to transformers, or practise a question."
REPLIES: dict[Greeting, str] = {
    "hello": f"Hello! I help you prepare for deep-learning interviews. {_OFFER}",
    "thanks": f"You are welcome. {_OFFER}",
    "ready": f"Ready when you are. {_OFFER}",
    "about": (
        "I am a coach for deep-learning interviews, a program that runs on this machine and answers in English. I "
        "explain the topics that interviewers ask about, with sources, and I listen to your own answers and tell you "
        "what they made and missed."
    ),
    "nervous": (
        "That is quite normal, and practice helps most. Explain a topic aloud in a minute or let me put a question to "
        "you: each one that you have answered once is one that cannot surprise you any more."
    ),
    "bye": "Good luck, and come back whenever you want to practise.",
}


def greeting(text: str) -> Greeting | None:
    """What kind of small talk a turn is, or None when it is something else."""
    if not any(letter.isalnum() for letter in text):
        return "ready"
    if len(text) <= _MOST_CHARACTERS:
        plain = text.replace("’", "'").strip()
        for kind, core, whole in _KINDS:
            if core.search(plain) and whole.fullmatch(plain):
                return kind
    return "nervous" if len(text.split()) <= 40 and _NERVOUS.search(text) and not _asks(text) else None


_QUIZ = re.compile(
    r"(?:(?:please|ok(?:ay)?|now|and|then|so|hey|hi|(?:can|could|would|will) you|"
    r"i(?: want|'d like| would like) you to)[\s,]+)*"
    r"(?:(?:quiz|test|grill|drill|examine|interview) me|(?:test|check) my (?:knowledge|understanding)(?: of)?|"
    r"ask me (?:a|an|another|one|some|the next|something)(?: (?:hard|easy|practice|interview|mock))*(?: questions?)?|"
    r"(?:give me|start|begin|let'?s (?:do|have|start)) (?:a|an|another|one|the next|my)"
    r"(?: (?:practice|interview|mock|hard|easy))* (?:question|quiz|interview|exercise)|next question|quiz|"
    r"(?:(?:let'?s|let us|i (?:want|need|would like) to|i'd like to) )?practi[cs]e(?: questions?)?)"
    r"(?:[\s,:]+(?:(?:a question )?(?:on|about|in|with)[\s,]+)?(?P<subject>(?!(?:please|now)\b).+?))?"
    r"[\s,]*(?:please|now)?[\s.!?]*",
    re.IGNORECASE,
)
# A question instead of a subject, as in "practice question: what is dropout?".
_QUESTION = re.compile(r"(?:^|[:.,?])\s*(?:what|which|how|why|when|is|are|do|does|can)\b", re.IGNORECASE)


def quiz_subject(text: str) -> str | None:
    """What somebody wants to be quizzed on, such as "GANs" in "quiz me on GANs"; "" for anything, None for no quiz."""
    wish = _QUIZ.fullmatch(text.replace("’", "'").strip()) if len(text) <= _MOST_CHARACTERS else None
    if wish is None:
        return None
    subject = wish["subject"] or ""
    return None if _QUESTION.search(subject) else subject


def _asks(text: str) -> bool:
    """Whether somebody who is nervous asks for something beside it."""
    return "?" in text or bool(re.search(r"\b(?:what|which|how|why|explain|difference)\b", text, re.IGNORECASE))
