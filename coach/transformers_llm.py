"""The local engine: transformers behind the `LLM` protocol, with kept prefixes and packed judging."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from coach.config import Settings
from coach.decoding import GUESS, FixedSteps, choose, generator_for, guess
from coach.errors import ModelError
from coach.llm import Chunk, FinishReason, GenerationOptions, Message
from coach.loading import Description, Loaded, is_out_of_memory, load
from coach.packing import Pack, causal_mask, pack_chats, shared_length
from coach.reply_text import ReplyText
from coach.residual import deepest, side_by_side, states, watched
from coach.weights import Progress

if TYPE_CHECKING:
    import torch

    from coach.adapters import Adapters
    from coach.llm import States


PROMPT_PIECE = 256  # tokens of a prompt computed between two looks at the stop event (0.5 s on two cores)
PACKED_PIECE = 512  # tokens of packed chats computed at a time: bounds the mask and the logits in memory
PREFIX_BUDGET = 512 << 20  # bytes of kept prefixes: about 18,000 tokens of the 1.5B
RECORDED_ROOM = 8192  # tokens up to which a recorded step, which attends to all of its room, costs little
_SEES_PART = "has layers that don't see the whole text, so its states are not read."
_POLL = 0.05  # seconds between looks at the stop event while another caller computes


class _Stopped(Exception):
    """The caller's stop event was set."""


