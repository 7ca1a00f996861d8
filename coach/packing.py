"""Many chats that share a beginning, packed into one row so that none is padded.

Each chat sees the shared beginning and itself. A choice of several tokens hangs as a branch on its chat; choices that
differ in nothing but their last token share one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

_TRUNK = -1  # the branch of a chat's own tokens, which all its choices see
_ALL = -1  # the chat of what all see


@dataclass(frozen=True)
class Pack:
    """One row: for each token its id, position, chat and branch; `at` are the rows whose logits are wanted.

    `reads` says for each chat and choice which pairs (place in `at`, token) its log-probability is the sum of.
    """

    shared: int  # tokens before the row that all see
    ids: tuple[int, ...]
    positions: tuple[int, ...]
    chats: tuple[int, ...]
    branches: tuple[int, ...]
    at: tuple[int, ...]
    reads: tuple[tuple[tuple[tuple[int, int], ...], ...], ...]

    def mask(self) -> torch.Tensor:
        """Who sees whom, boolean (tokens, shared + tokens): the beginning, the own chat and branch, all in the past."""
        import torch

        chat, branch = torch.tensor(self.chats), torch.tensor(self.branches)
        own = (chat[:, None] == chat[None, :]) | (chat[None, :] == _ALL)
        line = (branch[None, :] == _TRUNK) | (branch[:, None] == branch[None, :])
        among = (own & line).tril()
        return torch.cat([torch.ones(len(self.ids), self.shared, dtype=torch.bool), among], dim=1)

    def with_beginning(self, beginning: Sequence[int], held: int) -> Pack:
        """With what is not held yet of the shared beginning in front, so that all is computed in one go."""
        new = tuple(beginning[held:])
        return Pack(
            held,
            new + self.ids,
            (*range(held, len(beginning)), *self.positions),
            (_ALL,) * len(new) + self.chats,
            (_TRUNK,) * len(new) + self.branches,
            tuple(place + len(new) for place in self.at),
            self.reads,
        )

    def ends(self, chat: int) -> list[int]:
        """The rows from which the last token of each choice of a chat is foretold."""
        return [self.at[choice[-1][0]] for choice in self.reads[chat]]

    def scores(self, logits: torch.Tensor) -> list[tuple[float, ...]]:
        """The log-probabilities of the choices, one tuple for each chat, from logits (len(at), vocabulary)."""
        logprobs = logits.float().log_softmax(-1)
        return [
            tuple(sum(float(logprobs[place, token]) for place, token in choice) for choice in chat)
            for chat in self.reads
        ]


def pack_chats(
    chats: Sequence[Sequence[int]], choices: Sequence[Sequence[int]], beginning: Sequence[int], held: int, most: int
) -> Iterator[Pack]:
    """Packs of at most `most` tokens (a longer chat is alone) for chats given without their shared beginning.

    What is not held yet of the beginning comes on top of them, in front of the first pack.
    """
    shared = len(beginning)
    extra = sum(map(len, {tuple(choice[:-1]) for choice in choices}))
    group: list[Sequence[int]] = []
    size = 0
    for chat in chats:
        cost = len(chat) + extra
        if group and size + cost > most:
            yield _pack(group, choices, shared).with_beginning(beginning, held)
            group, size, held = [], 0, shared
        group.append(chat)
        size += cost
    if group:
        yield _pack(group, choices, shared).with_beginning(beginning, held)


def _pack(chats: Sequence[Sequence[int]], choices: Sequence[Sequence[int]], shared: int) -> Pack:
    ids: list[int] = []
    positions: list[int] = []
    owners: list[int] = []
    branches: list[int] = []
    at: list[int] = []
    reads = []
    for number, chat in enumerate(chats):
        ids += chat
        positions += range(shared, shared + len(chat))
        owners += [number] * len(chat)
        branches += [_TRUNK] * len(chat)
        at.append(len(ids) - 1)
        answer = len(at) - 1
        chat_reads = []
        branch_at: dict[tuple[int, ...], list[int]] = {}  # where the logits before and after each token of a branch are
        for choice in choices:
            branch = tuple(choice[:-1])
            if branch not in branch_at:
                ids += branch
                positions += range(shared + len(chat), shared + len(chat) + len(branch))
                owners += [number] * len(branch)
                branches += [len(branch_at)] * len(branch)
                branch_at[branch] = [answer, *range(len(at), len(at) + len(branch))]
                at += range(len(ids) - len(branch), len(ids))
            chat_reads.append(tuple(zip(branch_at[branch], choice, strict=True)))
        reads.append(tuple(chat_reads))
    return Pack(shared, tuple(ids), tuple(positions), tuple(owners), tuple(branches), tuple(at), tuple(reads))


def causal_mask(begin: int, count: int) -> torch.Tensor:
    """Each of `count` tokens after the first `begin` sees itself and what is before it: (count, begin + count)."""
    import torch

    return torch.arange(begin + count)[None, :] <= torch.arange(begin, begin + count)[:, None]


def shared_length(chats: Sequence[tuple[int, ...]]) -> int:
    """How many first tokens all chats share, leaving each at least one of its own."""
    from coach.kv_cache import common_length

    return min(min(common_length(chats[0], chat) for chat in chats), min(map(len, chats)) - 1)
