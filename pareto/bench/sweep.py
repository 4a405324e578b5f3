"""``pareto bench sweep``: a sweep of weight settings against the plain TRL way, on the same comparisons.

Both ways train the same number of weight settings at the same weights and are measured on the same test
prompts with the same random numbers. Time for measuring is the same for both and left out of both. The
negative control is the base policy measured again under other random numbers: whatever hypervolume it
seems to gain over itself is luck.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.bench.hardware import hardware
from pareto.bench.plain import train_plain
from pareto.config import Recipe
from pareto.front.frame import Frame
from pareto.front.statistics import analyse, prompt_means
from pareto.frontier import read_frame
from pareto.measure import sample, score_rollouts
from pareto.models import Base
from pareto.objectives.load import load_reward
from pareto.preferences import compare
from pareto.recipe_file import read_recipe
from pareto.records import Prompt
from pareto.rollouts.pool import make_pool
from pareto.store.files import read_json
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_prompts
from pareto.sweep import sweep
from pareto.watch import Silent

SHARED_PHASES = ("load model and prompts", "roll out", "score the pool", "train")
"""What the sweep spends before and beside measuring."""


def bench_sweep(recipe_path: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Run both ways.

    Args:
        recipe_path: method dpo; every trial of it is one weight setting.
        say: told of progress, a line at a time.

    Returns:
        ``bench``, ``hardware``, ``seeds``, ``figures``, ``rows``.
    """
    recipe = read_recipe(recipe_path)
    with tempfile.TemporaryDirectory() as root:
        say(f"ours: {recipe.driver.trials} weight settings …")
        began = time.monotonic()
        result = sweep(recipe, root, None, Silent(say))
        total = time.monotonic() - began
        ours = {k: v for k, v in result["seconds"].items() if k in SHARED_PHASES}
        say(f"ours: {sum(ours.values()):.0f} s without measuring, {total:.0f} s with it")
        return _compare(recipe, Run.open(recipe.name, root), ours, say)


def _compare(recipe: Recipe, run: Run, ours: dict[str, float], say: Callable[[str], None]) -> dict[str, Any]:
    from pareto.inference.policy import open_policy

    frame = read_frame(run)
    prompts = read_prompts(run.path / "prompts.parquet")
    train = [p for p in prompts if p.split == "train"]
    test = [p for p in prompts if p.split == "test"]
    points = sorted((p for p in load_points(run) if p.trial is not None and p.split == "validation"), key=_number)
    live = open_policy(run, points[0])
    for p in points[1:]:
        for name, key in p.adapters.items():
            live.bank.add(name, run.adapters / key)
    mine = []
    for p in points:
        live.bank.merge(p.coefficients)
        mine.append(measured(live.base, recipe, test))
    live.bank.merge({})
    base = measured(live.base, recipe, test)
    again = measured(live.base, recipe, test, stream="again")
    tokens = sum(_tokens(run, p.adapters) for p in points)
    pool = make_pool(live.base, recipe, train, run.rollouts)
    rewards = [load_reward(o) for o in recipe.objectives]
    scores = frame.normalise(score_rollouts(recipe, rewards, train, pool).values)
    plain: dict[str, float] = {}
    theirs = []
    for i, p in enumerate(points):
        assert p.weights is not None
        comparisons = compare(pool, scores, list(p.weights.values()), recipe.training)
        model, spent = train_plain(recipe, train, pool, comparisons)
        for k, v in spent.items():
            plain[k] = plain.get(k, 0.0) + v
        say(f"plain: {i + 1} of {len(points)}, {spent['train']:.0f} s training, {spent['roll out']:.0f} s sampling")
        merged: Any = model.merge_and_unload()
        merged.eval()
        merged.__dict__.pop("forward", None)
        policy = Base(live.base.name, live.base.path, "", merged, live.base.tokenizer, live.base.device, "")
        theirs.append(measured(policy, recipe, test))
    return _report(recipe, frame, ours, plain, tokens, np.stack(mine), np.stack(theirs), base, again)


def measured(base: Base, recipe: Recipe, prompts: list[Prompt], stream: str = "bench") -> NDArray[np.float64]:
    """(prompts, m): every objective's mean over samples of the policy that ``base`` carries."""
    rewards = [load_reward(o) for o in recipe.objectives]
    values = score_rollouts(recipe, rewards, prompts, sample(base, recipe, prompts, stream)).values
    return prompt_means(values, recipe.evaluation.samples_per_prompt)


def _report(
    recipe: Recipe,
    frame: Frame,
    ours: dict[str, float],
    plain: dict[str, float],
    tokens: float,
    mine: NDArray[np.float64],
    theirs: NDArray[np.float64],
    base: NDArray[np.float64],
    again: NDArray[np.float64],
) -> dict[str, Any]:
    plain_tokens = plain.pop("tokens")
    ways = {"ours": mine, "plain TRL": theirs, "base": base[None], "base again": again[None]}
    found = {name: analyse(values, frame, seed=recipe.seed).hypervolume for name, values in ways.items()}
    total, plain_total = sum(ours.values()), sum(plain.values())
    count = len(mine)
    figures = {
        "speedup": plain_total / total,
        "hypervolume_ratio": found["ours"].value / found["plain TRL"].value,
        "hypervolume_ratio_control": found["base again"].value / found["base"].value,
        "seconds": total,
        "plain_seconds": plain_total,
        "seconds_per_adapter": ours["train"] / count,
        "plain_seconds_per_adapter": plain["train"] / count,
        "trained_tokens_per_second": tokens / ours["train"],
        "plain_trained_tokens_per_second": plain_tokens / plain["train"],
    }
    seconds = {"ours": ours, "plain TRL": plain}
    rows = [
        {
            "way": name,
            "hypervolume": found[name].value,
            "low": found[name].low,
            "high": found[name].high,
            "seconds": {k: round(v, 1) for k, v in seconds.get(name, {}).items()},
        }
        for name in ways
    ]
    return {"bench": "sweep", "hardware": hardware(), "seeds": [recipe.seed], "figures": figures, "rows": rows}


def _number(point: Any) -> int:
    return int(point.trial)


def _tokens(run: Run, adapters: dict[str, str]) -> float:
    """Tokens that the adapters were trained on, from the trainer's log."""
    total = 0.0
    for key in adapters.values():
        counts = [row["num_tokens"] for row in read_json(run.adapters / key / "log.json") if "num_tokens" in row]
        total += counts[-1] if counts else 0.0
    return total
