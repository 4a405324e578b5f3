"""Where nothing keeps the priorities: the least that has to be given up, level by level.

A level that would leave nothing is loosened as a whole, by the smallest ε in base standard deviations that leaves
something: a threshold moves by up to ε and a distance widens by up to ε, so that margins grow by ε exactly and the
smallest is minus the best margin. The levels below go on with what that leaves.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from pareto.choice.bounds import Floats
from pareto.choice.candidates import Candidates, Indices
from pareto.choice.checks import ROUNDING, Check, Demand, margins, more_prompts, put, rounded
from pareto.choice.levels import level_of
from pareto.config import Level, Rule
from pareto.errors import ParetoError


@dataclass(frozen=True)
class Eased:
    """A level that had to be loosened."""

    level: int
    """Its index."""
    epsilon: float
    """By how much, in base standard deviations; the same whatever the objectives' units."""
    asked: str
    """What it asks instead, in words; numbers are rounded to the side that keeps what is kept."""
    rules: tuple[Rule, ...]
    """What it asks instead, in own units; a rule that stood in nobody's way is as it was."""
    kept: tuple[str, ...]
    """What that leaves."""


@dataclass(frozen=True)
class Relaxation:
    """No policy is feasible, and what would make one so."""

    eased: tuple[Eased, ...]
    """The levels that are loosened, in order."""
    levels: tuple[Level, ...]
    """All levels with these in place; judged by them, ``kept`` is kept."""
    kept: tuple[str, ...]
    """What the loosened levels leave."""
    tightest: Check
    """The first level that leaves nothing: what the nearest policy misses there by most."""
    nearest: str
    """The policy that comes nearest there."""
    more_prompts: int | None
    """Where some policy misses that level by confidence alone: how many more prompts would decide for the first."""

    @property
    def text(self) -> str:
        """One or two sentences."""
        told = f"no feasible policy: level {self.tightest.level + 1} leaves none; {self.nearest} comes nearest"
        told = f"{told} ({self.tightest.text})."
        changes = [f"{e.asked} on level {e.level + 1}" for e in self.eased]
        left = self.kept[0] if len(self.kept) == 1 else f"{len(self.kept)} policies"
        told = f"{told} Asking only {' and '.join(changes)} would leave {left}"
        if self.more_prompts is None or self.tightest.by_confidence:
            return f"{told}."
        return f"{told}; about {rounded(self.more_prompts)} more prompts may let another through."

    def to_json(self) -> dict[str, Any]:
        """A plain dict with ``text``."""
        return {
            "text": self.text,
            "nearest": self.nearest,
            "tightest": self.tightest.to_json(),
            "more_prompts": self.more_prompts,
            "eased": [asdict(e) | {"rules": [r._asdict() for r in e.rules]} for e in self.eased],
            "levels": [level.model_dump(mode="json") for level in self.levels],
            "kept": list(self.kept),
        }


def relax(candidates: Candidates, levels: Sequence[Level], asked: Sequence[Sequence[Demand]]) -> Relaxation:
    """Find the least that has to be given up where ``levels`` leave nothing.

    Args:
        candidates: all policies.
        levels: that none of them keeps.
        asked: their demands.

    Raises:
        ParetoError: no policy has a score in every objective of a level.
    """
    entered = np.arange(len(candidates.ids))
    eased: list[Eased] = []
    loose = list(levels)
    first: tuple[Check, str, int | None] | None = None
    for at, (level, of_level) in enumerate(zip(levels, asked, strict=True)):
        table = _table(candidates, of_level, entered)
        margin = table.min(axis=0)
        best = float(margin.max())
        if best == -math.inf:
            named = " and ".join(level.objectives)
            raise ParetoError(f"priorities, level {at + 1}: no policy has scores in {named} on these prompts")
        if best >= -ROUNDING:
            entered = entered[margin >= -ROUNDING]
            continue
        keep = margin >= best - ROUNDING
        if first is None:
            nearest = min(entered[keep].tolist(), key=lambda i: candidates.ids[i])
            most = int(table[:, entered.tolist().index(nearest)].argmin())
            (tightest,) = put(candidates, of_level[most], np.array([nearest]), entered)
            first = tightest, candidates.ids[nearest], _soonest(candidates, of_level, entered)
        steps = np.clip(-table[:, keep].min(axis=1), 0.0, -best)
        loose[at], words = _loosened(candidates, level, of_level, steps)
        entered = entered[keep]
        kept = tuple(candidates.ids[i] for i in entered)
        eased.append(Eased(at, -best, words, loose[at].rules, kept))
    assert first is not None
    tightest, name, more = first
    return Relaxation(tuple(eased), tuple(loose), tuple(candidates.ids[i] for i in entered), tightest, name, more)