class TransformersLLM:
    """A chat model on this machine; see `coach.llm.LLM`.

    Several callers share it: they take turns by the token or piece of a prompt, so a caller whose stream is
    paused never blocks the others.
    """

    def __init__(self, loaded: Loaded, prefixes: Any, steps: FixedSteps | None = None) -> None:
        from coach.kv_cache import cache_keyword

        self._loaded = loaded
        self._cache_name = cache_keyword(loaded.model)
        self._prefixes = prefixes
        self._steps = steps
        self._steps_free = threading.Lock()
        self._turn = threading.Lock()

    @classmethod
    def load(cls, settings: Settings, progress: Progress | None = None) -> TransformersLLM:
        """Load the model that the settings name; raises `ModelError` or `WeightsError`."""
        from coach.kv_cache import PrefixStore

        loaded = load(settings, progress)
        layers = int(loaded.model.config.get_text_config().num_hidden_layers)
        prefixes = PrefixStore(layers, PREFIX_BUDGET) if loaded.sharable else None
        room = loaded.description.context
        recordable = loaded.sharable and loaded.device.type == "cuda" and room <= RECORDED_ROOM
        return cls(loaded, prefixes, FixedSteps(loaded.model, room, record=True) if recordable else None)

    @property
    def name(self) -> str:
        """What to call the model on the page."""
        return self._loaded.description.name

    @property
    def device_name(self) -> str:
        """What to call the device on the page."""
        return self._loaded.description.device

    def describe(self) -> Description:
        """What runs where."""
        return self._loaded.description

    def stream(
        self,
        messages: Sequence[Message],
        options: GenerationOptions = GenerationOptions(),
        stop: threading.Event | None = None,
    ) -> Iterator[Chunk]:
        """Generate a reply as chunks; see `coach.llm.LLM.stream`."""
        context = self._loaded.description.context
        limit = max(context - options.max_new_tokens, context // 2)
        prompt = self._loaded.tokens.prompt(messages, limit)
        reply = ReplyText(self._loaded.tokens, options.stop)
        omitted = prompt.omitted
        reason: FinishReason = "length"
        try:
            for token in self._generate(
                prompt.ids, min(options.max_new_tokens, context - len(prompt.ids)), options, stop
            ):
                if token in self._loaded.ends:
                    reason = "stop"
                    break
                text = reply.add(token)
                if text:
                    yield Chunk(text, omitted_tokens=omitted)
                    omitted = 0
                if reply.stopped:
                    reason = "stop"
                    break
        except _Stopped:
            reason = "cancelled"
        yield Chunk(reply.rest(), reason, omitted)

    def _generate(
        self, ids: tuple[int, ...], most: int, options: GenerationOptions, stop: threading.Event | None
    ) -> Iterator[int]:
        """The tokens of a reply one by one; raises `_Stopped`. What was computed is kept as a prefix."""
        generator = generator_for(options)
        known = list(ids)
        end = len(ids) + most
        cache, held = self._begin(known, end)
        fixed = None
        try:
            logits = self._extend(cache, known, held, stop)
            fixed = self._claim_steps(cache)
            while True:
                token = choose(logits, options, generator)
                known.append(token)
                yield token
                if len(known) >= end:
                    return
                if fixed is not None:
                    with self._my_turn(stop):
                        logits = fixed.step(token, len(known) - 1)[0]
                    continue
                ahead = guess(known, min(GUESS, end - len(known) - 1)) if self._may_guess(options) else []
                rows = self._step(cache, [token, *ahead], len(known) - 1, stop)
                right = 0
                for said, likeliest in zip(ahead, rows.argmax(-1).tolist(), strict=False):
                    if said != likeliest:
                        break
                    right += 1
                    known.append(said)
                    yield said
                if ahead:
                    cache.cut_to(len(known))
                logits = rows[right]
        finally:
            if fixed is not None:
                fixed.end(cache, len(known) - 1)
                self._steps_free.release()
            self._keep(known, cache)

    def _claim_steps(self, cache: Any) -> FixedSteps | None:
        """The recorded steps, unless another caller has them or they don't work here."""
        if self._steps is None or not self._steps_free.acquire(blocking=False):
            return None
        with self._my_turn(None):
            if self._steps.begin(cache):
                return self._steps
        self._steps = None
        self._steps_free.release()
        return None

    def _may_guess(self, options: GenerationOptions) -> bool:
        """Guesses are checked in one computation; only int8 products give each row the numbers it has alone."""
        return options.temperature <= 0 and self._loaded.description.quantisation == "int8"

    def _begin(self, ids: Sequence[int], room: int) -> tuple[Any, int]:
        if self._prefixes is not None:
            cache, held = self._prefixes.begin(ids, room)
            return cache, held
        from transformers import DynamicCache

        return DynamicCache(config=self._loaded.model.config), 0

    def _keep(self, ids: Sequence[int], cache: Any) -> None:
        if self._prefixes is None:
            return
        length = min(cache.get_seq_length(), len(ids))
        if length:
            cache.cut_to(length)
            self._prefixes.keep(ids[:length], cache)

    def _extend(self, cache: Any, ids: Sequence[int], held: int, stop: threading.Event | None) -> torch.Tensor:
        """Compute the tokens after the first `held` piece by piece; logits of the last one, (vocabulary)."""
        import torch

        logits = torch.empty(0)
        for begin in range(held, len(ids), PROMPT_PIECE):
            piece = ids[begin : begin + PROMPT_PIECE]
            positions = range(begin, begin + len(piece))
            mask = None
            if self._loaded.sharable and len(piece) > 1:
                mask = causal_mask(begin, len(piece))
            [logits], _ = self._forward(cache, piece, positions, mask, [len(piece) - 1], stop)
        return logits

    def _step(self, cache: Any, ids: Sequence[int], position: int, stop: threading.Event | None) -> torch.Tensor:
        """Compute a token and those guessed after it; logits (tokens, vocabulary)."""
        return self._forward(cache, ids, range(position, position + len(ids)), None, range(len(ids)), stop)[0]

    def _forward(
        self,
        cache: Any,
        ids: Sequence[int],
        positions: Sequence[int],
        mask: torch.Tensor | None,
        at: Sequence[int],
        stop: threading.Event | None,
        layers: Sequence[int] = (),
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Logits (len(at), vocabulary) in float32 on the processor, and what each of `layers` passes on.

        The latter has shape (tokens, hidden); `mask` (tokens, cached + tokens) is boolean.
        """
        import torch

        with self._my_turn(stop), torch.inference_mode(), watched(self._loaded.model, layers) as seen:
            at_rows = torch.tensor(list(at), device=self._loaded.model.device)
            out = self._loaded.model(**self._inputs(cache, ids, positions, mask), logits_to_keep=at_rows)
            logits: torch.Tensor = out.logits[0].float().cpu()
        if cache.get_seq_length() <= positions[0]:
            raise ModelError(
                f"The installed transformers {_transformers_version()} does not keep what was computed, so replies "
                'would be nonsense. Install a release this coach was tested with: pip install -e ".[model]".'
            )
        return logits, seen

    def _inputs(
        self, cache: Any, ids: Sequence[int], positions: Sequence[int], mask: torch.Tensor | None
    ) -> dict[str, Any]:
        """What the model is called with, on its device; `mask` (tokens, cached + tokens) is boolean."""
        import torch

        device = self._loaded.model.device
        return {
            "input_ids": torch.tensor([list(ids)], device=device),
            "position_ids": torch.tensor([list(positions)], device=device),
            "attention_mask": None if mask is None else mask[None, None].to(device),
            "use_cache": True,
            self._cache_name: cache,
        }

    @contextmanager
    def _my_turn(self, stop: threading.Event | None) -> Iterator[None]:
        """Hold the model for one computation; raises `_Stopped` when `stop` is set, also while waiting."""
        while True:
            if stop is not None and stop.is_set():
                raise _Stopped
            if self._turn.acquire(timeout=_POLL):
                break
        try:
            yield
        except (MemoryError, RuntimeError) as error:
            if is_out_of_memory(error):
                raise ModelError(
                    f"The memory of {self.device_name} ran out: {error}. Ask with less text, "
                    "lower --context, or choose a smaller model (--model small)."
                ) from error
            raise ModelError(f"The language model failed while computing: {error}. Ask again.") from error
        finally:
            self._turn.release()

    def choice_logprobs(
        self,
        messages_list: Sequence[Sequence[Message]],
        choices: Sequence[str],
        stop: threading.Event | None = None,
    ) -> list[tuple[float, ...]]:
        """Log-probability of each choice as the beginning of the reply; see `coach.llm.LLM.choice_logprobs`.

        Raises `ModelError` when there are no choices, or when `stop` was set before the end.
        """
        chats, options = self._tokens_of(messages_list, choices)
        if not chats:
            return []
        try:
            if not self._loaded.sharable:
                return [self._one_by_one(chat, options, stop) for chat in chats]
            return [row for pack, logits, _ in self._packed(chats, options, stop) for row in pack.scores(logits)]
        except _Stopped:
            raise ModelError("Judging was stopped before it was done; ask again.") from None

    def choice_states(
        self, messages: Sequence[Message], choices: Sequence[str], layers: Sequence[int]
    ) -> tuple[tuple[float, ...], States]:
        """Log-probabilities of the choices, and what the model makes of each; see `coach.llm.ChoiceStates`."""
        if not self._loaded.sharable:
            raise ModelError(f"{self.name} {_SEES_PART}")
        chats, options = self._tokens_of([messages], choices)
        [(pack, logits, seen)] = self._packed(chats, options, None, layers)
        return pack.scores(logits)[0], side_by_side([stream[pack.ends(0)] for stream in seen], self._loaded)

    def _tokens_of(
        self, messages_list: Sequence[Sequence[Message]], choices: Sequence[str]
    ) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Tokens of chats that leave room for the choices, and those of the choices; raises `ModelError` without."""
        tokens = self._loaded.tokens
        options = [tuple(tokens.plain(choice)) for choice in choices]
        if not options or not all(options):
            raise ModelError(f"The choices {list(choices)!r} leave nothing to compare; give at least one, none empty.")
        limit = self._loaded.description.context - max(map(len, options))
        return [tokens.prompt(messages, limit).ids for messages in messages_list], options

    def hidden_states(
        self,
        messages_list: Sequence[Sequence[Message]],
        layers: Sequence[int],
        beginning: Sequence[Message],
        adapters: Adapters | None = None,
    ) -> list[States]:
        """What the first layers make of what sets each chat apart; see `coach.llm.HiddenStates`."""
        from coach.kv_cache import GrowingCache

        if not self._loaded.sharable:
            raise ModelError(f"{self.name} {_SEES_PART}")
        prompt = self._loaded.tokens.prompt
        first, *chats = [prompt(m, self._loaded.description.context).ids for m in (beginning, *messages_list)]
        shared = shared_length([first, *chats])
        last = deepest(layers, adapters)
        cache = GrowingCache.empty(last, shared + PACKED_PIECE)
        held = _whole_pieces(0, shared)
        for begin in range(0, held, PROMPT_PIECE):
            piece = range(begin, begin + PROMPT_PIECE)
            self._states(cache, first[begin : piece.stop], piece, causal_mask(begin, PROMPT_PIECE), [last])
        found: list[States] = []
        for pack in pack_chats([chat[shared:] for chat in chats], [(0,)], first[:shared], held, PACKED_PIECE):
            begin = shared - pack.shared  # what comes before is still of the beginning
            rows = self._states(cache, pack.ids, pack.positions, pack.mask(), layers, adapters, begin)
            cache.cut_to(shared)
            ends = [at + 1 - begin for at in pack.at]
            found += [rows[start:end] for start, end in pairwise((0, *ends))]
        return found

    def _states(
        self,
        cache: Any,
        ids: Sequence[int],
        positions: Sequence[int],
        mask: torch.Tensor,
        layers: Sequence[int],
        adapters: Adapters | None = None,
        begin: int = 0,
    ) -> States:
        """What `layers` pass on of the tokens from `begin` on, and with `adapters` on these; see `residual.states`."""
        import torch

        inputs = self._inputs(cache, ids, positions, mask)
        with self._my_turn(None), torch.inference_mode():
            return states(self._loaded, cache, inputs, layers, adapters, begin)

    def _packed(
        self,
        chats: Sequence[tuple[int, ...]],
        options: Sequence[tuple[int, ...]],
        stop: threading.Event | None,
        layers: Sequence[int] = (),
    ) -> Iterator[tuple[Pack, torch.Tensor, list[torch.Tensor]]]:
        """Packs of the chats, each with its logits and what `layers` pass on."""
        first = chats[0]
        shared = shared_length(chats)
        cache, held = self._begin(first[: shared + 1], shared + PACKED_PIECE)
        try:
            apart = _whole_pieces(held, shared)
            self._extend(cache, first[:apart], held, stop)
            for pack in pack_chats([chat[shared:] for chat in chats], options, first[:shared], apart, PACKED_PIECE):
                found = self._forward(cache, pack.ids, pack.positions, pack.mask(), pack.at, stop, layers)
                cache.cut_to(shared)
                yield pack, *found
        finally:
            cache.cut_to(shared)
            self._keep(first, cache)

    def _one_by_one(
        self, chat: tuple[int, ...], options: list[tuple[int, ...]], stop: threading.Event | None
    ) -> tuple[float, ...]:
        """For models whose layers don't all see the whole text: each choice on its own."""
        scores = []
        for option in options:
            cache, _ = self._begin(chat, 0)
            ids = (*chat, *option)
            logits = self._extend(cache, ids[: len(chat)], 0, stop)
            total = 0.0
            for offset, token in enumerate(option):
                total += float(logits.log_softmax(-1)[token])
                if offset < len(option) - 1:
                    logits = self._step(cache, [token], len(chat) + offset, stop)[0]
            scores.append(total)
        return tuple(scores)


def _whole_pieces(held: int, length: int) -> int:
    """Where the whole pieces of a beginning end; what is after them is computed along with what follows."""
    return held + (length - held) // PROMPT_PIECE * PROMPT_PIECE


def _transformers_version() -> str:
    from importlib.metadata import version

    return version("transformers")
