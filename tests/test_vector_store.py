"""Vectors kept on disk: what is encoded again, and what damage does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from letter_encoder import COMPLETE, LetterEncoder
from numpy.typing import NDArray

from coach import vector_store
from coach.knowledge import Entry
from coach.outside import outside_passages
from coach.passages import passages_of
from coach.retrieval import Index, SentenceEncoder
from coach.vector_store import kept_vectors, write_built_in

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


class Counting:
    """The real encoder; remembers how many texts it was given."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.name = encoder.name
        self.encoded = 0
        self._encoder = encoder

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        self.encoded += len(texts)
        return self._encoder.encode(texts)


def test_the_built_in_knowledge_is_not_encoded_at_the_first_start(
    encoder: SentenceEncoder, entries: tuple[Entry, ...], tmp_path: Path
) -> None:
    """Fails when an entry has changed: run `python benchmarks/encode_knowledge.py`."""
    texts = [passage.text for entry in entries for passage in passages_of(entry)] + list(outside_passages())
    counting = Counting(encoder)
    vectors = kept_vectors(texts, counting, tmp_path)
    assert counting.encoded == 1, "run `python benchmarks/encode_knowledge.py`"  # the text that tells encoders apart
    assert files(tmp_path) == []
    assert np.abs(vectors[::500] - encoder.encode(texts[::500])).max() < 1e-3
    (path,) = files(vector_store.BUILT_IN)
    assert len(np.load(path)) == len(set(texts)), "run `python benchmarks/encode_knowledge.py`"


def test_what_comes_with_the_project_is_neither_encoded_nor_kept_again(tmp_path: Path) -> None:
    write_built_in(["a", "b", "a"], LetterEncoder(), tmp_path / "given")
    encoder = LetterEncoder()
    vectors = kept_vectors(["b", "new", "a"], encoder, tmp_path / "cache", tmp_path / "given")
    assert encoder.encoded == 2  # the probe, and the new one
    (path,) = files(tmp_path / "cache")
    assert len(np.load(path)) == 1
    assert np.allclose(vectors, LetterEncoder().encode(["b", "new", "a"]), atol=1e-3)
    other = LetterEncoder(shift=5)
    assert np.array_equal(
        kept_vectors(["a", "b"], other, None, tmp_path / "given"), LetterEncoder(shift=5).encode(["a", "b"])
    )


def test_writing_what_comes_with_the_project_again_replaces_it(tmp_path: Path) -> None:
    write_built_in(["a"], LetterEncoder(), tmp_path)
    write_built_in(["a", "b"], LetterEncoder(shift=5), tmp_path)
    (path,) = files(tmp_path)
    assert len(np.load(path)) == 2
