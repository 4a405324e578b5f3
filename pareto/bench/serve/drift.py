"""How soon prompts of another kind raise the alarm, and how often usual ones do, on made-up and on packaged prompts.

Each repetition draws training prompts, a reference as large as a run's validation and test prompts, and then requests.
Without drift, 5,000 requests are of the reference's kinds in its shares. Planted: 1,000 of them, then only, or as every
second one, prompts of a kind that neither training nor reference has. The control plants usual prompts instead.
Thresholds are those of ``pareto.traffic.alarms``. Reference and requests are drawn with replacement from the same
prompts, so that nothing but the plant tells them apart.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.prompts.packaged import packaged_prompts
from pareto.records import Prompt
from pareto.traffic.alarms import Settings
from pareto.traffic.drift import Drift, threshold_for
from pareto.traffic.usual import Embed, Features, Prompts, embed

Floats = NDArray[np.float64]
TRAINING = {"provocations": 40, "people": 28, "capitals": 28, "sums": 20}
REFERENCE = {"provocations": 78, "people": 38, "capitals": 64, "sums": 44}
"""Prompts of a kind, as in sweeps/assistant.yaml."""
NEAR = "arithmetic"
"""Planted beside all of these: close to ``sums``, so less strange than most usual prompts."""
BEFORE, PLANTED, WITHIN, QUIET = 1000, 1000, 200, 5000
"""Requests before the plant, after it, in which it should be found, and without one."""
WATCHES = 6
"""Tests that share the chance of a false alarm in a run with four objectives, none scored by an ensemble."""
DIMENSIONS = 64


def drift_bench(
    repetitions: int = 200, seed: int = 0, *, embed: Embed = embed, say: Callable[[str], None] = lambda line: None
) -> dict[str, Any]:
    """Measure.

    Args:
        repetitions: of everything.
        seed: of everything.
        embed: texts to features; without it the packaged encoder's.
        say: told of progress, a line at a time.

    Returns:
        ``threshold``; ``rows``, of each planted kind and share: ``kind``, ``share``, ``repetitions``, ``found``
        (share of repetitions that raised the alarm within 200 requests and not before), ``median``, ``p95`` and
        ``most`` requests until the alarm (``None``: not within 1,000), ``early`` (alarms before the plant); the same
        for ``control``; ``figures``: ``drift_found`` (least ``found`` where all requests are planted),
        ``drift_delay`` (largest ``p95`` there), ``drift_false`` (share of undrifted repetitions with an alarm),
        ``drift_control``.
    """
    threshold = threshold_for(Settings().chance / WATCHES, Settings().requests)
    kinds = {
        name: embed([p.text for p in packaged_prompts(name)]).astype(np.float32) for name in (*REFERENCE, NEAR)
    }  # fmt: skip
    rows: list[dict[str, Any]] = []
    quiet: list[bool] = []
    control: list[dict[str, Any]] = []

    def measure(planted: str, draw: Callable[[np.random.Generator], tuple[Floats, Floats, Floats]]) -> None:
        say(f"drift: {planted}")
        delays: dict[float, list[int | None]] = {1.0: [], 0.5: [], 0.0: []}
        for k in range(repetitions):
            rng = np.random.default_rng([seed, len(rows), k])
            reference, usual, other = draw(rng)
            drift = Drift(reference, threshold=threshold, seed=k)
            drift.extend(usual[:QUIET])
            quiet.append(drift.alarm)
            for share, found in delays.items():
                drift = Drift(reference, threshold=threshold, seed=k)
                planted_here = rng.random(PLANTED) < share
                drift.extend(np.concatenate([usual[:BEFORE], np.where(planted_here, other, usual[-PLANTED:])]))
                found.append(None if drift.since is None else drift.since - BEFORE)
        *told, usual_ones = ({"kind": planted, "share": share, **_told(found)} for share, found in delays.items())
        rows.extend(told)
        control.append(usual_ones)

    measure("made up", _made_up)
    for kind in (*REFERENCE, NEAR):
        measure(kind, lambda rng, kind=kind: _packaged(rng, kinds, kind))  # type: ignore[misc]
    whole = [r for r in rows if r["share"] == 1.0]
    late = [r["p95"] for r in whole]
    return {
        "threshold": threshold,
        "rows": rows,
        "control": control,
        "figures": {
            "drift_found": min(r["found"] for r in whole),
            "drift_delay": None if None in late else max(late),
            "drift_false": float(np.mean(quiet)),
            "drift_control": max(r["found"] for r in control),
        },
    }


def _told(delays: Sequence[int | None]) -> dict[str, Any]:
    after = sorted(np.inf if d is None else d for d in delays if d is None or d >= 0)

    def at(share: float) -> int | None:
        value = after[min(int(share * len(after)), len(after) - 1)] if after else np.inf
        return None if np.isinf(value) else int(value) + 1  # the request that raises it counts

    return {
        "repetitions": len(delays),
        "found": sum(d < WITHIN for d in after) / len(delays),
        "median": at(0.5),
        "p95": at(0.95),
        "most": at(1.0),
        "early": sum(d is not None and d < 0 for d in delays),
    }


def _made_up(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Kinds are directions with noise; the planted one points another way."""
    directions = rng.standard_normal((len(REFERENCE) + 1, DIMENSIONS))

    def prompts(kind: int, n: int) -> Features:
        return _unit(directions[kind] + 1.5 * rng.standard_normal((n, DIMENSIONS)))

    trained = np.concatenate([prompts(k, n) for k, n in enumerate(TRAINING.values())])
    shares = np.array([*REFERENCE.values()]) / sum(REFERENCE.values())

    def usual(n: int) -> Features:
        return np.concatenate([prompts(k, count) for k, count in enumerate(rng.multinomial(n, shares))])

    known = _known(trained)
    requests = rng.permutation(usual(QUIET + PLANTED))
    return (
        known.strangeness(usual(sum(REFERENCE.values()))),
        known.strangeness(requests),
        known.strangeness(prompts(len(REFERENCE), PLANTED)),
    )


def _packaged(
    rng: np.random.Generator, kinds: Mapping[str, Features], planted: str
) -> tuple[Floats, Floats, Floats]:  # fmt: skip
    """Reference, requests, and planted ones: how strange they are to training prompts of the other kinds."""
    mixed = {name: rng.permutation(kinds[name]) for name in REFERENCE if name != planted}
    known = _known(np.concatenate([x[: TRAINING[name]] for name, x in mixed.items()]))
    rest = {name: known.strangeness(x[TRAINING[name] :]) for name, x in mixed.items()}
    pool = np.concatenate([*rest.values()])
    chances = np.concatenate([np.full(len(x), REFERENCE[name] / len(x)) for name, x in rest.items()])
    chances /= chances.sum()
    size = sum(REFERENCE[name] for name in rest)
    drawn = rng.choice(pool, size + QUIET + PLANTED, p=chances)
    return drawn[:size], drawn[size:], rng.choice(known.strangeness(kinds[planted]), PLANTED)


def _known(training: Features) -> Prompts:
    return Prompts.of(training, [Prompt(str(k), "", "") for k in range(len(training))])


def _unit(x: Floats) -> Features:
    return np.asarray(x / np.linalg.norm(x, axis=1, keepdims=True), dtype=np.float32)
