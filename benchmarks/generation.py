"""How fast is a whole answer, and how close is the quantised model to bf16?

`python benchmarks/generation.py` asks the same of this engine and of llama.cpp (through xllamacpp) on the same GGUF
file, in turns and each in a process of its own: a prompt of about 700 tokens and 120 new tokens with nothing cached,
the same prompt with another ending (its beginning is kept), and a short prompt. `--pipeline` adds a plain
`transformers.pipeline` in bf16. `--accuracy` compares the logits of the quantised model with bf16 on twelve texts.
`--random-weights` runs this engine and plain transformers on random weights of the 1.5B's shape, so that it needs no
files, beside the bound that the measured memory bandwidth sets.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from coach.config import Settings, settings_from
from coach.llm import GenerationOptions, Message

NEW_TOKENS = 120
ITEMS = 28  # sentences in the long prompt, about 700 tokens
SENTENCE = "Item {n} of this list is about gradient descent, dropout, layers and their units, number {m}. "
ENDINGS = ("Now leave the list and count from one to three hundred in words.", "Now tell me what item 7 is about.")
SHORT = "Count from one to three hundred in words."

# Questions whose bf16 replies are the texts that the logits are compared on.
ACCURACY = (
    "What is dropout and why does it help?",
    "Explain batch normalisation to a junior engineer.",
    "Write a Python function that computes the softmax stably.",
    "Why do gradients vanish in deep recurrent networks, and what does an LSTM change?",
    "What is the difference between L1 and L2 regularisation?",
    "Name three facts about the city of Paris.",
    "Summarise: The mini-batch gradient is an unbiased estimate of the full gradient. Larger batches lower its "
    "variance but cost more per step.",
    "How many parameters has a convolution with 3x3 kernels, 64 input and 128 output channels?",
    "Source: Dropout sets activations to zero at random during training. Statement: Dropout is used at test time. "
    "Does the source support the statement? Answer yes or no and say why.",
    "Tell me a short story about a robot who learns to cook.",
    "What does attention compute? Give the formula.",
    "Why is the learning rate the most important hyperparameter?",
)
ACCURACY_TOKENS = 60


def long_prompt(run: int, ending: str) -> str:
    """About 700 tokens; `run` at its start keeps runs from sharing a beginning."""
    body = "".join(SENTENCE.format(n=n + 31 * run, m=n * 7 % 13) for n in range(ITEMS))
    return f"Run {run}. {body}\n{ending}"


def cases(run: int) -> dict[str, str]:
    return {
        "nothing cached": long_prompt(run, ENDINGS[0]),
        "prefix kept": long_prompt(run, ENDINGS[1]),
        "short prompt": f"Run {run}. {SHORT}",
    }


def figures(prompt_tokens: int, first: float, total: float) -> dict[str, float]:
    return {
        "prompt_tokens": prompt_tokens,
        "first_token_seconds": first,
        "total_seconds": total,
        "prompt_tokens_per_second": prompt_tokens / first,
        "decode_tokens_per_second": (NEW_TOKENS - 1) / max(total - first, 1e-9),
    }


def endless(llm: Any) -> Any:
    """The engine without end tokens, so that every reply has the same length."""
    from coach.transformers_llm import TransformersLLM

    return TransformersLLM(replace(llm._loaded, ends=frozenset()), llm._prefixes, llm._steps)


def timed(llm: Any, text: str) -> dict[str, float]:
    """One reply of NEW_TOKENS tokens; a token whose text is held back counts with the next."""
    messages = [Message("user", text)]
    count = len(llm._loaded.tokens.prompt(messages, 10**6).ids)
    begin, first = time.perf_counter(), 0.0
    for _ in llm.stream(messages, GenerationOptions(max_new_tokens=NEW_TOKENS)):
        first = first or time.perf_counter() - begin
    return figures(count, first, time.perf_counter() - begin)


def ours(run: int, settings: Settings) -> dict[str, Any]:
    begin = time.perf_counter()
    from coach.transformers_llm import TransformersLLM

    llm = endless(TransformersLLM.load(settings))
    started = time.perf_counter() - begin
    timed(llm, "Hello.")
    found = {name: timed(llm, text) for name, text in cases(run).items()}
    return {"start_seconds": started, **found, "runs on": str(llm.describe())}


def llama(run: int, path: str) -> dict[str, Any]:
    begin = time.perf_counter()
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = multiprocessing.cpu_count()
    server = xllamacpp.Server(parameters)
    found: dict[str, Any] = {"start_seconds": time.perf_counter() - begin}

    def ask(text: str) -> dict[str, float]:
        asked = {
            "prompt": f"<|im_start|>user\n{text}<|im_end|>\n<|im_start|>assistant\n",
            "n_predict": NEW_TOKENS,
            "temperature": 0,
            "ignore_eos": True,
            "cache_prompt": True,
        }
        begin = time.perf_counter()
        reply = server.handle_completions(asked)
        total = time.perf_counter() - begin
        reply = json.loads(reply) if isinstance(reply, (str, bytes)) else reply
        timings = reply["timings"]
        spent = timings["predicted_ms"] / 1e3
        tokens = timings["prompt_n"] + timings.get("cache_n", 0)
        return figures(tokens, total - spent * (NEW_TOKENS - 1) / NEW_TOKENS, total)

    ask("Hello.")
    return found | {name: ask(text) for name, text in cases(run).items()}


def pipeline(run: int, folder: str) -> dict[str, Any]:
    begin = time.perf_counter()
    import torch
    from transformers import pipeline as build

    generate = build("text-generation", model=folder, dtype=torch.bfloat16, device_map="auto")
    found: dict[str, Any] = {"start_seconds": time.perf_counter() - begin}

    def ask(text: str) -> dict[str, float]:
        chat = [{"role": "user", "content": text}]
        count = len(generate.tokenizer.apply_chat_template(chat, add_generation_prompt=True)["input_ids"])
        times = []
        for tokens in (1, NEW_TOKENS):
            begin = time.perf_counter()
            generate(chat, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False)
            times.append(time.perf_counter() - begin)
        return figures(count, *times)

    return found | {name: ask(text) for name, text in cases(run).items()}


def random_weights(run: int, layers: int, device_name: str) -> dict[str, Any]:
    """This engine and plain `generate` on random weights, and the bound: bytes of weights over copying speed."""
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    from coach.decoding import FixedSteps
    from coach.kv_cache import PrefixStore
    from coach.loading import choose_device, prepared
    from coach.transformers_llm import PREFIX_BUDGET, TransformersLLM

    device = choose_device(device_name)
    shape = Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=layers,
        num_attention_heads=12,
        num_key_value_heads=2,
        max_position_embeddings=32768,
        tie_word_embeddings=False,
        eos_token_id=None,
        bos_token_id=None,
        pad_token_id=None,
        dtype="bfloat16",
    )
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16).eval()
    loaded = prepared(model, byte_tokenizer(), device, 4096, "random", "made in code", "none", time.monotonic())
    steps = FixedSteps(model, 4096, record=True) if device.type == "cuda" else None
    llm = TransformersLLM(replace(loaded, ends=frozenset()), PrefixStore(layers, PREFIX_BUDGET), steps)
    timed(llm, "Hello.")
    found: dict[str, Any] = {name: timed(llm, text) for name, text in cases(run).items()}
    ids = torch.randint(1000, 100_000, (1, int(found["nothing cached"]["prompt_tokens"])), device=device)
    times = []
    for tokens in (1, 1, NEW_TOKENS):
        begin = time.perf_counter()
        model.generate(ids, max_new_tokens=tokens, min_new_tokens=tokens, do_sample=False, pad_token_id=0)
        times.append(time.perf_counter() - begin)
    read = sum(p.numel() * p.element_size() for p in model.parameters()) - model.model.embed_tokens.weight.nbytes
    found["plain generate"] = figures(ids.shape[1], times[1], times[2])
    found["bound"] = {"decode_tokens_per_second": bandwidth(device) / read}
    found["runs on"] = f"{loaded.description.device}, recorded steps: {llm._steps is not None}"
    return found


def bandwidth(device: Any) -> float:
    """Bytes a second that a large copy reads and writes."""
    import torch

    block = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    times = []
    for _ in range(8):
        if device.type == "cuda":
            torch.cuda.synchronize()
        begin = time.perf_counter()
        other.copy_(block)
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - begin)
    return 2 * block.numel() / min(times)


def byte_tokenizer() -> Any:
    """A token for each byte, with ChatML, made without any file."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pairs = [(a, b) for a in "abcdefghiklmnoprstuvy" for b in "abcdefghiklmnoprstuvy"]
    words = alphabet + [a + b for a, b in pairs]
    tokenizer = Tokenizer(models.BPE(vocab={word: n for n, word in enumerate(words)}, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    template = "{% for m in messages %}{{ m['role'] + '\n' + m['content'] + '\n' }}{% endfor %}"
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=template)


def accuracy(_run: int, settings: Settings) -> dict[str, float]:
    """KL divergence from bf16 to int8 (nats) and agreement of the likeliest token, over the replies of bf16."""
    import torch

    from coach.transformers_llm import TransformersLLM

    plain = TransformersLLM.load(replace(settings, quantise="none"))
    texts = []
    for question in ACCURACY:
        messages = [Message("system", "You are a helpful interview coach."), Message("user", question)]
        prompt = plain._loaded.tokens.prompt(messages, 2048).ids
        reply = list(plain._generate(prompt, ACCURACY_TOKENS, GenerationOptions(), None))
        ends = [at for at, token in enumerate(reply) if token in plain._loaded.ends]
        texts.append((prompt, reply[: ends[0] + 1] if ends else reply))
    reference = [logprobs(plain, *text) for text in texts]
    dtype = plain.describe().dtype
    del plain
    quantised = TransformersLLM.load(replace(settings, quantise="int8"))
    found = [logprobs(quantised, *text) for text in texts]
    expected, got = torch.cat(reference), torch.cat(found)
    divergence = (expected.exp() * (expected - got)).sum(-1)
    agree = (expected.argmax(-1) == got.argmax(-1)).float().mean()
    return {
        "positions": len(expected),
        "reference": dtype,
        "kl_mean": float(divergence.mean()),
        "kl_median": float(divergence.median()),
        "kl_99th": float(divergence.quantile(0.99)),
        "kl_largest": float(divergence.max()),
        "top_1_agreement": float(agree),
    }


def logprobs(llm: Any, prompt: Sequence[int], reply: Sequence[int]) -> Any:
    """Log-probabilities (reply tokens, vocabulary) at every position of a reply."""
    import torch

    ids = [*prompt, *reply]
    cache, _ = llm._begin(ids[:1], len(ids))
    mask = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    at = range(len(prompt) - 1, len(ids) - 1)
    return llm._forward(cache, ids, range(len(ids)), mask, at, None).log_softmax(-1)


def peak_memory_gib() -> float:
    """The most memory that this process had (on Linux `ru_maxrss` of a child begins with its parent's)."""
    status = Path("/proc/self/status")
    if status.exists():
        return int(status.read_text().partition("VmHWM:")[2].split()[0]) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def _child(work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], out: Any) -> None:
    result = work(*arguments)
    result["peak_memory_gib"] = peak_memory_gib()
    out.put(result)


