from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType, GGUFWriter
from gguf.quants import dequantize, quantize

from coach.errors import WeightsError
from coach.gguf_file import GGUFFile

ROWS, COLUMNS = 6, 512


def packed(kind: GGMLQuantizationType) -> np.ndarray:
    """Blocks of a type: random bytes with sane half-precision scales, because not every type can be made."""
    values, size = GGML_QUANT_SIZES[kind]
    random = np.random.default_rng(0)
    blocks = random.integers(0, 256, (ROWS * COLUMNS // values, size), dtype=np.uint8)
    scales = random.uniform(0.001, 0.1, (len(blocks), 2)).astype(np.float16).view(np.uint8)
    if kind == GGMLQuantizationType.Q4_K:
        blocks[:, :4] = scales
    else:
        blocks[:, -2:] = scales[:, :2]
    return blocks.reshape(ROWS, -1)


def write(path: Path, **tensors: tuple[np.ndarray, GGMLQuantizationType]) -> GGUFFile:
    writer = GGUFWriter(path, "qwen2")
    writer.add_block_count(3)
    writer.add_rope_freq_base(1e6)
    writer.add_token_list(["a", "naïve", "学"])
    writer.add_token_types([1, 1, 3])
    writer.add_add_bos_token(False)
    for name, (data, kind) in tensors.items():
        writer.add_tensor(name, data, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return GGUFFile.open(path)


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q4_K, GGMLQuantizationType.Q6_K])
def test_blocks_unpack_to_what_the_gguf_package_says(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    data = packed(kind)
    file = write(tmp_path / "a.gguf", first=(np.zeros(64, np.float32), GGMLQuantizationType.F32), weight=(data, kind))
    values = file.tensor("weight", torch.float32)
    assert values.shape == (ROWS, COLUMNS)
    assert np.array_equal(values.numpy(), dequantize(data, kind))
    assert file.tensor("weight", torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("kind", [GGMLQuantizationType.Q5_0, GGMLQuantizationType.Q8_0, GGMLQuantizationType.F16])
def test_other_types_are_unpacked_by_the_gguf_package(tmp_path: Path, kind: GGMLQuantizationType) -> None:
    floats = np.random.default_rng(1).normal(size=(ROWS, COLUMNS)).astype(np.float32)
    file = write(tmp_path / "a.gguf", weight=(quantize(floats, kind), kind))
    assert np.abs(file.tensor("weight", torch.float32).numpy() - floats).max() < 0.2


def test_metadata_is_read(tmp_path: Path) -> None:
    file = write(tmp_path / "a.gguf")
    assert file.architecture == "qwen2"
    assert file.field("block_count") == 3
    assert file.field("rope.freq_base") == 1e6
    assert file.metadata["tokenizer.ggml.tokens"] == ["a", "naïve", "学"]
    assert file.metadata["tokenizer.ggml.token_type"] == [1, 1, 3]
    assert file.metadata["tokenizer.ggml.add_bos_token"] is False


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    file = write(tmp_path / "a.gguf")
    with pytest.raises(WeightsError, match=r"no field qwen2\.context_length"):
        file.field("context_length")
    with pytest.raises(WeightsError, match=r"no tensor output\.weight"):
        file.tensor("output.weight", torch.float32)


def test_other_files_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.gguf").write_bytes(b"PK\x03\x04 not a model")
    with pytest.raises(WeightsError, match="does not begin with GGUF"):
        GGUFFile.open(tmp_path / "a.gguf")


@pytest.mark.parametrize("share", [0.02, 0.4, 0.9])
def test_a_file_that_is_cut_off_is_refused(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.gguf"
    write(path, weight=(packed(GGMLQuantizationType.Q4_K), GGMLQuantizationType.Q4_K))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(WeightsError, match=r"not a readable GGUF file|ends inside tensor"):
        GGUFFile.open(path).tensor("weight", torch.float32)
