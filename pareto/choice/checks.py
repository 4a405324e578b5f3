"""One rule put to one policy: by how much it is kept or missed, and what that says in words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pareto.choice.bounds import Floats, prompts_wanted
from pareto.choice.candidates import Candidates, Indices
from pareto.choice.levels import CONFIDENCE, number
from pareto.config import Level, Rule

ROUNDING = 1e-9
"""Misses smaller than this, in base standard deviations, are rounding."""


@dataclass(frozen=True)
class Demand:
    """What is judged at a time: a threshold or a distance, of one objective."""

    level: int
    """Index of the level that asks it."""
    rule: Rule
    """Either with a threshold or with ``within``."""
    k: int
    """Index of the objective."""
    alpha: float | None
    """Chance of each policy to pass wrongly; ``None``: judged on the mean."""
    shown: float
    """α of the interval that is shown."""


@dataclass(frozen=True)
class Check:
    """A demand put to a policy. All values in the objective's own units."""

    level: int
    """Index of the level, from 0."""
    rule: Rule
    """Either with a threshold or with ``within``; a rule with both makes two checks."""
    minimised: bool
    """Less is better."""
    value: float
    """Mean over prompts; NaN where the objective applies to none."""
    low: float
    """Lower end of its interval; where a rival is named, of the rival's mean plus the paired difference to it."""
    high: float
    """Upper end."""
    wanted: float
    """What has to be reached."""
    rival: str | None
    """With ``within``: the policy that it is held against, the best or the hardest to tell from."""
    passed: bool
    """The demand is kept."""
    by_confidence: bool
    """It is kept on the mean, but not surely."""
    short: float
    """By how much the mean, or where it is only the confidence the bound, misses; 0 where passed."""
    more_prompts: int | None
    """With ``by_confidence``: how many more prompts would decide, if mean and spread stay; ``None``: too many."""
    digits: int
    """Decimals that show the difference."""

    @property
    def asked(self) -> str:
        """What is asked, such as "at least 0.95"."""
        if self.rule.within is None:
            return f"at {'most' if self.minimised else 'least'} {number(self.wanted)}"
        of = "the best" if self.rival is None else f"{self.rival} ({self._shown(self.wanted + self._slack)})"
        return f"within {number(self.rule.within)} of {of}"

    @property
    def text(self) -> str:
        """One line, such as "harmless: 0.93, at least 0.95 wanted, short by 0.02; interval 0.90–0.95"."""
        if math.isnan(self.value):
            return f"{self.rule.objective}: no score on any of these prompts, {self.asked} wanted"
        opening = f"{self.rule.objective}: {self._shown(self.value)}, {self.asked}"
        dash = "–" if self.low >= 0 else " to "
        interval = f"interval {self._shown(self.low)}{dash}{self._shown(self.high)}"
        if self.passed:
            return f"{opening} is kept; {interval}"
        if not self.by_confidence:
            miss = "over" if self.minimised else "short"
            return f"{opening} wanted, {miss} by {self._shown(self.short)}; {interval}"
        side, bound = ("upper", self.high) if self.minimised else ("lower", self.low)
        told = f"{opening} is reached on average but not surely ({side} bound {self._shown(bound)})"
        if self.more_prompts is None:
            return f"{told}; more prompts would hardly decide it"
        more = "one more prompt" if self.more_prompts == 1 else f"{rounded(self.more_prompts)} more prompts"
        return f"{told}; about {more} would decide"

    @property
    def _slack(self) -> float:
        assert self.rule.within is not None
        return -self.rule.within if self.minimised else self.rule.within

    def _shown(self, x: float) -> str:
        return f"{x:.{self.digits}f}"

    def to_json(self) -> dict[str, Any]:
        """A plain dict with ``text``; NaN where there is no number."""
        return {**asdict(self), "rule": self.rule._asdict(), "text": self.text}


def demands(candidates: Candidates, levels: Sequence[Level], among: int) -> list[list[Demand]]:
    """What each level asks, thresholds before distances.

    Args:
        candidates: whose objectives the rules name.
        levels: in order.
        among: how many policies there were to choose from; each has its share of the chance to be wrong.
    """
    names = candidates.frame.objectives
    asked: list[list[Demand]] = []
    for at, level in enumerate(levels):
        alpha = None if level.confidence is None else (1 - level.confidence) / among
        shown = (1 - CONFIDENCE) / among if alpha is None else alpha
        halves = [r._replace(within=None) for r in level.rules if r.threshold is not None]
        halves += [r._replace(threshold=None) for r in level.rules if r.within is not None]
        asked.append([Demand(at, r, names.index(r.objective), alpha, shown) for r in halves])
    return asked


