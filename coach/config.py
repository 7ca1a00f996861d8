"""Settings, read once from the environment; no other module looks there."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from coach.errors import SettingsError

Device = Literal["auto", "cpu", "cuda", "mps"]
Quantisation = Literal["auto", "none", "int8"]

_WHOLE = re.compile(r"-?[0-9]{1,9}")

BUILT_IN_KNOWLEDGE = Path(__file__).resolve().parent.parent / "knowledge"


@dataclass(frozen=True)
class Settings:
    """Everything that can be set; the command line overrides the environment, which overrides these defaults."""

    model: str = "default"  # "default", "small", "none", a hub id, a folder, or a GGUF file
    device: Device = "auto"
    quantise: Quantisation = "auto"
    threads: int = 0  # 0: as many as the machine has cores
    context: int = 4096  # tokens of prompt and reply together
    encoder: str = "default"  # "default", or any sentence-transformers model by name or path
    recogniser: str = "default"  # "default", or any faster-whisper model by name or path
    knowledge: tuple[Path, ...] = ()  # folders with a user's own entries, beside the built-in ones
    cache: Path = Path("~/.cache/interview-coach")
    host: str = "127.0.0.1"
    port: int = 7860
    ssl_certfile: Path | None = None
    ssl_keyfile: Path | None = None
    keep_audio: bool = False

    @property
    def cache_dir(self) -> Path:
        """The cache folder with the home directory filled in."""
        return self.cache.expanduser()


def environment_name(field: str) -> str:
    """The environment variable that sets a field: `COACH_` and the field's name in capitals."""
    return f"COACH_{field.upper()}"


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise SettingsError(f"{name} is {value!r}; use one of {', '.join(allowed)}.")
    return value


def _whole_number(name: str, value: str, low: int, high: int) -> int:
    if not _WHOLE.fullmatch(value.strip()) or not low <= int(value) <= high:
        raise SettingsError(f"{name} is {value[:40]!r}; use a whole number from {low} to {high}.")
    return int(value)


def _path(name: str, value: str) -> Path:
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise SettingsError(
            f"{name} is {value!r}, a home folder that does not exist; write the path in full."
        ) from error


def _yes_no(name: str, value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("", "0", "false", "no", "off"):
        return False
    raise SettingsError(f"{name} is {value!r}; use yes or no.")


def parse_setting(field: str, value: str) -> object:
    """The typed value of one field from text; raises `SettingsError` that names the field and what is allowed."""
    name = environment_name(field)
    match field:
        case "device":
            return _one_of(name, value, get_args(Device))
        case "quantise":
            return _one_of(name, value, get_args(Quantisation))
        case "threads":
            return _whole_number(name, value, 0, 1024)
        case "context":
            return _whole_number(name, value, 1024, 131072)
        case "port":
            return _whole_number(name, value, 0, 65535)
        case "knowledge":
            return tuple(_path(name, part) for part in value.split(os.pathsep) if part)
        case "ssl_certfile" | "ssl_keyfile":
            return _path(name, value) if value else None
        case "keep_audio":
            return _yes_no(name, value)
        case "model" | "encoder" | "recogniser" | "host" | "cache":
            if not value.strip():
                raise SettingsError(f"{name} is empty; leave it unset for the default.")
            return _path(name, value) if field == "cache" else value
    raise SettingsError(f"There is no setting {field!r}.")


def settings_from(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Settings from `COACH_…` variables, then from overrides that are not None; raises `SettingsError`."""
    source = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for field in Settings.__dataclass_fields__:
        text = source.get(environment_name(field))
        if text is not None:
            values[field] = parse_setting(field, text)
    values.update({key: value for key, value in overrides.items() if value is not None})
    return Settings(**values)  # type: ignore[arg-type]
