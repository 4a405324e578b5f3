"""What the best of n gains, by the objective itself and by a conservative ensemble, with gold beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pareto.bench.inference.ground import Found, Ground
from pareto.bench.inference.intervals import Floats, figures, mean
from pareto.bench.rewards.bench import CHOSEN, DECAY, LABELS, NOISE
from pareto.bench.rewards.best_of import COUNTS
from pareto.bench.rewards.lab import SAMPLES, Lab
from pareto.config import Aggregation, Objective
from pareto.inference.adaptive.curve import best_of_curve, selected_curve
from pareto.inference.adaptive.kl import best_of_kl
from pareto.measure import score_rollouts
from pareto.objectives.ensemble.scores import aggregate
from pareto.objectives.load import load_reward
from pareto.records import Rollout

WAY: Aggregation = "min"
"""How the conservative ensemble selects."""
DECAYS = {CHOSEN: None, "noisy": DECAY}
"""Of the ensembles: as the tool trains them, and the one at which over-optimisation is measured."""


def best_of_n(ground: Ground) -> Found:
    """Curves over n on prompts that nothing was chosen on, each in base standard deviations.

    Returns:
        ``objective``: selected by it and measured by it; gold measures of the same selection by name; ``ensemble``:
        for each weight decay, what it promises and what the objective, its gold, says; ``warning`` where its best of
        64 is worse than its best of 8.
    """
    lab, many = ground.lab, ground.lab.pool("many")
    utility = lab.gold(many).reshape(-1, SAMPLES["many"])
    measures = _gold_measures(lab, many)
    curves = {
        "objective": best_of_curve(utility, COUNTS),
        **{name: selected_curve(utility, of.reshape(utility.shape), COUNTS) for name, of in measures.items()},
    }
    told = {name: _told(curve) for name, curve in curves.items()}
    liked = lab.gold(lab.pool("train"))
    ensembles = {name: _ensemble(ground, many, utility, liked, decay) for name, decay in DECAYS.items()}
    gain = {f"best_of_{n}_{name}_gain": of[f"{n}_over_1"] for name, of in told.items() for n in (8, 64)}
    over = ensembles[CHOSEN]["gold"]["64_over_8"]
    found = {k: v for name, of in gain.items() for k, v in figures(name, of).items()}
    return {
        "prompts": len(utility),
        "n": list(COUNTS),
        "kl": [best_of_kl(n) for n in COUNTS],
        "selected_by_objective": told,
        "ensemble": ensembles,
        "figures": {**found, **figures("ensemble_best_of_64_over_8", over)},
    }


def _ensemble(ground: Ground, many: Sequence[Rollout], gold: Floats, liked: Floats, decay: float | None) -> Found:
    """Means over seeds of labels and members; intervals over prompts.

    Args:
        ground: whose base answered.
        many: answers that are selected from.
        gold: theirs, (prompts, samples).
        liked: gold of the answers that are labelled.
        decay: of the ensemble's weights; ``None``: chosen by cross-validation.
    """
    lab, train = ground.lab, ground.lab.pool("train")
    settings = lab.recipe.rounds.ensemble.model_copy(update={"aggregate": WAY, "weight_decay": decay})
    proxies, golds = [], []
    for seed in ground.seeds:
        ground.say(f"best of n by an ensemble: seed {seed}")
        pairs = lab.label(train, lab.draw_pairs(train, LABELS, seed), liked, NOISE, seed)
        members = lab.score(lab.train(pairs, settings, seed), many)
        proxy = aggregate(members, WAY, settings.k).reshape(gold.shape)
        proxies.append(best_of_curve(proxy, COUNTS))
        golds.append(selected_curve(proxy, gold, COUNTS))
    told = {"proxy": _told(np.mean(proxies, axis=0)), "gold": _told(np.mean(golds, axis=0))}
    lost = told["gold"]["64_over_8"]
    warning = None
    if lost["value"] < 0:
        sure = "surely" if lost["high"] < 0 else "perhaps by chance"
        warning = f"gold of the best of 64 is {-lost['value']:.3f} below that of the best of 8, {sure}: draw fewer"
        ground.say(f"warning: {warning}")
    return {**told, "warning": warning}


def _told(curve: Floats) -> Found:
    """A curve (prompts, counts) as means, and its gains between counts with paired intervals."""
    at = {n: curve[:, k] for k, n in enumerate(COUNTS)}
    return {
        "mean": curve.mean(axis=0).tolist(),
        "8_over_1": mean(at[8] - at[1]),
        "64_over_1": mean(at[64] - at[1]),
        "64_over_8": mean(at[64] - at[8]),
    }


def _gold_measures(lab: Lab, rollouts: Sequence[Rollout]) -> Mapping[str, Floats]:
    """The recipe's gold of each completion, (n,), in standard deviations; fluency as log p per token."""
    made = {"fluency": np.array([r.logp / max(1, len(r.token_ids)) for r in rollouts])}
    rewards = [load_reward(Objective(name=name, reward=name)) for name in lab.recipe.gold if name not in (*made, "kl")]
    if rewards:
        values = score_rollouts(lab.recipe, rewards, list(lab.prompts.values()), rollouts).values
        made |= {r.name: r.sign * values[:, k] for k, r in enumerate(rewards)}
    return {name: (of - of.mean()) / (of.std() or 1.0) for name, of in made.items() if np.isfinite(of).all()}
