"""Every setting is an option: named, explained, checked, and stronger than the environment."""

from __future__ import annotations

import argparse
from dataclasses import fields
from pathlib import Path

import pytest

from coach.config import Settings, environment_name
from coach.errors import SettingsError
from coach.options import add_arguments, settings_of


def parser(*leave_out: str) -> argparse.ArgumentParser:
    made = argparse.ArgumentParser()
    add_arguments(made, leave_out)
    return made


def settings(*argv: str, **overrides: object) -> Settings:
    return settings_of(parser().parse_args(argv), **overrides)


def test_help_names_every_option_with_its_variable_and_default() -> None:
    text = " ".join(parser().format_help().split())
    for field in fields(Settings):
        assert f"--{field.name.replace('_', '-')} " in text
        assert environment_name(field.name) in text
    assert "7860" in text


def test_an_option_can_be_left_out() -> None:
    with pytest.raises(SystemExit):
        parser("port").parse_args(["--port", "1"])


def test_nothing_given_is_the_defaults() -> None:
    assert settings() == Settings()


def test_options_reach_the_settings_with_their_types() -> None:
    got = settings("--port", "81", "--keep-audio", "yes", "--model", "small", "--ssl-certfile", "c.pem")
    assert (got.port, got.keep_audio, got.model, got.ssl_certfile) == (81, True, "small", Path("c.pem"))


def test_an_option_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COACH_PORT", "8000")
    monkeypatch.setenv("COACH_DEVICE", "cpu")
    got = settings("--port", "81")
    assert (got.port, got.device) == (81, "cpu")


def test_an_override_wins_over_the_option() -> None:
    assert settings("--model", "small", model="none").model == "none"


def test_knowledge_may_be_given_more_than_once() -> None:
    assert settings("--knowledge", "one", "--knowledge", "two").knowledge == (Path("one"), Path("two"))


@pytest.mark.parametrize(
    ("option", "value"),
    [("--port", "x"), ("--device", "gpu"), ("--keep-audio", "maybe"), ("--knowledge", "~no-such-user-here")],
)
def test_a_bad_value_is_refused_under_the_options_name(option: str, value: str) -> None:
    with pytest.raises(SettingsError, match=option) as caught:
        settings(option, value)
    assert "COACH_" not in str(caught.value)
