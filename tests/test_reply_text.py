from __future__ import annotations

from tiny_model import tiny_tokenizer

from coach.chat_tokens import ChatTokens
from coach.reply_text import ReplyText


def test_never_gives_out_half_a_character() -> None:
    tokens = ChatTokens.load(tiny_tokenizer())
    whole = "naïve ∂ 学习 🎓 done"
    reply = ReplyText(tokens, ())
    pieces = [reply.add(token) for token in tokens.plain(whole)]
    assert "".join(pieces) + reply.rest() == whole
    assert not any("\ufffd" in piece for piece in pieces)
    assert "" in pieces


def test_holds_back_what_may_become_a_stop_string() -> None:
    tokens = ChatTokens.load(tiny_tokenizer())
    reply = ReplyText(tokens, ("\n\nUser:",))
    pieces = [reply.add(token) for token in tokens.plain("yes\n\nUse")]
    assert "".join(pieces) == "yes"
    assert reply.rest() == "\n\nUse"
    reply = ReplyText(tokens, ("\n\nUser:",))
    pieces = [reply.add(token) for token in tokens.plain("yes\n\nUser: no")]
    assert "".join(pieces) + reply.rest() == "yes"
    assert reply.stopped
