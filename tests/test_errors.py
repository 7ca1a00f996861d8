"""The tree of errors: one root, so that one `except` catches all that the coach raises on purpose."""

from __future__ import annotations

import pickle

import pytest

from coach import errors
from coach.errors import CoachError, KnowledgeError, ModelError, WeightsError

ALL = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, Exception)]


def test_every_error_of_the_module_is_a_coach_error() -> None:
    assert len(ALL) >= 8
    assert [error for error in ALL if not issubclass(error, CoachError)] == []


def test_the_drawing_at_the_top_names_every_error() -> None:
    assert errors.__doc__ is not None
    assert [error.__name__ for error in ALL if error.__name__ not in errors.__doc__] == []


def test_missing_weights_are_a_kind_of_model_error() -> None:
    with pytest.raises(ModelError):
        raise WeightsError("The parts are missing; install them.")


@pytest.mark.parametrize(("count", "noun"), [(1, "1 fault in"), (2, "2 faults in")])
def test_knowledge_error_counts_and_lists_its_faults(count: int, noun: str) -> None:
    faults = [f"a.toml: field {n}: is wrong; mend it." for n in range(count)]
    error = KnowledgeError(faults)
    assert error.faults == tuple(faults)
    assert noun in str(error)
    assert all(f"- {fault}" in str(error) for fault in faults)


def test_plain_errors_survive_being_sent_between_processes() -> None:
    assert str(pickle.loads(pickle.dumps(ModelError("what, got, fix")))) == "what, got, fix"
