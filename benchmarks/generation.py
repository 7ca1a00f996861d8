"""How fast is a whole answer? A 700-token prompt and 120 new tokens, nothing cached, on the same weights.

Compared in one run, each in a process of its own: this engine, llama.cpp (through xllamacpp) and, with `--pipeline`, a
plain `transformers.pipeline`. `--random-weights` builds the same architecture with random weights instead, so that it
runs without the model files (there this engine's graph is not used: it measures what transformers reaches on a device,
beside the bound that the measured memory bandwidth sets).
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

PROMPT_TOKENS = 700
NEW_TOKENS = 120
SENTENCE = "Item {n} of this list is about gradient descent, dropout, layers and their units, number {m}. "


def prompt(count: int, run: int) -> str:
    """A text of about PROMPT_TOKENS tokens; `run` at its start keeps runs from sharing a prefix."""
    body = "".join(SENTENCE.format(n=n + 31 * run, m=n * 7 % 13) for n in range(count))
    return f"Run {run}. {body}\nNow leave the list and count from one to three hundred in words."


def ours(runs: int) -> dict[str, Any]:
    from coach.config import settings_from
    from coach.llm import GenerationOptions, Message
    from coach.transformers_llm import TransformersLLM

    begin = time.monotonic()
    llm = TransformersLLM.load(settings_from())
    found: dict[str, Any] = {"start_seconds": round(time.monotonic() - begin, 2), "totals": [], "first": []}
    for run in range(runs):
        begin = time.monotonic()
        first = None
        for chunk in llm.stream([Message("user", prompt(28, run))], GenerationOptions(max_new_tokens=NEW_TOKENS)):
            if first is None and chunk.text:
                first = time.monotonic() - begin
            found["finish"] = chunk.finish_reason or ""
        found["totals"].append(round(time.monotonic() - begin, 2))
        found["first"].append(round(first or 0.0, 2))
    return found


def assembled(cache: Path) -> Path:
    from coach.weights import EMBEDDED, assemble

    path = cache / "benchmark.gguf"
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        assemble(EMBEDDED["default"], path)
    return path


def llama(runs: int, path: str) -> dict[str, Any]:
    import xllamacpp

    begin = time.monotonic()
    parameters = xllamacpp.CommonParams()
    parameters.model.path = path
    parameters.n_ctx = 4096
    parameters.n_parallel = 1
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = multiprocessing.cpu_count()
    server = xllamacpp.Server(parameters)
    found: dict[str, Any] = {"start_seconds": round(time.monotonic() - begin, 2), "totals": [], "timings": []}
    for run in range(runs):
        text = f"<|im_start|>user\n{prompt(28, run)}<|im_end|>\n<|im_start|>assistant\n"
        asked = {"prompt": text, "n_predict": NEW_TOKENS, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
        begin = time.monotonic()
        reply = server.handle_completions(asked)
        found["totals"].append(round(time.monotonic() - begin, 2))
        reply = json.loads(reply) if isinstance(reply, (str, bytes)) else reply
        found["timings"].append(reply.get("timings"))
    return found


def pipeline(runs: int, path: str) -> dict[str, Any]:
    import torch
    from transformers import pipeline as build

    begin = time.monotonic()
    folder, name = str(Path(path).parent), Path(path).name
    options = {"gguf_file": name, "dtype": torch.bfloat16}
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = AutoModelForCausalLM.from_pretrained(folder, **options)
    generate = build("text-generation", model=model, tokenizer=tokenizer)
    found: dict[str, Any] = {"start_seconds": round(time.monotonic() - begin, 2), "totals": []}
    for run in range(runs):
        begin = time.monotonic()
        generate(
            [{"role": "user", "content": prompt(28, run)}],
            max_new_tokens=NEW_TOKENS,
            min_new_tokens=NEW_TOKENS,
            do_sample=False,
        )
        found["totals"].append(round(time.monotonic() - begin, 2))
    return found


def random_weights(runs: int) -> dict[str, Any]:
    import torch
    from transformers import AutoModelForCausalLM, Qwen2Config

    shape = Qwen2Config(
        vocab_size=151936,
        hidden_size=1536,
        intermediate_size=8960,
        num_hidden_layers=28,
        num_attention_heads=12,
        num_key_value_heads=2,
        tie_word_embeddings=True,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = AutoModelForCausalLM.from_config(shape, dtype=torch.bfloat16).to(device).eval()
    size = sum(p.numel() * p.element_size() for p in model.parameters())
    block = torch.empty(1 << 28, dtype=torch.uint8, device=device)
    other = torch.empty_like(block)
    begin = time.monotonic()
    for _ in range(8):
        other.copy_(block)
    if device == "cuda":
        torch.cuda.synchronize()
    bandwidth = 8 * 2 * block.numel() / (time.monotonic() - begin)
    totals = []
    for _ in range(runs):
        ids = torch.randint(1000, 100000, (1, PROMPT_TOKENS), device=device)
        begin = time.monotonic()
        with torch.inference_mode():
            model.generate(ids, max_new_tokens=NEW_TOKENS, min_new_tokens=NEW_TOKENS, do_sample=False, pad_token_id=0)
        totals.append(round(time.monotonic() - begin, 2))
    return {"device": device, "totals": totals, "bound_tokens_per_second": round(bandwidth / size, 1)}


def _child(work: Callable[..., dict[str, Any]], arguments: tuple[Any, ...], out: Any) -> None:
    result = work(*arguments)
    result["peak_memory_gib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2)
    out.put(result)


def apart(work: Callable[..., dict[str, Any]], *arguments: Any) -> dict[str, Any]:
    """The result of `work` in a process of its own, with its peak memory."""
    context = multiprocessing.get_context("spawn")
    out = context.Queue()
    child = context.Process(target=_child, args=(work, arguments, out))
    child.start()
    result: dict[str, Any] = out.get()
    child.join()
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--gguf", help="the embedded model's GGUF file, assembled; made in the cache when not given")
    parser.add_argument("--pipeline", action="store_true")
    parser.add_argument("--random-weights", action="store_true")
    args = parser.parse_args()
    if args.random_weights:
        print(json.dumps({"random weights": apart(random_weights, args.runs)}, indent=1))
        return 0
    from coach.config import settings_from

    path = args.gguf or str(assembled(settings_from().cache_dir))
    results = {"ours": apart(ours, args.runs), "llama.cpp": apart(llama, args.runs, path)}
    if args.pipeline:
        results["transformers pipeline"] = apart(pipeline, 1, path)
    print(json.dumps(results, indent=1))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
