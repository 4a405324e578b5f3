"""What labels buy, by how the comparisons to be labelled are chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from pareto.bench.rewards.lab import Floats, Lab
from pareto.config import Choosing
from pareto.config import Ensemble as Settings
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.ensemble.metrics import wrong
from pareto.objectives.ensemble.scores import EnsembleScores, PairScores, pair_scores
from pareto.preferences.annotation.choosing import choose
from pareto.preferences.annotation.questions import make
from pareto.records import Pair, Question, Rollout

CANDIDATES, TESTED = 2500, 3000
BUDGETS = (60, 120, 180, 240, 300, 360)
"""Labels in all; the first are drawn at random for everybody."""
OLD, FRESH = 240, 120
"""Labels on the base's answers, and those that are then spent on the current policy's."""
WAYS: tuple[Choosing, ...] = get_args(Choosing)


def by_choice(lab: Lab, settings: Settings, noise: float, seeds: Sequence[int]) -> dict[Choosing, Floats]:
    """Gold accuracy on held-out prompts, (seeds, budgets), by how the labelled comparisons were chosen.

    Args:
        lab: the ground.
        settings: of the ensembles, refitted at every budget.
        noise: chance of a wrong label; the same comparison gets the same label whoever chose it.
        seeds: of candidates, first labels, mistakes and members.
    """
    train, held_out = lab.pool("train"), lab.pool("held_out")
    tested, gold = lab.draw_pairs(held_out, TESTED, 0), lab.gold(held_out)
    found: dict[Choosing, list[list[float]]] = {way: [] for way in WAYS}
    for seed in seeds:
        rows = lab.draw_pairs(train, CANDIDATES, seed)
        labelled = lab.label(train, rows, lab.gold(train), noise, seed)
        for way in WAYS:
            lab.say(f"labels by {way}: seed {seed}")
            found[way].append(_learn(lab, settings, rows, labelled, way, seed, held_out, tested, gold))
    return {way: np.array(of) for way, of in found.items()}


def _learn(
    lab: Lab,
    settings: Settings,
    rows: NDArray[np.intp],
    labelled: Sequence[Pair],
    way: Choosing,
    seed: int,
    held_out: Sequence[Rollout],
    tested: NDArray[np.intp],
    gold: Floats,
) -> list[float]:
    train = lab.pool("train")
    prompts = {p.id: p for p in lab.asked("train")}
    texts = [(train[a].text, train[b].text) for a, b in rows]
    questions = [make("gold", prompts[train[a].prompt_id], pair) for (a, _), pair in zip(rows, texts, strict=True)]
    label_of = {q.key: pair for q, pair in zip(questions, labelled, strict=True)}
    chosen: list[Question] = []
    accuracies = []
    ensemble = None
    for budget in BUDGETS:
        taken = {q.key for q in chosen}
        free = np.array([q.key not in taken for q in questions])
        scores: PairScores | None = None if ensemble is None else _margins(lab, ensemble, rows[free])
        rest = [q for q, is_free in zip(questions, free, strict=True) if is_free]
        chosen += choose(rest, scores, way, budget - len(chosen), seed)
        ensemble = lab.train([label_of[q.key] for q in chosen], settings, seed)
        accuracies.append(gold_accuracy(lab, ensemble, held_out, tested, gold))
    return accuracies


def _margins(lab: Lab, ensemble: Ensemble, rows: NDArray[np.intp]) -> PairScores:
    scores = EnsembleScores(lab.score(ensemble, lab.pool("train")))
    return pair_scores(scores.take(rows[:, 0]), scores.take(rows[:, 1]))


def frozen_or_refitted(
    lab: Lab,
    settings: Settings,
    noise: float,
    seeds: Sequence[int],
    train_answers: Sequence[Rollout],
    test_answers: Sequence[Rollout],
) -> dict[str, list[float]]:
    """Gold accuracy on the current policy's pairs, by seed: ``frozen``, as before, and ``refitted``, taught on its own.

    As a control ``more`` has as many labels as the refitted, all of them on the base's answers.

    Args:
        lab: the ground.
        settings: of the ensembles.
        noise: chance of a wrong label.
        seeds: of labels and members.
        train_answers: the current policy's, to training prompts.
        test_answers: the current policy's, to test prompts, several each.
    """
    base = lab.pool("train")
    tested, gold = lab.draw_pairs(test_answers, TESTED, 0), lab.gold(test_answers)
    found: dict[str, list[float]] = {"frozen": [], "more": [], "refitted": []}
    for seed in seeds:
        lab.say(f"frozen or refitted: seed {seed}")
        first = lab.label(base, lab.draw_pairs(base, OLD + FRESH, seed), lab.gold(base), noise, seed)
        drawn = lab.draw_pairs(train_answers, FRESH, seed)
        fresh = lab.label(train_answers, drawn, lab.gold(train_answers), noise, seed)
        for name, pairs in (("frozen", first[:OLD]), ("more", first), ("refitted", first[:OLD] + fresh)):
            found[name].append(gold_accuracy(lab, lab.train(pairs, settings, seed), test_answers, tested, gold))
    return found


def gold_accuracy(
    lab: Lab, ensemble: Ensemble, rollouts: Sequence[Rollout], rows: NDArray[np.intp], gold: Floats
) -> float:
    """Share of pairs (rows of two rollouts) that the members' mean orders as gold does; ties of gold left out."""
    mean = lab.score(ensemble, rollouts).mean(axis=1)
    ahead = gold[rows[:, 0]] - gold[rows[:, 1]]
    settled = ahead != 0
    margin = (mean[rows[:, 0]] - mean[rows[:, 1]])[settled]
    return float(1 - wrong(margin, (ahead[settled] > 0).astype(float)).mean())
