"""Vectors kept on disk: what is encoded again, and what damage does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from letter_encoder import COMPLETE, LetterEncoder

from coach import vector_store
from coach.knowledge import Entry
from coach.retrieval import Index
from coach.vector_store import kept_vectors

ENTRIES = (COMPLETE, Entry("y", "What is y?", "Y is last but one."))


def rebuilt(entries: Sequence[Entry], encoder: LetterEncoder, cache: Path) -> int:
    """How many texts were encoded to build the index."""
    encoder.encoded = 0
    Index.build(entries, encoder, cache)
    return encoder.encoded


def test_an_unchanged_index_is_taken_from_the_cache(tmp_path: Path) -> None:
    encoder = LetterEncoder()
    first = rebuilt(ENTRIES, encoder, tmp_path)
    assert first > 50
    assert rebuilt(ENTRIES, encoder, tmp_path) <= 1  # the probe that tells encoders apart
    fresh = Index.build(ENTRIES, encoder, None)
    cached = Index.build(ENTRIES, encoder, tmp_path)
    assert np.array_equal(fresh.vectors_of(fresh.passages), cached.vectors_of(cached.passages))


def test_a_changed_entry_encodes_its_own_texts_only(tmp_path: Path) -> None:
    whole = rebuilt(ENTRIES, LetterEncoder(), tmp_path)
    assert rebuilt((COMPLETE, Entry("y", "What is y?", "Y is last.")), LetterEncoder(), tmp_path) <= 3
    assert rebuilt((*ENTRIES, Entry("z", "What is z?", "Z is new.")), LetterEncoder(), tmp_path) <= 4
    assert rebuilt(tuple(reversed(ENTRIES)), LetterEncoder(), tmp_path) <= 1
    assert whole > 50


def test_another_encoder_encodes_everything(tmp_path: Path) -> None:
    whole = rebuilt(ENTRIES, LetterEncoder(), tmp_path)
    assert rebuilt(ENTRIES, LetterEncoder(name="other"), tmp_path) == whole
    assert rebuilt(ENTRIES, LetterEncoder(shift=5), tmp_path) == whole  # another model under the same name


def test_a_text_that_is_there_twice_is_encoded_once(tmp_path: Path) -> None:
    encoder = LetterEncoder()
    vectors = kept_vectors(["a", "b", "a"], encoder, tmp_path)
    assert encoder.encoded == 3  # the probe, a, b
    assert np.array_equal(vectors[0], vectors[2])
    assert np.array_equal(vectors, kept_vectors(["a", "b", "a"], LetterEncoder(), None))


def test_old_vectors_make_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vector_store, "MOST_ROWS", 5)
    for n in range(4):
        kept_vectors([f"{n} {m}" for m in range(4)], LetterEncoder(), tmp_path)
    (path,) = files(tmp_path)
    assert len(np.load(path)) == 5


def files(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("damage", [b"", b"\x93NUMPY", b"not an array at all"])
def test_a_damaged_cache_is_built_again(tmp_path: Path, damage: bytes) -> None:
    encoder = LetterEncoder()
    rebuilt(ENTRIES, encoder, tmp_path)
    (path,) = files(tmp_path)
    whole = np.load(path)
    path.write_bytes(damage)
    assert rebuilt(ENTRIES, encoder, tmp_path) > 50
    assert np.array_equal(np.load(path), whole)


def test_a_cache_cut_short_is_built_again(tmp_path: Path) -> None:
    encoder = LetterEncoder()
    rebuilt(ENTRIES, encoder, tmp_path)
    (path,) = files(tmp_path)
    path.write_bytes(path.read_bytes()[:-100])
    assert rebuilt(ENTRIES, encoder, tmp_path) > 50


def test_the_cache_does_not_grow_without_end(tmp_path: Path) -> None:
    for n in range(7):
        rebuilt(ENTRIES, LetterEncoder(name=f"encoder {n}"), tmp_path)
    assert len(files(tmp_path)) <= vector_store.MOST_FILES
