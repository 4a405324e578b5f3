"""Who says whether a step is right: one interface for rules, roll-outs, sparse annotation and judges."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from pareto.objectives.process.arithmetic import check_step
from pareto.objectives.process.steps import split_steps
from pareto.prompts.split import digest


@dataclass(frozen=True)
class StepLabel:
    """What is said of one step."""

    right: bool | float | None
    """A number is the chance of it; ``None``: nobody said."""
    source: str
    """Who."""

    @property
    def target(self) -> float:
        """The chance that it is right; NaN where nobody said."""
        return float("nan") if self.right is None else float(self.right)


Labels = tuple[StepLabel, ...]


class Labeller(Protocol):
    """Labels a solution, one label per step of ``split_steps``."""

    @property
    def name(self) -> str:
        """As its labels bear it."""
        ...

    def __call__(self, prompt: str, completion: str) -> Labels:
        """One label per step."""
        ...


class Verified:
    """Each step by its own arithmetic; one that computes nothing has no label."""

    name = "verified"

    def __call__(self, prompt: str, completion: str) -> Labels:
        """One label per step."""
        return tuple(StepLabel(check_step(step.text), self.name) for step in split_steps(completion))


class Sparse:
    """Asks another labeller for every k-th step only, as an annotator who reads along up to it.

    A step that is right, with nothing wrong before it, makes all steps before it right. Once something is wrong, only
    the steps that are asked about have labels: in between nobody knows where it went wrong.
    """

    def __init__(self, source: Labeller, every: int) -> None:
        """Choose the steps.

        Args:
            source: the annotator.
            every: k, 1 or more; which of the first k steps comes first goes by the solution, so that no place in a
                solution is never asked about.
        """
        if every < 1:
            raise ValueError(f"every {every} steps: it must be 1 or more")
        self.source, self._every = source, every
        self.name = f"sparse:{every}"

    def __call__(self, prompt: str, completion: str) -> Labels:
        """One label per step."""
        full = [label.right for label in self.source(prompt, completion)]
        out: list[bool | float | None] = [None] * len(full)
        for asked in self.asked(prompt, completion, len(full)):
            out[asked] = full[asked]
            if _right(full[asked]) and not any(_wrong(right) for right in full[:asked]):
                # What nobody can check stays without a label: a step of words is not made right by the sum after it.
                out[:asked] = [None if right is None else True for right in full[:asked]]
        return tuple(StepLabel(right, self.name) for right in out)

    def asked(self, prompt: str, completion: str, steps: int) -> range:
        """The steps that are asked about."""
        return range(int(digest(f"{prompt}\n{completion}"), 16) % self._every, steps, self._every)


class MonteCarlo:
    """Labels by roll-outs: a step is right so far as the answer is still reached from it.

    Math-Shepherd (Wang et al. 2023, arXiv 2312.08935). Such labels tell a step's value, not its truth: a policy that
    repairs mistakes, or reaches the answer in spite of them, makes wrong steps right (Zhang et al. 2025, arXiv
    2501.07301).
    """

    name = "monte_carlo"

    def __init__(
        self,
        continue_from: Callable[[str, str, int], Sequence[bool]],
        n: int,
        *,
        soft: bool = True,
        search: bool = False,
    ) -> None:
        """Say how roll-outs become labels.

        Args:
            continue_from: given a prompt, a prefix of a completion and n, whether each of n continuations reaches the
                right answer.
            n: roll-outs per step.
            soft: the label is the share that reaches it; otherwise whether any does.
            search: look for the first error by binary search; steps after it have no label then, and labels are hard.
        """
        self._continue, self._n, self._soft, self._search = continue_from, n, soft, search

    def __call__(self, prompt: str, completion: str) -> Labels:
        """One label per step; n roll-outs from the end of each, or of those that the search looks at."""
        steps = split_steps(completion)

        def rate(k: int) -> float:
            reached = self._continue(prompt, completion[: steps[k].end], self._n)
            return sum(map(bool, reached)) / self._n

        if self._search:
            return until(first_error(lambda k: rate(k) > 0, len(steps)), len(steps), self.name)
        rates = [rate(k) for k in range(len(steps))]
        return tuple(StepLabel(r if self._soft else r > 0, self.name) for r in rates)


def first_error(check: Callable[[int], bool], k: int) -> int | None:
    """The first wrong one of k steps, by binary search: at most ⌈log₂ k⌉ + 1 checks (Luo et al. 2024, arXiv
    2406.06592).

    Args:
        check: whether all is right up to and with a step, from 0; once false, false for all later steps.
        k: number of steps.

    Returns:
        ``None`` where all are right, which takes one check.
    """
    if k == 0 or check(k - 1):
        return None
    low, high = 0, k - 1  # the first error lies in low … high
    while low < high:
        middle = (low + high) // 2
        low, high = (middle + 1, high) if check(middle) else (low, middle)
    return low


def until(error: int | None, steps: int, source: str) -> Labels:
    """Labels from the place of the first error: right before it, wrong there, none after it."""
    right = [None if error is not None and k > error else k != error for k in range(steps)]
    return tuple(StepLabel(r, source) for r in right)


def first_wrong(labels: Sequence[StepLabel]) -> int | None:
    """The first step that is labelled wrong."""
    return next((k for k, label in enumerate(labels) if _wrong(label.right)), None)


def _right(right: bool | float | None) -> bool:
    return right is not None and right >= 0.5


def _wrong(right: bool | float | None) -> bool:
    return right is not None and right < 0.5