def _table(candidates: Candidates, asked: Sequence[Demand], entered: Indices) -> Floats:
    """(demands, policies) margins; of a policy that on the mean is neither enough nor the best, those on the mean."""
    table = np.stack([margins(candidates, d, entered, entered, None)[0] for d in asked])
    sure = [d.alpha is not None for d in asked]
    if any(sure):
        # The bound is never above the mean: who misses on the mean, and by more than one policy does on the bound, is
        # neither kept nor the best.
        lead = int(table.min(axis=0).argmax())
        at_least = min(margins(candidates, d, entered[[lead]], entered, d.alpha)[0][0] for d in asked)
        close = table.min(axis=0) >= min(at_least, 0.0) - ROUNDING
        for row, demand in zip(table, asked, strict=True):
            row[close] = margins(candidates, demand, entered[close], entered, demand.alpha)[0]
    return table


def _loosened(candidates: Candidates, level: Level, asked: Sequence[Demand], steps: Floats) -> tuple[Level, str]:
    """The level with each demand loosened by its step, in base standard deviations, and the changes in words."""
    rules = {rule.objective: rule for rule in level.rules}
    words = []
    for demand, step in zip(asked, steps.tolist(), strict=True):
        if step <= ROUNDING:
            continue
        name, scale, sign = demand.rule.objective, candidates.frame.scale[demand.k], candidates.frame.signs[demand.k]
        digits = max(0, 2 - math.floor(math.log10(scale)))
        if demand.rule.threshold is not None:
            rounding = 4 * np.spacing(
                abs(demand.rule.threshold)
            )  # of the step's own digits, which counts where it is huge
            threshold = float(demand.rule.threshold - sign * (step * scale + rounding))
            rules[name] = rules[name]._replace(threshold=threshold)
            side = "least" if sign > 0 else "most"
            words.append(f"{name} at {side} {_shown(threshold, digits, down=sign > 0)}")
        else:
            assert demand.rule.within is not None
            within = demand.rule.within + step * scale
            rules[name] = rules[name]._replace(within=within)
            words.append(f"{name} within {_shown(within, digits, down=False)} of the best")
    return level_of(rules.values(), candidates.minimised, level.confidence), " and ".join(words)


def _shown(x: float, digits: int, *, down: bool) -> str:
    scaled = x * 10.0**digits
    rounded_off = math.floor(scaled + ROUNDING) if down else math.ceil(scaled - ROUNDING)
    return f"{rounded_off / 10.0**digits:.{digits}f}"


def _soonest(candidates: Candidates, asked: Sequence[Demand], entered: Indices) -> int | None:
    """How many more prompts would let a policy through that misses by confidence alone; the first of them."""
    on_mean = np.stack([margins(candidates, d, entered, entered, None)[0] for d in asked]).min(axis=0) >= -ROUNDING
    who = entered[on_mean]
    needed = np.zeros(len(who))
    for demand in asked:
        if demand.alpha is not None and who.size:
            missed = margins(candidates, demand, who, entered, demand.alpha)[0] < -ROUNDING
            more = [math.inf if n is None else n for n in more_prompts(candidates, demand, who[missed], entered)]
            needed[missed] = np.maximum(needed[missed], more)
    soonest = float(needed.min(initial=math.inf))
    return int(soonest) if math.isfinite(soonest) else None
