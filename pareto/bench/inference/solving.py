"""Solutions of generated problems by the fine-tuned model, kept in shards, and whether their answers are right."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from pareto.bench.inference.intervals import Floats
from pareto.bench.inference.kept import answers
from pareto.bench.rewards.lab import Lab
from pareto.objectives.verifiers.answers import correct
from pareto.prompts.arithmetic import Problem, corrupted, problems, right_by_luck
from pareto.records import Prompt
from pareto.store.files import fingerprint
from pareto.training.process.labels import Labels
from pareto.training.process.solutions import Solution


@dataclass(frozen=True, eq=False)
class Solved:
    """Several solutions of each of several problems."""

    problems: tuple[Problem, ...]
    texts: tuple[tuple[str, ...], ...]
    """(problems, samples)."""

    @property
    def pairs(self) -> list[tuple[Problem, str]]:
        """Problem and text of each solution."""
        return [(problem, text) for problem, texts in zip(self.problems, self.texts, strict=True) for text in texts]

    def right(self) -> Floats:
        """1 where the verifier accepts the answer, (problems, samples)."""
        return answers_right(self.pairs).reshape(len(self.problems), -1)

    def labelled(self, labels: Sequence[Labels]) -> list[Solution]:
        """With labels of each."""
        return [Solution(p.text, text, of) for (p, text), of in zip(self.pairs, labels, strict=True)]


def solve(lab: Lab, name: str, count: int, samples: int, *, reserved: bool, by_rule: bool) -> Solved:
    """Draw solutions, or find them again.

    Args:
        lab: of the arithmetic recipe; its model is there already.
        name: of the set of problems.
        count: problems.
        samples: solutions of each.
        reserved: whether the problems are of those that no worked example was made of.
        by_rule: written instead of drawn: right, wrong, and right by luck.
    """
    asked = list(islice(problems(f"bench {name}", reserved=reserved), count))
    prompts = [Prompt(fingerprint(p.text), p.text, "arithmetic", (str(p.answer),)) for p in asked]
    made = _written(asked, samples) if by_rule else [r.text for r in answers(lab, name, prompts, samples)]
    texts = [tuple(made[i : i + samples]) for i in range(0, len(made), samples)]
    return Solved(tuple(asked), tuple(texts))


def answers_right(pairs: Sequence[tuple[Problem, str]]) -> Floats:
    """1 where the outcome verifier accepts the answer, (n,); what it cannot decide is wrong."""
    accepted = [(str(problem.answer),) for problem, _ in pairs]
    found = correct([problem.text for problem, _ in pairs], [text for _, text in pairs], answers=accepted)
    return np.array([float(value == 1.0) for value in found])


def _written(asked: Sequence[Problem], samples: int) -> list[str]:
    """Right, wrong and lucky ones in turn."""
    rng = random.Random(0)
    makers: list[Callable[[Problem], str]] = [
        lambda problem: problem.worked,
        lambda problem: corrupted(problem, rng)[0],
        lambda problem: right_by_luck(problem, rng)[0],
    ]
    return [makers[k % len(makers)](problem) for problem in asked for k in range(samples)]
