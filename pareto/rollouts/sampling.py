"""Draw completions from whatever weights the live model carries.

Why not ``generate``: every row has its own random stream here, so that two policies see the same
numbers at the same prompt (common random numbers: their difference is what is measured, not their
luck); a prompt's prefill is computed once for all its samples; rows that have ended leave the batch;
and the log-probability of every token is kept, which is the reference that DPO needs.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from pareto.config import Sampling

if TYPE_CHECKING:
    import torch

    from pareto.models import Base


@dataclass(frozen=True)
class Request:
    """One completion to draw."""

    ids: tuple[int, ...]
    """The prompt's tokens."""
    seed: int
    """Of this row's own random numbers."""


@dataclass(frozen=True)
class Drawn:
    """One completion that was drawn."""

    token_ids: tuple[int, ...]
    """With the end-of-turn token where it ended before the cap."""
    logp: float
    """Sum of log-probabilities under the sampling policy at temperature 1, nats."""


class Rows(Protocol):
    """A batch in which every row carries its own policy."""

    @property
    def policies(self) -> Sequence[Hashable]:
        """What each row carries; equal ones give the same logits."""
        ...

    def keep(self, index: torch.Tensor) -> None:
        """Make the batch these rows of what it is now: some left out, or some repeated."""
        ...


def draw(
    base: Base,
    requests: Sequence[Request],
    sampling: Sampling,
    progress: Callable[[int], None] = lambda done: None,
    carry: Callable[[Sequence[int]], AbstractContextManager[Rows]] | None = None,
) -> list[Drawn]:
    """Draw one completion per request; requests with the same prompt (and policy) share its prefill.

    Args:
        base: the live model, with whatever adapter is merged into it.
        requests: in any order; batched by prompt length.
        sampling: temperature, top-k, top-p (applied in that order, as transformers does) and the cap.
        progress: called with the number of completions finished since the last call.
        carry: where rows differ in policy: makes the model carry those of the requests with these indices.

    Returns:
        One per request, in the order of the requests.
    """
    size = batch_size(base, sampling)
    order = sorted(range(len(requests)), key=lambda i: (len(requests[i].ids), requests[i].ids, i))
    out: list[Drawn | None] = [None] * len(requests)
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        with carry(rows) if carry else nullcontext() as carried:
            drawn = _draw_batch(base, [requests[i] for i in rows], sampling, carried)
        for row, completion in zip(rows, drawn, strict=True):
            out[row] = completion
        progress(len(rows))
    return [d for d in out if d is not None]


def stream(base: Base, ids: Sequence[int], seed: int, sampling: Sampling) -> Iterator[int]:
    """The tokens of one completion, one by one."""
    decoder = Decoder(base, [Request(tuple(ids), seed)], sampling)
    while decoder.alive:
        tokens, _ = decoder.step()
        yield tokens[0]
        decoder.drop_ended(tokens)


