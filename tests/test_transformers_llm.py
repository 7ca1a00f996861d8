from __future__ import annotations

import threading
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import tiny_llm

from coach.adapters import Adapters
from coach.decoding import guess
from coach.errors import ModelError
from coach.llm import Chunk, GenerationOptions, Message
from coach.transformers_llm import PACKED_PIECE, PROMPT_PIECE, TransformersLLM

SYSTEM = Message("system", "the gradient of the loss is computed by backpropagation")
QUESTION = Message("user", "what is dropout and why does it help")
CHAT = (SYSTEM, QUESTION)


@pytest.fixture(scope="module")
def llm() -> Any:
    return tiny_llm()


def text_of(chunks: list[Chunk]) -> str:
    return "".join(chunk.text for chunk in chunks)


def generate(llm: Any, messages: Any = CHAT, **options: Any) -> list[Chunk]:
    return list(llm.stream(messages, GenerationOptions(**({"max_new_tokens": 24} | options))))


def naive_logits(llm: Any, ids: Any) -> torch.Tensor:
    """Logits at every position from one plain pass of transformers, without any cache: (tokens, vocabulary)."""
    with torch.inference_mode():
        logits: torch.Tensor = llm._loaded.model(torch.tensor([list(ids)])).logits[0].float()
    return logits


def naive_greedy(llm: Any, messages: Any, count: int) -> list[int]:
    ids = list(llm._loaded.tokens.prompt(messages, 10_000).ids)
    fresh: list[int] = []
    while len(fresh) < count:
        token = int(naive_logits(llm, ids + fresh)[-1].argmax())
        if token in llm._loaded.ends:
            break
        fresh.append(token)
    return fresh


def naive_choice(llm: Any, messages: Any, choice: str) -> float:
    tokens = llm._loaded.tokens
    prompt, option = list(tokens.prompt(messages, 10_000).ids), tokens.plain(choice)
    logprobs = naive_logits(llm, prompt + option).log_softmax(-1)
    return sum(float(logprobs[len(prompt) - 1 + at, token]) for at, token in enumerate(option))


