"""What the pages read of a series of rounds: its records, checked; free of Streamlit.

A round is one cycle of iterative RLHF: roll out, label, refit the reward models, train, measure. Its rewards are the
*proxy*; *gold* are the objectives' own, which nothing is trained on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from pareto.errors import ParetoError


class Part(BaseModel):
    """A part of a record; what a later version adds is passed over."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Within(Part):
    """A value with its 95 % interval; ``None`` where it is not known."""

    value: float | None = None
    low: float | None = None
    high: float | None = None


class Point(Part):
    """A policy of a round's front, in standard deviations of the base model's scores."""

    id: str
    kind: str
    kl: float | None = None
    weights: dict[str, float] | None = None
    proxy: dict[str, float | None] = {}
    gold: dict[str, float | None] = {}
    gold_se: dict[str, float | None] = {}
    on_front: bool = False


class Models(Part):
    """The reward models of one objective."""

    folder: str = ""
    members: int = 0
    dropped: list[Any] = []
    accuracy: Within | None = None
    """On comparisons that were held out, as they are labelled."""
    gold_accuracy: Within | None = None
    """On answers of the round's policies to test prompts, as the gold reward orders them."""
    ece: float | None = None


class WentIn(Part):
    """What a round began with."""

    policies: list[str] = []
    rollouts: int = 0
    labels: dict[str, int] = {}
    """Objective → new ones."""
    labels_total: dict[str, int] = {}


class Gap(Part):
    """Proxy minus gold gain over the base, in standard deviations; more than 0: the reward models promise too much."""

    mean: Within | None = None
    by_objective: dict[str, Within | None] = {}


class Disagreement(Part):
    """Share of the new completions on which the members disagree, against what validation showed."""

    share: float | None = None
    expected: float | None = None
    p: float | None = None
    fires: bool = False


class Round(Part):
    """One finished round."""

    round: int
    run: str
    annotator: str = ""
    cost: float | None = None
    went_in: WentIn = WentIn()
    rewards: dict[str, Models] = {}
    front: list[Point] = []
    hypervolume: Within | None = None
    gain: Within | None = None
    gap: Gap = Gap()
    spread: dict[str, Disagreement] = {}
    review: int = 0
    flags: list[str] = []
    seconds: dict[str, float | None] = {}
    stop: str | None = None

    @property
    def labels(self) -> int:
        """New ones, over all objectives."""
        return sum(self.went_in.labels.values())

    @property
    def labels_total(self) -> int:
        """Learnt from in this round, over all objectives."""
        return sum(self.went_in.labels_total.values())

    @property
    def accuracy(self) -> float | None:
        """Mean over objectives: under gold where every objective has it, else on held-out labels."""
        under_gold = [m.gold_accuracy for m in self.rewards.values()]
        used = under_gold if all(under_gold) else [m.accuracy for m in self.rewards.values()]
        known = [a.value for a in used if a is not None and a.value is not None]
        return sum(known) / len(known) if known else None


def rounds(records: Sequence[Mapping[str, Any]]) -> list[Round]:
    """The records of a series, in order.

    Raises:
        ParetoError: one is not the record of a round; which, and where in it.
    """
    made = []
    for record in records:
        try:
            made.append(Round.model_validate(record))
        except ValidationError as e:
            first = e.errors()[0]
            where = ".".join(map(str, first["loc"]))
            number = record.get("round", len(made) + 1) if isinstance(record, dict) else len(made) + 1
            raise ParetoError(
                f"round-{number}.json: damaged, not the record of a round: {where}: {first['msg']}; restore it, or "
                "take it away and give the same `pareto rounds` command again"
            ) from None
    return sorted(made, key=lambda r: r.round)