def apart(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """The result of `work` in a process of its own, with its peak memory (files mapped into memory included)."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    child = context.Process(target=_child, args=(work, arguments, out))
    child.start()
    while child.is_alive() and out.empty():
        time.sleep(0.2)
    if out.empty():
        raise SystemExit(f"{work.__name__} ended with exit status {child.exitcode}.")
    result: dict[str, Any] = out.get()
    child.join()
    return result


def medians(results: Sequence[Any]) -> Any:
    """The median of every number in results of the same shape; texts are taken from the first."""
    first = results[0]
    if isinstance(first, dict):
        return {key: medians([result[key] for result in results]) for key in first}
    return round(statistics.median(results), 5) if isinstance(first, (int, float)) else first


def in_words(name: str, result: dict[str, Any]) -> str:
    lines = [name]
    for case, found in result.items():
        if not isinstance(found, dict):
            lines.append(f"  {case.replace('_', ' ')}: {found if isinstance(found, str) else f'{found:.5g}'}")
            continue
        parts = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in found.items())
        lines.append(f"  {case}: {parts}")
    return "\n".join(lines)


def assembled(settings: Settings) -> str:
    """The embedded model's GGUF file in the cache, for other programs to read."""
    from coach import weights

    file = weights.EMBEDDED[settings.model]
    folder = weights.models_folder(settings.cache_dir) / f"{file.name}-{file.short_digest}-gguf"
    weights.build_once(folder, lambda new: weights.assemble(file, new / "model.gguf"))
    return str(folder / "model.gguf")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3, help="rounds; medians are printed")
    parser.add_argument("--model", choices=("default", "small"), default="default")
    parser.add_argument("--cache", type=Path, help="the cache folder of the coach")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--gguf", help="the same model's GGUF file; assembled in the cache when not given")
    parser.add_argument("--pipeline", action="store_true", help="also a plain transformers pipeline in bf16")
    parser.add_argument("--accuracy", action="store_true", help="compare int8 with bf16 instead of timing")
    parser.add_argument("--random-weights", action="store_true", help="time random weights; needs no files")
    parser.add_argument("--layers", type=int, default=28, help="layers of the random weights")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    settings = settings_from(model=args.model, cache=args.cache, device=args.device)
    work: dict[str, tuple[Any, ...]]
    if args.random_weights:
        work = {"random weights": (random_weights, args.layers, args.device)}
    elif args.accuracy:
        args.runs = 1
        work = {"int8 against bf16": (accuracy, settings)}
    else:
        work = {"ours": (ours, settings), "llama.cpp": (llama, args.gguf or assembled(settings))}
        if args.pipeline:
            from coach.conversion import embedded_folder
            from coach.weights import EMBEDDED

            folder = embedded_folder(EMBEDDED[settings.model], settings.cache_dir, "bf16")
            work["transformers pipeline"] = (pipeline, str(folder))
    rounds = []
    for run in range(args.runs):
        rounds.append({name: apart(function, run, *rest) for name, (function, *rest) in work.items()})
        print(f"round {run + 1} of {args.runs} is done", file=sys.stderr)
    results = medians(rounds)
    if args.json:
        print(json.dumps(results, indent=1))
    else:
        print("\n\n".join(in_words(name, result) for name, result in results.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
