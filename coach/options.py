"""The options that the page and the command line share: one for each setting, each with its environment variable."""

from __future__ import annotations

import argparse
from dataclasses import fields

from coach.config import Settings, environment_name, parse_setting, settings_from
from coach.errors import SettingsError

_HELP = {
    "model": "language model: default (the embedded 1.5B), small (the embedded 0.5B), none, a hub id, a folder, "
    "or a GGUF file",
    "device": "where models run: auto, cpu, cuda or mps",
    "quantise": "weights on the CPU: auto, int8 or none",
    "threads": "processor threads to use; 0 takes all cores",
    "context": "tokens of prompt and reply together",
    "encoder": "sentence encoder: default, or a sentence-transformers model by name or folder",
    "recogniser": "speech recognition: default, or a faster-whisper model by name or folder",
    "knowledge": "a folder with your own entries, beside the built-in ones; may be given more than once",
    "cache": "folder for converted weights and the index",
    "host": "address the page listens on",
    "port": "port the page listens on",
    "ssl_certfile": "certificate for https, which browsers want for the microphone on other addresses than localhost",
    "ssl_keyfile": "private key that belongs to the certificate",
    "keep_audio": "keep recordings after transcription (yes or no)",
}


def add_arguments(parser: argparse.ArgumentParser, leave_out: tuple[str, ...] = ()) -> None:
    """Add an option for every setting but those in `leave_out`."""
    group = parser.add_argument_group("settings", "each can also be set by the environment variable named")
    for field in fields(Settings):
        if field.name in leave_out:
            continue
        default = field.default if field.name != "knowledge" else "none"
        shown = "unset" if default is None else default
        group.add_argument(
            f"--{field.name.replace('_', '-')}",
            dest=field.name,
            metavar=field.name.upper().replace("SSL_", ""),
            action="append" if field.name == "knowledge" else "store",
            help=f"{_HELP[field.name]} [{environment_name(field.name)}; default: {shown}]".replace("%", "%%"),
        )


def settings_of(args: argparse.Namespace, **overrides: object) -> Settings:
    """Settings from parsed options over the environment over the defaults; raises `SettingsError`."""
    values: dict[str, object] = {}
    for field in fields(Settings):
        given = getattr(args, field.name, None)
        if given is None:
            continue
        try:
            if field.name == "knowledge":
                values[field.name] = tuple(path for text in given for path in _folders(text))
            else:
                values[field.name] = parse_setting(field.name, given)
        except SettingsError as error:
            option = f"--{field.name.replace('_', '-')}"
            raise SettingsError(str(error).replace(environment_name(field.name), option, 1)) from error
    return settings_from(None, **{**values, **overrides})


def _folders(text: str) -> tuple[object, ...]:
    parsed = parse_setting("knowledge", text)
    assert isinstance(parsed, tuple)
    return parsed
