"""Vectors of texts, kept on disk: a text is encoded once, whatever index it stands in.

Those of the built-in knowledge by the embedded encoder come with the project (`benchmarks/encode_knowledge.py`): six
thousand texts take a minute on two cores with AVX2 alone, which nobody should wait for the first answer.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coach.encoder import Encoder

if TYPE_CHECKING:
    import numpy as np

    from coach.encoder import Vectors

STORE_FORMAT = 3  # part of a file's name: raise it when vectors change their meaning
MOST_ROWS = 40_000  # vectors kept for one encoder (60 MB at 384 dimensions); those of the present texts stay
MOST_FILES = 4  # one for each encoder used lately
BUILT_IN = Path(__file__).with_name("vectors")

_PROBE = "which encoder wrote these vectors"


def kept_vectors(texts: Sequence[str], encoder: Encoder, cache_dir: Path | None, built_in: Path = BUILT_IN) -> Vectors:
    """Unit vectors of the texts, shape (texts, dimensions).

    Only what `built_in` does not hold is encoded, and kept in `cache_dir`.
    """
    import numpy as np

    name, dimensions = _written_by(encoder)
    keys = [_key(text) for text in texts]
    wanted = dict(zip(keys, texts, strict=True))
    given = _read(built_in / name, _row(np.float16, dimensions))
    vectors = {key: vector for key, vector in zip(given["key"].tolist(), given["vector"], strict=True) if key in wanted}
    others = {key: text for key, text in wanted.items() if key not in vectors}
    if others:
        path = cache_dir / "index" / name if cache_dir else None
        vectors |= _cached(others, encoder, dimensions, path)
    return np.array([vectors[key] for key in keys], dtype=np.float32)


def write_built_in(texts: Sequence[str], encoder: Encoder, folder: Path = BUILT_IN) -> None:
    """Encode texts for `kept_vectors` to find; two bytes a number, which changes cosines by less than 0.001."""
    import numpy as np

    name, dimensions = _written_by(encoder)
    chosen = list(dict.fromkeys(texts))
    rows = np.zeros(len(chosen), dtype=_row(np.float16, dimensions))
    rows["key"], rows["vector"] = [_key(text) for text in chosen], encoder.encode(chosen)
    _write(folder / name, rows, most_files=1)


def _cached(texts: Mapping[bytes, str], encoder: Encoder, dimensions: int, path: Path | None) -> dict[bytes, Vectors]:
    """Vectors of texts by their keys, from a file where it holds them; it takes in the others."""
    import numpy as np

    row = _row(np.float32, dimensions)
    stored = _read(path, row) if path else np.zeros(0, dtype=row)
    place = {key: n for n, key in enumerate(stored["key"].tolist())}
    missing = {key: text for key, text in texts.items() if key not in place}
    if missing:
        new = np.zeros(len(missing), dtype=row)
        new["key"] = list(missing)
        new["vector"] = encoder.encode(list(missing.values()))
        used = [n for key, n in place.items() if key in texts]
        others = [n for key, n in place.items() if key not in texts]
        room = max(0, MOST_ROWS - len(used) - len(new))
        stored = np.concatenate([new, stored[used], stored[others[:room]]])
        place = {key: n for n, key in enumerate(stored["key"].tolist())}
        if path:
            _write(path, stored)
    return {key: stored["vector"][place[key]] for key in texts}


def _written_by(encoder: Encoder) -> tuple[str, int]:
    """The name of the file that holds an encoder's vectors, and how long they are.

    What the encoder makes of one text tells encoders of one name apart; rounded, so that processors agree on it.
    """
    probe = encoder.encode([_PROBE])[0]
    told = json.dumps([STORE_FORMAT, encoder.name, probe.round(2).tolist()])
    return f"{hashlib.sha256(told.encode()).hexdigest()[:32]}.npy", len(probe)


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32].encode()


def _row(number: type[np.floating[Any]], dimensions: int) -> np.dtype[np.void]:
    """A row of a file: the key of a text, and its vector."""
    import numpy as np

    return np.dtype([("key", "S32"), ("vector", number, (dimensions,))])


def _read(path: Path, row: np.dtype[np.void]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """What a file holds, or nothing when there is none or it is damaged."""
    import numpy as np

    try:
        stored: np.ndarray[tuple[int], np.dtype[np.void]] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.zeros(0, dtype=row)
    return stored if stored.dtype == row and stored.ndim == 1 else np.zeros(0, dtype=row)


def _write(path: Path, stored: np.ndarray[tuple[int], np.dtype[np.void]], most_files: int = MOST_FILES) -> None:
    """Replace a file at once, so that whoever reads it meanwhile finds the old one or the new one."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npy")
    with os.fdopen(handle, "wb") as file:
        np.save(file, stored)
    os.replace(temporary, path)
    for old in sorted(path.parent.glob("*.npy"), key=lambda p: p.stat().st_mtime)[:-most_files]:
        old.unlink(missing_ok=True)
