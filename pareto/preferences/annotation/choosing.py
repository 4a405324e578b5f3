"""Which comparisons to label: at random, where an ensemble disagrees, or where an answer tells most about it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr, expit

from pareto.config import Choosing
from pareto.objectives.ensemble.scores import PairScores
from pareto.records import Pair, Question

Floats = NDArray[np.float64]


def choose(
    candidates: Sequence[Question],
    scores: PairScores | None,
    how: Choosing,
    budget: int,
    seed: int = 0,
    training_pairs: Sequence[Pair] = (),
) -> list[Question]:
    """Choose what to label, with a reason on each.

    ``disagreement`` and ``infogain`` take the highest first, but of one prompt no more than its share of the budget as
    long as others have candidates: the best single questions would all be about the same few prompts, and tell the
    same (batches that look at each question alone are the known weakness of both; Kirsch et al. 2019, BatchBALD).

    Args:
        candidates: n questions; equal ones count once.
        scores: of the ensemble, first minus second, (n, k); ``None``, or one member: as ``random``.
        how: by name.
        budget: how many, where there are so many.
        seed: of what is left to chance.
        training_pairs: labelled already; the same two completions are not chosen again.

    Returns:
        ``budget`` questions, or all candidates where there are fewer, best first.
    """
    known = {(p.prompt, *sorted((p.chosen, p.rejected))) for p in training_pairs}
    rows = {q.key: k for k, q in enumerate(candidates) if (q.prompt, q.first, q.second) not in known}
    # Those of equal score come in a random order.
    order = np.random.default_rng(seed).permutation([*rows.values()]).astype(np.intp)
    if how == "random" or scores is None or scores.margins.shape[1] < 2:
        return [replace(candidates[k], reason="drawn at random") for k in order[:budget]]
    if how == "disagreement":
        value = scores.spread**2
        reasons = [f"the members' margins spread by {s:.2f} nats" for s in scores.spread]
    else:
        value = information(scores.margins)
        reasons = [f"an answer is expected to tell {bits:.3f} bits about which member is right" for bits in value]
    ranked = order[np.argsort(-value[order], kind="stable")]
    chosen = _spread_over_prompts([candidates[k].prompt_id for k in ranked], budget)
    return [replace(candidates[ranked[k]], reason=reasons[ranked[k]]) for k in chosen]


def information(margins: Floats) -> Floats:
    """Mutual information of answer and member, H(mean p) − mean H(p), in bits.

    Houlsby et al. 2011, "Bayesian Active Learning for Classification and Preference Learning" (BALD), eq. 2, with the
    members as draws from the posterior.

    Args:
        margins: (n, k) first minus second, in nats.

    Returns:
        (n,), in [0, 1].
    """
    p = expit(margins)
    return np.asarray((_entropy(p.mean(axis=1)) - _entropy(p).mean(axis=1)).clip(0.0))


def _entropy(p: Floats) -> Floats:
    return np.asarray((entr(p) + entr(1 - p)) / np.log(2))


def _spread_over_prompts(prompts: Sequence[str], budget: int) -> list[int]:
    """The first ``budget`` of a ranking with at most so many of one prompt as fill the budget, in its order."""
    available = Counter(prompts)
    most = 1
    while sum(min(n, most) for n in available.values()) < min(budget, len(prompts)):
        most += 1
    taken: Counter[str] = Counter()
    chosen: list[int] = []
    for k, prompt in enumerate(prompts):
        if taken[prompt] < most and len(chosen) < budget:
            taken[prompt] += 1
            chosen.append(k)
    return chosen
