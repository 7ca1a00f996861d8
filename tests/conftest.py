"""No test reaches outside this machine; parts that take long to open are opened once for all tests."""

from __future__ import annotations

import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coach.config import BUILT_IN_KNOWLEDGE
from coach.knowledge import Entry, load_entries
from coach.retrieval import Index, SentenceEncoder
from coach.weights import encoder_folder

# Before any test imports the packages that read these; the coach's modules import them late.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"  # threads that spin while they wait starve whoever shares the machine
_MODEL_CACHE = os.environ.get("COACH_TEST_CACHE")
for name in [name for name in os.environ if name.startswith("COACH_")]:
    del os.environ[name]  # a developer's own settings must not decide about a test

_CONNECT = socket.socket.connect


def _local(address: Any) -> bool:
    if not isinstance(address, tuple):
        return True  # a Unix socket
    host = str(address[0])
    try:
        return ipaddress.ip_address(host.split("%")[0]).is_loopback
    except ValueError:
        return host in ("localhost", "")


def _connect(self: socket.socket, address: Any) -> None:
    if not _local(address):
        raise AssertionError(f"A test tried to connect to {address!r}; tests stay on this machine.")
    _CONNECT(self, address)


@pytest.fixture(scope="session", autouse=True)
def offline() -> Iterator[None]:
    """Connections to other machines fail loudly."""
    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", _connect)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def entries() -> tuple[Entry, ...]:
    """The thirty built-in entries."""
    return load_entries(BUILT_IN_KNOWLEDGE)


@pytest.fixture(scope="session")
def encoder() -> SentenceEncoder:
    """The embedded MiniLM."""
    return SentenceEncoder.load(str(encoder_folder()), device="cpu")


@pytest.fixture(scope="session")
def cache(pytestconfig: pytest.Config) -> Path:
    """A cache folder that outlives the run: what lies there is found by a hash of its content alone."""
    return pytestconfig.cache.mkdir("coach")


@pytest.fixture(scope="session")
def small_model_cache(cache: Path) -> Path:
    """The cache folder for tests with the embedded small model: converted once (a minute), then kept.

    The variable COACH_TEST_CACHE names another one, so that several checkouts can share it.
    """
    return Path(_MODEL_CACHE) if _MODEL_CACHE else cache


@pytest.fixture(scope="session")
def index(entries: tuple[Entry, ...], encoder: SentenceEncoder, cache: Path) -> Index:
    """The index of the built-in entries."""
    return Index.build(entries, encoder, cache)
