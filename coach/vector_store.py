"""Vectors of texts, kept on disk: a text is encoded once, whatever index it stands in."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from coach.encoder import Encoder

if TYPE_CHECKING:
    import numpy as np

    from coach.encoder import Vectors

STORE_FORMAT = 3  # part of a file's name: raise it when vectors change their meaning
MOST_ROWS = 40_000  # vectors kept for one encoder (60 MB at 384 dimensions); those of the present texts stay
MOST_FILES = 4  # one for each encoder used lately

_PROBE = "which encoder wrote these vectors"


def kept_vectors(texts: Sequence[str], encoder: Encoder, cache_dir: Path | None) -> Vectors:
    """Unit vectors of the texts, shape (texts, dimensions); only those that `cache_dir` does not hold are encoded."""
    import numpy as np

    if cache_dir is None:
        return encoder.encode(texts)
    # What the encoder makes of one text tells encoders of one name apart; rounded, so that processors agree on it.
    probe = encoder.encode([_PROBE])[0]
    name = hashlib.sha256(json.dumps([STORE_FORMAT, encoder.name, probe.round(2).tolist()]).encode()).hexdigest()[:32]
    path = cache_dir / "index" / f"{name}.npy"
    row = np.dtype([("key", "S32"), ("vector", np.float32, (len(probe),))])
    keys = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32].encode() for text in texts]
    stored = _read(path, row)
    place = {key: n for n, key in enumerate(stored["key"].tolist())}
    missing = {key: text for key, text in zip(keys, texts, strict=True) if key not in place}
    if missing:
        new = np.zeros(len(missing), dtype=row)
        new["key"] = list(missing)
        new["vector"] = encoder.encode(list(missing.values()))
        present = set(keys)
        used = [n for key, n in place.items() if key in present]
        others = [n for key, n in place.items() if key not in present]
        room = max(0, MOST_ROWS - len(used) - len(new))
        stored = np.concatenate([new, stored[used], stored[others[:room]]])
        place = {key: n for n, key in enumerate(stored["key"].tolist())}
        _write(path, stored)
    found: Vectors = np.ascontiguousarray(stored["vector"][[place[key] for key in keys]])
    return found


def _read(path: Path, row: np.dtype[np.void]) -> np.ndarray[tuple[int], np.dtype[np.void]]:
    """What a file holds, or nothing when there is none or it is damaged."""
    import numpy as np

    try:
        stored: np.ndarray[tuple[int], np.dtype[np.void]] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.zeros(0, dtype=row)
    return stored if stored.dtype == row and stored.ndim == 1 else np.zeros(0, dtype=row)


def _write(path: Path, stored: np.ndarray[tuple[int], np.dtype[np.void]]) -> None:
    """Replace a file at once, so that whoever reads it meanwhile finds the old one or the new one."""
    import numpy as np

    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".npy")
    with os.fdopen(handle, "wb") as file:
        np.save(file, stored)
    os.replace(temporary, path)
    for old in sorted(path.parent.glob("*.npy"), key=lambda p: p.stat().st_mtime)[:-MOST_FILES]:
        old.unlink(missing_ok=True)
