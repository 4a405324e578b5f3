"""From a run's stored points to its frontier: what ``pareto front`` prints, and what chat and export choose from.

Points are selected on validation and reported on test. Imports neither torch nor Optuna.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.front.dominance import nondominated
from pareto.front.frame import Frame
from pareto.front.statistics import FrontStatistics, Interval, analyse, paired_difference, prompt_means
from pareto.records import Kind, Point, Split
from pareto.store.files import read_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_scores

KINDS = ("base", "expert", "trained", "soup")


@dataclass(frozen=True)
class Frontier:
    """A run's points with what is known of them."""

    run: str
    frame: Frame
    test: list[Point]
    """The base, the experts, and what was selected on validation, measured on test."""
    statistics: FrontStatistics
    """Of ``test``, in its order."""
    base_hypervolume: Interval
    others: list[Point]
    """Measured on validation only, because something there dominates them."""
    gains: dict[str, tuple[float, float, int]]
    """Expert's point id → paired difference to the base on its own objective, standard error, prompts."""

    def document(self) -> dict[str, Any]:
        """The machine-readable answer of ``pareto front --json``."""
        s = self.statistics
        rows = [
            _row(p, bool(s.on_front[i]), float(s.p_nondominated[i]), s.mean[i], s.se[i], self.frame)
            for i, p in enumerate(self.test)
        ]
        rows += [_row(p, False, None, None, None, self.frame) for p in self.others]
        raw = np.array(self.frame.centre) + np.array(self.frame.signs) * self.frame.scale * self.frame.reference
        return {
            "run": self.run,
            "objectives": list(self.frame.objectives),
            "reference": dict(zip(self.frame.objectives, raw.tolist(), strict=True)),
            "hypervolume": _interval(s.hypervolume),
            "base_hypervolume": _interval(self.base_hypervolume),
            "igd_plus": _interval(s.igd_plus),
            "expected_utility": _interval(s.expected_utility),
            "spacing": _interval(s.spacing),
            "expert_gains": {
                k: {"difference": d, "se": se, "prompts": n} for k, (d, se, n) in sorted(self.gains.items())
            },
            "points": rows,
        }


def select(run: Run, points: Sequence[Point], frame: Frame) -> list[str]:
    """Ids of the points that nothing dominates on validation; a point without a number there is out."""
    found = [p for p in points if p.split == "validation" and p.kind != "base"]
    if not found:
        return []
    means = np.array([[p.mean[n] for n in frame.objectives] for p in found])
    return [p.id for p, keep in zip(found, nondominated(frame.normalise(means)), strict=True) if keep]


def read_frame(run: Run) -> Frame:
    """The normalisation and the reference point, fixed before the run's first trial.

    Raises:
        ParetoError: the run has not come that far.
    """
    path = run.path / "frame.json"
    if not path.is_file():
        raise ParetoError(f"run '{run.name}' has no points yet: its base policy is not measured; go on with the sweep")
    return Frame.from_json(read_json(path))


def frontier(run: Run) -> Frontier:
    """Read a run's points and analyse them.

    Raises:
        ParetoError: a run whose selected points are not all measured on the test split.
    """
    recipe, frame = run.recipe, read_frame(run)
    points = load_points(run)
    order = {kind: i for i, kind in enumerate(KINDS)}
    chosen = set(select(run, points, frame))
    test = sorted((p for p in points if p.split == "test"), key=lambda p: (order[p.kind], p.trial or 0, p.id))
    if not chosen or not {"base", *chosen} <= {p.id for p in test}:
        raise ParetoError(
            f"run '{run.name}' is not finished: its front is not measured on test; run the sweep again to go on"
        )
    scores = np.stack([per_prompt(run, p) for p in test])
    how = partial(
        analyse,
        resamples=recipe.evaluation.bootstrap,
        confidence=recipe.evaluation.confidence,
        seed=recipe.seed,
    )
    statistics = how(
        scores,
        frame,
        select=np.array([p.id in chosen for p in test]),
        target=_reachable(scores, frame),
    )
    base = next(i for i, p in enumerate(test) if p.kind == "base")
    alone = how(scores[base : base + 1], frame)
    gains = {
        p.id: paired_difference(
            scores[i, :, _own(p, frame)] * frame.signs[_own(p, frame)],
            scores[base, :, _own(p, frame)] * frame.signs[_own(p, frame)],
        )
        for i, p in enumerate(test)
        if p.kind == "expert"
    }
    measured = {p.id for p in test}
    others = [p for p in points if p.split == "validation" and p.id not in measured]
    return Frontier(run.name, frame, test, statistics, alone.hypervolume, others, gains)