class TestStream:
    def test_greedy_text_is_that_of_a_plain_forward_pass(self, llm: Any) -> None:
        expected = llm._loaded.tokens.text(naive_greedy(llm, CHAT, 24)).rstrip("\ufffd")
        assert text_of(generate(llm)) == expected
        assert expected

    def test_a_kept_prefix_does_not_change_the_text(self, llm: Any) -> None:
        chat = [*CHAT, Message("assistant", text_of(generate(llm))), Message("user", "and at random")]
        assert text_of(generate(tiny_llm(), chat)) == text_of(generate(llm, chat)) == text_of(generate(llm, chat))

    def test_a_long_prompt_is_computed_in_pieces_and_gives_the_same_text(self) -> None:
        llm = tiny_llm(context=2048)
        chat = [Message("user", "the weights of a layer " * 70)]
        assert len(llm._loaded.tokens.prompt(chat, 2000).ids) > PROMPT_PIECE + 20
        assert text_of(generate(llm, chat)) == llm._loaded.tokens.text(naive_greedy(llm, chat, 24)).rstrip("\ufffd")

    def test_models_with_other_layers_give_the_same_text(self, llm: Any) -> None:
        assert text_of(generate(tiny_llm(sharable=False))) == text_of(generate(llm))

    def test_fixed_steps_give_the_same_text_and_hand_it_back(self, llm: Any) -> None:
        other = tiny_llm(fixed=True)
        assert text_of(generate(other)) == text_of(generate(llm))
        chat = [*CHAT, Message("assistant", text_of(generate(llm))), Message("user", "and at random")]
        assert text_of(generate(other, chat)) == text_of(generate(llm, chat))
        asked = other._loaded.tokens.prompt(CHAT, 10_000).ids
        known = (*asked, *naive_greedy(llm, CHAT, 24))
        assert other._prefixes.begin((*known, 1), 400)[1] == len(known) - 1

    def test_two_streams_by_turns_share_fixed_steps(self, llm: Any) -> None:
        other = tiny_llm(fixed=True)
        chats = [CHAT, (SYSTEM, Message("user", "how does batch normalisation work"))]
        streams = [other.stream(chat, GenerationOptions(max_new_tokens=24)) for chat in chats]
        texts = ["", ""]
        for chunks in zip_longest(*streams, fillvalue=Chunk("")):
            texts = [text + chunk.text for text, chunk in zip(texts, chunks, strict=True)]
        assert texts == [text_of(generate(llm, chat)) for chat in chats]
        assert not other._steps_free.locked()

    def test_guesses_don_t_change_the_text(self) -> None:
        llm = tiny_llm(int8=True)
        chat = [Message("user", "the loss of a layer is the loss of a layer is the loss")]
        ids = list(llm._loaded.tokens.prompt(chat, 1000).ids)
        cache, held = llm._begin(ids, len(ids) + 200)
        logits = llm._extend(cache, ids, held, None)
        alone: list[int] = []
        while len(alone) < 200:
            alone.append(int(logits.argmax()))
            logits = llm._step(cache, alone[-1:], len(ids) + len(alone) - 1, None)[0]
        right = sum(guess(ids + alone[:at], 1) == [alone[at]] for at in range(len(alone)))
        assert right >= 3, "hardly anything is guessed here, so nothing is tested"
        assert text_of(generate(llm, chat, max_new_tokens=200)) == llm._loaded.tokens.text(alone).rstrip("\ufffd")

    def test_only_the_last_chunk_has_a_finish_reason(self, llm: Any) -> None:
        chunks = generate(llm)
        assert [chunk.finish_reason for chunk in chunks[:-1]] == [None] * (len(chunks) - 1)
        assert chunks[-1].finish_reason == "length"

    def test_an_end_token_stops(self, llm: Any) -> None:
        tokens = naive_greedy(llm, CHAT, 8)
        other = tiny_llm()
        other._loaded.model.generation_config.eos_token_id = tokens[4]
        from dataclasses import replace

        other = TransformersLLM(replace(other._loaded, ends=frozenset({tokens[4]})), other._prefixes)
        chunks = generate(other)
        assert chunks[-1].finish_reason == "stop"
        assert text_of(chunks) == llm._loaded.tokens.text(tokens[: tokens.index(tokens[4])]).rstrip("\ufffd")

    def test_the_same_seed_draws_the_same_text_and_another_seed_another(self, llm: Any) -> None:
        drawn = [text_of(generate(llm, temperature=1.5, top_p=0.95, seed=seed)) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_a_tiny_top_p_leaves_only_the_likeliest(self, llm: Any) -> None:
        assert text_of(generate(llm, temperature=2.0, top_p=1e-6, seed=3)) == text_of(generate(llm))

    def test_stop_strings_end_the_text_and_are_left_out(self, llm: Any) -> None:
        whole = text_of(generate(llm))
        stop = whole[6:9]
        chunks = generate(llm, stop=(stop,))
        assert text_of(chunks) == whole[: whole.index(stop)]
        assert chunks[-1].finish_reason == "stop"

    def test_a_set_event_cancels_before_anything_is_computed(self, llm: Any) -> None:
        stop = threading.Event()
        stop.set()
        assert list(llm.stream(CHAT, stop=stop)) == [Chunk("", "cancelled")]

    def test_an_event_set_while_streaming_cancels_within_a_token(self, llm: Any) -> None:
        stop = threading.Event()
        stream = llm.stream(CHAT, GenerationOptions(max_new_tokens=200), stop=stop)
        seen = [next(stream), next(stream)]
        stop.set()
        rest = list(stream)
        assert rest[-1].finish_reason == "cancelled"
        assert len(rest) == 1
        assert text_of(generate(llm)).startswith(text_of(seen))

    def test_a_waiting_caller_whose_event_is_set_leaves_at_once(self, llm: Any) -> None:
        stop = threading.Event()
        got: list[Chunk] = []
        with llm._turn:
            waiting = threading.Thread(target=lambda: got.extend(llm.stream(CHAT, stop=stop)))
            waiting.start()
            stop.set()
            waiting.join(timeout=2)
            assert not waiting.is_alive()
        assert got == [Chunk("", "cancelled")]

    def test_a_paused_stream_does_not_block_judging_in_the_same_thread(self, llm: Any) -> None:
        stream = llm.stream(CHAT, GenerationOptions(max_new_tokens=24))
        begin = next(stream)
        assert len(llm.choice_logprobs([CHAT], ["yes", "no"])) == 1
        assert text_of([begin, *stream]) == text_of(generate(llm))

    def test_a_closed_stream_leaves_the_engine_usable(self, llm: Any) -> None:
        stream = llm.stream(CHAT, GenerationOptions(max_new_tokens=24))
        next(stream)
        stream.close()
        assert not llm._turn.locked()
        assert text_of(generate(llm))

    def test_two_threads_get_the_texts_they_get_alone(self, llm: Any) -> None:
        chats = [CHAT, (SYSTEM, Message("user", "how does batch normalisation work"))]
        alone = [text_of(generate(tiny_llm(), chat)) for chat in chats]
        got: dict[int, str] = {}
        threads = [
            threading.Thread(target=lambda n=n, chat=chat: got.update({n: text_of(generate(llm, chat))}))
            for n, chat in enumerate(chats)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [got[0], got[1]] == alone

    def test_what_was_generated_is_kept_for_the_next_turn(self) -> None:
        llm = tiny_llm()
        reply = text_of(generate(llm, CHAT, max_new_tokens=12))
        asked = llm._loaded.tokens.prompt(CHAT, 10_000).ids
        cache, held = llm._prefixes.begin([*asked, 1, 2], 400)
        assert held == len(asked)
        assert cache.get_seq_length() == held
        assert reply

    def test_too_long_prompts_report_what_was_left_out_on_the_first_chunk_alone(self) -> None:
        llm = tiny_llm(context=256)
        chunks = generate(llm, [SYSTEM, Message("user", "the loss of a layer " * 100)], max_new_tokens=16)
        assert chunks[0].omitted_tokens > 250
        assert [chunk.omitted_tokens for chunk in chunks[1:]] == [0] * (len(chunks) - 1)
        assert chunks[-1].finish_reason == "length"


class TestChoices:
    CHATS = (
        (SYSTEM, Message("user", "is dropout random")),
        (SYSTEM, Message("user", "is the scale of a layer stable")),
        (SYSTEM, Message("user", "yes or no")),
        (SYSTEM, Message("user", "is dropout random at the inputs of a layer")),
    )

    @pytest.mark.parametrize("sharable", [True, False])
    def test_equals_the_plain_computation_one_by_one(self, sharable: bool) -> None:
        llm = tiny_llm(sharable=sharable)
        choices = ("yes", " no", "backpropagation of the loss", "yesterday", "random: yes", "random: no", "yes")
        got = llm.choice_logprobs(self.CHATS, choices)
        for chat, scores in zip(self.CHATS, got, strict=True):
            assert scores == pytest.approx([naive_choice(llm, chat, c) for c in choices], abs=1e-4)

    def test_several_packs_and_a_second_call_give_the_same(self) -> None:
        llm = tiny_llm(context=2048)
        chats = [(SYSTEM, Message("user", f"{n} is the gradient of the loss random " * (n % 5 + 1))) for n in range(40)]
        total = sum(len(llm._loaded.tokens.prompt(chat, 2000).ids) for chat in chats)
        assert total > 3 * PACKED_PIECE
        first, second = (llm.choice_logprobs(chats, ("yes", "no way")) for _ in range(2))
        expected = [tuple(naive_choice(llm, chat, c) for c in ("yes", "no way")) for chat in chats]
        for scores, again, naive in zip(first, second, expected, strict=True):
            assert scores == pytest.approx(naive, abs=1e-4)
            assert again == pytest.approx(naive, abs=1e-4)

    def test_the_same_chat_twice_and_a_chat_that_begins_another(self) -> None:
        llm = tiny_llm()
        chats = [self.CHATS[0], self.CHATS[0], self.CHATS[3]]
        got = llm.choice_logprobs(chats, ("yes",))
        for chat, scores in zip(chats, got, strict=True):
            assert scores == pytest.approx((naive_choice(llm, chat, "yes"),), abs=1e-4)

    def test_a_chat_longer_than_a_pack(self) -> None:
        llm = tiny_llm(context=2048)
        chats = [(Message("user", f"{word} the loss of a layer " * 110),) for word in ("why", "how")]
        assert len(llm._loaded.tokens.prompt(chats[0], 2000).ids) > PACKED_PIECE
        got = llm.choice_logprobs(chats, ("yes", "no"))
        for chat, scores in zip(chats, got, strict=True):
            assert scores == pytest.approx([naive_choice(llm, chat, c) for c in ("yes", "no")], abs=1e-4)

    def test_probabilities_of_all_single_tokens_sum_to_one(self, llm: Any) -> None:
        tokens = llm._loaded.tokens
        words = {text for i in range(len(tokens.tokenizer)) if len(tokens.plain(text := tokens.text([i]))) == 1}
        (scores,) = llm.choice_logprobs([CHAT], sorted(words))
        assert 0.3 < sum(torch.tensor(scores).exp()) <= 1.0001

    def test_no_chats_give_nothing_and_no_choices_an_error(self, llm: Any) -> None:
        assert llm.choice_logprobs([], ("yes",)) == []
        with pytest.raises(ModelError, match="give at least one"):
            llm.choice_logprobs([CHAT], ())
        with pytest.raises(ModelError, match="none empty"):
            llm.choice_logprobs([CHAT], ("yes", ""))

    def test_a_set_event_stops_judging(self, llm: Any) -> None:
        stop = threading.Event()
        stop.set()
        with pytest.raises(ModelError, match="stopped"):
            llm.choice_logprobs([CHAT], ("yes",), stop=stop)
        assert not llm._turn.locked()


def random_adapters(llm: Any) -> Adapters:
    """One after the first of two layers, large enough to be seen."""
    width = llm._loaded.model.config.hidden_size
    chance = np.random.default_rng(0)
    down, up = (chance.normal(size=shape).astype(np.float32) / 4 for shape in ((1, width, 4), (1, 4, width)))
    return Adapters(1, down, np.full((1, 4), 0.1, np.float32), up)


class TestHiddenStates:
    OTHER = (SYSTEM, Message("user", "gradient"))

    def test_equal_those_of_a_plain_pass_that_ends_at_the_layer(self, llm: Any) -> None:
        chats = [CHAT, (SYSTEM, Message("user", "the loss")), (SYSTEM, QUESTION, Message("assistant", "a unit"))]
        found = llm.hidden_states(chats, [1], self.OTHER)
        base = llm._loaded.model.base_model
        lengths = []
        for chat, rows in zip(chats, found, strict=True):
            ids = torch.tensor([list(llm._loaded.tokens.prompt(chat, 10_000).ids)])
            with torch.inference_mode():
                stream = base(ids, output_hidden_states=True).hidden_states[1][0, -len(rows) :].float()
            expected = stream / stream.pow(2).mean(-1, keepdim=True).sqrt()
            torch.testing.assert_close(torch.tensor(rows), expected, rtol=1e-4, atol=1e-4)
            lengths.append(ids.shape[1] - len(rows))
        assert len(set(lengths)) == 1  # all begin where they part
        assert lengths[0] > 5

    def test_one_chat_alone_parts_from_the_beginning(self, llm: Any) -> None:
        [alone] = llm.hidden_states([CHAT], [1], self.OTHER)
        among, _ = llm.hidden_states([CHAT, (SYSTEM, Message("user", "the loss"))], [1], self.OTHER)
        torch.testing.assert_close(torch.tensor(alone), torch.tensor(among), rtol=1e-4, atol=1e-4)

    def test_quantised_layers_give_nearly_those_of_the_model_as_published(self, llm: Any) -> None:
        [plain], [quantised] = (one.hidden_states([CHAT], [2], self.OTHER) for one in (llm, tiny_llm(int8=True)))
        cosines = (plain * quantised).mean(axis=1)  # the mean square of each row is 1
        assert cosines.min() > 0.98
        assert quantised.shape == plain.shape

    def test_several_layers_stand_side_by_side(self, llm: Any) -> None:
        [both], [one], [two] = (llm.hidden_states([CHAT], layers, self.OTHER) for layers in ([1, 2], [1], [2]))
        torch.testing.assert_close(torch.tensor(both), torch.tensor([[*a, *b] for a, b in zip(one, two, strict=True)]))

    def test_adapters_change_what_sets_the_chats_apart(self, llm: Any) -> None:
        adapters = random_adapters(llm)
        other = (SYSTEM, Message("user", "the loss"))
        plain = llm.hidden_states([CHAT, other], [1], self.OTHER)
        both = llm.hidden_states([CHAT, other], [1], self.OTHER, adapters)
        base = llm._loaded.model.base_model
        width = plain[0].shape[1]
        for chat, before, after in zip([CHAT, other], plain, both, strict=True):
            torch.testing.assert_close(torch.tensor(after[:, :width]), torch.tensor(before), rtol=1e-4, atol=1e-4)
            ids = torch.tensor([list(llm._loaded.tokens.prompt(chat, 10_000).ids)])
            begin = ids.shape[1] - len(before)

            def change(module: Any, given: Any, out: Any, begin: int = begin) -> None:
                own = (out[0] if isinstance(out, tuple) else out)[0, begin:]
                size = own.pow(2).mean(-1, keepdim=True).sqrt()
                inner = torch.relu(own / size @ torch.tensor(adapters.down[0]) + torch.tensor(adapters.bias[0]))
                own += inner @ torch.tensor(adapters.up[0]) * size

            ends: list[Any] = []

            def end_at(module: Any, given: Any, out: Any, ends: list[Any] = ends) -> None:
                ends.append(out)

            first = base.layers[0].register_forward_hook(change)
            second = base.layers[1].register_forward_hook(end_at)
            with torch.inference_mode():
                base(ids)
            first.remove()
            second.remove()
            end = (ends[0][0] if isinstance(ends[0], tuple) else ends[0])[0, begin:]
            expected = end / end.pow(2).mean(-1, keepdim=True).sqrt()
            torch.testing.assert_close(torch.tensor(after[:, width:]), expected, rtol=1e-4, atol=1e-4)
            assert abs(after[:, width:] - llm.hidden_states([chat], [2], self.OTHER)[0]).max() > 0.1

    def test_adapters_in_quantised_layers_do_nearly_the_same(self, llm: Any) -> None:
        adapters = random_adapters(llm)
        [plain], [quantised] = (
            one.hidden_states([CHAT], [1], self.OTHER, adapters) for one in (llm, tiny_llm(int8=True))
        )
        half = plain.shape[1] // 2
        assert (plain[:, half:] * quantised[:, half:]).mean(axis=1).min() > 0.97

    def test_what_adapters_change_is_not_kept(self, llm: Any) -> None:
        many = [(SYSTEM, Message("user", "what is dropout " * (n % 7 + 1))) for n in range(80)]
        found = llm.hidden_states(many, [1], self.OTHER, random_adapters(llm))
        torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(found[77]), rtol=1e-4, atol=1e-4)
        before = generate(llm)
        llm.hidden_states([CHAT], [1], self.OTHER, random_adapters(llm))
        assert generate(llm) == before

    def test_later_layers_are_back_afterwards(self, llm: Any) -> None:
        before = generate(llm)
        llm.hidden_states([CHAT], [1], self.OTHER)
        assert generate(llm) == before

    def test_more_than_a_pack_and_nothing_at_all(self, llm: Any) -> None:
        many = [(SYSTEM, Message("user", "what is dropout " * (n % 7 + 1))) for n in range(80)]
        assert sum(len(llm._loaded.tokens.prompt(chat, 10_000).ids) for chat in many) > PACKED_PIECE
        found = llm.hidden_states(many, [2], self.OTHER)
        assert len(found) == len(many)
        torch.testing.assert_close(torch.tensor(found[0]), torch.tensor(found[77]), rtol=1e-4, atol=1e-4)
        assert llm.hidden_states([], [1], self.OTHER) == []

    def test_a_model_whose_layers_see_only_part_is_refused(self) -> None:
        llm = tiny_llm()
        llm._loaded = replace(llm._loaded, sharable=False)
        with pytest.raises(ModelError, match="whole text"):
            llm.hidden_states([CHAT], [1], self.OTHER)


class TestChoiceStates:
    CHOICES = ("Point: the loss yes", "Point: the loss no", "Point: a unit is dropped yes")

    def test_log_probabilities_are_those_of_the_choices(self, llm: Any) -> None:
        row, _ = llm.choice_states(CHAT, self.CHOICES, [1])
        assert row == pytest.approx(llm.choice_logprobs([CHAT], self.CHOICES)[0], abs=1e-5)

    def test_states_are_those_before_the_last_token_of_each(self, llm: Any) -> None:
        _, states = llm.choice_states(CHAT, self.CHOICES, [1, 2])
        prompt = llm._loaded.tokens.prompt(CHAT, 10_000).ids
        for choice, row in zip(self.CHOICES, states, strict=True):
            ids = torch.tensor([[*prompt, *llm._loaded.tokens.plain(choice)[:-1]]])
            with torch.inference_mode():
                streams = llm._loaded.model.base_model(ids, output_hidden_states=True).hidden_states[1:3]
            # The last layer's own output is normalised once more in what the model returns, so the first is compared.
            stream = streams[0][0, -1].float()
            expected = stream / stream.pow(2).mean().sqrt()
            torch.testing.assert_close(torch.tensor(row[: len(expected)]), expected, rtol=1e-4, atol=1e-4)
            assert len(row) == 2 * len(expected)

    def test_replies_that_differ_in_the_last_token_share_a_state(self, llm: Any) -> None:
        _, (yes, no, other) = llm.choice_states(CHAT, self.CHOICES, [1])
        assert yes.tolist() == no.tolist() != other.tolist()

    def test_a_second_call_and_a_chat_longer_than_a_piece_give_the_same(self) -> None:
        llm = tiny_llm(context=2048)
        chat = (SYSTEM, Message("user", "what is the loss of a layer " * 90))
        assert len(llm._loaded.tokens.prompt(chat, 2000).ids) > PACKED_PIECE
        (first, states), (second, again) = (llm.choice_states(chat, self.CHOICES, [1]) for _ in range(2))
        assert second == pytest.approx(first, abs=1e-4)
        torch.testing.assert_close(torch.tensor(again), torch.tensor(states), rtol=1e-4, atol=1e-4)

    def test_a_model_whose_layers_see_only_part_is_refused(self) -> None:
        llm = tiny_llm()
        llm._loaded = replace(llm._loaded, sharable=False)
        with pytest.raises(ModelError, match="whole text"):
            llm.choice_states(CHAT, self.CHOICES, [1])


class Wrapped:
    """A model whose computation goes through `forward`, as a broken one would be handed to the engine."""

    def __init__(self, model: Any, forward: Any) -> None:
        self.config, self.device, self.dtype = model.config, model.device, model.dtype
        self.forward = forward

    def __call__(self, **inputs: Any) -> Any:
        return self.forward(**inputs)


class TestFailures:
    def test_what_the_model_raises_becomes_an_error_of_the_coach(self, llm: Any) -> None:
        def forward(past_key_values: Any = None, **_: Any) -> Any:
            raise RuntimeError("a kernel is missing")

        loaded = replace(llm._loaded, model=Wrapped(llm._loaded.model, forward))
        with pytest.raises(ModelError, match="a kernel is missing"):
            generate(TransformersLLM(loaded, None))

    def test_a_release_of_transformers_that_keeps_nothing_is_refused(self, llm: Any) -> None:
        whole = llm._loaded.model

        def forward(input_ids: Any, past_key_values: Any = None, logits_to_keep: Any = 0, **_: Any) -> Any:
            return whole(input_ids, logits_to_keep=logits_to_keep)

        loaded = replace(llm._loaded, model=Wrapped(whole, forward))
        with pytest.raises(ModelError, match="does not keep what was computed"):
            generate(TransformersLLM(loaded, None))
