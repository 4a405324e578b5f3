"""MOD (Shi et al., NeurIPS 2024): decode all experts at once and mix their next-token distributions.

For the reverse KL, the policy that is optimal at w has π ∝ Π π_k^{w_k}: the log-probabilities of the experts are
averaged at every token, which takes one forward pass per expert of weight above zero.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace

import torch

from pareto.bench.methods.lab import Entry, Lab, Method
from pareto.config import Sampling
from pareto.measure import requests, rollouts
from pareto.models import Base
from pareto.records import Prompt, Rollout
from pareto.rollouts.sampling import Decoder, Drawn, Request, batch_size

PAPER = "Shi et al., Decoding-time language model alignment with multiple objectives (MOD), NeurIPS 2024"


def mod(lab: Lab) -> Method:
    """The experts, never merged."""
    live = _Copies(lab)
    entries = [_entry(lab, live, w) for w in lab.coarse]
    return Method("MOD", PAPER, entries, lab.steps * len(lab.experts), passes=len(lab.experts))


def _entry(lab: Lab, live: _Copies, weights: tuple[float, ...]) -> Entry:
    if max(weights) == 1:
        return lab.experts_soup(weights, weights)
    used = [(w, name) for w, name in zip(weights, lab.experts, strict=True) if w > 0]
    base, recipe = lab.bench.base, lab.bench.recipe

    def draw_all(prompts: Sequence[Prompt]) -> list[Rollout]:
        asked = requests(base, recipe, prompts)
        experts = [(w, live.of(name)) for w, name in used]
        return rollouts(base, asked, draw_mixed(experts, [r for _, _, r in asked], recipe.sampling))

    return lab.sampled(weights, {"mod": [[lab.bench.meter.keys[name], w] for w, name in used]}, draw_all)


class _Copies:
    """One live copy of the model per expert, made when it is first wanted."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self.made: dict[str, Base] = {}

    def of(self, name: str) -> Base:
        if name not in self.made:
            base, bank = self.lab.bench.base, self.lab.bench.bank
            with bank.policy({name: 1.0}):
                self.made[name] = replace(base, model=copy.deepcopy(base.model))
                bank.merge({})
        return self.made[name]


def draw_mixed(experts: Sequence[tuple[float, Base]], asked: Sequence[Request], sampling: Sampling) -> list[Drawn]:
    """One completion per request from the mixture of next-token distributions.

    Args:
        experts: (weight, live model), weights summing to 1.
        asked: the prompts with their seeds.
        sampling: as for ``draw``.

    Returns:
        In the order of ``asked``; log-probabilities are the mixture's.
    """
    order = sorted(range(len(asked)), key=lambda i: len(asked[i].ids))
    size = batch_size(experts[0][1], sampling)
    drawn: dict[int, Drawn] = {}
    for start in range(0, len(order), size):
        rows = order[start : start + size]
        drawn |= zip(rows, _draw_batch(experts, [asked[i] for i in rows], sampling), strict=True)
    return [drawn[i] for i in range(len(asked))]


def _draw_batch(experts: Sequence[tuple[float, Base]], asked: Sequence[Request], sampling: Sampling) -> list[Drawn]:
    """All experts step by step on the same tokens, chosen from the mixed distribution."""
    decoders = [(w, Decoder(base, asked, sampling)) for w, base in experts]
    first = decoders[0][1]
    tokens: list[list[int]] = [[] for _ in asked]
    logps = [0.0] * len(asked)
    while first.alive:
        parts = [w * d.logits.float().log_softmax(1) for w, d in decoders]
        mixed = torch.stack(parts).sum(0)
        rows = list(first.rows)
        for _, d in decoders:
            d.logits = mixed
            chosen, logp = d.step()
        for row, token, value in zip(rows, chosen, logp, strict=True):
            tokens[row].append(token)
            logps[row] += value
        for _, d in decoders:
            d.drop_ended(chosen)
    return [Drawn(tuple(t), p) for t, p in zip(tokens, logps, strict=True)]
