"""Signs are set between null and model answers; what was measured and disputed outlives the program."""

from __future__ import annotations

from pathlib import Path

import pytest

from coach.calibration import FARTHEST, Calibration, CalibrationStore, Contest, Signs
from coach.coach import Coach
from coach.judge import Task, calibration_key
from coach.retrieval import Index
from coach.weights import EMBEDDED

NULL = Signs((-2.0, 0.0), (-40.0, -30.0))
MODEL = Signs((2.0, 0.5), (-20.0, -29.0))
FOUND = Calibration(NULL, MODEL)


def test_null_answers_lie_at_nought_and_model_answers_at_one() -> None:
    assert FOUND.placed(NULL) == [(0.0, 0.0), (0.0, 0.0)]
    assert FOUND.placed(MODEL)[0] == (1.0, 1.0)


def test_a_small_span_is_not_blown_up() -> None:
    assert FOUND.placed(MODEL)[1] == (0.5, 0.5)  # spans of 0.5 and 1 nats count as 1 and 2


def test_a_sign_far_beyond_is_cut_off() -> None:
    assert FOUND.placed(Signs((99.0, -99.0), (0.0, -99.0)))[0] == (FARTHEST, FARTHEST)
    assert FOUND.placed(Signs((99.0, -99.0), (0.0, -99.0)))[1] == (-FARTHEST, -FARTHEST)


def test_several_answers_are_joined_point_by_point() -> None:
    found = Calibration.of([NULL, MODEL], [NULL, MODEL])
    assert found.null == Signs((2.0, 0.5), (-20.0, -29.0))  # the strongest
    assert found.model == Signs((0.0, 0.25), (-30.0, -29.5))  # the mean


def test_one_point_can_be_moved_alone() -> None:
    moved = NULL.moved(1, MODEL.only(1), max)
    assert moved == Signs((-2.0, 0.5), (-40.0, -29.0))


def test_what_a_probe_reads_is_set_like_the_other_signs() -> None:
    found = Calibration(Signs((-2.0,), (-40.0,), (1.0,)), Signs((2.0,), (-20.0,), (3.0,)))
    assert found.placed(Signs((0.0,), (-30.0,), (2.5,))) == [(0.5, 0.5, 0.75)]
    assert found.placed(Signs((0.0,), (-30.0,))) == [(0.5, 0.5)]  # nothing was read
    assert Calibration.of([found.null, found.model], [found.model]).null == Signs((2.0,), (-20.0,), (2.0,))
    assert found.null.moved(0, found.model, max).reads == (3.0,)
    assert found.null.only(0) == found.null


def test_a_calibration_is_kept_by_its_key(tmp_path: Path) -> None:
    key = CalibrationStore.key("model", "question")
    assert key != CalibrationStore.key("other model", "question")
    CalibrationStore(tmp_path).save(key, FOUND)
    assert CalibrationStore(tmp_path).load(key) == FOUND
    probed = Calibration(Signs((0.0,), (0.0,), (1.5,)), Signs((1.0,), (2.0,), (3.5,)))
    CalibrationStore(tmp_path).save("probed", probed)
    assert CalibrationStore(tmp_path).load("probed") == probed
    assert CalibrationStore(tmp_path).load("0" * 32) is None


@pytest.mark.parametrize("content", ["", "{", "[]", '{"null": {"odds": [1]}}', '{"null": 3, "model": 4}', "\x00"])
def test_a_damaged_calibration_is_measured_again(tmp_path: Path, content: str) -> None:
    store = CalibrationStore(tmp_path)
    store.save("key", FOUND)
    (tmp_path / "calibration" / "key.json").write_text(content, encoding="utf-8")
    assert store.load("key") is None


def test_contests_are_kept_by_question_in_order(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    first, second = Contest("q", "p", "said ü", True), Contest("q", "p", "said that", False)
    for contest in (first, Contest("another", "p", "x", True), second):
        store.contested(contest)
    assert CalibrationStore(tmp_path).contests("q") == (first, second)


def test_a_damaged_line_loses_no_other_contest(tmp_path: Path) -> None:
    store = CalibrationStore(tmp_path)
    store.contested(Contest("q", "p", "a", True))
    with (tmp_path / "calibration" / "contested.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"half": \n{"question": 1}\n')
    store.contested(Contest("q", "p", "b", False))
    assert [contest.sentence for contest in store.contests("q")] == ["a", "b"]


def test_the_built_in_entries_need_no_measuring_with_the_embedded_model(index: Index) -> None:
    """Fails when an entry or a prompt has changed: run `python benchmarks/calibrate.py`."""
    coach = Coach.of(index.entries, index, None)
    store = CalibrationStore(None)
    for entry in index.entries:
        task = Task.of_entry(entry, coach.foil(entry))
        found = store.load(calibration_key(EMBEDDED["default"].title, task))
        assert found is not None, f"{entry.id}: run `python benchmarks/calibrate.py`"
        assert len(found.null.odds) == len(found.model.notes) == len(found.model.reads) == len(entry.key_points)


def test_without_a_folder_nothing_is_kept() -> None:
    store = CalibrationStore(None)
    store.save("key", FOUND)
    store.contested(Contest("q", "p", "a", True))
    assert store.load("key") is None
    assert store.contests("q") == ()
