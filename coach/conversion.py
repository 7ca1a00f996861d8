"""From a GGUF file to a folder that the engine opens in seconds.

Two forms: "bf16" is an ordinary transformers folder, for graphics processors; "int8" holds the quantised layers of
`coach.quantised`, for the processor. Both have the tokenizer beside the weights.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from coach import weights
from coach.errors import WeightsError
from coach.gguf_file import GGUFFile
from coach.weights import EmbeddedFile, Progress, unheard

if TYPE_CHECKING:
    import torch

    from coach.rotation import Rotation

Form = Literal["bf16", "int8"]

FORMAT = 5  # raised when what is written changes, so that older folders are not taken for current ones

_SAMPLE = 1 << 20  # bytes at either end of a user's GGUF file that its key is made from
_GROWTH = 2.0  # bytes of int8 folder for each byte of Q4_K_M (measured: 1.8); bf16 takes twice as many
_CONTROL = 3  # the token type of special tokens, as ggml numbers them
# How Qwen splits text before byte-pair encoding: https://huggingface.co/Qwen/Qwen2.5-1.5B/blob/main/tokenizer.json
_QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_NAMES = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}


def embedded_folder(file: EmbeddedFile, cache_dir: Path, form: Form, report: Progress = unheard) -> Path:
    """The converted folder of an embedded model, built at the first call; raises `WeightsError`."""
    stem = f"{file.name}-{file.short_digest}"
    folder = weights.models_folder(cache_dir) / f"{stem}-{FORMAT}-{form}"

    def build(new: Path) -> None:
        weights.locate(file)
        weights.require_space(new, int(file.size * (1 + _GROWTH * (2 if form == "bf16" else 1))))
        with _bar(f"Preparing {file.title} (once)", report) as advance:
            done = 0

            def copied(size: int) -> None:
                nonlocal done
                done += size
                advance(0.1 * done / file.size)

            assembled = new / "source.gguf"
            weights.assemble(file, assembled, copied)
            convert(assembled, new, form, lambda share: advance(0.1 + 0.9 * share))
            assembled.unlink()
        for older in range(1, FORMAT):
            shutil.rmtree(folder.with_name(f"{stem}-{older}-{form}"), ignore_errors=True)

    return weights.build_once(folder, build)


def gguf_folder(path: Path, cache_dir: Path, form: Form, report: Progress = unheard) -> Path:
    """The converted folder of a user's own GGUF file, built at the first call; raises `WeightsError`."""
    stat = path.stat()
    key = hashlib.sha256(f"{stat.st_size} {stat.st_mtime_ns}".encode())
    with path.open("rb") as file:
        key.update(file.read(_SAMPLE))
        file.seek(max(0, stat.st_size - _SAMPLE))
        key.update(file.read(_SAMPLE))
    name = f"{path.stem}-{key.hexdigest()[:12]}-{FORMAT}-{form}"

    def build(folder: Path) -> None:
        weights.require_space(folder, int(stat.st_size * _GROWTH * (2 if form == "bf16" else 1)))
        with _bar(f"Preparing {path.name} (once)", report) as advance:
            convert(path, folder, form, advance)

    return weights.build_once(weights.models_folder(cache_dir) / name, build)


class _bar:
    """A bar on stderr that also reports to whoever waits for the model."""

    def __init__(self, what: str, report: Progress) -> None:
        self.what = what
        self.report = report

    def __enter__(self) -> Callable[[float], None]:
        from tqdm import tqdm

        self.bar = tqdm(total=100, desc=self.what, unit="%", bar_format="{desc}: {percentage:3.0f}%|{bar}|")
        self.report(0.0, self.what)
        return self._advance

    def _advance(self, share: float) -> None:
        self.bar.update(round(100 * share) - self.bar.n)
        self.report(share, self.what)

    def __exit__(self, *_: object) -> None:
        self.bar.close()


def convert(source: Path, folder: Path, form: Form, advance: Callable[[float], None]) -> None:
    """Fill `folder` from the GGUF file `source`; `advance` gets the share that is done.

    Qwen2 files are read here; every other family through transformers' own, slower reader, and always as "bf16".
    Raises `WeightsError` when the file cannot be read or its family is not known.
    """
    file = GGUFFile.open(source)
    if file.architecture == "qwen2" and file.metadata.get("tokenizer.ggml.pre") == "qwen2":
        _convert_qwen2(file, folder, form, advance)
    else:
        _convert_other(source, file.architecture, folder)
    advance(1.0)


def int8_files(folder: Path) -> list[Path]:
    """The files with quantised layers in a folder; none when it is an ordinary transformers folder.

    One file a layer, so that each leaves memory as soon as its weights are prepared.
    """
    return sorted(folder.glob("int8-*.safetensors"))


