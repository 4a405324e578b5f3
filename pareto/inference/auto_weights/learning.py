"""Learn a run's weights from what its sweep measured on validation prompts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pareto.inference.auto_weights.familiar import Familiar
from pareto.inference.auto_weights.kept import Kept, save
from pareto.inference.auto_weights.learned import Learned
from pareto.inference.auto_weights.measured import Measured, embed
from pareto.inference.auto_weights.regression import KINDS, Floats, Kind
from pareto.inference.auto_weights.stated import Stated
from pareto.prompts.split import group_near_duplicates
from pareto.store.run import Run

NEAR = 0.8
"""Share of words in common that makes two prompts near-duplicates, which are never on both sides of a fold."""


def learn(
    run: Run, utility: str, kinds: Sequence[Kind] = KINDS, embed: Callable[[Sequence[str]], Floats] = embed
) -> Kept:
    """Learn and keep in the run's folder.

    Args:
        run: with policies measured on validation.
        utility: what is wanted, see ``Stated.read``.
        kinds: of learners tried.
        embed: texts to features of length 1, (n, d).

    Raises:
        ParetoError: the utility cannot be read, or there are too few policies or prompts.
    """
    kept = fit(run, Stated.read(run, utility), kinds, embed)
    save(run, kept)
    return kept


def fit(
    run: Run,
    stated: Stated,
    kinds: Sequence[Kind] = KINDS,
    embed: Callable[[Sequence[str]], Floats] = embed,
    shuffled: int | None = None,
) -> Kept:
    """As ``learn``, without keeping it; with a seed ``shuffled``, the control: prompts get each other's features."""
    measured = Measured.of(run, "validation")
    values, told = measured.utility(stated.of(measured.prompts, len(measured.objectives)))
    rows = np.flatnonzero(told)
    prompts = [measured.prompts[i] for i in rows]
    texts = [p.text for p in prompts]
    x, groups = embed(texts), np.array(group_near_duplicates(texts, NEAR))
    if shuffled is not None:
        x = x[np.random.default_rng(shuffled).permutation(len(x))]
    familiar = Familiar(x, texts, [p.source for p in prompts], groups)
    ids = [p.id for p in measured.points]
    return Kept(Learned.fit(ids, measured.weights, familiar, values[rows], kinds, run.recipe.seed), stated)
