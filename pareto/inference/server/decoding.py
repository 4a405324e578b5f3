"""What the rows of a running batch have read: caches that rows join and leave between two steps.

All rows end at the last column, whatever their lengths; what stands left of a row's own tokens is masked. Where rows
join, the narrower side gets empty columns at its left; columns that no row needs any more are given up.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import DynamicLayer

from pareto.errors import ParetoError
from pareto.inference.server.lines import Line, hear

if TYPE_CHECKING:
    from pareto.models import Base

ROOM = 64
"""Columns that are set aside at a time."""
JOINED = {"full_attention", "sliding_attention"}
"""Kinds of layers whose caches are keys and values by column."""


class Slots(DynamicLayer):
    """A layer's keys and values (rows, heads, columns, width) in tensors with room at the right.

    Transformers' own layer copies all columns at every step to add one.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._room = (torch.empty(0), torch.empty(0))
        self._left, self._right = 0, 0
        """The columns that are used."""

    @property
    def held(self) -> tuple[Tensor, Tensor]:
        """The keys and values."""
        keys, values = (room[:, :, self._left : self._right] for room in self._room)
        return keys, values

    def update(self, key_states: Tensor, value_states: Tensor, *_: object, **__: object) -> tuple[Tensor, Tensor]:
        """Add columns; all there are then."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
            self._hold(key_states[:, :, :0], value_states[:, :, :0])
        new = key_states.size(2)
        if self._right + new > self._room[0].size(2):
            keys, values = self.held
            self._hold(*(_wider(x, right=max(new, ROOM)) for x in (keys, values)), columns=keys.size(2))
        for room, states in zip(self._room, (key_states, value_states), strict=True):
            room[:, :, self._right : self._right + new] = states
        self._right += new
        self.keys, self.values = self.held
        return self.held

    def batch_select_indices(self, indices: Tensor) -> None:
        """Make the rows these of what they are now."""
        self._hold(*(x[indices] for x in self.held))

    def trim(self, columns: int) -> None:
        """Give up so many at the left."""
        self._left += columns
        self.keys, self.values = self.held

    def joined(self, other: Slots) -> Slots:
        """With the rows of another below, all ending at the same column."""
        pairs = list(zip(self.held, other.held, strict=True))
        columns = max(keys.size(2) for keys in pairs[0])
        made = Slots()
        made.lazy_initialization(*self.held)
        made._hold(
            *(torch.cat([_wider(x, left=columns - x.size(2), right=ROOM) for x in pair]) for pair in pairs),
            columns=columns,
        )
        return made

    def _hold(self, *room: Tensor, columns: int | None = None) -> None:
        """Take these keys and values, of which so many columns are used (else all)."""
        keys, values = room
        self._room, self._left = (keys, values), 0
        self._right = keys.size(2) if columns is None else columns
        self.keys, self.values = self.held


class Memory:
    """What the rows of a batch have read."""

    def __init__(self, base: Base) -> None:
        """Start with nothing; the first tokens tell how many rows there are."""
        self.base = base
        self.cache = Cache(layer_class_to_replicate=Slots)
        self.mask = torch.zeros(0, 0)
        """(rows, columns): 1 where a row has read a token, 0 left of its first."""

    @property
    def rows(self) -> int:
        """How many."""
        return self.mask.size(0)

    @property
    def _layers(self) -> list[Slots]:
        return [layer for layer in self.cache.layers if isinstance(layer, Slots)]

    def read(self, ids: Tensor, mask: Tensor | None = None) -> Tensor:
        """Read columns of tokens (rows, columns), some of them masked; the logits after the last (rows, vocabulary)."""
        mask = torch.ones_like(ids) if mask is None else mask
        self.mask = torch.cat([self.mask, mask], 1) if self.rows else mask
        positions = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.size(1) :]
        with torch.inference_mode():
            out = self.base.model(
                input_ids=ids,
                attention_mask=self.mask,
                position_ids=positions,
                past_key_values=self.cache,
                use_cache=True,
                logits_to_keep=1,
            )
        logits: Tensor = out.logits[:, -1]
        return logits

    def keep(self, rows: Sequence[int]) -> None:
        """Make the batch these rows of what it is now: some left out, or some repeated."""
        index = torch.tensor(rows, dtype=torch.long, device=self.base.device)
        mask = self.mask[index]
        empty = int((mask.amax(0) == 0).sum()) if rows else 0
        self.mask = mask[:, empty:]
        for layer in self._layers:
            layer.trim(empty)
            layer.batch_select_indices(index)

    def joined(self, other: Memory) -> Memory:
        """With the rows of another below; these two stay as they are."""
        columns = max(self.mask.size(1), other.mask.size(1))
        made = Memory(self.base)
        made.mask = torch.cat([_padded(m, columns - m.size(1)) for m in (self.mask, other.mask)])
        layers = zip(self._layers, other._layers, strict=True)
        made.cache = Cache(layers=[mine.joined(theirs) for mine, theirs in layers])
        return made


class Batch:
    """Rows that are being drawn: each has drawn a token that it has not read yet."""

    def __init__(self, base: Base) -> None:
        self.lines: tuple[Line, ...] = ()
        self._base, self._memory = base, Memory(base)

    def step(self) -> None:
        """Let every row read its last token and draw the next; those that have ended leave."""
        last = torch.tensor([[line.row.tokens[-1]] for line in self.lines], device=self._base.device)
        hear(self.lines, self._memory.read(last))
        self.leave()

    def join(self, lines: Sequence[Line], memory: Memory) -> None:
        """Take in rows with what they have read, but for those that have ended."""
        going = _going(lines)
        if not going:
            return
        memory.keep(going)
        self._memory = self._memory.joined(memory) if self.lines else memory
        self.lines = (*self.lines, *(lines[i] for i in going))

    def leave(self) -> None:
        """Let go the rows that have ended."""
        going = _going(self.lines)
        if len(going) < len(self.lines):
            self.lines = tuple(self.lines[i] for i in going)
            self._memory.keep(going)


def _going(lines: Sequence[Line]) -> list[int]:
    return [i for i, line in enumerate(lines) if line.row.finish is None]


def check_joinable(base: Base) -> None:
    """Refuse a model whose rows cannot be put together while they run.

    Raises:
        ParetoError: some of its layers keep a state that is not keys and values by column.
    """
    kinds = set(getattr(base.model.config.get_text_config(), "layer_types", None) or ())
    if foreign := sorted(kinds - JOINED):
        raise ParetoError(f"{base.name}: a model with layers of kind {foreign[0]} cannot be served")


def _wider(states: Tensor, *, left: int = 0, right: int = 0) -> Tensor:
    """With empty columns: zeros, as what is masked is multiplied by 0 and must be finite."""
    return torch.nn.functional.pad(states, (0, 0, left, right))


def _padded(mask: Tensor, left: int) -> Tensor:
    return torch.nn.functional.pad(mask, (left, 0))
