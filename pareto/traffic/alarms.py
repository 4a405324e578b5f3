"""Alarms on served traffic: prompts of another kind, rewards that moved, and ensembles that doubt more than they did.

All are tests that may be looked at whenever one likes; together they raise a false alarm within ``Settings.requests``
requests with a chance of at most ``Settings.chance``. A raised alarm stays raised: it tells since when. What is counted
are requests whose prompts have features, and whose answers were scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from pareto.store.run import Run
from pareto.traffic.drift import Drift, Excess, Tails, threshold_for
from pareto.traffic.frame import Frame
from pareto.traffic.log import TrafficLog
from pareto.traffic.usual import NONE, Prompts, Spreads, usual_prompts, usual_spreads

Floats = NDArray[np.float64]
State = Literal["raised", "quiet", "waiting"]


@dataclass(frozen=True)
class Settings:
    """When alarms are raised."""

    chance: float = 0.01
    """Of any false alarm within ``requests`` requests, in (0, 1)."""
    requests: int = 10_000
    warm: int = 200
    """Requests that what follows is compared with, where nothing was measured before serving."""
    since: float = 0.0
    """Requests before are left out, seconds since 1970; after an alarm was dealt with, that time."""
    seed: int = 0
    """Of ranks among equal values."""


@dataclass(frozen=True, eq=False)
class Alarm:
    """One thing that is watched."""

    name: str
    """``prompts``, ``prompts change``, ``score <objective>``, ``spread <objective>``, ``flagged <objective>``."""
    state: State
    """``waiting``: too little was served to say anything."""
    since: float | None
    """Time of the request that raised it."""
    value: float
    """log10 of the evidence, as it is now; −∞ where there is none."""
    threshold: float
    """log10 of the evidence that raises it."""
    sentence: str
    times: Floats = field(default_factory=lambda: NONE, repr=False)
    """Of the requests that count, (n,)."""
    evidence: Floats = field(default_factory=lambda: NONE, repr=False)
    """log10, after each of them, (n,)."""


@dataclass(frozen=True)
class _Watch:
    """What is looked at, before anything is."""

    name: str
    what: str
    """Subject and verb of the sentence that a raised alarm says."""
    times: Floats
    values: Floats
    reference: Floats | None
    """``None``: the first ``Settings.warm`` values."""
    tails: Tails = "any"
    allowed: float | None = None
    """Of a share: the largest; ``values`` are then 0 or 1."""


def alarms(log: TrafficLog, run: Run, settings: Settings = Settings()) -> list[Alarm]:
    """What a run's log shows.

    Raises:
        ParetoError: the log, the run's prompts or an ensemble of it cannot be read.
    """
    frame = log.frame(settings.since)
    # The encoder of prompts is slow to load, and needless where the log has no features.
    prompts = usual_prompts(run) if len(frame.featured) else Prompts.none()
    return watched(frame, run.recipe.names, prompts, usual_spreads(run), settings)


def watched(
    frame: Frame,
    objectives: tuple[str, ...],
    prompts: Prompts,
    spreads: Mapping[str, Spreads],
    settings: Settings = Settings(),
) -> list[Alarm]:
    """As ``alarms``.

    Args:
        frame: of the requests, with features.
        objectives: of the run, in order.
        prompts: what is usual for them.
        spreads: what is usual for the objectives that are scored by an ensemble.
        settings: when an alarm is raised.
    """
    watches = [*_prompts(frame, prompts, settings), *_rewards(frame, objectives, spreads)]
    threshold = threshold_for(settings.chance / len(watches), settings.requests)
    return [_look(watch, threshold, settings) for watch in watches]


def _prompts(frame: Frame, prompts: Prompts, settings: Settings) -> Iterator[_Watch]:
    times = frame.time[frame.featured]
    strange = prompts.strangeness(frame.features) if len(frame.featured) else NONE
    yield _Watch("prompts", "prompts are unlike those that the run was measured on", times, strange, prompts.usual)
    yield _Watch("prompts change", f"prompts are unlike the first {settings.warm} that were served", times, strange,
                 None)  # fmt: skip


def _rewards(frame: Frame, objectives: tuple[str, ...], spreads: Mapping[str, Spreads]) -> Iterator[_Watch]:
    main = frame.arm == "main"  # a candidate's policies are others: they are compared, not watched
    nothing = np.full(len(frame), np.nan)
    for name in objectives:
        # What the place was predicted to bring is taken off, so that other weights are no drift.
        surprise = frame.scores.get(name, nothing) - frame.predicted.get(name, nothing)
        kept = main & np.isfinite(surprise)
        yield _Watch(f"score {name}", f"{name} moved away from what is predicted for each request", frame.time[kept],
                     surprise[kept], None)  # fmt: skip
        spread = frame.spreads.get(name, nothing)
        kept = main & np.isfinite(spread)
        if name in spreads:
            usual = spreads[name]
            yield _Watch(f"spread {name}", f"the reward models of {name} disagree more than on validation",
                         frame.time[kept], spread[kept], np.array(usual.quantiles), "high")  # fmt: skip
            flags = frame.flagged.get(name, np.zeros(len(frame), dtype=bool))[kept].astype(np.float64)
            yield _Watch(f"flagged {name}", _share(name, flags, usual), frame.time[kept], flags, NONE,
                         allowed=usual.share)  # fmt: skip
        elif kept.any():  # its calibration is gone
            yield _Watch(f"spread {name}", f"the reward models of {name} disagree more than at first",
                         frame.time[kept], spread[kept], None, "high")  # fmt: skip


def _share(name: str, flags: Floats, usual: Spreads) -> str:
    found = f"{flags.mean():.0%} of {len(flags)}" if len(flags) else "none of the"
    return f"{found} scored answers are flagged for review by {name}, where {usual.rate:.0%} were expected"


def _look(watch: _Watch, threshold: float, settings: Settings) -> Alarm:
    times, values, reference = watch.times, watch.values, watch.reference
    limit = math.log10(threshold)
    if reference is None:
        if len(values) <= settings.warm:
            said = f"compares with the first {settings.warm} that are scored; {len(values)} are so far"
            return Alarm(watch.name, "waiting", None, -math.inf, limit, said)
        times, values, reference = times[settings.warm :], values[settings.warm :], values[: settings.warm]
    if not len(values):
        return Alarm(watch.name, "waiting", None, -math.inf, limit, "nothing is scored yet")
    test: Drift | Excess
    if watch.allowed is not None:
        test = Excess(watch.allowed, threshold=threshold)
        evidence = test.extend(values > 0)
    else:
        test = Drift(reference, tails=watch.tails, threshold=threshold, seed=settings.seed)
        evidence = test.extend(values)
    state: State = "quiet" if test.since is None else "raised"
    since = None if test.since is None else float(times[test.since])
    return Alarm(
        watch.name, state, since, float(evidence[-1]), limit, _sentence(watch, since, len(values)), times, evidence
    )


def _sentence(watch: _Watch, since: float | None, n: int) -> str:
    if since is None:
        return f"nothing unusual in {n} requests"
    return f"{watch.what}, since {datetime.fromtimestamp(since).astimezone():%d %B %H:%M}"
