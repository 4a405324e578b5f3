"""Run the comparison: per seed one sweep with the driver ``adaptive``, then every other method on what it made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np

from pareto.bench.hardware import hardware
from pareto.bench.methods import controls, ours, rewarded_soups
from pareto.bench.methods.bone_soup import bone_soup
from pareto.bench.methods.compare import judge, ratio, rows
from pareto.bench.methods.lab import Lab, Method
from pareto.bench.methods.mod import mod
from pareto.bench.methods.modpo import modpo
from pareto.bench.methods.morlhf import morlhf
from pareto.campaign import Campaign
from pareto.config import Recipe, suggest
from pareto.engines.engine import Engine
from pareto.engines.inline import Inline
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.store.run import Run
from pareto.sweep import sweep
from pareto.watch import Silent
from pareto.workbench import Workbench

FIGURES = {
    "map_vs_rewarded_soups": ("map", "rewarded_soups"),
    "map_vs_rewarded_soups_exact": ("map", "rewarded_soups_exact"),
    "map_vs_morlhf": ("map", "morlhf"),
    "map_vs_modpo": ("map", "modpo"),
    "map_vs_mod": ("map", "mod"),
    "map_vs_bone_soup": ("map", "bone_soup"),
    "map_vs_random_box": ("map", "random_box"),
    "adaptive_vs_morlhf": ("adaptive", "morlhf"),
    "adaptive_vs_map": ("adaptive", "map"),
    "control_again": ("again", "rewarded_soups_exact"),
}
"""Figure → the methods whose hypervolumes it is the ratio of."""


METHODS = tuple(dict.fromkeys(key for pair in FIGURES.values() for key in pair))


def bench_methods(
    recipe_path: Path,
    methods: Sequence[str],
    seeds: Sequence[int],
    root: Path,
    say: Callable[[str], None],
    engine: Engine | None = None,
) -> dict[str, Any]:
    """Compare the methods, seed by seed; what is finished is found again.

    Args:
        recipe_path: method dpo, driver adaptive.
        methods: of ``METHODS``; figures of others are left out.
        seeds: each a run of its own, ``<name>-<seed>``: prompts' split, pool, A and training all change with it.
        root: folder of runs, where everything is kept.
        say: told of progress, a line at a time.
        engine: carries the sweeps and the adapters of ``morlhf``; default, and all the rest: this process.

    Returns:
        ``bench``, ``hardware``, ``date``, ``seeds``, ``figures``, ``intervals`` of them, ``rows`` (one per seed and
        method).
    """
    recipe = read_recipe(recipe_path)
    if recipe.driver.family != "adaptive":
        raise ParetoError(f"{recipe_path}: driver.family: the comparison needs adaptive, which gives the map its looks")
    for name in methods:
        if name not in METHODS:
            raise ParetoError(f"--methods: no '{name}'; {suggest(name, METHODS)}")
    found = {seed: _one_seed(recipe, methods, seed, root, say, engine) for seed in seeds}
    by_method = {key: [found[seed][key] for seed in seeds] for key in methods}
    known = {name: pair for name, pair in FIGURES.items() if by_method.keys() >= set(pair)}
    ratios = {name: ratio(by_method[a], by_method[b]) for name, (a, b) in known.items()}
    figures = {name: r.value for name, r in ratios.items()}
    steps = {key: float(np.mean([r["steps"] for r in of])) for key, of in by_method.items()}
    if "morlhf" in steps:
        shares = {"map": "training_share_of_morlhf", "adaptive": "adaptive_training_share_of_morlhf"}
        figures |= {name: steps[key] / steps["morlhf"] for key, name in shares.items() if key in steps}
    return {
        "bench": "methods",
        "hardware": hardware(),
        "date": date.today().isoformat(),
        "seeds": list(seeds),
        "figures": figures,
        "intervals": {name: [r.low, r.high] for name, r in ratios.items()},
        "rows": [
            {"key": key, "seed": seed} | {k: v for k, v in row.items() if k != "draws"}
            for seed in seeds
            for key, row in found[seed].items()
        ],
    }


def _one_seed(
    recipe: Recipe,
    methods: Sequence[str],
    seed: int,
    root: Path,
    say: Callable[[str], None],
    engine: Engine | None,
) -> dict[str, dict[str, Any]]:
    """Method's key → its row."""
    recipe = recipe.model_copy(update={"seed": seed, "name": f"{recipe.name}-{seed}"})
    say(f"seed {seed}: experts, map and adaptive")
    watch = Silent(say)
    sweep(recipe, root, None, watch, engine=engine)
    run = Run.open(recipe.name, root)
    lab = Lab(Workbench.open(run, watch))
    # The one that trains most; the lab finds what is made.
    if not (engine is None or isinstance(engine, Inline)) and "morlhf" in methods:
        campaign = Campaign.open(run, watch, engine, processes=recipe.engine.together)
        campaign.pool()
        campaign.dispatch.all([campaign.trial(w, {}, {}, f"morlhf {w}") for w in lab.lattice])
    looked = ours.searched(lab)
    simplex = rewarded_soups.exact(lab)
    makers: dict[str, Callable[[], Method]] = {
        "map": lambda: looked,
        "adaptive": lambda: ours.adaptive(lab),
        "rewarded_soups": lambda: rewarded_soups.published(lab),
        "rewarded_soups_exact": lambda: simplex,
        "morlhf": lambda: morlhf(lab),
        "modpo": lambda: modpo(lab),
        "bone_soup": lambda: bone_soup(lab),
        "mod": lambda: mod(lab),
        "random_box": lambda: controls.random_box(lab, len(looked.entries), 1.5),
        "again": lambda: controls.again(lab, simplex),
    }
    judged = {}
    for key in methods:
        judged[key] = judge(lab, makers[key]())
        say(f"seed {seed}: {judged[key].method.name} measured")
    return dict(zip(judged, rows(lab, list(judged.values())), strict=True))