def _convert_qwen2(file: GGUFFile, folder: Path, form: Form, advance: Callable[[float], None]) -> None:
    from safetensors.torch import save_file

    from coach import quantised

    qwen2_tokenizer(file).save_pretrained(folder)
    config = qwen2_config(file)
    config.architectures = ["Qwen2ForCausalLM"]
    config.save_pretrained(folder)
    _save_generation_config(file, folder)
    count = int(config.num_hidden_layers)
    rotation = quantised.rotation_for(config)
    floats: dict[str, torch.Tensor] = {}
    for done, (prefix, group) in enumerate(_groups(file, count)):
        if form == "bf16":
            floats |= {prefix + name: tensor for name, tensor in group.items()}
        else:
            packed = _packed(prefix, group, rotation)
            save_file(packed, folder / f"int8-{done:05}.safetensors", metadata={"format": "pt"})
        advance((done + 1) / (count + 2))
    if floats:
        save_file(floats, folder / "model.safetensors", metadata={"format": "pt"})


def _packed(prefix: str, group: dict[str, torch.Tensor], rotation: Rotation) -> dict[str, torch.Tensor]:
    from coach import quantised

    if prefix:
        return {prefix + name: tensor for name, tensor in quantised.pack_layer(group, rotation).items()}
    embedding = group["model.embed_tokens.weight"]
    head = group.get("lm_head.weight", embedding)
    return quantised.pack_outer(embedding, group["model.norm.weight"], head, rotation)


def _groups(file: GGUFFile, layers: int) -> Iterator[tuple[str, dict[str, torch.Tensor]]]:
    """The tensors outside the layers, then those of one layer after another, under transformers' names."""
    import torch

    outer = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
    if "output.weight" in file.tensors:
        outer["lm_head.weight"] = "output.weight"
    yield "", {name: file.tensor(there, torch.bfloat16) for name, there in outer.items()}
    for layer in range(layers):
        begin = f"blk.{layer}."
        names = [name for name in file.tensors if name.startswith(begin)]
        group = {}
        for name in names:
            kind, _, last = name.removeprefix(begin).partition(".")
            if kind not in _NAMES:
                raise WeightsError(f"{file.path} has an unknown tensor {name}. Name another file.")
            group[f"{_NAMES[kind]}.{last}"] = file.tensor(name, torch.bfloat16)
        yield f"model.layers.{layer}.", group


def qwen2_config(file: GGUFFile) -> Any:
    """The transformers configuration of a Qwen2 file."""
    from transformers import Qwen2Config

    return Qwen2Config(
        vocab_size=len(file.metadata["tokenizer.ggml.tokens"]),
        hidden_size=file.field("embedding_length"),
        intermediate_size=file.field("feed_forward_length"),
        num_hidden_layers=file.field("block_count"),
        num_attention_heads=file.field("attention.head_count"),
        num_key_value_heads=file.field("attention.head_count_kv"),
        max_position_embeddings=file.field("context_length"),
        rms_norm_eps=file.field("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": file.field("rope.freq_base")},
        tie_word_embeddings="output.weight" not in file.tensors,
        dtype="bfloat16",
        bos_token_id=None,
        eos_token_id=file.metadata.get("tokenizer.ggml.eos_token_id"),
        pad_token_id=None,
    )


def _save_generation_config(file: GGUFFile, folder: Path) -> None:
    ends = {file.metadata.get("tokenizer.ggml.eos_token_id"), file.metadata.get("tokenizer.ggml.padding_token_id")}
    config = {"eos_token_id": sorted(end for end in ends if end is not None)}
    (folder / "generation_config.json").write_text(json.dumps(config), encoding="utf-8")


def qwen2_tokenizer(file: GGUFFile) -> Any:
    """A fast tokenizer from the vocabulary and merges in a Qwen2 file: a second, against twenty in transformers."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words: list[str] = file.metadata["tokenizer.ggml.tokens"]
    kinds: list[int] = file.metadata["tokenizer.ggml.token_type"]
    merges = [tuple(merge.split(" ")) for merge in file.metadata["tokenizer.ggml.merges"]]
    tokenizer = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=merges))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_QWEN2_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    special = [w for w, k in zip(words, kinds, strict=True) if k == _CONTROL]
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in special])
    end = file.metadata.get("tokenizer.ggml.eos_token_id")
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token=None if end is None else words[end],
        chat_template=file.metadata.get("tokenizer.chat_template"),
        clean_up_tokenization_spaces=False,
    )


def _convert_other(source: Path, architecture: str, folder: Path) -> None:
    import torch
    import transformers
    from safetensors.torch import save_file

    place: dict[str, Any] = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    # Newer releases leave the weights packed unless they are told not to; older ones always unpack them.
    unpacked = getattr(transformers, "GgufConfig", None)
    options = {} if unpacked is None else {"quantization_config": unpacked(dequantize=True)}
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(**place)
        model = transformers.AutoModelForCausalLM.from_pretrained(**place, dtype=torch.bfloat16, **options)
    except (ValueError, KeyError, NotImplementedError, RuntimeError, OSError) as error:
        raise WeightsError(
            f"{source} ({architecture or 'unknown family'}) cannot be converted: {error}. "
            "Name another GGUF file, or a folder with safetensors."
        ) from error
    tokenizer.save_pretrained(folder)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    config.architectures = [type(model).__name__]
    config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    if config.get_text_config().tie_word_embeddings:
        state.pop("lm_head.weight", None)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
