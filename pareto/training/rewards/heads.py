"""Train heads on frozen features: all members at once, in one tensor program."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pareto.config import Ensemble
from pareto.objectives.ensemble.features import Vectors
from pareto.objectives.ensemble.heads import Heads, Kind, folded, forward, initial

if TYPE_CHECKING:
    from torch import Tensor

RATE = {"linear": 0.01, "mlp": 0.002}
DECAYS = (0.03, 0.1, 0.3, 1.0, 3.0, 10.0)
"""Weight decays tried where the recipe gives none."""
FOLDS = {"linear": 5, "mlp": 1}
"""Of the cross-validation that chooses among them; an MLP's fit costs ``HIDDEN`` times as much."""
_FOLD_OF = 5
"""A fold is this part of the prompts."""


@dataclass(frozen=True, eq=False)
class Comparisons:
    """Comparisons of completions, as rows of a matrix of features."""

    features: Vectors
    """(completions, width)"""
    first: NDArray[np.intp]
    """(n,) row of the first completion."""
    second: NDArray[np.intp]
    """(n,)"""
    targets: NDArray[np.float64]
    """(n,) probability that the first is better."""
    weights: NDArray[np.float64]
    """(n,)"""
    groups: NDArray[np.intp]
    """(n,) number of the prompt, from 0."""


def train_heads(
    kind: Kind,
    data: Comparisons,
    seeds: Sequence[int],
    settings: Ensemble,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Heads, float]:
    """Fit one head per seed by the Bradley–Terry likelihood.

    Each head is drawn towards its own random start rather than towards zero, so that where the comparisons say nothing
    the members go on disagreeing (anchored ensembling: Pearce et al. 2018, arXiv 1810.05546).

    Args:
        kind: of all heads.
        data: the training comparisons.
        seeds: of the members; equal seeds make equal heads, whoever stands beside them.
        settings: ``steps``, ``learning_rate``, ``weight_decay``, ``bootstrap``.
        progress: called with (steps done, in all).

    Returns:
        The heads on features as they are; what is not finite in them tells that a member failed. And the weight decay.
    """
    import torch

    mean, deviation = data.features.mean(axis=0), data.features.std(axis=0)
    deviation[deviation == 0] = 1
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shift, unit = torch.from_numpy(mean).to(device), torch.from_numpy(deviation).to(device)
    fit = _Fit(kind, data, (torch.from_numpy(data.features).to(device) - shift) / unit, settings)
    total = settings.steps * (2 if settings.weight_decay is None else 1)
    decay = settings.weight_decay
    if decay is None:
        decay = _choose_decay(fit, data, lambda done: progress(done, total))
    weights = np.stack([_bootstrap(data, seed) if settings.bootstrap else data.weights for seed in seeds], axis=1)
    before = total - settings.steps
    heads = fit(seeds, weights, [decay] * len(seeds), lambda done: progress(before + done, total))
    return folded(kind, heads, shift, unit), decay


def bradley_terry(margins: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """Mean over comparisons of −t·log σ(m) − (1 − t)·log σ(−m), by weight.

    Args:
        margins: (n, k).
        targets: (n, 1); ½ is a tie.
        weights: (n, k).

    Returns:
        (k,)
    """
    from torch.nn.functional import softplus

    loss = softplus(margins) - targets * margins
    return (weights * loss).sum(0) / weights.sum(0)


class _Fit:
    """Fits heads of different seeds, weights of the comparisons, and weight decays side by side."""

    def __init__(self, kind: Kind, data: Comparisons, features: Tensor, settings: Ensemble) -> None:
        import torch

        self.kind, self.steps = kind, settings.steps
        self.rate = settings.learning_rate or RATE[kind]
        self.device = features.device
        self.first, self.second = (torch.from_numpy(i).to(self.device) for i in (data.first, data.second))
        self.width = features.shape[1]
        # A linear head scores differences as well as completions.
        self.inputs = features[self.first] - features[self.second] if kind == "linear" else features
        self.targets = torch.from_numpy(data.targets).float().to(self.device)[:, None]

    def margins(self, heads: dict[str, Tensor]) -> Tensor:
        """(n, k)"""
        scores = forward(heads, self.inputs)
        return scores if self.kind == "linear" else scores[self.first] - scores[self.second]

    def __call__(
        self,
        seeds: Sequence[int],
        weights: NDArray[np.float64],
        decays: Sequence[float],
        progress: Callable[[int], None],
    ) -> dict[str, Tensor]:
        """k heads on standardised features from ``weights`` (n, k)."""
        import torch

        drawn = [initial(self.kind, self.width, torch.Generator().manual_seed(seed)) for seed in seeds]
        start = {name: torch.cat([d[name] for d in drawn]).to(self.device) for name in drawn[0]}
        heads = {name: t.clone().requires_grad_() for name, t in start.items()}
        weight = torch.from_numpy(weights).float().to(self.device)
        decay = torch.tensor(decays, device=self.device)
        # Adam goes by each number's own gradients: a member whose loss becomes NaN leaves the others alone.
        optimizer = torch.optim.Adam(list(heads.values()), lr=self.rate)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, self.steps)
        for step in range(self.steps):
            optimizer.zero_grad()
            loss = bradley_terry(self.margins(heads), self.targets, weight)
            pull = torch.stack([(t - start[name]).square().flatten(1).sum(1) for name, t in heads.items()]).sum(0)
            (loss + decay / 2 * pull).sum().backward()
            optimizer.step()
            schedule.step()
            progress(step + 1)
        return {name: t.detach() for name, t in heads.items()}

    def losses(self, heads: dict[str, Tensor], weights: NDArray[np.float64]) -> NDArray[np.float64]:
        """(k,) of comparisons weighted anew."""
        import torch

        with torch.inference_mode():
            found = bradley_terry(self.margins(heads), self.targets, torch.from_numpy(weights).float().to(self.device))
            return np.asarray(found.double().cpu().numpy())


def _choose_decay(fit: _Fit, data: Comparisons, progress: Callable[[int], None]) -> float:
    """The weight decay of least loss on prompts that were left out, each fold's as much as it weighs."""
    prompts = int(data.groups.max()) + 1
    fold = np.random.default_rng(0).permutation(prompts)[data.groups] % min(_FOLD_OF, prompts)
    trials = [(f, d) for f in range(FOLDS[fit.kind]) if (fold == f).any() for d in DECAYS]
    left_out = np.stack([data.weights * (fold == f) for f, _ in trials], axis=1)
    heads = fit([0] * len(trials), data.weights[:, None] - left_out, [d for _, d in trials], progress)
    losses = (fit.losses(heads, left_out) * left_out.sum(axis=0)).reshape(-1, len(DECAYS))
    total = losses[np.isfinite(losses).all(axis=1)].sum(axis=0)
    return DECAYS[int(total.argmin())]


def _bootstrap(data: Comparisons, seed: int) -> NDArray[np.float64]:
    """(n,) weights of the comparisons after as many draws of prompts, with replacement, as there are prompts."""
    prompts = int(data.groups.max()) + 1
    drawn = np.random.default_rng(seed).integers(prompts, size=prompts)
    return data.weights * np.bincount(drawn, minlength=prompts)[data.groups]
