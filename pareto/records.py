"""The frozen records that travel from prompts to points.

Everything here is plain data: no torch, no I/O. A missing number (an objective that does not
apply to a prompt, a reward that failed on a row) is NaN in arrays and ``None`` in JSON.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

SCHEMA = 1
"""Version of these records as stored; a run written by a newer version is refused."""

Split = Literal["train", "validation", "test"]
Kind = Literal["base", "expert", "trained", "soup"]
Answer = Literal["first", "second", "tie", "skip"]
Who = Literal["person", "judge", "gold", "file"]


@dataclass(frozen=True)
class Prompt:
    """One request to the model."""

    id: str
    """Hash of source and text, stable across machines."""
    text: str
    """What the user says, without the chat template."""
    source: str
    """Where it came from: a packaged set's name or the file's or dataset's name."""
    answers: tuple[str, ...] = ()
    """Accepted answers; empty where no answer can be checked."""
    demonstrations: tuple[str, ...] = ()
    """Written completions that may join the prompt's candidates."""
    split: Split = "train"


@dataclass(frozen=True)
class Rollout:
    """One completion of a prompt, sampled from a policy or written by a person."""

    prompt_id: str
    sample: int
    """Index among the prompt's completions."""
    origin: str
    """``sampled``, ``sampled:<objective>`` (under that objective's system prompt), ``first_sentence`` or
    ``demonstration``."""
    seed: int
    """Seed of the row's own random numbers; 0 where nothing was sampled."""
    text: str
    token_ids: tuple[int, ...]
    """The completion's tokens, with the end-of-turn token where the completion ended."""
    logp: float
    """Sum over tokens of log p under the base model without a system prompt, temperature 1, in nats."""


@dataclass(frozen=True)
class Comparison:
    """A chosen and a rejected completion of the same prompt (indices into the pool)."""

    prompt_id: str
    chosen: int
    rejected: int
    margin: float
    """Scalarised score of chosen minus rejected, in units of the base policy's standard deviations."""


@dataclass(frozen=True)
class Point:
    """A policy with its measured objective vector on one split of the prompts."""

    id: str
    kind: Kind
    split: Split
    weights: dict[str, float] | None
    """The preference that was trained or asked for; ``None`` for the base."""
    coefficients: dict[str, float]
    """How much of each adapter (by its point's id) makes this policy; empty for the base."""
    adapters: dict[str, str]
    """Those adapters' folders in the run's ``adapters/``."""
    mean: dict[str, float]
    """Objective → mean over prompts of the mean over samples, in the objective's own units."""
    se: dict[str, float]
    """Objective → standard error of that mean over prompts."""
    n: dict[str, int]
    """Objective → number of prompts to which it applied."""
    gold: dict[str, float]
    """Held-out measures that are never trained on."""
    kl: float
    """KL(policy ‖ base), nats per token, on the policy's own completions."""
    scores: str
    """Name of the table of its per-prompt scores, a hash of what was measured."""
    trial: int | None = None
    """Number of the Optuna trial that made it."""


@dataclass(frozen=True)
class Proposal:
    """What a driver asks to be tried."""

    weights: tuple[float, ...]
    """A point of the simplex, in the recipe's order of objectives."""
    settings: dict[str, float | int] = field(default_factory=dict)
    """Hyper-parameters searched beside the weights, e.g. ``{"beta": 0.05}``."""


@dataclass(frozen=True)
class Pair:
    """Two completions of a prompt and which is better: what a reward model learns from."""

    prompt: str
    chosen: str
    rejected: str
    target: float = 1.0
    """Probability that the chosen one is better, as the label has it: 1, or ½ for a tie."""
    weight: float = 1.0
    """How much the label counts: its strength, or what its age leaves of it."""
    annotator: str = ""
    round: int = 0
    objective: str = ""
    """By which it was made, where the label says so."""


@dataclass(frozen=True)
class Question:
    """Two completions of a prompt, one of which somebody is to prefer."""

    objective: str
    prompt_id: str
    prompt: str
    first: str
    """Of the two texts the one that sorts first: a question is the same whichever way round it is shown."""
    second: str
    answers: tuple[str, ...] = ()
    """Accepted answers of the prompt, where it has any."""
    source: str = ""
    """Of the prompt."""
    round: int = 0
    """Which round wants it answered."""
    reason: str = ""
    """Why this one was chosen, for people."""
    scores: dict[str, list[float]] = field(default_factory=dict)
    """What each member of the ensemble gave, ``first`` and ``second``; empty where there was none."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """What is asked: equal for everybody who is asked the same."""
        return (self.objective, self.prompt_id, self.first, self.second)


@dataclass(frozen=True)
class Label:
    """An answered question."""

    objective: str
    prompt_id: str
    prompt: str
    first: str
    second: str
    answer: Answer
    annotator: str
    """A person's name, or ``judge:<model>``, ``gold:<reward>``, ``file:<name>``."""
    who: Who
    round: int
    swapped: bool = False
    """Whether ``second`` was shown on the left."""
    strength: float = 1.0
    """How sure the annotator was, more than 0; 1 where nothing was said."""
    milliseconds: int = 0
    """From seeing both to answering."""
    note: str = ""
    """What a judge said word by word."""
    cost: float = 0.0
    """Of the judge's calls, in the currency of its prices."""
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """UTC."""
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    """Of programmatic annotators a hash of what was asked and of whom, so that nothing is counted twice."""

    @property
    def key(self) -> tuple[str, str, str, str]:
        """As ``Question.key``."""
        return (self.objective, self.prompt_id, self.first, self.second)
