"""All measurements of reward models, part by part; what is finished is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from pareto.bench.hardware import hardware
from pareto.bench.rewards.best_of import best_of, rows
from pareto.bench.rewards.cost import cost
from pareto.bench.rewards.dpo import Policies, optimise
from pareto.bench.rewards.lab import Floats, Lab, likes_length
from pareto.bench.rewards.labels import by_choice
from pareto.bench.rewards.trust import trust
from pareto.config import Ensemble as Settings
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.objectives.ensemble.scores import aggregate
from pareto.recipe_file import read_recipe
from pareto.records import Rollout

LABELS, NOISE = 300, 0.25
"""Comparisons that single model and ensembles learn from, and the share that is labelled wrong."""
ANNOTATORS: Mapping[str, Callable[[Sequence[Rollout], Floats], Floats]] = {
    "noisy": lambda rollouts, gold: gold,
    "biased alike": likes_length,
}
"""Mistakes of chance; and the control: all like long answers, which no number of members can see."""
Found = dict[str, Any]


def bench_rewards(
    recipe_path: Path, parts: Sequence[str], seeds: Sequence[int], root: Path, say: Callable[[str], None]
) -> dict[str, Any]:
    """Measure.

    Args:
        recipe_path: the ground; its section ``rounds.ensemble`` is what is measured.
        parts: of ``PARTS``.
        seeds: of labels and members; parts that need no several take the first.
        root: folder of runs; everything is kept in ``bench-rewards`` there.
        say: told of progress, a line at a time.

    Returns:
        ``bench``, ``hardware``, ``date``, ``seeds``, ``figures``, and what each part found under its name.

    Raises:
        ParetoError: no such part, or what the recipe and the training raise.
    """
    for name in parts:
        if name not in PARTS:
            raise ParetoError(f"--parts: no '{name}'; {suggest(name, list(PARTS))}")
    recipe = read_recipe(recipe_path)
    lab = Lab(recipe, root / "bench-rewards", say)
    found = {name: PARTS[name](lab, recipe.rounds.ensemble, seeds) for name in parts}
    figures: dict[str, float] = {}
    for part in found.values():
        figures |= part.pop("figures")
    return {
        "bench": "rewards",
        "hardware": hardware(),
        "date": date.today().isoformat(),
        "seeds": list(seeds),
        "figures": figures,
        **found,
    }


def _best_of(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    found: Found = {"figures": {}}
    for who, liked in ANNOTATORS.items():
        curves = best_of(lab, liked, LABELS, NOISE, settings, seeds)
        found[who] = rows(curves)
        lost = {name: float(np.mean([c.loss() for c in of])) for name, of in curves.items()}
        found["figures"] |= {f"best_of_lost_{who.replace(' ', '_')}_{name}": x for name, x in lost.items()}
    return found


def _dpo(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    ways: dict[str, tuple[Settings, Any]] = {
        "single": (settings.model_copy(update={"members": 1, "bootstrap": False}), "mean"),
        "ensemble": (settings, settings.aggregate),
    }
    found: Found = {"rows": [], "figures": {}}
    train = lab.pool("train")
    for who, liked in ANNOTATORS.items():
        lost: dict[str, list[float]] = {}
        for seed in seeds:
            rows_ = lab.draw_pairs(train, LABELS, seed)
            pairs = lab.label(train, rows_, liked(train, lab.gold(train)), NOISE, seed)
            for name, (of, how) in ways.items():
                ensemble = lab.train(pairs, of, seed)

                def proxy(
                    rollouts: Sequence[Rollout], ensemble: Any = ensemble, how: Any = how, k: float = of.k
                ) -> Floats:
                    return aggregate(lab.score(ensemble, rollouts), how, k)

                policies = optimise(lab, {"proxy": ensemble.fingerprint, "how": how, "k": of.k}, proxy, seed)
                curve = _curve(lab, policies, proxy)
                found["rows"] += [{"annotators": who, "seed": seed, "selected_by": name, **row} for row in curve]
                gold, promised = ([row[x] for row in curve] for x in ("gold", "proxy"))
                lost.setdefault(name, []).append(max(gold) - gold[int(np.argmax(promised))])
        single, several = (float(np.sum(lost[name])) for name in ("single", "ensemble"))
        key = who.replace(" ", "_")
        found["figures"] |= {
            f"dpo_lost_{key}_single": single / len(seeds),
            f"dpo_lost_{key}_ensemble": several / len(seeds),
        }
        if single > 0:
            name = "overoptimisation_ensemble_vs_single" + ("" if who == "noisy" else f"_{key}")
            found["figures"][name] = several / single
    return found


def _curve(lab: Lab, policies: Policies, proxy: Callable[[Sequence[Rollout]], Floats]) -> list[dict[str, float]]:
    return [
        {
            "turn": turn,
            "kl": float(policies.kl[turn].mean()),
            "proxy": float(proxy(a).mean()),
            "gold": float(lab.gold(a).mean()),
        }
        for turn, a in enumerate(policies.answers)
    ]


def _cost(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    found = cost(lab, settings)
    return {**found, "figures": {"train_five_vs_one": found["train_ratio"], "score_five_vs_one": found["score_ratio"]}}


def _trust(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    found = trust(lab, settings, seeds[0])
    here, there = found["in_distribution"], found["shifted"]
    figures = {
        "ece": here["calibration_error"],
        "ece_shifted": there["calibration_error"],
        "spread_auc": here["auc"]["uncertainty"],
        "margin_auc": here["auc"]["margin"],
        "flagged": here["flagged"]["share"],
        "errors_flagged_vs_rest": here["flagged"]["ratio"],
    }
    return {**found, "figures": figures}


def _labels(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    accuracy = by_choice(lab, settings, NOISE, seeds)
    gained = {way: (of[:, 1:] - 0.5).mean(axis=1) for way, of in accuracy.items()}
    figures = {
        f"{way}_vs_random": float(gained[way].mean() / gained["random"].mean()) for way in gained if way != "random"
    }
    return {"accuracy": {way: of.tolist() for way, of in accuracy.items()}, "figures": figures}


PARTS: dict[str, Callable[[Lab, Settings, Sequence[int]], Found]] = {
    "best-of": _best_of,
    "dpo": _dpo,
    "cost": _cost,
    "trust": _trust,
    "labels": _labels,
}
"""What is measured, by name."""
