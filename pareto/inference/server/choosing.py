"""The next token of rows that draw each in its own way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pareto.rollouts.sampling import pick_ranks

if TYPE_CHECKING:
    import torch

    from pareto.inference.server.tickets import Ask

GREEDY = 1e-5
"""A temperature below this is 0: a float32 logit divided by less might overflow."""


def choose_rows(logits: torch.Tensor, uniform: Sequence[float], asks: Sequence[Ask]) -> tuple[list[int], list[float]]:
    """As ``rollouts.sampling.choose``, each row with its own temperature, top-k and top-p.

    Args:
        logits: (rows, vocabulary).
        uniform: of each row, in [0, 1).
        asks: of each row.

    Returns:
        The tokens, and their log-probabilities at temperature 1 over the whole vocabulary, nats.
    """
    import torch

    logits = logits.float()
    greedy = torch.tensor([ask.temperature < GREEDY for ask in asks], device=logits.device)
    tokens = logits.argmax(1)
    if not greedy.all():
        tokens = torch.where(greedy, tokens, _sampled(logits, uniform, asks))
    logp = logits.gather(1, tokens[:, None]).squeeze(1) - logits.logsumexp(1)
    return tokens.tolist(), logp.tolist()


def _sampled(logits: torch.Tensor, uniform: Sequence[float], asks: Sequence[Ask]) -> torch.Tensor:
    import torch

    def column(values: Sequence[float]) -> torch.Tensor:
        return torch.tensor(values, device=logits.device)[:, None]

    sizes = [min(ask.top_k, logits.size(1)) for ask in asks]
    top, index = logits.topk(max(sizes), dim=1)
    if min(sizes) < max(sizes):
        top = top.masked_fill(torch.arange(max(sizes), device=logits.device) >= column(sizes), -torch.inf)
    temperature = column([ask.temperature if ask.temperature >= GREEDY else 1.0 for ask in asks])
    pick = pick_ranks(top, np.asarray(uniform), temperature, column([ask.top_p for ask in asks]))
    return index.gather(1, pick).squeeze(1)
