"""From settings to a loaded model: which device, which weights, which number format."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from coach import conversion, weights
from coach.chat_tokens import ChatTokens
from coach.config import Settings
from coach.errors import ModelError, WeightsError
from coach.weights import Progress, unheard

if TYPE_CHECKING:
    import torch

    from coach.int8_product import Product
    from coach.rotation import Rotation

log = logging.getLogger(__name__)

_ENDS = ("<|im_end|>", "<|endoftext|>", "<|eot_id|>", "<end_of_turn>", "</s>")  # of chats, in well-known families
_NO_MEMORY = ("can't allocate memory", "out of memory")


@dataclass(frozen=True)
class Description:
    """What runs where; for `doctor` and the benchmarks."""

    name: str
    source: str
    device: str
    dtype: str
    quantisation: str
    context: int  # tokens
    load_seconds: float
    parameters: int


@dataclass(frozen=True)
class Loaded:
    """A model with all that the engine asks of it.

    `sharable` says that every layer sees the whole text, so that prefixes can be kept and chats packed.
    """

    model: Any
    tokens: ChatTokens
    ends: frozenset[int]
    device: torch.device
    sharable: bool
    description: Description

    @cached_property
    def _rotation(self) -> Rotation | None:
        """What quantised layers hold the stream in; none where they are as published."""
        if self.description.quantisation != "int8":
            return None
        from coach.quantised import rotation_for

        return rotation_for(self.model.config)

    def as_published(self, stream: torch.Tensor) -> torch.Tensor:
        """The residual stream (tokens, hidden) without the rotation that quantised layers hold it in."""
        return self._rotation.undone(stream) if self._rotation else stream

    def as_held(self, stream: torch.Tensor) -> torch.Tensor:
        """The other way round: what a published stream (tokens, hidden) is in the layers that are loaded."""
        return self._rotation.done(stream) if self._rotation else stream


def load(settings: Settings, progress: Progress | None = None) -> Loaded:
    """Load the model that the settings name; raises `ModelError` or `WeightsError`."""
    began = time.monotonic()
    import torch

    report = progress or unheard
    if settings.threads:
        torch.set_num_threads(settings.threads)
    device = choose_device(settings.device)
    report(0.0, "Opening the language model")
    try:
        product = _product(settings, device)
        source, title = _source(settings, "bf16" if product is None else "int8", report)
        if isinstance(source, Path) and conversion.int8_files(source):
            model, tokenizer, quantisation = *_int8_model(source, product), "int8"
        else:
            model, quantisation = _float_model(source, settings, device, product)
            tokenizer = _tokenizer(source)
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise ModelError(
            f"The memory of {device} is too small for {settings.model}: {error}. "
            "Choose a smaller model (--model small), or another device (--device cpu)."
        ) from error
    loaded = prepared(model, tokenizer, device, settings.context, title, str(source), quantisation, began)
    report(1.0, "The language model is ready")
    return loaded


def prepared(
    model: Any,
    tokenizer: Any,
    device: torch.device,
    context: int,
    title: str,
    source: str,
    quantisation: str,
    began: float,
) -> Loaded:
    """A loaded model with its tokenizer, described; `began` is when loading began, on the monotonic clock."""
    tokens = ChatTokens.load(tokenizer)
    config = model.config.get_text_config()
    limit = int(getattr(config, "max_position_embeddings", None) or context)
    description = Description(
        name=title,
        source=source,
        device=_device_name(device),
        dtype=str(model.dtype).removeprefix("torch."),
        quantisation=quantisation,
        context=min(context, limit),
        load_seconds=time.monotonic() - began,
        parameters=_parameters(model),
    )
    return Loaded(model, tokens, _ends(model, tokens), device, _sharable(model, context), description)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, in any of the ways torch says it."""
    import torch

    if isinstance(error, MemoryError | torch.OutOfMemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _NO_MEMORY)


def choose_device(wanted: str) -> torch.device:
    """The device to run on; raises `ModelError` when the wanted one is not there."""
    import torch

    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted == "auto":
        return torch.device(next(name for name, there in available.items() if there))
    if not available[wanted]:
        there = ", ".join(name for name, is_there in available.items() if is_there)
        raise ModelError(f"The device {wanted} is not available here; available: {there}. Leave --device unset.")
    return torch.device(wanted)


def _device_name(device: torch.device) -> str:
    import torch

    if device.type == "cuda":
        return str(torch.cuda.get_device_name(device))
    return device.type.upper()


def _source(settings: Settings, form: conversion.Form, report: Progress) -> tuple[str | Path, str]:
    """Where the weights are, and what to call the model."""
    name = settings.model
    if name in weights.EMBEDDED:
        file = weights.EMBEDDED[name]
        return conversion.embedded_folder(file, settings.cache_dir, form, report), file.title
    path = Path(name).expanduser()
    if path.is_dir():
        if not any(path.glob("*.safetensors")) and not any(path.glob("*.bin")):
            raise ModelError(f"The folder {path} holds no weights (*.safetensors). Name another folder.")
        return path, path.name
    if path.is_file():
        return conversion.gguf_folder(path, settings.cache_dir, form, report), path.stem
    if path.suffix == ".gguf" or path.is_absolute():
        raise ModelError(f"There is no model at {path}. Name a folder, a GGUF file, or a model of the hub.")
    return name, name.rpartition("/")[2]


