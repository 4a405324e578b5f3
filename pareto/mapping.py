"""Build a run's frontier map: measure soups where they promise the most, then report the better front.

Every measurement is a point of the run, stored when it is made, and what the points say decides what is measured
next. So a map that was interrupted goes on where it was and becomes the same map.
"""

from __future__ import annotations

import fcntl
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from pareto.campaign import Campaign, Policy
from pareto.choice.standing import standing
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.records import Point
from pareto.simplex import das_dennis
from pareto.soups.frontier_map import LEVEL, FrontierMap, limits, violation
from pareto.soups.measured import Measured
from pareto.soups.members import members
from pareto.soups.search import APART, DIGITS, Violation, propose
from pareto.soups.surrogate import LEAST, Held, Surrogate, coverage, cross_validated, half_width
from pareto.store.points import load_points

if TYPE_CHECKING:
    from pareto.engines.engine import Engine
    from pareto.store.run import Run
    from pareto.watch import Watcher
Floats = NDArray[np.float64]

KL_ROOM = 1.5
"""A soup may be this many times as far from the base as the farthest expert, where no limit is given."""
PARTITIONS = 4
"""Of the simplex, for the weights of the report: 5, 15 and 35 weights of 2, 3 and 4 objectives."""


def build_map(
    run: Run,
    watch: Watcher,
    *,
    engine: Engine | None = None,
    share: str | None = None,
    adapters: Sequence[str] | None = None,
    box: tuple[float, float] = (0.0, 1.5),
    max_kl: float | None = None,
    evaluations: int = 40,
    minutes: float | None = None,
    batch: int = 4,
    held_out: int = 0,
    seed: int = 0,
) -> dict[str, Any]:
    """Measure soups, fit the map, write ``map.json`` and the run's new ``front.json``; or go on with that.

    Args:
        run: a run whose experts are trained.
        watch: told of phases, progress and points.
        engine: carries the work; default: this process.
        share: where artefacts travel, see ``Exchange``.
        adapters: names of the K adapters that are mixed, K ≥ 2; default: the experts.
        box: lowest and highest coefficient.
        max_kl: KL to the base that no soup of the map may exceed, nats per token; default: ``KL_ROOM`` times the
            largest of the experts.
        evaluations: soups measured for the map in all, those of earlier calls included.
        minutes: no further soup is begun that would not end within them; ``None``: no limit. What is selected is
            then measured on test in any case.
        batch: soups proposed at a time.
        held_out: soups at random in the box that are measured for the check alone; 0: the check is by
            cross-validation.
        seed: of the search.

    Returns:
        The report that ``map.json`` holds too: ``run``, ``adapters``, ``box``, ``max_kl``, ``priorities``,
        ``evaluations``, ``points`` (soups that the map knows), ``held_out`` (how, ``coverage``, ``predicted``, ``low``,
        ``high``, ``measured``), ``weights`` (each with ``coefficients``, ``mean``, ``low``, ``high``, ``kl``),
        ``hypervolume`` (``before`` and ``after`` on validation and test), ``seconds``.

    Raises:
        ParetoError: anything that the user can put right.
    """
    chosen = _chosen(run, adapters)
    if not box[0] < box[1]:
        raise ParetoError(f"box {box[0]:g} {box[1]:g}: the lowest coefficient must be below the highest")
    limit = _limit(run) if max_kl is None else max_kl
    with _alone(run):
        began = time.monotonic()
        campaign = Campaign.open(run, watch, engine, share)
        for name, key in chosen.items():
            campaign.join(name, key)
        builder = _Builder(campaign, chosen, box, limit, batch, seed)
        until = None if minutes is None else began + 60 * minutes
        builder.search(evaluations, until)
        builder.check(held_out, until)
        made, report = builder.fitted()
        made.save(run, report)
        campaign.report()
        report["hypervolume"]["test"] = builder.measured.gain("test")
        report["seconds"] = {name: round(s, 1) for name, s in campaign.clock.seconds.items()}
        made.save(run, report)
        return report


