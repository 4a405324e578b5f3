"""A round's record: what went in, the reward models, the front, its gain, the gap, what it cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from pareto.front.statistics import Interval
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.records import Rollout
from pareto.rounds.flags import flags, stop_reason
from pareto.rounds.gap import Outcome, agreement, outcome
from pareto.rounds.gold import Gold, Tested, measured_on_test
from pareto.rounds.rollouts import POLICY
from pareto.rounds.store import Rounds


def make_record(
    gold: Gold, number: int, found: Sequence[Rollout], ensembles: Mapping[str, Ensemble], doubts: Mapping[str, Any]
) -> dict[str, Any]:
    """Measure a round whose sweep is finished.

    Args:
        gold: of the series.
        number: of the round.
        found: the completions that it chose its questions from.
        ensembles: objective → its reward models.
        doubts: ``spread`` and ``review`` of the record.

    Returns:
        The record but for its times.
    """
    rounds, names = gold.rounds, gold.rounds.recipe.names
    records = rounds.records[: number - 1]
    last = records[-1] if records else None
    now = measured_on_test(gold, number)
    first, before = (
        None if not records else measured_on_test(gold, k, [p["id"] for p in records[k - 1]["front"]]).measured
        for k in (1, number - 1)
    )
    evaluation = rounds.recipe.evaluation
    how: dict[str, Any] = {
        "resamples": evaluation.bootstrap,
        "confidence": evaluation.confidence,
        "seed": rounds.recipe.seed,
    }
    reference = np.full(len(names), -evaluation.margin)
    came = outcome(now.measured, before, reference, **how)
    in_all = came if number <= 2 else outcome(now.measured, first, reference, **how)
    record = {
        "round": number,
        "run": rounds.run_name(number),
        "annotator": rounds.recipe.rounds.labels.annotator,
        **_labels(rounds, number, found),
        "rewards": {n: _rewards(rounds, number, e, now, k, how) for k, (n, e) in enumerate(ensembles.items())},
        "front": _front(now, came, names),
        "hypervolume": _interval(came.hypervolume),
        "gain": _interval(came.gain),
        "gain_in_all": _interval(in_all.gain),
        "gap": {
            "mean": _interval(came.gap),
            "by_objective": {n: _interval(g) for n, g in zip(names, came.gaps, strict=True)},
        },
        **doubts,
    }
    record["flags"] = flags(record, last)
    ends = rounds.recipe.rounds.stop_early and number < rounds.recipe.rounds.count
    record["stop"] = stop_reason(record, _interval(came.widened)) if ends else None
    return record


def _labels(rounds: Rounds, number: int, found: Sequence[Rollout]) -> dict[str, Any]:
    """What went in, and what it cost."""
    rows = [row for row in rounds.queue.spent()["rows"] if row["round"] <= number]
    failed = sum(f.cost for f in rounds.queue.failures if f.round == number)

    def count(name: str, of: Sequence[Mapping[str, Any]]) -> int:
        return sum(row["labels"] for row in of if row["objective"] == name)

    new = [row for row in rows if row["round"] == number]
    names = rounds.recipe.names
    policies = dict.fromkeys(r.origin.removeprefix(POLICY) for r in found if r.origin.startswith(POLICY))
    return {
        "cost": sum(row["cost"] for row in new) + failed,
        "went_in": {
            "policies": ["base", *policies],
            "rollouts": len(found),
            "labels": {n: count(n, new) for n in names},
            "labels_total": {n: count(n, rows) for n in names},
        },
    }


def _rewards(
    rounds: Rounds, number: int, ensemble: Ensemble, now: Tested, k: int, how: Mapping[str, Any]
) -> dict[str, Any]:
    """An objective's reward models: on labels held out from their training, and on the new policies by gold."""
    held_out = ensemble.report["in_distribution"]
    kept = now.measured.selected.copy()
    kept[now.measured.base] = True
    proxy, gold = (np.concatenate(list(side[kept, :, :, k]), axis=1) for side in (now.proxies, now.golds))
    return {
        "folder": str(rounds.rewards(ensemble.objective, number).relative_to(rounds.path)),
        "members": ensemble.size,
        "dropped": ensemble.info["dropped"],
        "accuracy": held_out["accuracy"],
        "gold_accuracy": _interval(agreement(proxy, gold, **how)),
        "ece": held_out["calibration_error"],
    }


def _front(now: Tested, came: Outcome, names: Sequence[str]) -> list[dict[str, Any]]:
    return [
        {
            "id": point.id,
            "kind": point.kind,
            "kl": point.kl,
            "weights": point.weights,
            "proxy": dict(zip(names, came.proxy[i].tolist(), strict=True)),
            "gold": dict(zip(names, came.gold[i].tolist(), strict=True)),
            "gold_se": dict(zip(names, came.gold_se[i].tolist(), strict=True)),
            "selected": bool(now.measured.selected[i]),
            "on_front": bool(came.on_front[i]),
        }
        for i, point in enumerate(now.points)
    ]


def _interval(found: Interval | None) -> dict[str, float] | None:
    return None if found is None else asdict(found)
