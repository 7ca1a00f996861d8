"""Where the page listens, and what a browser may load."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import pytest

from coach.config import Settings
from coach.errors import SettingsError
from coach.serving import OnlyFromHere, listening, web_server


def test_a_taken_port_is_told_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(SettingsError, match=f"port {port}.*--port {port % 65535 + 1}"):
            listening("127.0.0.1", port)


def test_every_answer_carries_the_policy() -> None:
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"y")]})
        await send({"type": "http.response.body", "body": b"z"})

    async def send(message: Any) -> None:
        sent.append(message)

    asyncio.run(OnlyFromHere(app)({"type": "http"}, None, send))  # type: ignore[arg-type]
    headers = dict(sent[0]["headers"])
    assert headers[b"x"] == b"y"
    assert b"default-src 'self'" in headers[b"content-security-policy"]
    assert sent[1]["body"] == b"z"


def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path) -> None:
    wrong = tmp_path / "not.pem"
    wrong.write_text("no certificate")
    for certificate, key in ((wrong, wrong), (tmp_path / "missing.pem", wrong), (wrong, None)):
        with pytest.raises(SettingsError, match=r"PEM|both"):
            web_server(None, Settings(ssl_certfile=certificate, ssl_keyfile=key))
    assert web_server(None, Settings()).config.ssl is None
