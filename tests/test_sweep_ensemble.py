"""An ensemble of reward models as an objective of a sweep, beside a rule."""

from __future__ import annotations

import json
from pathlib import Path

from forge import Forge, smoke_recipe

from pareto.config import Ensemble, Model
from pareto.objectives.ensemble.ensemble import Ensemble as Opened
from pareto.preferences.annotation.review import ReviewQueue
from pareto.records import Pair
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.training.rewards.train import train_ensemble


def test_an_ensemble_is_swept_like_any_reward_and_what_it_doubts_waits_for_review(forge: Forge, tmp_path: Path) -> None:
    pairs = [Pair(f"Say {i}.", f"a {i % 7} e {j}", f"x {i % 5} z {j}") for i in range(24) for j in range(2)]
    tiny = Model(base="tiny-random")
    made = train_ensemble(
        "vowels", pairs, Ensemble(steps=40), tiny, tmp_path / "vowels-ensemble", cache=tmp_path / "cache"
    )
    objectives = [
        {"name": "vowels", "reward": f"ensemble:{made.path}", "options": {"aggregate": "mean"}},
        {"name": "digits", "reward": "sweeps.rewards:digits", "range": [0, 1]},
    ]
    recipe = smoke_recipe(tmp_path, name="learnt", objectives=objectives, driver={"trials": 2}, soups={"count": 1})
    ended = forge.run("sweep", recipe, "--root", tmp_path / "runs", "--json")
    assert ended.json()["trials"] == 2
    run = Run.open("learnt", tmp_path / "runs")
    assert {p.id for p in load_points(run)} >= {"base", "expert-vowels", "expert-digits", "soup-0"}
    waiting = ReviewQueue(run.path / "review").waiting
    assert waiting
    assert all(item.spread > made.calibration.spread_threshold for item in waiting)
    first = waiting[0]
    again = Opened.open(made.path).score([first.prompt], [first.completion])
    assert again.members[0].tolist() == [*map(float, first.scores)] or abs(again.spread[0] - first.spread) < 1e-4
    chosen = forge.run("choose", "learnt", "--root", tmp_path / "runs", "--json")
    assert json.loads(chosen.out)
