"""All measurements of reward models, part by part; what is finished is found again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import ttest_rel

from pareto.bench.hardware import hardware
from pareto.bench.rewards import labels
from pareto.bench.rewards.best_of import MIXED, best_of, kinds, rows, single
from pareto.bench.rewards.cost import cost
from pareto.bench.rewards.dpo import Policies, Proxy, answers_of, optimise
from pareto.bench.rewards.lab import Floats, Lab, likes_length
from pareto.bench.rewards.trust import trust
from pareto.config import Ensemble as Settings
from pareto.config import Head, suggest
from pareto.errors import ParetoError
from pareto.objectives.ensemble.scores import aggregate
from pareto.recipe_file import read_recipe
from pareto.records import Rollout

LABELS, NOISE = 300, 0.25
"""Comparisons that single model and ensembles learn from, and the share that is labelled wrong."""
DECAY = 0.01
"""Weight decay where over-optimisation is measured: torch's for AdamW, as most reward models are trained. Ours by
default is chosen by cross-validation, which is measured beside it."""
CHOSEN = "noisy, decay chosen"
OWN = 4
"""Completions of the current policy to each prompt, on which refitted and frozen reward models are compared."""
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
    kind = _best_kind(lab, settings, seeds)
    found: Found = {"best_single": kind, "figures": {}}
    for name, who, decay in (*((who, who, DECAY) for who in ANNOTATORS), (CHOSEN, "noisy", None)):
        of = settings.model_copy(update={"weight_decay": decay})
        curves = best_of(lab, ANNOTATORS[who], LABELS, NOISE, of, seeds)
        found[name] = rows(curves)
        sides = {"single": (kind, "single"), "ensemble": (kind, of.aggregate), "mixed": (MIXED, of.aggregate)}
        lost = {side: [c.loss() for c in curves[at]] for side, at in sides.items()}
        found["figures"] |= _lost("best_of", name, lost)
        found["figures"] |= _saved("overoptimisation_ensemble_vs_single", name, lost["single"], lost["ensemble"])
    return found


def _best_kind(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Head:
    """The kind of head whose single model is right most often about held-out prompts: whom one would choose."""
    train, held_out = lab.pool("train"), lab.pool("held_out")
    gold, tested = lab.gold(held_out), lab.draw_pairs(held_out, labels.TESTED, 0)
    right: dict[Head, float] = {}
    for kind in kinds(settings):
        right[kind] = 0.0
        for seed in seeds:
            pairs = lab.label(train, lab.draw_pairs(train, LABELS, seed), lab.gold(train), NOISE, seed)
            model = lab.train(pairs, single(settings, kind), seed)
            right[kind] += labels.gold_accuracy(lab, model, held_out, tested, gold)
    return max(right, key=lambda kind: right[kind])


def _dpo(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    kind = _best_kind(lab, settings, seeds)
    found: Found = {"best_single": kind, "rows": [], "figures": {}}
    for who in ANNOTATORS:
        lost: dict[str, list[float]] = {}
        # A seed of the control takes as long as one of the rest, and one says what there is to say.
        for seed in seeds if who == "noisy" else seeds[:1]:
            for name, of in _ways(settings, kind).items():
                policies, proxy = _optimised(lab, of, seed, who)
                curve = _curve(lab, policies, proxy)
                found["rows"] += [{"annotators": who, "seed": seed, "selected_by": name, **row} for row in curve]
                gold, promised = ([row[x] for row in curve] for x in ("gold", "proxy"))
                lost.setdefault(name, []).append(max(gold) - gold[int(np.argmax(promised))])
        found["figures"] |= _lost("dpo", who, lost)
        found["figures"] |= _saved("dpo_overoptimisation_ensemble_vs_single", who, lost["single"], lost["ensemble"])
    return found


def _ways(settings: Settings, kind: Head) -> dict[str, Settings]:
    """Whom DPO is run against: a ``single`` model of a kind, and an ``ensemble`` of that kind."""
    several = settings.model_copy(update={"head": kind, "weight_decay": DECAY})
    return {"single": single(several, kind).model_copy(update={"aggregate": "mean"}), "ensemble": several}


def _optimised(lab: Lab, settings: Settings, seed: int, who: str) -> tuple[Policies, Proxy]:
    """Policies of DPO against reward models that learnt from an annotator's labels, and the proxy that they are."""
    train = lab.pool("train")
    liked = ANNOTATORS[who](train, lab.gold(train))
    pairs = lab.label(train, lab.draw_pairs(train, LABELS, seed), liked, NOISE, seed)
    ensemble, how, k = lab.train(pairs, settings, seed), settings.aggregate, settings.k

    def proxy(rollouts: Sequence[Rollout]) -> Floats:
        return aggregate(lab.score(ensemble, rollouts), how, k)

    return optimise(lab, {"proxy": ensemble.fingerprint, "how": how, "k": k}, proxy, seed), proxy


