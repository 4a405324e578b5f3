"""How far an ensemble's probabilities and doubts can be trusted, on prompts that it has never seen."""

from __future__ import annotations

from typing import Any

from pareto.bench.rewards.lab import Lab, Role
from pareto.config import Ensemble as Settings
from pareto.objectives.ensemble.report import Scored, measure

TRAINED, TESTED, SHIFTED = 4000, 3000, 1000
"""Comparisons; of those trained on, ``held_out`` calibrate."""


def trust(lab: Lab, settings: Settings, seed: int) -> dict[str, Any]:
    """Figures of ``measure`` for ``in_distribution`` and ``shifted``, apart; labels without mistakes.

    Args:
        lab: the ground; comparisons of its training prompts train and calibrate, others test.
        settings: of the ensemble.
        seed: of pairs and members.
    """
    train = lab.pool("train")
    pairs = lab.label(train, lab.draw_pairs(train, TRAINED, seed), lab.gold(train), 0.0, seed)
    ensemble = lab.train(pairs, settings, seed)
    found: dict[str, Any] = {"members": ensemble.size, "pairs_trained_on": len(pairs)}
    sets: tuple[tuple[str, Role, int], ...] = (
        ("in_distribution", "held_out", TESTED),
        ("shifted", "shifted", SHIFTED),
    )
    for name, role, count in sets:
        pool = lab.pool(role)
        tested = lab.label(pool, lab.draw_pairs(pool, count, seed), lab.gold(pool), 0.0, seed)
        settled = [p for p in tested if p.target != 0.5]
        prompts = [p.prompt for p in settled] * 2
        scores = ensemble.score(prompts, [p.chosen for p in settled] + [p.rejected for p in settled])
        found[name] = measure(ensemble.calibration, Scored.of(settled, scores))
    return found
