"""Where the page listens, and what a browser may load on it."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable, MutableMapping
from typing import TYPE_CHECKING, Any

from coach.config import Settings
from coach.errors import SettingsError

if TYPE_CHECKING:
    import uvicorn

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Scope]]
Send = Callable[[Scope], Awaitable[None]]

# Nothing from another host; what Gradio's own scripts, styles and workers need is allowed from here.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob: data:; connect-src 'self' blob: data:; "
    "worker-src 'self' blob:; frame-ancestors 'none'; object-src 'none'"
)


class OnlyFromHere:
    """Tells the browser to load nothing from another host (an ASGI layer, so that streams pass through unbuffered)."""

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on and add the policy to the headers of its answer."""

        async def with_policy(message: Scope) -> None:
            if message["type"] == "http.response.start":
                added = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"referrer-policy", b"no-referrer"),
                    (b"x-content-type-options", b"nosniff"),
                ]
                message["headers"] = [*message.get("headers", []), *added]
            await send(message)

        await self.app(scope, receive, with_policy)


def listening(host: str, port: int) -> socket.socket:
    """A socket bound to the address; raises `SettingsError` that says what to do when that cannot be."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        raise SettingsError(
            f"The page cannot listen on {host}, port {port} ({error.strerror}). Choose another port with "
            f"--port {port % 65535 + 1} or another address with --host, or end the program that listens there."
        ) from error
    return bound


def web_server(app: Any, settings: Settings) -> uvicorn.Server:
    """A server for the application, with https where a certificate is given; raises `SettingsError`."""
    import uvicorn

    if (settings.ssl_certfile is None) != (settings.ssl_keyfile is None):
        raise SettingsError("For https give both --ssl-certfile and --ssl-keyfile.")
    config = uvicorn.Config(
        app, log_level="warning", ssl_certfile=settings.ssl_certfile, ssl_keyfile=settings.ssl_keyfile
    )
    try:
        config.load()
    except OSError as error:
        raise SettingsError(
            f"The certificate {settings.ssl_certfile} and its key {settings.ssl_keyfile} cannot be used ({error}). "
            "Name PEM files that belong together."
        ) from error
    return uvicorn.Server(config)
