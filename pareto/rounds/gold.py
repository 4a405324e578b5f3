"""What the objectives' own rewards say of a round's policies: held out, since the sweep sees the ensembles alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from pareto.config import Objective, Recipe
from pareto.front.frame import Frame
from pareto.front.statistics import prompt_means
from pareto.frontier import read_frame, select
from pareto.measure import score_rollouts
from pareto.objectives.load import Reward, load_reward
from pareto.records import Point, Prompt, Rollout
from pareto.rounds.gap import Measured
from pareto.rounds.store import Rounds
from pareto.store.files import fingerprint, read_json, write_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_prompts, read_rollouts, read_scores, table_ok, write_scores

Floats = NDArray[np.float64]

UNKNOWN = "labels"
"""Reward of an objective that only those who label know: it has no gold."""


def gold_rewards(recipe: Recipe) -> dict[str, Reward]:
    """The objectives' own rewards, by objective; those that have none are left out."""
    return {o.name: load_reward(o) for o in recipe.objectives if o.reward != UNKNOWN}


def labelling_rewards(recipe: Recipe) -> dict[str, Reward]:
    """What answers for the gold annotator: the objectives' own rewards, or what the recipe puts in their place."""
    others = recipe.rounds.labels.rewards
    return gold_rewards(recipe) | {
        name: load_reward(Objective(name=name, reward=reward)) for name, reward in others.items()
    }


@dataclass(frozen=True, eq=False)
class Gold:
    """The gold rewards of a series, and the tables of what they gave."""

    rounds: Rounds
    rewards: Mapping[str, Reward]

    def columns(self, run: Run, point: Point) -> dict[str, Floats]:
        """Objective → (n,) scores of the completions that a point was measured on, in the rewards' own units."""
        objectives = [o.model_dump(mode="json") for o in self.rounds.recipe.objectives if o.name in self.rewards]
        path = self.rounds.path / "gold" / f"{fingerprint({'scores': point.scores, 'objectives': objectives})}.parquet"
        if not table_ok(path):
            drawn = read_rollouts(run.rollouts / f"{point.scores}.parquet")
            prompts = read_prompts(run.path / "prompts.parquet")
            values = score_rollouts(self.rounds.recipe, list(self.rewards.values()), prompts, drawn).values
            columns = dict(zip(self.rewards, values.T, strict=True))
            path.parent.mkdir(exist_ok=True)
            write_scores(path, [r.prompt_id for r in drawn], [r.sample for r in drawn], columns)
        return read_scores(path).columns

    @cached_property
    def frame(self) -> Frame:
        """In which all rounds are compared: from the base policy's test completions in round 1, and fixed there."""
        path = self.rounds.path / "frame.json"
        if not path.is_file():
            run = self.rounds.run(1)
            base = next(p for p in load_points(run) if (p.kind, p.split) == ("base", "test"))
            samples = self.rounds.recipe.evaluation.samples_per_prompt
            columns = self.columns(run, base)
            table = np.stack([prompt_means(columns[n], samples) for n in self.rewards], axis=1)
            signs = [float(r.sign) for r in self.rewards.values()]
            made = Frame.from_base(list(self.rewards), signs, table, self.rounds.recipe.evaluation.margin)
            write_json(path, made.to_json())
        return Frame.from_json(read_json(path))

    def applies(self, prompts: Sequence[Prompt], found: Sequence[Rollout]) -> dict[str, NDArray[np.bool_]]:
        """Objective → (n,) whether its gold reward has an opinion of each completion; one without gold has of all."""
        values = score_rollouts(self.rounds.recipe, list(self.rewards.values()), prompts, found).values
        known = dict(zip(self.rewards, np.isfinite(values).T, strict=True))
        return {n: known.get(n, np.ones(len(found), dtype=bool)) for n in self.rounds.recipe.names}


@dataclass(frozen=True, eq=False)
class Tested:
    """A round's policies as measured on the test prompts."""

    points: list[Point]
    """The base, the experts and what was selected on validation."""
    measured: Measured
    proxies: Floats
    """(points, q, s, m) of every completion, as the ensembles gave them."""
    golds: Floats
    """(points, q, s, m) more is better; NaN where it does not apply or there is no gold."""


def measured_on_test(gold: Gold, number: int, only: Sequence[str] | None = None) -> Tested:
    """Read what a round's sweep measured on test, and score it by gold.

    Args:
        gold: of the series.
        number: of the round, whose sweep is finished.
        only: ids of its points, where later ones, such as soups that somebody measured, are to be left out.
    """
    run, names = gold.rounds.run(number), gold.rounds.recipe.names
    points = load_points(run)
    chosen = set(select(run, points, read_frame(run)))
    test = [p for p in points if p.split == "test" and (only is None or p.id in only)]
    samples = gold.rounds.recipe.evaluation.samples_per_prompt
    proxies, golds = [], []
    for point in test:
        scores = read_scores(run.scores / f"{point.scores}.parquet").columns
        own = gold.columns(run, point)
        proxies.append(np.stack([scores[n] for n in names], axis=1))
        missing = np.full(len(proxies[-1]), np.nan)
        golds.append(np.stack([own[n] * gold.rewards[n].sign if n in own else missing for n in names], axis=1))
    shape = (len(test), -1, samples, len(names))
    return _normalised(gold, test, chosen, np.stack(proxies).reshape(shape), np.stack(golds).reshape(shape))


def _normalised(gold: Gold, points: list[Point], chosen: set[str], proxies: Floats, golds: Floats) -> Tested:
    names = gold.rounds.recipe.names
    known = np.array([n in gold.rewards for n in names])
    # Where the gold reward does not apply, the proxy's opinion is no part of the comparison.
    comparable = np.where(known & np.isnan(golds), np.nan, proxies)
    base = next(i for i, p in enumerate(points) if p.kind == "base")
    proxy = np.stack([_means(policy) for policy in comparable])
    own = Frame.from_base(names, [1.0] * len(names), proxy[base], gold.rounds.recipe.evaluation.margin)
    gold_z = np.full_like(proxy, np.nan)
    if known.any():
        raw = np.stack([_means(policy) for policy in golds])[..., known]
        frame = gold.frame
        gold_z[..., known] = frame.normalise(raw * np.array(frame.signs))
    selected = np.array([p.id in chosen for p in points])
    return Tested(points, Measured(own.normalise(proxy), gold_z, base, selected), proxies, golds)


def _means(policy: Floats) -> Floats:
    """(q, s, m) → (q, m)."""
    q, s, m = policy.shape
    return prompt_means(policy.reshape(q * s, m), s)