def log_probabilities(base: Base, pairs: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[float]:
    """Sum of log p(completion | prompt) under the live model at temperature 1, nats.

    Args:
        base: the live model.
        pairs: (prompt tokens, completion tokens).
    """
    import torch

    order = sorted(range(len(pairs)), key=lambda i: len(pairs[i][0]) + len(pairs[i][1]))
    out = [0.0] * len(pairs)
    pad = int(base.tokenizer.pad_token_id)
    for start in range(0, len(order), 16):
        rows = order[start : start + 16]
        width = max(len(pairs[i][0]) + len(pairs[i][1]) for i in rows)
        ids = torch.full((len(rows), width), pad)
        scored = torch.zeros((len(rows), width), dtype=torch.bool)
        for r, i in enumerate(rows):
            prompt, completion = pairs[i]
            n = len(prompt) + len(completion)
            ids[r, :n] = torch.tensor([*prompt, *completion])
            scored[r, len(prompt) : n] = True
        ids, scored = ids.to(base.device), scored.to(base.device)
        with torch.inference_mode():
            hidden = base.model.base_model(input_ids=ids, use_cache=False).last_hidden_state[:, :-1]
            logits = base.logits(hidden[scored[:, 1:]])
            targets = ids[:, 1:][scored[:, 1:]]
            logp = logits.gather(1, targets[:, None]).squeeze(1) - logits.logsumexp(1)
            sums = torch.zeros(len(rows), dtype=torch.float64, device=logp.device)
            sums.index_add_(0, scored[:, 1:].nonzero()[:, 0], logp.double())
        for r, i in enumerate(rows):
            out[i] = float(sums[r])
    return out


def batch_size(base: Base, sampling: Sampling) -> int:
    """Rows decoded together: as the recipe says, else what keeps this hardware busy."""
    if sampling.batch_size != "auto":
        return sampling.batch_size
    return 160 if base.device.type == "cpu" else 512


def _draw_batch(base: Base, requests: Sequence[Request], sampling: Sampling, carried: Rows | None) -> list[Drawn]:
    decoder = Decoder(base, requests, sampling, carried)
    tokens: list[list[int]] = [[] for _ in requests]
    logps = [0.0] * len(requests)
    while decoder.alive:
        rows = list(decoder.rows)
        chosen, logp = decoder.step()
        for row, token, value in zip(rows, chosen, logp, strict=True):
            tokens[row].append(token)
            logps[row] += value
        decoder.drop_ended(chosen)
    return [Drawn(tuple(t), p) for t, p in zip(tokens, logps, strict=True)]


class Decoder:
    """A batch of rows being decoded; rows that have ended are dropped from the cache."""

    def __init__(
        self, base: Base, requests: Sequence[Request], sampling: Sampling, carried: Rows | None = None
    ) -> None:
        import torch

        self.base, self.sampling, self.carried = base, sampling, carried
        self.rows = list(range(len(requests)))
        self.step_index = 0
        self.uniform = np.stack([np.random.default_rng(r.seed).random(sampling.max_new_tokens) for r in requests])
        policies = carried.policies if carried else [None] * len(requests)
        wanted = [(r.ids, policy) for r, policy in zip(requests, policies, strict=True)]
        unique = list(dict.fromkeys(wanted))
        prompt_of = torch.tensor([unique.index(w) for w in wanted], device=base.device)
        width = max(len(prompt) for prompt, _ in unique)
        ids = torch.full((len(unique), width), int(base.tokenizer.pad_token_id))
        mask = torch.zeros_like(ids)
        for r, (prompt, _) in enumerate(unique):
            ids[r, width - len(prompt) :] = torch.tensor(prompt)
            mask[r, width - len(prompt) :] = 1
        ids, mask = ids.to(base.device), mask.to(base.device)
        positions = (mask.cumsum(1) - 1).clamp(min=0)
        if carried:
            carried.keep(torch.tensor([wanted.index(u) for u in unique]))
        with torch.inference_mode():
            out = base.model(
                input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
            )
        self.cache = out.past_key_values
        self.cache.batch_select_indices(prompt_of)
        if carried:
            carried.keep(prompt_of)
        self.mask = mask[prompt_of]
        self.position = positions[prompt_of, -1:]
        self.logits = out.logits[prompt_of, -1]

    @property
    def alive(self) -> bool:
        """Whether a row is left that has neither ended nor reached the cap."""
        return bool(self.rows) and self.step_index < self.sampling.max_new_tokens

    def step(self) -> tuple[list[int], list[float]]:
        """Choose the next token of every row from the logits at hand; its log-probability at temperature 1."""
        uniform = self.uniform[self.rows, self.step_index]
        tokens, logp = choose(self.logits, uniform, self.sampling)
        self.tokens = tokens
        self.step_index += 1
        return tokens.tolist(), logp.tolist()

    def drop_ended(self, tokens: Sequence[int]) -> None:
        """Leave the rows that have ended, and compute the next logits of the others."""
        import torch

        keep = [r for r, token in enumerate(tokens) if token != self.base.end_id]
        chosen = self.tokens
        if len(keep) < len(self.rows):
            index = torch.tensor(keep, dtype=torch.long, device=self.base.device)
            self.rows = [self.rows[r] for r in keep]
            if keep:
                self.cache.batch_select_indices(index)
            if self.carried:
                self.carried.keep(index)
            self.mask, self.position, chosen = self.mask[index], self.position[index], chosen[index]
        if not self.alive:
            return
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self.rows), 1)], 1)
        self.position = self.position + 1
        with torch.inference_mode():
            out = self.base.model(
                input_ids=chosen[:, None],
                attention_mask=self.mask,
                position_ids=self.position,
                past_key_values=self.cache,
                use_cache=True,
            )
        self.logits = out.logits[:, -1]


def choose(logits: torch.Tensor, uniform: np.ndarray, sampling: Sampling) -> tuple[torch.Tensor, torch.Tensor]:
    """Invert the cumulative distribution of the ranked tokens at the row's own uniform number.

    Ranking by probability couples two policies tightly: where they agree on the order, the same
    number picks the same token.

    Args:
        logits: (rows, vocabulary).
        uniform: (rows,) in [0, 1).

    Returns:
        tokens (rows,) and their log-probabilities at temperature 1 over the whole vocabulary (rows,).
    """
    logits = logits.float()
    top, index = logits.topk(min(sampling.top_k, logits.size(1)), dim=1)
    pick = pick_ranks(top, uniform, sampling.temperature, sampling.top_p)
    tokens = index.gather(1, pick).squeeze(1)
    logp = top.gather(1, pick).squeeze(1) - logits.logsumexp(1)
    return tokens, logp


def pick_ranks(
    top: torch.Tensor, uniform: np.ndarray, temperature: float | torch.Tensor, top_p: float | torch.Tensor
) -> torch.Tensor:
    """Which of its ranked tokens each row takes at its uniform number.

    Args:
        top: logits, the highest first (rows, k).
        uniform: (rows,) in [0, 1).
        temperature: of all rows, or of each (rows, 1); above 0.
        top_p: likewise, in (0, 1].

    Returns:
        (rows, 1), 0 to k - 1.
    """
    import torch

    p = (top / temperature).softmax(1)
    before = p.cumsum(1) - p
    p = p.masked_fill(before >= top_p, 0.0)
    cumulative = p.cumsum(1)
    wanted = torch.as_tensor(uniform, dtype=p.dtype, device=p.device)[:, None] * cumulative[:, -1:]
    return (cumulative <= wanted).sum(1, keepdim=True).clamp(max=(p > 0).sum(1, keepdim=True) - 1)
