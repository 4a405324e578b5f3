"""Models from the same solutions by who labelled them, and what equally many checks tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pareto.bench.inference.ground import Found
from pareto.bench.inference.solving import Solved
from pareto.bench.inference.supervising import (
    Asked,
    at_the_end,
    every_step,
    every_third,
    everywhere,
    searched,
    train,
)
from pareto.bench.rewards.lab import Lab
from pareto.objectives.process.model import ProcessModel
from pareto.training.process.labels import Labels, first_wrong
from pareto.training.process.solutions import Solution
from pareto.training.process.train import Settings

SETTINGS = Settings()
"""Of the process models; their way to aggregate is chosen before anything is measured."""
OUTCOMES = {
    "outcome": replace(SETTINGS, how="last"),
    "outcome_hidden": replace(SETTINGS, how="last", reads="last"),
    "outcome_everywhere": SETTINGS,
}
"""Outcome models: the same head on the last step; on the hidden state there; and on every step, aggregated alike."""


def teach(lab: Lab, taught: Solved) -> tuple[dict[str, ProcessModel], Found]:
    """Models by who labelled: ``process`` every step, ``every_third``, ``search`` for as many labels, outcomes."""
    bare = [Solution(p.text, text) for p, text in taught.pairs]
    full, sparse = every_step(bare), every_third(bare)
    # In an order in which each next one is of another problem: what the budget reaches is of all kinds.
    order = np.arange(len(bare)).reshape(len(taught.problems), -1).T.ravel()
    few = searched([bare[i] for i in order], sum(sparse.checks))
    right = [bool(of) for of in taught.right().ravel()]
    sets = {
        "process": taught.labelled(full.labels),
        "every_third": taught.labelled(sparse.labels),
        "search": [replace(bare[i], labels=labels) for i, labels in zip(order, few.labels, strict=True)],
        "outcome": taught.labelled(at_the_end(full.labels, right)),
        "outcome_hidden": taught.labelled(at_the_end(full.labels, right)),
        "outcome_everywhere": taught.labelled(everywhere(full.labels, right)),
    }
    models = {name: train(lab, name, of, OUTCOMES.get(name, SETTINGS)) for name, of in sets.items()}
    back = np.argsort(order)
    found = Asked([few.labels[i] for i in back], [few.checks[i] for i in back])
    return models, _budget(bare, full, sparse, found)


def _budget(bare: Sequence[Solution], full: Asked, sparse: Asked, few: Asked) -> Found:
    """Checks, and how many wrong solutions have their first error located for certain, for equally many checks."""
    whole = searched(bare)
    wrong = [i for i, of in enumerate(full.labels) if first_wrong(of) is not None]
    steps = [sum(label.right is not None for label in of) for of in full.labels]
    above = [whole.checks[i] - (math.ceil(math.log2(steps[i])) + 1) for i in wrong]

    def located(asked: Asked) -> int:
        return sum(_settled(of, all_) for of, all_ in zip(asked.labels, full.labels, strict=True))

    return {
        "solutions": len(bare),
        "wrong": len(wrong),
        "every_step": {"checks": sum(full.checks), "first_errors_located": len(wrong)},
        "every_third": {"checks": sum(sparse.checks), "first_errors_located": located(sparse)},
        "search": {
            "checks": sum(few.checks),
            "first_errors_located": located(few),
            "checks_per_wrong_solution": float(np.mean([whole.checks[i] for i in wrong])),
            "most_above_bound": float(max(above)),
        },
    }


def _settled(labels: Labels, full: Labels) -> bool:
    """Whether they tell the first error for certain: a wrong step, and all right that is computed before it."""
    place = first_wrong(labels)
    if place is None:
        return False
    return all(label.right for label, true in zip(labels[:place], full[:place], strict=True) if true.right is not None)
