"""From tokens to text as a reply grows: whole characters only, and nothing after a stop string."""

from __future__ import annotations

from collections.abc import Sequence

from coach.chat_tokens import ChatTokens

_UNFINISHED = "\ufffd"  # what the bytes of half a character decode to


class ReplyText:
    """Collects tokens and gives out text that can no longer change."""

    def __init__(self, tokens: ChatTokens, stops: Sequence[str]) -> None:
        self._tokens = tokens
        self._stops = [stop for stop in stops if stop]
        self._ids: list[int] = []
        self._given = 0  # characters already given out
        self.stopped = False

    def add(self, token: int) -> str:
        """The text that this token makes certain; may be empty. Sets `stopped` at a stop string, which is left out."""
        self._ids.append(token)
        text = self._tokens.text(self._ids)
        found = [at for at in (text.find(stop) for stop in self._stops) if at >= 0]
        if found:
            self.stopped = True
            return self._give(text[: min(found)])
        safe = len(text.rstrip(_UNFINISHED))
        return self._give(text[: safe - self._held_back(text[:safe])])

    def rest(self) -> str:
        """What was held back, once no token will follow."""
        return "" if self.stopped else self._give(self._tokens.text(self._ids).rstrip(_UNFINISHED))

    def _held_back(self, text: str) -> int:
        """The length of the longest end of `text` that may grow into a stop string."""
        longest = 0
        for stop in self._stops:
            for size in range(min(len(stop) - 1, len(text)), longest, -1):
                if text.endswith(stop[:size]):
                    longest = size
                    break
        return longest

    def _give(self, text: str) -> str:
        fresh = text[self._given :]
        self._given = max(self._given, len(text))
        return fresh
