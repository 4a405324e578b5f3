"""Process and outcome models from the same solutions: who labels what, at which cost, and what the models then say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from pareto.bench.rewards.lab import Lab
from pareto.config import Model
from pareto.objectives.process.hidden import Encoded, StepFeatures, encode
from pareto.objectives.process.model import WEIGHTS, ProcessModel, new_network, probabilities
from pareto.store.files import fingerprint
from pareto.training.process.feature_files import step_features
from pareto.training.process.labels import Labels, Sparse, StepLabel, Verified, first_error, until
from pareto.training.process.solutions import Solution
from pareto.training.process.train import Settings, train_process

EVERY = 3
"""Steps between two that an annotator of few is asked about."""
Steps = list[tuple[float, ...]]
"""Of each solution, the chance of each step to be right."""


@dataclass(frozen=True)
class Asked:
    """Labels of some solutions, and how often the annotator was asked for them."""

    labels: list[Labels]
    checks: list[int]
    """For each solution."""


def every_step(solutions: Sequence[Solution]) -> Asked:
    """All steps that compute something."""
    labels = [Verified()(s.prompt, s.completion) for s in solutions]
    return Asked(labels, [len(_computed(of)) for of in labels])


def every_third(solutions: Sequence[Solution]) -> Asked:
    """See ``Sparse``; a step that computes nothing costs nothing."""
    sparse = Sparse(Verified(), EVERY)
    labels, checks = list[Labels](), list[int]()
    for s in solutions:
        full = Verified()(s.prompt, s.completion)
        labels.append(sparse(s.prompt, s.completion))
        checks.append(len({*sparse.asked(s.prompt, s.completion, len(full))} & {*_computed(full)}))
    return Asked(labels, checks)


def searched(solutions: Sequence[Solution], budget: int | None = None) -> Asked:
    """The first error of each by binary search among the steps that compute something.

    Args:
        solutions: in the order in which they are labelled.
        budget: checks in all; once it is spent the rest has no labels. ``None``: no limit.
    """
    labels, checks = list[Labels](), list[int]()
    for s in solutions:
        full = Verified()(s.prompt, s.completion)
        places, looks = _computed(full), list[int]()

        def right(k: int, full: Labels = full, places: list[int] = places, looks: list[int] = looks) -> bool:
            looks.append(k)
            return all(full[place].right for place in places[: k + 1])

        spent = budget is not None and sum(checks) >= budget
        said = [] if spent else until(first_error(right, len(places)), len(places), "searched")
        told = dict(zip(places, said, strict=False))
        labels.append(tuple(told.get(k, StepLabel(None, "searched")) for k in range(len(full))))
        checks.append(len(looks))
    return Asked(labels, checks)


def at_the_end(verified: Sequence[Labels], right: Sequence[bool]) -> list[Labels]:
    """The outcome as the label of the last step alone."""
    nobody = StepLabel(None, "outcome")
    ends = [StepLabel(of, "outcome") for of in right]
    return [(*(nobody for _ in steps[1:]), end) if steps else () for steps, end in zip(verified, ends, strict=True)]


def everywhere(verified: Sequence[Labels], right: Sequence[bool]) -> list[Labels]:
    """The outcome as the label of every step that has one."""
    return [
        tuple(replace(label, right=of if label.right is not None else None, source="outcome") for label in steps)
        for steps, of in zip(verified, right, strict=True)
    ]


def train(lab: Lab, name: str, solutions: Sequence[Solution], settings: Settings) -> ProcessModel:
    """A model from labelled solutions, or the one that is there."""
    told = [[s.prompt, s.completion, [label.right for label in s.labels or ()]] for s in solutions]
    out = lab.folder / "process" / f"{name}-{fingerprint([asdict(settings), told])}"
    out.parent.mkdir(parents=True, exist_ok=True)
    lab.say(f"train {name}")
    return train_process(solutions, settings, lab.recipe.model, out, cache=lab.folder, note=lab.say)


class Reader:
    """What models say of the same solutions; what the base makes of their steps is kept, once for all of them."""

    def __init__(self, folder: Path, model: Model, solutions: Sequence[Solution]) -> None:
        self._folder, self._model, self._solutions = folder, model, solutions
        self._rows: list[Encoded] | None = None

    def __call__(self, of: ProcessModel) -> Steps:
        """See ``ProcessModel.score``."""
        from safetensors.torch import load_file

        base, network = new_network(of.info["settings"], self._model)
        network.load_learnt(load_file(of.path / WEIGHTS))
        if self._rows is None:
            self._rows = [encode(base, s.prompt, s.completion) for s in self._solutions]
        features = StepFeatures(base, of.info["settings"]["reads"])
        return probabilities(network.eval(), base, step_features(features, self._rows, self._folder))


def _computed(labels: Labels) -> list[int]:
    """Steps that a rule can check."""
    return [k for k, label in enumerate(labels) if label.right is not None]