def _curve(lab: Lab, policies: Policies, proxy: Proxy) -> list[dict[str, float]]:
    return [
        {
            "turn": turn,
            "kl": float(policies.kl[turn].mean()),
            "proxy": float(proxy(a).mean()),
            "gold": float(lab.gold(a).mean()),
        }
        for turn, a in enumerate(policies.answers)
    ]


def _lost(part: str, who: str, lost: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Mean loss of gold to over-optimisation, by who selected."""
    return {f"{part}_lost_{_key(who)}_{name}": float(np.mean(of)) for name, of in lost.items()}


def _saved(name: str, who: str, single: Sequence[float], several: Sequence[float]) -> dict[str, float]:
    """The share of the single model's loss that several have; no figure where it lost nothing."""
    suffix = "" if who == "noisy" else f"_{_key(who)}"
    return {name + suffix: float(np.sum(several) / np.sum(single))} if np.sum(single) > 0 else {}


def _key(words: str) -> str:
    return words.replace(",", "").replace(" ", "_")


def _cost(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    found = cost(lab, settings)
    figures = {
        f"{work}_{name}_vs_one": found[f"{work}_ratio"][side]
        for work in ("train", "score")
        for name, side in (("five", "several"), ("kinds", MIXED))
    }
    return {**found, "figures": figures}


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
    accuracy = labels.by_choice(lab, settings, NOISE, seeds)
    learnt = {way: of[:, 1:].mean(axis=1) for way, of in accuracy.items()}
    above_chance = {way: float(of.mean() - 0.5) for way, of in learnt.items()}
    others = [way for way in accuracy if way != "random"]
    figures = {f"{way}_vs_random": above_chance[way] / above_chance["random"] for way in others}
    return {
        "budgets": list(labels.BUDGETS),
        "accuracy": {way: of.tolist() for way, of in accuracy.items()},
        "over_random": {way: _paired(learnt[way], learnt["random"]) for way in others},
        "figures": figures,
    }


def _refit(lab: Lab, settings: Settings, seeds: Sequence[int]) -> Found:
    kind = _best_kind(lab, settings, seeds[:1])
    policies, _ = _optimised(lab, _ways(settings, kind)["ensemble"], seeds[0], "noisy")
    train, test = (answers_of(lab, policies, lab.asked(role), OWN, f"own-{role}") for role in ("train", "many"))
    found = labels.frozen_or_refitted(lab, settings, NOISE, seeds, train, test)
    frozen, more, refitted = (np.array(found[name]) for name in ("frozen", "more", "refitted"))
    return {
        "accuracy": found,
        "over_frozen": {"more": _paired(more, frozen), "refitted": _paired(refitted, frozen)},
        "figures": {"refitted_better_share": float((refitted > frozen).mean())},
    }


def _paired(ours: Floats, theirs: Floats) -> dict[str, float]:
    """Mean difference over the seeds with its 95 % t interval."""
    interval = ttest_rel(ours, theirs).confidence_interval(0.95)
    return {"mean": float((ours - theirs).mean()), "low": float(interval.low), "high": float(interval.high)}


PARTS: dict[str, Callable[[Lab, Settings, Sequence[int]], Found]] = {
    "best-of": _best_of,
    "dpo": _dpo,
    "cost": _cost,
    "trust": _trust,
    "labels": _labels,
    "refit": _refit,
}
"""What is measured, by name."""
