"""Who selects the best of several solutions: accuracy of what is selected, over problems."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np

from pareto.bench.inference.intervals import Floats, mean
from pareto.bench.inference.solving import Solved
from pareto.bench.inference.supervising import Steps
from pareto.inference.adaptive.curve import selected_curve
from pareto.inference.adaptive.savings import Ratio
from pareto.objectives.process.aggregate import How, aggregate_steps
from pareto.objectives.verifiers.asserted import last_answer


def by_steps(steps: Steps, how: How, samples: int) -> Floats:
    """Scores (problems, samples); a solution without a step gets 0."""
    return np.array([aggregate_steps(of, how) if of else 0.0 for of in steps]).reshape(-1, samples)


def aggregated(steps: Steps, samples: int) -> dict[How, Floats]:
    """By each way."""
    return {how: by_steps(steps, how, samples) for how in get_args(How)}


def votes(solved: Solved) -> Floats:
    """How many of a problem's solutions have the same answer, (problems, samples); none for one without an answer."""
    table = []
    for texts in solved.texts:
        said = [last_answer(text) for text in texts]
        count = Counter(answer for answer in said if answer is not None)
        table.append([float(count[answer]) if answer is not None else 0.0 for answer in said])
    return np.array(table)


def accuracy(proxy: Floats, right: Floats, n: int) -> Floats:
    """Chance that what the proxy selects of n solutions is right, (problems,); ties are drawn from."""
    return selected_curve(proxy, right, [n])[:, 0]


def selection(selectors: Mapping[str, Floats], right: Floats, counts: Sequence[int]) -> dict[str, list[float]]:
    """Mean accuracy by selector for counts of solutions."""
    return {name: selected_curve(proxy, right, counts).mean(axis=0).tolist() for name, proxy in selectors.items()}


def told(accuracies: Mapping[str, Floats]) -> dict[str, Ratio]:
    """Means with intervals."""
    return {name: mean(of) for name, of in accuracies.items()}
