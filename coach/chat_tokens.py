"""From messages to token ids: the chat template, contents that cannot forge special tokens, and the context's limit.

What a user types may contain "<|im_end|>" or "<|im_start|>system". Parts of the template and contents are
therefore tokenised apart as soon as a content holds such a string, so that it stays plain text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from coach.errors import ModelError
from coach.llm import Message

PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | capitalize }}: {{ message['content'] }}\n\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
"""For models that come without a template."""

_GAP = " […] "  # stands where the middle of a message was cut out
_LEAST_KEPT = 64  # tokens that stay of a message which is cut in its middle: enough to show its beginning and end
_MARK = "\ue000{}\ue001"  # private-use characters: stand for a content while the template is rendered


@dataclass(frozen=True)
class Prompt:
    """The tokens of a chat, ready for the model's reply; `omitted` counts tokens cut out to fit."""

    ids: tuple[int, ...]
    omitted: int = 0


class ChatTokens:
    """Turns chats into token ids for one tokenizer."""

    def __init__(self, tokenizer: Any, template: str, takes_system: bool, special: frozenset[str]) -> None:
        self.tokenizer = tokenizer
        self.template = template
        self.takes_system = takes_system
        self.special = special

    @classmethod
    def load(cls, tokenizer: Any) -> ChatTokens:
        """Find out how the tokenizer's template treats a system message; without a template use a plain one."""
        template = tokenizer.get_chat_template() if tokenizer.chat_template else PLAIN_TEMPLATE
        special = frozenset(str(token) for token in tokenizer.all_special_tokens)
        special |= {str(t.content) for t in tokenizer.added_tokens_decoder.values() if t.special}
        tokens = cls(tokenizer, template, True, special)
        return cls(tokenizer, template, tokens._keeps_system(), special)

    def _keeps_system(self) -> bool:
        from jinja2.exceptions import TemplateError

        probe = (Message("system", _MARK.format(0)), Message("user", _MARK.format(1)))
        try:
            return _MARK.format(0) in self._render(probe)
        except TemplateError:
            return False

    def plain(self, text: str) -> list[int]:
        """The ids of a text in which nothing counts as a special token."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids
        return ids

    def text(self, ids: Sequence[int]) -> str:
        """The text of ids, without special tokens."""
        text: str = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def prompt(self, messages: Sequence[Message], limit: int) -> Prompt:
        """The ids of a chat up to where the reply begins, at most `limit`; raises `ModelError` when it is empty.

        A chat that is too long loses the middle of its longest user message, then of longer replies, then its
        oldest turns; the system message and both ends of the last message stay as long as anything else is left.
        """
        if not messages:
            raise ModelError("There is no message to reply to; send at least one.")
        kept = tuple(messages) if self.takes_system else _without_system(messages)
        ids = self._encode(kept)
        whole = len(ids)
        while len(ids) > limit:
            shorter = self._shortened(kept, len(ids) - limit)
            if shorter is None:
                raise ModelError(
                    f"The prompt has {len(ids)} tokens and the context leaves room for {limit}; "
                    "shorten it, or raise the context with --context."
                )
            kept = shorter
            ids = self._encode(kept)
        return Prompt(tuple(ids), whole - len(ids))

    def _shortened(self, messages: tuple[Message, ...], excess: int) -> tuple[Message, ...] | None:
        for role in ("user", "assistant"):
            sizes = {i: len(self.plain(m.content)) for i, m in enumerate(messages) if m.role == role}
            longest = max(sizes, key=sizes.__getitem__, default=-1)
            if longest >= 0 and sizes[longest] > _LEAST_KEPT:
                return self._cut(messages, longest, excess)
        first = 1 if messages[0].role == "system" else 0
        if len(messages) > first + 1:  # the oldest turn goes: a user message and the reply to it
            rest = messages[first + 1 :]
            return messages[:first] + (rest[1:] if len(rest) > 1 and rest[0].role == "assistant" else rest)
        if first and len(self.plain(messages[0].content)) > _LEAST_KEPT:
            return self._cut(messages, 0, excess)
        return None

    def _cut(self, messages: tuple[Message, ...], at: int, excess: int) -> tuple[Message, ...]:
        ids = self.plain(messages[at].content)
        gap = len(self.plain(_GAP)) + 2  # two more: joining texts can cost a token at either seam
        keep = max(_LEAST_KEPT // 2, min(len(ids) - excess - gap, len(ids) - gap - 1))
        head = keep - keep // 2
        content = self.text(ids[:head]).rstrip("\ufffd") + _GAP + self.text(ids[-(keep // 2) :]).lstrip("\ufffd")
        return (*messages[:at], replace(messages[at], content=content), *messages[at + 1 :])

    def _encode(self, messages: Sequence[Message]) -> list[int]:
        if not any(token in message.content for message in messages for token in self.special):
            ids: list[int] = self.tokenizer(self._render(messages), add_special_tokens=False).input_ids
            return ids
        marked = [Message(m.role, _MARK.format(i)) for i, m in enumerate(messages)]
        rest, ids = self._render(marked), []
        for mark, message in zip(marked, messages, strict=True):
            before, found, rest = rest.partition(mark.content)
            if not found:
                raise ModelError("The model's chat template leaves out a message; choose another model.")
            ids += self.tokenizer(before, add_special_tokens=False).input_ids
            ids += self.plain(message.content)
        return ids + list(self.tokenizer(rest, add_special_tokens=False).input_ids)

    def _render(self, messages: Sequence[Message]) -> str:
        text: str = self.tokenizer.apply_chat_template(
            [{"role": m.role, "content": m.content} for m in messages],
            chat_template=self.template,
            add_generation_prompt=True,
            tokenize=False,
            enable_thinking=False,  # templates without thinking ignore it
        )
        return text


def _without_system(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Put system messages at the head of the first user message, for templates that know no system role."""
    rules = "\n\n".join(m.content for m in messages if m.role == "system")
    rest = [m for m in messages if m.role != "system"]
    if not rules:
        return tuple(rest)
    if not rest or rest[0].role != "user":
        return (Message("user", rules), *rest)
    return (Message("user", f"{rules}\n\n{rest[0].content}"), *rest[1:])
