"""Which soups to measure next, and which soup serves a preference best.

Both search the box of coefficients, not the simplex: averaging shrinks the update, and coefficients whose sum is
above 1 go on helping. First a fixed design of plausible soups, then whatever promises the most hypervolume.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from pareto.front.dominance import nondominated
from pareto.front.indicators import hypervolume
from pareto.soups.surrogate import LEAST, Surrogate

Floats = NDArray[np.float64]
Violation = Callable[[Floats], Floats]
"""(q, K) coefficients → (q,), at most 0 where they keep every constraint."""

APART = 1e-3
"""Coefficients closer than this (Euclidean) are the same soup."""
DIGITS = 4
"""Decimals of a proposed coefficient: enough for any soup, and readable."""
RHO = 0.05
"""Augmentation of the Chebyshev distance: among equals in the worst objective the others decide."""
_POPULATION, _GENERATIONS = 48, 25
_DRAWS = 4
"""Possible truths per candidate over which its gain in hypervolume is averaged."""


def design_size(k: int) -> int:
    """How many soups of K adapters are known before a surrogate is trusted with proposing."""
    return k + 4


def start_design(k: int, box: tuple[float, float], known: ArrayLike, count: int) -> Floats:
    """Soups to begin with that are not known yet: each adapter alone, all at 1, all at 0.6, then spread over the box.

    Spread over the box (a Sobol sequence) and not over soups whose largest coefficient is 1 (pairs, falling series):
    after 15 measurements of four made-up truths each, the hypervolume was 15.3 against 14.6 for four objectives, and
    within 0.1 of each other for two and three.

    Args:
        k: number of adapters.
        box: lowest and highest coefficient, to which everything is clipped.
        known: measured coefficients, (n, K).
        count: how many.

    Returns:
        (count, K).
    """
    from scipy.stats import qmc

    sequence = qmc.scale(qmc.Sobol(k, rng=0).random(256), [box[0]] * k, [box[1]] * k)
    chosen: list[Floats] = []
    for x in [*np.clip([*np.eye(k), np.ones(k), np.full(k, 0.6)], *box), *sequence.round(DIGITS).clip(*box)]:
        if len(chosen) < count and _distance(x[None], [*np.asarray(known, dtype=float), *chosen])[0] > APART:
            chosen.append(x)
    return np.array(chosen).reshape(-1, k)


def propose(
    coefficients: ArrayLike,
    values: ArrayLike,
    *,
    reference: ArrayLike,
    box: tuple[float, float],
    count: int,
    seed: int,
    violation: Violation | None = None,
) -> Floats:
    """The next coefficients to measure; the same for the same arguments.

    Args:
        coefficients: measured so far, (n, K), n ≥ 0.
        values: their normalised objective vectors, all to maximise, (n, m).
        reference: of the hypervolume, (m,).
        box: lowest and highest coefficient.
        count: how many.
        seed: of everything random.
        violation: predicted violation of the constraints.

    Returns:
        (count, K), more than ``APART`` from each other and from what is measured.
    """
    x, y = np.asarray(coefficients, dtype=float), np.asarray(values, dtype=float)
    k, missing = x.shape[1], design_size(x.shape[1]) - len(x)
    chosen = start_design(k, box, x, count if len(x) < LEAST else min(count, max(missing, 0)))
    if len(chosen) == count:
        return chosen
    surrogate = Surrogate.fit(x, y, seed)
    ref = np.asarray(reference, dtype=float)
    return _greedy(surrogate, _bred(surrogate, box, seed, violation), chosen, ref, count, seed)


def best(
    surrogate: Surrogate,
    weights: ArrayLike,
    *,
    ideal: ArrayLike,
    span: ArrayLike,
    box: tuple[float, float],
    seed: int = 0,
    violation: Violation | None = None,
) -> Floats:
    """The coefficients that serve a preference best under the constraints.

    Least augmented weighted Chebyshev distance of the predicted means to the ideal (Steuer and Choo 1983):
    max_k w_k (ideal_k − z_k)/span_k + ρ Σ_k w_k (ideal_k − z_k)/span_k. Unlike a weighted sum it also reaches what lies
    in a hollow of the front; at a corner of the simplex it is the best of that objective.

    The winner of a search over predictions is partly the luckiest of them. Two things are held against that: means
    are regressed to the trend, also where something was measured; and the answer lies between the best measured soup
    and the winner, at the winner only where that is better by more than the standard deviation of its own trend, and
    else in proportion. So it also moves with the weights instead of standing still and jumping.

    Args:
        surrogate: of the objectives, normalised, to maximise.
        weights: on the simplex, (m,).
        ideal: best value of each objective, (m,).
        span: worst to best on the front, (m,), > 0.
        box: lowest and highest coefficient.
        seed: of the search.
        violation: predicted violation of the constraints.

    Returns:
        (K,), within the box where the best measured soup is.
    """
    from scipy.optimize import differential_evolution

    w = np.asarray(weights, dtype=float) / np.asarray(span, dtype=float)
    top = np.asarray(ideal, dtype=float)

    def distance(x: Floats) -> Floats:
        short = w * (top - surrogate.mean(x))
        penalty = 0.0 if violation is None else 1e3 * np.maximum(violation(x), 0.0)
        return np.asarray(short.max(axis=1) + RHO * short.sum(axis=1) + penalty)

    k = surrogate.coefficients.shape[1]
    at_measured = distance(surrogate.coefficients)
    favourite = surrogate.coefficients[int(at_measured.argmin())]
    near = np.clip(surrogate.coefficients[np.argsort(at_measured, kind="stable")[: 3 * k]], *box)
    spread = np.random.default_rng(seed).uniform(*box, (6 * k, k))
    found = (
        differential_evolution(
            lambda columns: distance(columns.T),
            [box] * k,
            init=np.vstack([near, spread]),
            maxiter=40,
            tol=1e-4,
            rng=seed,
            vectorized=True,
            updating="deferred",
            polish=False,
        )
        .x.round(DIGITS)
        .clip(*box)
    )
    _, std = surrogate.predict(found[None], noise=False)
    doubt = float(np.max(w * std[0]))
    gain = float(at_measured.min() - distance(found[None])[0])
    trust = np.clip(gain / doubt, 0.0, 1.0) if doubt > 0 else float(gain > 0)
    return np.asarray((favourite + trust * (found - favourite)).round(DIGITS))


def _bred(surrogate: Surrogate, box: tuple[float, float], seed: int, violation: Violation | None) -> Floats:
    """Candidates, (q, K): the non-dominated set of the predicted means, by NSGA-II, and some at random in the box.

    No credit for what is unknown at this stage: with one standard deviation of it less was found (after 15
    measurements, four objectives, four made-up truths: hypervolume 14.4; with 0.3 of one 15.5; without 15.8).
    """
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.core.problem import Problem
    from pymoo.optimize import minimize

    k, m = surrogate.coefficients.shape[1], surrogate.values.shape[1]

    class Predicted(Problem):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(n_var=k, n_obj=m, n_ieq_constr=int(violation is not None), xl=box[0], xu=box[1])

        def _evaluate(self, x: Floats, out: dict[str, Any], *_: Any, **__: Any) -> None:
            out["F"] = -surrogate.mean(x)
            if violation is not None:
                out["G"] = violation(x)[:, None]

    rng = np.random.default_rng(seed)
    front = surrogate.coefficients[nondominated(surrogate.values)][: _POPULATION // 2]
    first = np.vstack([np.clip(front, *box), rng.uniform(*box, (_POPULATION - len(front), k))])
    found = minimize(Predicted(), NSGA2(pop_size=_POPULATION, sampling=first), ("n_gen", _GENERATIONS), seed=seed)
    pool = (
        np.vstack([np.atleast_2d(found.pop.get("X")), rng.uniform(*box, (_POPULATION // 2, k))])
        .round(DIGITS)
        .clip(*box)
    )
    if violation is None:
        return np.asarray(pool)
    broken = np.maximum(violation(pool), 0.0)
    return np.asarray(pool[broken <= broken.min() + 1e-9])


def _greedy(surrogate: Surrogate, pool: Floats, chosen: Floats, reference: Floats, count: int, seed: int) -> Floats:
    """``chosen`` filled up to ``count`` from the pool, each in turn with the largest expected gain in hypervolume.

    The front is that of the predicted means at the measured soups, so that a lucky measurement does not hide what
    is worth trying next to it; what is chosen counts as measured at its mean.
    """
    mean, std = surrogate.predict(pool, noise=False)
    truths = np.random.default_rng(seed).standard_normal((_DRAWS, len(reference)))
    front = surrogate.mean(np.vstack([surrogate.coefficients, chosen]))
    while len(chosen) < count:
        front = front[nondominated(front)]
        before = hypervolume(front, reference)
        gain = np.array(
            [
                np.mean([hypervolume(np.vstack([front, mean[i] + t * std[i]]), reference) for t in truths]) - before
                for i in range(len(pool))
            ]
        )
        near = _distance(pool, [*surrogate.coefficients, *chosen]) <= APART
        # Where nothing promises a gain, what is least known.
        i = int(np.where(near, -np.inf, gain + 1e-9 * std.sum(axis=1)).argmax())
        chosen = np.vstack([chosen, pool[i]])
        front = np.vstack([front, mean[i]])
    return chosen


def _distance(points: Floats, others: list[Floats]) -> Floats:
    """From each of the points, (q, K), to the nearest of the others; infinite where there are none."""
    if not others:
        return np.full(len(points), np.inf)
    return np.asarray(np.linalg.norm(points[:, None] - np.array(others)[None], axis=2).min(axis=1))
