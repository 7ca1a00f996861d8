"""The embedded sentence encoder, and encoders that cannot be loaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from coach.encoder import SentenceEncoder
from coach.errors import RetrievalError


def test_one_text_alone_and_in_a_batch_gets_the_same_vector(encoder: SentenceEncoder) -> None:
    texts = ["dropout", "a much longer sentence about the batch normalisation of activations", "x", "y z", "why", "gan"]
    assert np.allclose(encoder.encode(texts)[0], encoder.encode(texts[:1])[0], atol=1e-4)
    assert encoder.encode(texts).shape == (6, 384)


def test_texts_that_no_tokeniser_takes_are_cleaned(encoder: SentenceEncoder) -> None:
    vectors = encoder.encode(["\ud800 dropout", "\x00", ""])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1.0, atol=1e-4)


@pytest.mark.parametrize("name", ["no/such-model", "/no/such/folder", "empty", "broken"])
def test_an_encoder_that_cannot_be_loaded(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "config.json").write_text("{", encoding="utf-8")
    path = name if "/" in name else str(tmp_path / name)
    with pytest.raises(RetrievalError, match="encoder"):
        SentenceEncoder.load(path, device="cpu")
