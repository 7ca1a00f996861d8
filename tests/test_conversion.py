from __future__ import annotations

from pathlib import Path

from tiny_model import save_tiny_gguf, tiny_tokenizer

from coach.conversion import embedded_folder, gguf_folder, int8_files, qwen2_config, qwen2_tokenizer
from coach.gguf_file import GGUFFile
from coach.weights import SMALL_MODEL

TEXTS = ("the gradient of the loss", "  two  spaces\n\nlines\t", "naïve façade ∂ 学习 🎓", "It's 3.14159, isn't it?")


def test_the_two_forms_lie_side_by_side(tmp_path: Path) -> None:
    save_tiny_gguf(tmp_path / "tiny.gguf")
    int8, bf16 = (gguf_folder(tmp_path / "tiny.gguf", tmp_path, form) for form in ("int8", "bf16"))
    assert [path.name for path in int8_files(int8)] == [f"int8-{n:05}.safetensors" for n in range(3)]
    assert int8_files(bf16) == []
    assert (bf16 / "model.safetensors").is_file()
    assert not list(tmp_path.rglob("source.gguf"))


def test_configuration_and_tokens_are_those_of_the_file(tmp_path: Path) -> None:
    model = save_tiny_gguf(tmp_path / "tiny.gguf")
    file = GGUFFile.open(tmp_path / "tiny.gguf")
    config = qwen2_config(file)
    for name in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_key_value_heads", "vocab_size"):
        assert getattr(config, name) == getattr(model.config, name)
    ours, theirs = qwen2_tokenizer(file), tiny_tokenizer()
    assert ours.chat_template == theirs.chat_template
    assert ours.eos_token == "<|im_end|>"
    assert ours("a<|im_end|>").input_ids[-1] == theirs.convert_tokens_to_ids("<|im_end|>")
    for text in TEXTS:
        assert ours.decode(ours(text).input_ids) == text


def test_the_small_model_splits_text_as_qwen_does(small_model_cache: Path) -> None:
    """Ids of Qwen2.5's published tokenizer: digits one by one, a space with the word after it."""
    from transformers import AutoTokenizer

    folder = embedded_folder(SMALL_MODEL, small_model_cache, "int8")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    assert tokenizer("Hello world").input_ids == [9707, 1879]
    assert tokenizer("<|im_start|>user\n").input_ids == [151644, 872, 198]
    assert len(tokenizer("1234").input_ids) == 4
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text