def _product(settings: Settings, device: torch.device) -> Product | None:
    """How int8 is multiplied here, or None when the model runs unquantised; raises `ModelError`."""
    if device.type != "cpu" or settings.quantise == "none":
        if settings.quantise == "int8":
            raise ModelError(f"int8 runs on the CPU only, and the device is {device}. Leave --quantise unset.")
        return None
    from coach.int8_product import choose_product

    product = choose_product()
    if product is None:
        if settings.quantise == "int8":
            raise ModelError("This processor's torch lacks fast int8 products. Leave --quantise unset.")
        log.warning("this processor's torch lacks fast int8 products; the model runs unquantised")
    return product


def _float_model(
    source: str | Path, settings: Settings, device: torch.device, product: Product | None
) -> tuple[Any, str]:
    """A model of a transformers folder or the hub, quantised when there is a product; and how it is quantised."""
    from transformers import AutoModelForCausalLM

    from coach import quantised

    spread = "auto" if device.type == "cuda" and settings.device == "auto" else {"": device.type}
    try:
        model = AutoModelForCausalLM.from_pretrained(source, dtype=_dtype(device), device_map=spread)
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(source, error) from error
    model.eval()
    if product is None:
        return model, "none"
    if not (quantised.supports(model.config) and _sharable(model, settings.context)):
        kind = model.config.model_type
        if settings.quantise == "int8":
            raise ModelError(f"There are no int8 layers for this {kind} model. Leave --quantise unset.")
        log.warning("there are no int8 layers for this %s model; it runs unquantised", kind)
        return model, "none"
    quantised.Filling.start([quantised.packed_state(model)], product).finish(model)
    _skip_masks(model)
    return model, "int8"


def _int8_model(folder: Path, product: Product | None) -> tuple[Any, Any]:
    """Model and tokenizer of a converted folder; transformers is imported while the weights are prepared."""
    import torch
    from safetensors.torch import load_file

    from coach import quantised
    from coach.int8_product import IntMM

    states = (load_file(path) for path in conversion.int8_files(folder))
    filling = quantised.Filling.start(states, product or IntMM())
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(folder)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    tokenizer = _tokenizer(folder)
    filling.finish(model)
    model.model.rotary_emb = type(model.model.rotary_emb)(config=config)
    model.eval()
    _skip_masks(model)
    return model, tokenizer


def _skip_masks(model: Any) -> None:
    """Keep transformers from making masks at every token: the int8 layers attend by themselves."""
    from transformers import AttentionInterface

    from coach import quantised

    AttentionInterface.register(quantised.ATTENTION, quantised.attend)
    model.config._attn_implementation = quantised.ATTENTION


def _unusable(source: str | Path, error: Exception) -> ModelError:
    if isinstance(source, Path):
        return WeightsError(f"The model in {source} cannot be loaded: {error}. Name another folder.")
    return ModelError(
        f"The model {source} cannot be loaded from the hub: {error} "
        "When the hub cannot be reached, name a folder or a GGUF file instead."
    )


def _tokenizer(source: str | Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(source)
    except (OSError, ValueError, KeyError) as error:
        raise _unusable(source, error) from error


def _dtype(device: torch.device) -> torch.dtype:
    """bf16 where the device computes in it, otherwise fp16 on graphics processors and fp32 on the processor."""
    import torch

    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        try:
            torch.ones(2, 2, dtype=torch.bfloat16, device=device) @ torch.ones(
                2, 2, dtype=torch.bfloat16, device=device
            )
        except (RuntimeError, TypeError):
            return torch.float16
        return torch.bfloat16
    return torch.bfloat16 if torch.ops.mkldnn._is_mkldnn_bf16_supported() else torch.float32


def _parameters(model: Any) -> int:
    """How many weights the model has; a matrix shared by input and output counts once."""
    from coach.quantised import Int8Linear

    tensors = {t.data_ptr(): t.numel() for t in (*model.parameters(), *model.buffers())}
    packed = sum(m.rows * m.columns for m in model.modules() if isinstance(m, Int8Linear))
    return int(sum(tensors.values()) + packed)


def _ends(model: Any, tokens: ChatTokens) -> frozenset[int]:
    """Tokens after which a reply is complete."""
    ids: set[int] = set()
    for config in (model.generation_config, model.config):
        end = getattr(config, "eos_token_id", None)
        ids.update([end] if isinstance(end, int) else end or ())
    if tokens.tokenizer.eos_token_id is not None:
        ids.add(tokens.tokenizer.eos_token_id)
    ids.update(tokens.tokenizer.convert_tokens_to_ids([end for end in _ENDS if end in tokens.special]))
    return frozenset(ids)


def _sharable(model: Any, context: int) -> bool:
    """Whether every layer is plain attention over the whole text, as prefixes and packed chats need."""
    config = model.config.get_text_config()
    if getattr(model, "_is_stateful", False) or config._attn_implementation not in ("sdpa", "coach_int8"):
        return False
    kinds = getattr(config, "layer_types", None)
    if kinds is not None:
        return all(kind == "full_attention" for kind in kinds)
    window = getattr(config, "sliding_window", None)
    return window is None or window >= context
