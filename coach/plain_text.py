"""What people type or paste, made fit for encoders, files and screens."""

from __future__ import annotations

import re

_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def readable(text: str) -> str:
    """A text that every encoder and every file takes.

    Lone surrogates become replacement characters; control characters other than tab and line ends become spaces.
    """
    return _CONTROLS.sub(" ", text.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))
