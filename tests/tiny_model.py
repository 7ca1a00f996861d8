"""A two-layer random Qwen2 with a tokenizer made in code: the real engine runs on it in milliseconds."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
_TEXT = (
    "the gradient of the loss with respect to the weights is computed by backpropagation and dropout sets "
    "activations to zero at random while batch normalisation keeps the inputs of a layer on a stable scale "
    "system user assistant yes no naïve façade ∂ ∑ 学习 — what why how when is are does do "
)


def tiny_tokenizer(template: str | None = CHATML) -> Any:
    """A byte-level BPE tokenizer of 512 tokens, trained on one sentence, with Qwen's special tokens."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    tokenizer.train_from_iterator([_TEXT] * 3, trainer)
    tokenizer.add_special_tokens([AddedToken(word, special=True, normalized=False) for word in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|im_end|>",
        chat_template=template,
        clean_up_tokenization_spaces=False,
    )


def tiny_config(vocabulary: int, **changes: Any) -> Any:
    """Two layers, four heads over two key heads, 64 wide."""
    from transformers import Qwen2Config

    values: dict[str, Any] = {
        "vocab_size": vocabulary,
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "tie_word_embeddings": False,
        "bos_token_id": None,
        "eos_token_id": None,
        "pad_token_id": None,
    }
    return Qwen2Config(**(values | changes))


def randomised(model: Any, seed: int = 0) -> Any:
    """The model with weights large enough that its predictions are far apart."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.ndim > 1:
                spread = 1.0 if "embed" in name else 1.5 * parameter.shape[-1] ** -0.5
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * spread)
            elif name.endswith("bias"):
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model.eval()


def tiny_model(vocabulary: int, **changes: Any) -> Any:
    """A Qwen2 of `tiny_config` in float32."""
    from transformers import Qwen2ForCausalLM

    return randomised(Qwen2ForCausalLM(tiny_config(vocabulary, **changes)))


def save_tiny(folder: Path, template: str | None = CHATML, **changes: Any) -> Path:
    """Write model and tokenizer as a transformers folder, for `Settings(model=str(folder))`."""
    tokenizer = tiny_tokenizer(template)
    tiny_model(len(tokenizer), **changes).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_tiny_gguf(path: Path, architecture: str = "qwen2", split: str = "qwen2") -> Any:
    """Write the tiny model as a GGUF file with float32 weights, and return the model.

    With another `split` (how text is cut before byte-pair encoding) it is converted by transformers.
    """
    import numpy as np
    from gguf import GGUFWriter

    tokenizer = tiny_tokenizer()
    model = tiny_model(len(tokenizer))
    config = model.config
    writer = GGUFWriter(path, architecture)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    backend = tokenizer.backend_tokenizer
    words = sorted(tokenizer.get_vocab(), key=tokenizer.get_vocab().__getitem__)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(split)
    writer.add_token_list(words)
    writer.add_token_types([3 if word in SPECIAL else 1 for word in words])
    merges = json.loads(backend.to_str())["model"]["merges"]
    writer.add_token_merges([merge if isinstance(merge, str) else " ".join(merge) for merge in merges])
    writer.add_eos_token_id(words.index("<|im_end|>"))
    writer.add_chat_template(CHATML)
    there = {
        "self_attn.q_proj": "attn_q",
        "self_attn.k_proj": "attn_k",
        "self_attn.v_proj": "attn_v",
        "self_attn.o_proj": "attn_output",
        "mlp.gate_proj": "ffn_gate",
        "mlp.up_proj": "ffn_up",
        "mlp.down_proj": "ffn_down",
        "input_layernorm": "attn_norm",
        "post_attention_layernorm": "ffn_norm",
    }
    outer = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    for name, tensor in model.state_dict().items():
        if name in outer:
            target = outer[name]
        else:
            _, _, layer, *middle, last = name.split(".")
            target = f"blk.{layer}.{there['.'.join(middle)]}.{last}"
        writer.add_tensor(target, np.ascontiguousarray(tensor.numpy()))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return model


def tiny_llm(
    context: int = 1024,
    template: str | None = CHATML,
    sharable: bool = True,
    fixed: bool = False,
    int8: bool = False,
    **changes: Any,
) -> Any:
    """The engine on the tiny model in float32, put together from its parts.

    `sharable=False` takes the path for models with other layers, `fixed` the one for graphics processors (without
    recording), `int8` the quantised layers.
    """
    import torch

    from coach import quantised
    from coach.decoding import FixedSteps
    from coach.int8_product import choose_product
    from coach.kv_cache import PrefixStore
    from coach.loading import prepared
    from coach.transformers_llm import PREFIX_BUDGET, TransformersLLM

    tokenizer = tiny_tokenizer(template)
    model = tiny_model(len(tokenizer), **changes)
    if int8:
        product = choose_product()
        assert product is not None
        quantised.Filling.start([quantised.packed_state(model)], product).finish(model)
    device = torch.device("cpu")
    kind = "int8" if int8 else "none"
    loaded = prepared(model, tokenizer, device, context, "Tiny", "made in code", kind, time.monotonic())
    prefixes = PrefixStore(model.config.num_hidden_layers, PREFIX_BUDGET) if sharable else None
    steps = FixedSteps(model, context, record=False) if fixed else None
    return TransformersLLM(replace(loaded, sharable=sharable), prefixes, steps)
