"""Settings: the environment over the defaults, overrides over both, and an error in words for anything else."""

from __future__ import annotations

import os
from dataclasses import FrozenInstanceError, fields
from pathlib import Path

import pytest

from coach.config import BUILT_IN_KNOWLEDGE, Settings, environment_name, parse_setting, settings_from
from coach.errors import SettingsError


def test_nothing_set_gives_the_defaults() -> None:
    settings = settings_from({})
    assert settings == Settings()
    assert settings.host == "127.0.0.1"  # nobody else on the network sees the page unasked
    assert settings.keep_audio is False


def test_every_field_has_a_variable_that_reaches_it(tmp_path: Path) -> None:
    given = {
        "model": "small",
        "device": "cpu",
        "quantise": "int8",
        "threads": "3",
        "context": "2048",
        "encoder": "some/encoder",
        "recogniser": "some/recogniser",
        "knowledge": os.pathsep.join(["one", "two"]),
        "cache": str(tmp_path),
        "host": "0.0.0.0",
        "port": "8000",
        "ssl_certfile": "cert.pem",
        "ssl_keyfile": "key.pem",
        "keep_audio": "yes",
    }
    assert set(given) == {field.name for field in fields(Settings)}, "a new field wants a value here"
    settings = settings_from({environment_name(name): text for name, text in given.items()})
    defaults = Settings()
    unchanged = [f.name for f in fields(Settings) if getattr(settings, f.name) == getattr(defaults, f.name)]
    assert unchanged == []
    assert settings.knowledge == (Path("one"), Path("two"))
    assert settings.port == 8000
    assert settings.keep_audio is True


def test_an_override_wins_unless_it_is_none() -> None:
    environment = {"COACH_PORT": "8000", "COACH_MODEL": "small"}
    settings = settings_from(environment, port=9000, model=None)
    assert (settings.port, settings.model) == (9000, "small")


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("device", "gpu"),
        ("device", "CPU "),
        ("quantise", "4bit"),
        ("threads", "-1"),
        ("threads", "two"),
        ("threads", ""),
        ("threads", "²"),
        ("threads", "٣"),
        ("threads", "--5"),
        ("threads", "1e3"),
        ("context", "12"),
        ("context", "9" * 5000),
        ("port", "65536"),
        ("port", "0x50"),
        ("keep_audio", "perhaps"),
        ("model", " "),
        ("host", ""),
        ("cache", ""),
        ("cache", "~no-such-user-here/cache"),
        ("knowledge", "~no-such-user-here"),
        ("ssl_keyfile", "~no-such-user-here/key"),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_by_name(field: str, text: str) -> None:
    with pytest.raises(SettingsError, match=environment_name(field)) as caught:
        settings_from({environment_name(field): text})
    assert len(str(caught.value)) < 300


def test_an_unknown_setting_is_refused() -> None:
    with pytest.raises(SettingsError, match="colour"):
        parse_setting("colour", "red")


@pytest.mark.parametrize("text", ["", "0", "No", "off", "FALSE"])
def test_words_for_no(text: str) -> None:
    assert parse_setting("keep_audio", text) is False


@pytest.mark.parametrize("text", ["1", "Yes", " on ", "TRUE"])
def test_words_for_yes(text: str) -> None:
    assert parse_setting("keep_audio", text) is True


def test_the_cache_folder_has_its_home_filled_in() -> None:
    assert "~" not in str(Settings().cache_dir)
    assert Settings().cache_dir.is_absolute()


def test_an_empty_part_of_the_knowledge_path_is_no_folder() -> None:
    assert parse_setting("knowledge", f"one{os.pathsep}{os.pathsep}") == (Path("one"),)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        Settings().port = 1  # type: ignore[misc]


def test_the_built_in_knowledge_is_where_it_says() -> None:
    assert (BUILT_IN_KNOWLEDGE / "dropout.toml").is_file()
