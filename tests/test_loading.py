from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_model import save_tiny, save_tiny_gguf

from coach.config import Settings
from coach.errors import ModelError, WeightsError
from coach.llm import LLM, GenerationOptions, Message
from coach.transformers_llm import TransformersLLM

SYSTEM = Message("system", "the gradient of the loss is computed by backpropagation")
QUESTION = Message("user", "what is dropout and why does it help")
CHAT = (SYSTEM, QUESTION)


def test_a_folder_is_quantised_on_the_processor_and_stays_close(tmp_path: Path) -> None:
    folder = save_tiny(tmp_path / "tiny")
    plain, int8 = (
        TransformersLLM.load(Settings(model=str(folder), device="cpu", quantise=q)) for q in ("none", "int8")
    )
    assert int8.describe().quantisation == "int8"
    assert plain.describe().quantisation == "none"
    assert int8.describe().parameters == pytest.approx(plain.describe().parameters, rel=0.1)
    a, b = (engine.choice_logprobs([CHAT], ("yes", "no"))[0] for engine in (plain, int8))
    assert a == pytest.approx(b, abs=0.3)
    assert [chunk.finish_reason for chunk in int8.stream(CHAT, GenerationOptions(max_new_tokens=4))][-1] == "length"


@pytest.mark.parametrize("quantise", ["none", "int8"])
@pytest.mark.parametrize("split", ["qwen2", "default"], ids=["read here", "read by transformers"])
def test_a_gguf_file_is_converted_once_and_keeps_its_meaning(tmp_path: Path, quantise: Any, split: str) -> None:
    model = save_tiny_gguf(tmp_path / "tiny.gguf", split=split)
    settings = Settings(model=str(tmp_path / "tiny.gguf"), device="cpu", quantise=quantise, cache=tmp_path / "cache")
    shares: list[float] = []
    llm = TransformersLLM.load(settings, progress=lambda share, what: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert llm.describe().quantisation == quantise
    assert llm.name == "tiny"
    ids = llm._loaded.tokens.prompt(CHAT, 1000).ids
    assert "what is dropout" in llm._loaded.tokens.text(ids)
    with torch.inference_mode():
        expected = model(torch.tensor([ids])).logits[0, -1].log_softmax(-1)
    choices = ("yes", "no", " dropout", " loss")
    (got,) = llm.choice_logprobs([CHAT], choices)
    tokens = [llm._loaded.tokens.plain(choice)[0] for choice in choices if len(llm._loaded.tokens.plain(choice)) == 1]
    singles = [score for choice, score in zip(choices, got, strict=True) if len(llm._loaded.tokens.plain(choice)) == 1]
    assert len(tokens) >= 2
    assert singles == pytest.approx(expected[tokens].tolist(), abs=0.4)
    (folder,) = (path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir())
    written = (folder / "config.json").stat().st_mtime_ns
    again = TransformersLLM.load(settings)
    assert (folder / "config.json").stat().st_mtime_ns == written
    assert again.choice_logprobs([CHAT], choices) == [got]


def test_another_gguf_file_under_the_same_name_is_converted_anew(tmp_path: Path) -> None:
    for _ in range(2):
        save_tiny_gguf(tmp_path / "tiny.gguf")
        TransformersLLM.load(Settings(model=str(tmp_path / "tiny.gguf"), device="cpu", cache=tmp_path / "cache"))
        time.sleep(0.01)
    assert len([path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()]) == 2


def test_a_gguf_file_of_an_unknown_family_is_an_error(tmp_path: Path) -> None:
    save_tiny_gguf(tmp_path / "tiny.gguf", architecture="nonesuch")
    with pytest.raises(WeightsError, match="nonesuch"):
        TransformersLLM.load(Settings(model=str(tmp_path / "tiny.gguf"), device="cpu", cache=tmp_path / "cache"))
    assert not [path for path in (tmp_path / "cache" / "models").iterdir() if path.is_dir()]


@pytest.fixture(scope="module")
def small(small_model_cache: Path) -> LLM:
    return TransformersLLM.load(Settings(model="small", device="cpu", cache=small_model_cache))


def test_the_small_model_answers_and_stops(small: LLM) -> None:
    chunks = list(small.stream([Message("user", "What is 2 + 2? Answer with the number only.")]))
    assert "4" in "".join(chunk.text for chunk in chunks)
    assert chunks[-1].finish_reason == "stop"


def test_the_small_model_judges(small: LLM) -> None:
    asked = [[Message("user", f"Is {thing} an animal? Answer with yes or no only.")] for thing in ("a dog", "a chair")]
    dog, chair = (yes - no for yes, no in small.choice_logprobs(asked, ("Yes", "No")))
    assert dog > chair


def test_the_small_model_guesses_don_t_change_what_it_says(small: Any) -> None:
    source = "Dropout sets activations to zero at random during training and is switched off at test time."
    chat = [Message("user", f"{source} Repeat this sentence three times.")]
    said = "".join(chunk.text for chunk in small.stream(chat, GenerationOptions(max_new_tokens=60)))
    ids = list(small._loaded.tokens.prompt(chat, 1000).ids)
    cache, held = small._begin(ids, len(ids) + 60)
    logits = small._extend(cache, ids, held, None)
    alone: list[int] = []
    while len(alone) < 60 and int(logits.argmax()) not in small._loaded.ends:
        alone.append(int(logits.argmax()))
        logits = small._step(cache, alone[-1:], len(ids) + len(alone) - 1, None)[0]
    assert said == small._loaded.tokens.text(alone)


def test_describes_itself(tmp_path: Path) -> None:
    llm = TransformersLLM.load(Settings(model=str(save_tiny(tmp_path / "tiny")), device="cpu", context=4096))
    described = llm.describe()
    assert (described.name, described.device, described.context) == ("tiny", "CPU", 2048)
    assert llm.device_name == "CPU"
    assert described.load_seconds > 0


def test_a_folder_without_weights_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no weights"):
        TransformersLLM.load(Settings(model=str(tmp_path)))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model at"):
        TransformersLLM.load(Settings(model=str(tmp_path / "no.gguf")))


def test_an_unreachable_hub_names_the_way_on() -> None:
    with pytest.raises(ModelError, match="name a folder"):
        TransformersLLM.load(Settings(model="nobody/no-such-model"))


def test_a_device_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    missing = next(d for d in ("mps", "cuda") if d != "cuda" or not torch.cuda.is_available())
    with pytest.raises(ModelError, match=f"device {missing} is not available"):
        TransformersLLM.load(Settings(model=str(tmp_path), device=missing))  # type: ignore[arg-type]