class _Builder:
    """One build: what comes next, and what follows from all that is measured."""

    def __init__(
        self,
        campaign: Campaign,
        adapters: dict[str, str],
        box: tuple[float, float],
        max_kl: float,
        batch: int,
        seed: int,
    ) -> None:
        self.campaign, self.box, self.max_kl, self.batch, self.seed = campaign, box, max_kl, batch, seed
        self.priorities = standing(campaign.run)
        self.measured = Measured(campaign.run, campaign.frame, adapters)
        self.limits = limits(campaign.frame, self.priorities)

    def search(self, evaluations: int, until: float | None) -> None:
        """Measure what is proposed until there are so many soups of the map, or the time is over."""
        took = 0.0
        with self.campaign.clock.phase("measure soups", evaluations) as advance:
            while (done := len(self.measured.searched())) < evaluations:
                advance(done)
                batch = self._pending()[: evaluations - done]
                began = time.monotonic()
                if until is not None and began + took * len(batch) > until:
                    return
                self._measure([f"map-{self.measured.free() + i}" for i in range(len(batch))], batch)
                took = (time.monotonic() - began) / len(batch)

    def check(self, count: int, until: float | None) -> None:
        """Measure soups at random in the box, which take no part in the fit."""
        draws = np.random.default_rng([self.seed, 1]).uniform(*self.box, (count, len(self.measured.adapters)))
        known = {p.id for p in self.measured.checked()}
        with self.campaign.clock.phase("measure held-out soups", count) as advance:
            for i, x in enumerate(draws.round(DIGITS)):
                if f"map-check-{i}" not in known and (until is None or time.monotonic() < until):
                    self._measure([f"map-check-{i}"], x[None])
                advance(i + 1)

    def fitted(self) -> tuple[FrontierMap, dict[str, Any]]:
        """The map from all that is measured, and its report.

        Raises:
            ParetoError: too little is measured.
        """
        campaign, measured = self.campaign, self.measured
        known = measured.given() + measured.searched()
        if len(known) <= LEAST:
            raise ParetoError(f"run '{campaign.run.name}': {len(known)} soups are too few for a map; give it more time")
        with campaign.clock.phase("fit the map"):
            x, y = measured.coefficients(known), measured.values(known)
            made = FrontierMap(
                frame=campaign.frame,
                adapters=measured.adapters,
                box=self.box,
                max_kl=self.max_kl,
                priorities=self.priorities,
                seed=self.seed,
                surrogate=Surrogate.fit(x, y, self.seed),
                kl=Surrogate.fit(x, measured.root_kl(known), self.seed),
            )
            names = campaign.recipe.names
            lattice = [dict(zip(names, w, strict=True)) for w in das_dennis(len(names), PARTITIONS).tolist()]
            return made, {
                "run": campaign.run.name,
                "objectives": list(names),
                "adapters": measured.adapters,
                "box": list(self.box),
                "max_kl": self.max_kl,
                "priorities": [level.model_dump(mode="json") for level in self.priorities],
                "evaluations": len(measured.searched()),
                "points": len(known),
                "held_out": self._held_out(made, x, y),
                "weights": [{"weights": w, **made.at(w)} for w in lattice],
                "hypervolume": {"validation": measured.gain("validation")},
            }

    def _pending(self) -> Floats:
        """What is left of the batch under way, else the next batch, (q, K).

        A batch is proposed from what was known when it began, so that an interrupted one is completed as it was.
        """
        given, searched = self.measured.given(), self.measured.searched()
        begun = len(searched) // self.batch * self.batch
        rest = self._propose(given + searched[:begun])[len(searched) - begun :]
        known = self.measured.coefficients(given + searched)
        new = rest[np.linalg.norm(rest[:, None] - known[None], axis=2).min(axis=1) > APART]
        # None left: the box or the batch was another one when the batch under way was begun.
        return new if len(new) else self._propose(given + searched)

    def _propose(self, known: list[Point]) -> Floats:
        x, y = self.measured.coefficients(known), self.measured.values(known)
        kept: Violation | None = None
        if len(known) >= LEAST:
            surrogate = Surrogate.fit(x, y, self.seed)
            kl = Surrogate.fit(x, self.measured.root_kl(known), self.seed)
            kept = partial(violation, surrogate, kl, self.max_kl, self.limits)
        return propose(
            x,
            y,
            reference=self.campaign.frame.reference,
            box=self.box,
            count=self.batch,
            seed=self.seed,
            violation=kept,
        )

    def _measure(self, names: list[str], batch: Floats) -> None:
        """Measure a population (q, K) together, and keep it as points."""
        campaign, adapters = self.campaign, self.measured.adapters
        soups = [{n: float(c) for n, c in zip(adapters, x, strict=True) if c != 0} for x in batch]
        policies = [Policy(name, "soup", None, soup) for name, soup in zip(names, soups, strict=True)]
        for point in campaign.measure(policies, "validation", together=True):
            campaign.run.log("map", point=point.id, coefficients=point.coefficients, mean=point.mean, kl=point.kl)
            campaign.watch.trial(point)
        campaign.watch.hypervolume(self.measured.gain("validation")["after"])

    def _held_out(self, made: FrontierMap, x: Floats, y: Floats) -> dict[str, Any]:
        """Predictions of soups that had no part in the fit, against what they measured."""
        checked = self.measured.checked()
        if checked:
            x, y = self.measured.coefficients(checked), self.measured.values(checked)
            found = Held(*made.surrogate.predict(x))
        else:
            found = cross_validated(x, y, self.seed)
        names = self.campaign.recipe.names
        inside = coverage(y, found.mean, found.std, LEVEL)
        mean, half = made.own(found.mean), half_width(LEVEL) * found.std * np.array(made.frame.scale)
        return {
            "how": "measured for the check alone" if checked else "cross-validation",
            "points": len(y),
            "coverage": dict(zip(names, inside.tolist(), strict=True)) | {"all": float(inside.mean())},
            "predicted": mean.tolist(),
            "low": (mean - half).tolist(),
            "high": (mean + half).tolist(),
            "measured": made.own(y).tolist(),
        }


def _chosen(run: Run, adapters: Sequence[str] | None) -> dict[str, str]:
    """Name → hash of the adapters that are mixed, in order."""
    here = members(run)
    experts = [p.id for p in load_points(run) if p.kind == "expert" and p.split == "validation"]
    by_objective = [e for n in run.recipe.names for e in experts if e == f"expert-{n}"]
    names = by_objective if adapters is None else list(adapters)
    for name in names:
        if name not in here:
            raise ParetoError(f"adapters: run '{run.name}' has no '{name}'; {suggest(name, list(here))}")
        if names.count(name) > 1:
            raise ParetoError(f"adapters: '{name}' is given twice")
    if len(names) < 2:
        raise ParetoError(f"run '{run.name}': a map needs two adapters at least, there are {len(names)}")
    return {name: here[name] for name in names}


def _limit(run: Run) -> float:
    """``KL_ROOM`` times the largest KL of the experts."""
    known = [p.kl for p in load_points(run) if p.kind == "expert" and p.split == "validation" and p.kl > 0]
    if not known:
        raise ParetoError(f"run '{run.name}': no expert has a KL to derive a limit from; give --max-kl")
    return KL_ROOM * max(known)


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """One process at a time builds a run's map; freed when that dies."""
    with open(run.path / "map.lock", "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ParetoError(f"run '{run.name}': another process builds its map; wait for it or stop it") from None
        yield
