"""Right answers with a wrong step: who accepts them."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import islice

import numpy as np

from pareto.bench.inference.ground import Found
from pareto.bench.inference.intervals import Floats, mean
from pareto.bench.inference.solving import answers_right
from pareto.bench.inference.supervising import Reader, Steps
from pareto.bench.rewards.lab import Lab
from pareto.objectives.process.model import ProcessModel
from pareto.prompts.arithmetic import problems, right_by_luck
from pareto.training.process.labels import first_wrong
from pareto.training.process.solutions import Solution


def written_lucky(lab: Lab, models: Mapping[str, ProcessModel], count: int) -> Found:
    """Right answers with a wrong step: who accepts them; and how often a process model rejects faultless ones."""
    asked = list(islice(problems("bench lucky", reserved=True), count))
    rng = random.Random(0)
    made = [(p, right_by_luck(p, rng)[0]) for p in asked]
    accepted = answers_right(made) == 1
    rows = [Solution(p.text, text) for p, text in made] + [Solution(p.text, p.worked) for p in asked]
    reader = Reader(lab.folder, lab.recipe.model, rows)

    judge, outcome = models["process"], models["outcome"]
    process = np.array([float(judge.first_error(steps) is not None) for steps in reader(judge)])
    ends = np.array([float(outcome.first_error(steps[-1:]) is not None) for steps in reader(outcome)])
    return {
        "solutions": count,
        "outcome_accepts": float(accepted.mean()),
        "process_rejects": mean(process[:count][accepted]),
        "outcome_model_rejects": float(ends[:count][accepted].mean()),
        "worked_process_rejects": float(process[count:].mean()),
    }


def sampled_lucky(model: ProcessModel, said: Steps, solutions: Sequence[Solution], right: Floats) -> Found:
    """The same of those that the policy itself has drawn, however few."""
    kept = [
        float(model.first_error(steps) is not None)
        for steps, s, accepted in zip(said, solutions, right.ravel(), strict=True)
        if accepted and first_wrong(s.labels or ()) is not None
    ]
    return {"solutions": len(kept), "process_rejects": mean(np.array(kept)) if kept else None}
