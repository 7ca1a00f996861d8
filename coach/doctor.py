"""What runs where: for `python -m coach doctor` and for the page's status."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import time
from dataclasses import asdict, is_dataclass
from typing import Any

from coach.coach import Coach
from coach.errors import CoachError
from coach.llm import GenerationOptions, Message

_PACKAGES = (
    "torch", "transformers", "accelerate", "sentence-transformers", "faiss-cpu", "bm25s", "gradio", "faster-whisper",
    "piper-tts",
)  # fmt: skip
_SAMPLE_TOKENS = 24


def report(coach: Coach, sample: bool = True) -> dict[str, Any]:
    """Versions, memory, index, model and, with `sample`, the measured speed of a short reply."""
    status = coach.status
    found: dict[str, Any] = {
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "processors": os.cpu_count(),
        "memory": _memory(),
        "packages": {name: _version(name) for name in _PACKAGES},
        "entries": len(coach.entries),
        "status": status.message,
        "index": _index(coach),
        "model": _model(coach),
    }
    if sample and coach.llm is not None:
        found["speed"] = _speed(coach)
    return found


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _memory() -> dict[str, float]:
    import psutil

    memory = psutil.virtual_memory()
    process = psutil.Process().memory_info().rss
    return {
        "total_gib": round(memory.total / 2**30, 1),
        "free_gib": round(memory.available / 2**30, 1),
        "used_by_coach_gib": round(process / 2**30, 2),
    }


def _index(coach: Coach) -> dict[str, Any]:
    if coach.status.encoder != "ready":
        return {"state": coach.status.message}
    index = coach.index
    begin = time.monotonic()
    index.search("why do we need batch normalisation")
    took = time.monotonic() - begin
    return {
        "state": "ready",
        "encoder": index.encoder.name,
        "passages": len(index.passages),
        "search_seconds": round(took, 4),
    }


def _model(coach: Coach) -> dict[str, Any]:
    llm = coach.llm
    if llm is None:
        status = coach.status
        # The message is about the first part that is not ready; it is the model's once the index is.
        return {"state": status.message if status.encoder == "ready" else status.model}
    describe = getattr(llm, "describe", None)
    if describe is None:
        return {"state": "ready", "name": llm.name}
    described = describe()
    detail = asdict(described) if is_dataclass(described) and not isinstance(described, type) else dict(described)
    return {"state": "ready", **{key: _plain(value) for key, value in detail.items()}}


def _plain(value: object) -> object:
    return value if isinstance(value, (str, int, float, bool, type(None), list, dict)) else str(value)


def _speed(coach: Coach) -> dict[str, Any]:
    llm = coach.llm
    assert llm is not None
    messages = [Message("user", "Count from one to thirty in words.")]
    begin = time.monotonic()
    first: float | None = None
    count = 0
    try:
        for chunk in llm.stream(messages, GenerationOptions(max_new_tokens=_SAMPLE_TOKENS)):
            if chunk.text and first is None:
                first = time.monotonic() - begin
            count += bool(chunk.text)
    except CoachError as error:
        return {"error": str(error)}
    total = time.monotonic() - begin
    rest = max(total - (first or 0.0), 1e-6)
    return {
        "first_token_seconds": round(first or 0.0, 3),
        "chunks_per_second": round(max(count - 1, 0) / rest, 1),
    }


def in_words(found: dict[str, Any], indent: str = "") -> str:
    """A report as indented lines."""
    lines = []
    for key, value in found.items():
        name = key.replace("_", " ")
        if isinstance(value, dict):
            lines.append(f"{indent}{name}:")
            lines.append(in_words(value, indent + "  "))
        else:
            lines.append(f"{indent}{name}: {'not installed' if value is None else value}")
    return "\n".join(lines)
