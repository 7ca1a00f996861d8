"""A model in CTranslate2's format, written here byte by byte as `ctranslate2/specs/model_spec.py` does."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from coach.config import BUILT_IN_KNOWLEDGE
from coach.ct2_file import DOWN, FLOAT16, UP, add_changes, variables
from coach.errors import WeightsError
from coach.weights import WHISPER, assemble, whisper_folder

COACH = BUILT_IN_KNOWLEDGE.parent / "coach"
FLOATS = np.arange(6, dtype=np.float16).reshape(2, 3)


def text(value: str) -> bytes:
    return struct.pack("<H", len(value) + 1) + value.encode() + b"\0"


def array(name: str, values: np.ndarray, kind: int) -> bytes:
    shape = struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)
    return text(name) + shape + struct.pack("<BI", kind, values.nbytes) + values.tobytes()


def model(version: int = 6) -> bytes:
    return (
        struct.pack("<I", version)
        + text("WhisperSpec")
        + struct.pack("<II", 3, 3)
        + array("decoder/heads", np.array(8, dtype=np.int16), 2)
        + array("decoder/weight", FLOATS, 4)
        + array("decoder/bias", np.ones(2, dtype=np.float16), 4)
        + struct.pack("<I", 1)
        + text("decoder/projection")
        + text("decoder/weight")
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "model.bin"
    file.write_bytes(model())
    return file


def change(rows: int = 2, columns: int = 3, name: str = "decoder/weight") -> dict[str, np.ndarray]:
    return {name + UP: np.full((rows, 1), 2, np.float16), name + DOWN: np.arange(columns, dtype=np.float16)[None]}


def test_arrays_are_found_by_name(path: Path) -> None:
    found = variables(path)
    assert {name: one.shape for name, one in found.items()} == {
        "decoder/heads": (),
        "decoder/weight": (2, 3),
        "decoder/bias": (2,),
    }
    np.testing.assert_array_equal(found["decoder/weight"].values(path), FLOATS)
    np.testing.assert_array_equal(found["decoder/bias"].values(path), [1, 1])


def test_a_change_is_added_where_its_matrix_lies_and_nowhere_else(path: Path) -> None:
    add_changes(path, change())
    np.testing.assert_array_equal(variables(path)["decoder/weight"].values(path), [[0, 3, 6], [3, 6, 9]])
    after, before = path.read_bytes(), model()
    assert len(after) == len(before)
    at = variables(path)["decoder/weight"].offset
    assert (after[:at], after[at + FLOATS.nbytes :]) == (before[:at], before[at + FLOATS.nbytes :])


@pytest.mark.parametrize("wrong", [change(rows=3), change(name="encoder/weight"), change(name="decoder/heads")])
def test_a_change_that_does_not_fit_is_refused_and_nothing_written(path: Path, wrong: dict[str, np.ndarray]) -> None:
    with pytest.raises(WeightsError, match="16 bits of shape"):
        add_changes(path, wrong)
    assert path.read_bytes() == model()


def test_another_version_and_a_file_cut_off_are_refused(path: Path) -> None:
    path.write_bytes(model(version=5))
    with pytest.raises(WeightsError, match="version 5"):
        variables(path)
    path.write_bytes(model()[:40])
    with pytest.raises(WeightsError, match="ends before"):
        variables(path)


def test_the_embedded_recogniser_keeps_its_encoder_and_gets_another_decoder(
    small_model_cache: Path, tmp_path: Path
) -> None:
    plain, taught = tmp_path / "model.bin", whisper_folder(small_model_cache) / "model.bin"
    assemble(WHISPER, plain)
    before, after = variables(plain), variables(taught)
    assert before == after
    different = {
        name
        for name, one in before.items()
        if one.kind == FLOAT16 and not np.array_equal(one.values(plain), one.values(taught))
    }
    with np.load(COACH / "probes" / "whisper-base.npz") as changes:
        assert different == {name.removesuffix(UP) for name in changes if name.endswith(UP)}
    assert all(name.startswith("decoder/layer_") for name in different)
