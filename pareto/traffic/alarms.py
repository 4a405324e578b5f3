"""Alarms on served traffic: prompts of another kind, rewards that moved, and ensembles that doubt more than they did.

All are tests that may be looked at whenever one likes; together they raise a false alarm within ``Settings.requests``
requests with a chance of at most ``Settings.chance``. A raised alarm stays raised: it tells since when. What is counted
are requests whose prompts have features, and whose answers were scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
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
LOOK = "`pareto traffic alarms RUN` lists the requests"
"""How to look on, where only the alarm is shown."""
EXAMPLES = 5
"""Requests that an alarm names, at most."""


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
    examples: tuple[str, ...] = ()
    """Ids of requests since then, the most unusual first; none of an alarm that is not raised."""
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
    rows: NDArray[np.int64]
    """Of the frame."""
    values: Floats
    """One for each of these."""
    reference: Floats | None
    """``None``: the first ``Settings.warm`` values."""
    tails: Tails = "any"
    allowed: float | None = None
    """Of a share: the largest; ``values`` are then 0 or 1."""
    aside: str = ""
    """What is not looked at, and why."""
    hopeless: str = ""
    """Why there will never be values."""


def alarms(log: TrafficLog, run: Run, settings: Settings = Settings(), look: str = LOOK) -> list[Alarm]:
    """What a run's log shows; see ``watched``.

    Raises:
        ParetoError: the log, the run's prompts or an ensemble of it cannot be read.
    """
    frame = log.frame(settings.since)
    # The encoder of prompts is slow to load, and needless where the log has no features.
    prompts = usual_prompts(run) if len(frame.featured) else Prompts.none()
    longest = run.recipe.sampling.max_new_tokens
    return watched(frame, run.recipe.names, prompts, usual_spreads(run), settings, look, longest=longest)


def watched(
    frame: Frame,
    objectives: tuple[str, ...],
    prompts: Prompts,
    spreads: Mapping[str, Spreads],
    settings: Settings = Settings(),
    look: str = LOOK,
    *,
    longest: int = 0,
) -> list[Alarm]:
    """What is watched, and whether an alarm is raised.

    Args:
        frame: of the requests, with features.
        objectives: of the run, in order.
        prompts: what is usual for them.
        spreads: what is usual for the objectives that are scored by an ensemble.
        settings: when an alarm is raised.
        look: how to look on, at the end of what a raised alarm says; may be empty.
        longest: tokens of an answer as the run's were measured: what is cut shorter earns something else than was
            predicted.
    """
    watches = [*_prompts(frame, prompts, settings), *_rewards(frame, objectives, spreads, settings.warm, longest)]
    threshold = threshold_for(settings.chance / len(watches), settings.requests)
    found = [_look(watch, frame, threshold, settings) for watch in watches]
    return [replace(a, sentence=f"{a.sentence}; {look}") if look and a.state == "raised" else a for a in found]


def _prompts(frame: Frame, prompts: Prompts, settings: Settings) -> Iterator[_Watch]:
    rows = frame.featured
    strange = prompts.strangeness(frame.features) if len(rows) else NONE
    yield _Watch("prompts", "prompts are unlike those that the run was measured on", rows, strange, prompts.usual)
    yield _Watch("prompts change", f"prompts are unlike the first {settings.warm} that were served", rows, strange,
                 None)  # fmt: skip


def _rewards(
    frame: Frame, objectives: tuple[str, ...], spreads: Mapping[str, Spreads], warm: int, longest: int
) -> Iterator[_Watch]:
    main = frame.arm == "main"  # a candidate's policies are others: they are compared, not watched
    nothing = np.full(len(frame), np.nan)
    cut = (frame.finish == "length") & (frame.tokens < longest * frame.answers)
    scored = {name: main & np.isfinite(frame.scores.get(name, nothing)) for name in objectives}
    enough = max((int(rows.sum()) for rows in scored.values()), default=0) >= warm
    for name in objectives:
        # What the place was predicted to bring is taken off, so that other weights are no drift.
        surprise = frame.scores.get(name, nothing) - frame.predicted.get(name, nothing)
        known = main & np.isfinite(surprise)
        rows = np.flatnonzero(known & ~cut)
        short = int((known & cut).sum())
        aside = f"; left out: {short:,} cut off before {longest} tokens" if short else ""
        never = enough and not scored[name].any()
        hopeless = "cannot be scored on traffic: it needs known answers" if never else ""
        yield _Watch(f"score {name}", f"{name} moved away from what is predicted for each request", rows,
                     surprise[rows], None, aside=aside, hopeless=hopeless)  # fmt: skip
        spread = frame.spreads.get(name, nothing)
        rows = np.flatnonzero(main & np.isfinite(spread))
        if name in spreads:
            usual = spreads[name]
            yield _Watch(f"spread {name}", f"the reward models of {name} disagree more than on validation", rows,
                         spread[rows], np.array(usual.quantiles), "high")  # fmt: skip
            flags = frame.flagged.get(name, np.zeros(len(frame), dtype=bool))[rows].astype(np.float64)
            yield _Watch(f"flagged {name}", _share(name, flags, usual), rows, flags, NONE, allowed=usual.share)
        elif rows.size:  # its calibration is gone
            yield _Watch(f"spread {name}", f"the reward models of {name} disagree more than at first", rows,
                         spread[rows], None, "high")  # fmt: skip


def _share(name: str, flags: Floats, usual: Spreads) -> str:
    found = f"{flags.mean():.0%} of {len(flags)}" if len(flags) else "none of the"
    return f"{found} scored answers are flagged for review by {name}, where {usual.rate:.0%} were expected"


def _look(watch: _Watch, frame: Frame, threshold: float, settings: Settings) -> Alarm:
    found = _tested(watch, frame, threshold, settings)
    return replace(found, sentence=watch.hopeless or found.sentence + watch.aside)


def _tested(watch: _Watch, frame: Frame, threshold: float, settings: Settings) -> Alarm:
    rows, values, reference = watch.rows, watch.values, watch.reference
    limit, warm = math.log10(threshold), settings.warm
    done = "watched" if watch.name.startswith("prompts") else "scored"
    if reference is None:
        if len(values) <= warm:
            said = f"compares with the first {warm} that are {done}; {len(values)} are so far"
            return Alarm(watch.name, "waiting", None, -math.inf, limit, said)
        rows, values, reference = rows[warm:], values[warm:], values[:warm]
    if not len(values):
        return Alarm(watch.name, "waiting", None, -math.inf, limit, f"nothing is {done} yet")
    test: Drift | Excess
    if watch.allowed is not None:
        test = Excess(watch.allowed, threshold=threshold)
        evidence = test.extend(values > 0)
    else:
        test = Drift(reference, tails=watch.tails, threshold=threshold, seed=settings.seed)
        evidence = test.extend(values)
    times = frame.time[rows]
    made = partial(Alarm, watch.name, value=float(evidence[-1]), threshold=limit, times=times, evidence=evidence)
    if test.since is None:
        return made(state="quiet", since=None, sentence=f"nothing unusual in {len(values)} requests")
    since = float(times[test.since])
    said = f"{watch.what}, since {datetime.fromtimestamp(since).astimezone():%d %B %H:%M}"
    later = test.since + np.argsort(-_unusual(watch, values, reference)[test.since :], kind="stable")
    examples = tuple(frame.id[row] for row in rows[later[:EXAMPLES]])
    return made(state="raised", since=since, sentence=said, examples=examples)


def _unusual(watch: _Watch, values: Floats, reference: Floats) -> Floats:
    """How far each value is from the usual ones, (n,)."""
    if watch.allowed is not None:
        return values
    away = values - np.median(reference if len(reference) else values)
    return away if watch.tails == "high" else np.abs(away)