def margins(
    candidates: Candidates, demand: Demand, who: Indices, rivals: Indices, alpha: float | None
) -> tuple[Floats, Indices]:
    """By how much policies keep a demand.

    Args:
        candidates: all policies.
        demand: what is asked.
        who: which of them, (a,).
        rivals: among whom the best of a distance is sought, (b,).
        alpha: on the mean and on the bound with this chance of being wrong; ``None``: on the mean alone.

    Returns:
        (a,) margins in base standard deviations, negative where missed, −∞ without a score; and (a,) the index of
        the policy that each is held against, −1 where there is none.
    """
    k, sign, scale = demand.k, candidates.frame.signs[demand.k], candidates.frame.scale[demand.k]
    means = sign * candidates.means[:, k]
    against = np.full(len(who), -1)
    if demand.rule.threshold is not None:
        value = means[who] if alpha is None else sign * candidates.worst(k, alpha)[who]
        margin = (value - sign * demand.rule.threshold) / scale
    else:
        assert demand.rule.within is not None
        margin = np.full(len(who), demand.rule.within / scale)
        rivals = rivals[~np.isnan(means[rivals])]
        if rivals.size:
            lead = means[who, None] - means[rivals] if alpha is None else candidates.leads(k, alpha, who, rivals)
            # Of rivals that are as hard the one of least name: the order of the policies must not show.
            by_name = np.argsort([candidates.ids[j] for j in rivals])
            hardest = by_name[lead[:, by_name].argmin(axis=1)]
            margin = margin + lead[np.arange(len(who)), hardest] / scale
            against = rivals[hardest]
    if alpha is not None:
        # Where a policy lacks some scores, a paired bound may lie above the difference of the means.
        margin = np.minimum(margin, margins(candidates, demand, who, rivals, None)[0])
    return np.where(np.isnan(means[who]), -np.inf, margin), against


def put(candidates: Candidates, demand: Demand, who: Indices, rivals: Indices) -> list[Check]:
    """Put a demand to policies ``who``; a distance is to the best of ``rivals``."""
    k, sign, scale = demand.k, candidates.frame.signs[demand.k], candidates.frame.scale[demand.k]
    average, against = margins(candidates, demand, who, rivals, None)
    margin = average.copy()
    close = average >= -ROUNDING
    if demand.alpha is not None and close.any():
        margin[close], against[close] = margins(candidates, demand, who[close], rivals, demand.alpha)
    unsure = close & (margin < -ROUNDING)
    more: list[int | None] = [None] * len(who)
    for at, n in zip(
        np.flatnonzero(unsure).tolist(), more_prompts(candidates, demand, who[unsure], rivals), strict=True
    ):
        more[at] = n
    if demand.rule.within is not None:
        # All at once what `_wanted` looks up one by one.
        held = np.unique(against[against >= 0])
        candidates.leads(k, demand.shown, who, held)
        candidates.leads(k, demand.shown, held, who)
    found = []
    for at, i in enumerate(who.tolist()):
        value, short = float(candidates.means[i, k]), max(0.0, float(-margin[at] * scale))
        rival = None if against[at] in (-1, i) else int(against[at])
        wanted, ends = _wanted(candidates, demand, i, rival)
        passed = bool(margin[at] >= -ROUNDING)
        found.append(
            Check(
                level=demand.level,
                rule=demand.rule,
                minimised=sign < 0,
                value=value,
                low=min(ends),
                high=max(ends),
                wanted=wanted,
                rival=None if rival is None else candidates.ids[rival],
                passed=passed,
                by_confidence=bool(unsure[at]),
                short=0.0 if passed else short,
                more_prompts=more[at],
                digits=_digits(scale, 0.0 if passed else short),
            )
        )
    return found


def more_prompts(candidates: Candidates, demand: Demand, who: Indices, rivals: Indices) -> list[int | None]:
    """How many more prompts would decide a demand for policies that keep it on the mean; ``None``: too many."""
    k, sign, alpha = demand.k, candidates.frame.signs[demand.k], demand.alpha
    if alpha is None or not who.size:
        return []
    if demand.rule.threshold is not None:
        floor = candidates.lowest[k] if sign > 0 else -candidates.highest[k]
        total = prompts_wanted(sign * candidates.scores[who, :, k], floor, sign * demand.rule.threshold, alpha)
    else:
        assert demand.rule.within is not None
        at, j = np.nonzero(candidates.leads(k, alpha, who, rivals) < -demand.rule.within)
        pairs = candidates.differences(k, who[at], rivals[j])
        floor = candidates.lowest[k] - candidates.highest[k]
        total = np.zeros(len(who))
        np.maximum.at(total, at, prompts_wanted(pairs, floor, -demand.rule.within, alpha))
    more = total - candidates.scores.shape[1]
    return [max(1, math.ceil(n)) if math.isfinite(n) else None for n in more.tolist()]


def rounded(n: int) -> str:
    """A number of prompts to two figures."""
    return f"{round(n, 2 - len(str(n))):,}" if n > 99 else str(n)


def _wanted(candidates: Candidates, demand: Demand, i: int, rival: int | None) -> tuple[float, tuple[float, float]]:
    """What policy ``i`` is to reach, and the ends of its interval, all in own units."""
    k, sign, alpha = demand.k, candidates.frame.signs[demand.k], demand.shown
    alone = float(candidates.worst(k, alpha)[i]), float(candidates.finest(k, alpha)[i])
    if demand.rule.threshold is not None:
        return demand.rule.threshold, alone
    assert demand.rule.within is not None
    if rival is None:
        return float(candidates.means[i, k] - sign * demand.rule.within), alone
    best = float(candidates.means[rival, k])
    one, other = np.array([i]), np.array([rival])
    ahead, behind = candidates.leads(k, alpha, one, other), candidates.leads(k, alpha, other, one)
    return best - sign * demand.rule.within, (best + sign * float(ahead[0, 0]), best - sign * float(behind[0, 0]))


def _digits(scale: float, short: float) -> int:
    """Two figures of the spread, and at least one of what is missing."""
    digits = 1 - math.floor(math.log10(scale))
    if 0 < short < math.inf:
        digits = max(digits, -math.floor(math.log10(short)))
    return min(max(digits, 0), 9)