def point_of(
    run: Run,
    name: str,
    kind: Kind,
    weights: Mapping[str, float] | None,
    coefficients: Mapping[str, float],
    adapters: Mapping[str, str],
    split: Split,
    scores: str,
    trial: int | None = None,
) -> Point:
    """The point of a policy from its table of scores.

    Args:
        run: the run.
        name: the point's id.
        kind: what it is.
        weights: that it was made for.
        coefficients: adapter's name → λ.
        adapters: its name → its key.
        split: whose prompts were answered.
        scores: the table's key.
        trial: number in the study.
    """
    recipe, columns = run.recipe, read_scores(run.scores / f"{scores}.parquet").columns
    per_prompt = {n: prompt_means(column, recipe.evaluation.samples_per_prompt) for n, column in columns.items()}
    names = recipe.names
    return Point(
        id=name,
        kind=kind,
        split=split,
        weights=dict(weights) if weights is not None else None,
        coefficients=dict(coefficients),
        adapters={k: adapters[k] for k in coefficients},
        mean={n: _mean(per_prompt[n]) for n in names},
        se={n: _se(per_prompt[n]) for n in names},
        n={n: int(np.isfinite(per_prompt[n]).sum()) for n in names},
        gold={n: _mean(per_prompt[f"gold:{n}"]) for n in recipe.gold if n != "kl"},
        kl=_mean(per_prompt["gold:kl"]),
        scores=scores,
        trial=trial,
    )


def per_prompt(run: Run, point: Point) -> NDArray[np.float64]:
    """(prompts, m): every objective's mean over samples, NaN where it does not apply."""
    scores = read_scores(run.scores / f"{point.scores}.parquet")
    samples = int(scores.samples.max()) + 1
    return prompt_means(np.stack([scores.columns[n] for n in run.recipe.names], axis=1), samples)


def point_rows(run: Run, frame: Frame, split: Split) -> list[dict[str, Any]]:
    """A run's points on one split as ``pareto front --json`` gives them; ``on_front``: no other dominates it there."""
    order = {kind: i for i, kind in enumerate(KINDS)}
    points = [p for p in load_points(run) if p.split == split]
    points.sort(key=lambda p: (order[p.kind], p.trial or 0, p.id))
    means = np.array([[p.mean[n] for n in frame.objectives] for p in points]).reshape(-1, len(frame.objectives))
    front = nondominated(frame.normalise(means))
    return [_row(p, bool(keep), None, None, None, frame) for p, keep in zip(points, front, strict=True)]


def find_point(run: Run, wanted: str, split: Split = "test") -> Point:
    """A point by its id, on this split where it is measured there.

    Raises:
        ParetoError: no such point; the nearest is named.
    """
    found = sorted((p for p in load_points(run) if p.id == wanted), key=lambda p: p.split != split)
    if not found:
        known = sorted({p.id for p in load_points(run)})
        raise ParetoError(
            f"run '{run.name}' has no point '{wanted}'; {suggest(wanted, known) if known else 'it is empty'}"
        )
    return found[0]


def _own(point: Point, frame: Frame) -> int:
    """Index of the objective that an expert was trained for."""
    assert point.weights is not None
    return max(range(len(frame.objectives)), key=lambda k: point.weights[frame.objectives[k]])  # type: ignore[index]


def _reachable(scores: NDArray[np.float64], frame: Frame) -> NDArray[np.float64]:
    """(1, m): the best of every objective over all points, the target of IGD+ (the ideal point)."""
    means = np.stack([prompt_means(policy, len(policy))[0] for policy in scores])
    return np.asarray(np.fmax.reduce(frame.normalise(means))[None])


def _interval(x: Interval) -> dict[str, float]:
    """An empty front is infinitely far from any target, and JSON has no infinity: null."""
    return {k: v if np.isfinite(v) else float("nan") for k, v in asdict(x).items()}


def _row(
    p: Point,
    on_front: bool,
    probability: float | None,
    mean: NDArray[np.float64] | None,
    se: NDArray[np.float64] | None,
    frame: Frame,
) -> dict[str, Any]:
    names = frame.objectives
    return {
        "id": p.id,
        "kind": p.kind,
        "weights": p.weights,
        "coefficients": p.coefficients,
        "mean": p.mean if mean is None else dict(zip(names, mean.tolist(), strict=True)),
        "se": p.se if se is None else dict(zip(names, se.tolist(), strict=True)),
        "gold": p.gold,
        "kl": p.kl,
        "p_nondominated": probability,
        "on_front": on_front,
        "split": p.split,
    }


def _mean(values: NDArray[np.float64]) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.mean()) if len(kept) else float("nan")


def _se(values: NDArray[np.float64]) -> float:
    kept = values[np.isfinite(values)]
    return float(kept.std(ddof=1) / np.sqrt(len(kept))) if len(kept) > 1 else float("nan")
