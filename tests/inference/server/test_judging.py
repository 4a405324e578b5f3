"""What rewards say of served answers, with an ensemble whose members are made up."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import stdev
from types import SimpleNamespace
from typing import Any

import frontier_runs as runs
import numpy as np
import pytest

from pareto.choice.levels import parse_levels
from pareto.inference.server.judging import Judging
from pareto.inference.server.places import Place
from pareto.objectives.ensemble.reward import EnsembleReward
from pareto.objectives.ensemble.scores import EnsembleScores
from pareto.objectives.load import Reward


@dataclass
class Row:
    """As the engine has it."""

    text: str
    tokens: list[int] = field(default_factory=list)


def row(text: str) -> Row:
    return Row(text, list(range(len(text))))


def place(weights: dict[str, float] | None, rules: str = "") -> Place:
    return Place("made", {}, weights, None, {}, "", parse_levels(rules, runs.NAMES))


@pytest.fixture(scope="module")
def judging(tmp_path_factory: pytest.TempPathFactory) -> Judging:
    return Judging.of(runs.make(tmp_path_factory.mktemp("judged")))


def doubtful(members: dict[str, list[float]]) -> EnsembleReward:
    """An ensemble that gives these scores, and doubts a spread above 1."""

    def score(prompts: Any, completions: Any) -> EnsembleScores:
        return EnsembleScores(np.array([members[c] for c in completions]))

    made = EnsembleReward.__new__(EnsembleReward)
    made.__name__, made.flagged, made._how = "kind", [], (None, None)
    made.ensemble = SimpleNamespace(  # type: ignore[assignment]
        size=len(next(iter(members.values()))),
        calibration=SimpleNamespace(spread_threshold=1.0),
        score=score,
        reward=lambda scores, *how: scores.aggregate("mean"),
    )
    return made


def test_the_best_follows_the_weights_of_the_place(judging: Judging) -> None:
    rows = [row("aeiouaeiou"), row("b"), row("xxxx")]
    for weights, wanted in (({"kind": 1.0, "words": 0.0}, 0), ({"kind": 0.0, "words": 1.0}, 1)):
        chosen, told = judging.best(place(weights), "Hello?", rows)  # type: ignore[arg-type]
        assert chosen == wanted
        assert [t["scores"]["kind"] for t in told] == [1.0, 0.0, 0.0]
        assert [t["failures"] for t in told] == [{}, {}, {}]
    # By hand, equal weights: ½·(1 − 0.5)/0.2 − ½·(words − 20)/5.
    _, told = judging.best(place(None), "Hello?", rows[:1])  # type: ignore[arg-type]
    words = told[0]["scores"]["words"]
    assert words is not None
    assert told[0]["utility"] == pytest.approx(0.5 * 0.5 / 0.2 - 0.5 * (words - 20) / 5)


def test_priorities_of_the_place_come_before_its_weights(judging: Judging) -> None:
    rows = [row("aeiouaeiou"), row("bbbbb")]
    chosen, told = judging.best(place({"words": 1.0}, "kind>=0.5@mean"), "Hello?", rows)  # type: ignore[arg-type]
    assert chosen == 0
    assert told[0]["broken"] is None
    assert "kind" in (told[1]["broken"] or "")


def test_an_ensemble_tells_its_spread_and_what_it_doubts(judging: Judging) -> None:
    members = {"sure": [1.0, 1.2], "unsure": [-2.0, 4.0]}
    rewards = (Reward("kind", 1, (-np.inf, np.inf), doubtful(members)), judging.judge.rewards[1])
    with_ensemble = replace(judging, judge=replace(judging.judge, rewards=rewards))
    sure, unsure = (with_ensemble.rewards("Hello?", row(text)) for text in members)  # type: ignore[arg-type]
    assert sure["kind"] == {"value": pytest.approx(1.1), "spread": pytest.approx(stdev([1.0, 1.2])), "flagged": False}
    assert unsure["kind"] == {"value": -2.0, "spread": pytest.approx(stdev([-2.0, 4.0])), "flagged": True}
    assert unsure["words"] == {"value": pytest.approx(5, abs=1), "spread": None, "flagged": False}
    chosen, told = with_ensemble.best(place({"kind": 1.0}), "Hello?", [row("unsure"), row("sure")])  # type: ignore[arg-type]
    assert (chosen, told[0]["scores"]["kind"]) == (1, -2.0)


def test_members_are_asked_once_for_score_and_spread(judging: Judging) -> None:
    asked: list[list[str]] = []
    ensemble = doubtful({"unsure": [-2.0, 4.0]})
    scores = ensemble.ensemble.score
    ensemble.ensemble.score = lambda prompts, completions: asked.append(completions) or scores(prompts, completions)
    rewards = (Reward("kind", 1, (-np.inf, np.inf), ensemble), judging.judge.rewards[1])
    told = replace(judging, judge=replace(judging.judge, rewards=rewards)).rewards("Hello?", row("unsure"))  # type: ignore[arg-type]
    assert (told["kind"]["value"], told["kind"]["flagged"]) == (-2.0, True)
    assert asked == [["unsure"]]
    assert ensemble.flagged == []


def test_one_reward_model_alone_disagrees_with_nobody(judging: Judging) -> None:
    rewards = (Reward("kind", 1, (-np.inf, np.inf), doubtful({"x": [1.0]})), judging.judge.rewards[1])
    alone = replace(judging, judge=replace(judging.judge, rewards=rewards))
    assert alone.rewards("Hello?", row("x"))["kind"] == {"value": 1.0, "spread": None, "flagged": False}  # type: ignore[arg-type]


def test_a_reward_that_breaks_or_says_nothing_is_told_as_no_number(judging: Judging) -> None:
    def broken(**columns: Any) -> list[float | None]:
        raise RuntimeError("no")

    rewards = (
        Reward("kind", 1, (0, 1), broken),
        Reward("words", -1, (0, 9), lambda completions, **c: [None] * len(completions)),
    )
    poor = replace(judging, judge=replace(judging.judge, rewards=rewards))
    told = poor.rewards("Hello?", row("x"))  # type: ignore[arg-type]
    assert [t["value"] for t in told.values()] == [None, None]
    chosen, told_of_all = poor.best(place(None), "Hello?", [row("x"), row("y")])  # type: ignore[arg-type]
    assert chosen == 0
    assert told_of_all[0]["failures"] == {"kind": "raised RuntimeError: no"}


def test_rewards_serve_one_thread_at_a_time(judging: Judging) -> None:
    inside, most = [0], [0]

    def alone(completions: Any, **columns: Any) -> list[float | None]:
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        time.sleep(0.005)
        inside[0] -= 1
        return [0.5] * len(completions)

    rewards = (Reward("kind", 1, (0, 1), alone), judging.judge.rewards[1])
    shared = replace(judging, judge=replace(judging.judge, rewards=rewards))
    # Two of them, as a server with a candidate of other rewards would have: the encoder is the same.
    other = replace(shared, most_tokens=3)
    jobs = [
        threading.Thread(target=lambda j=j: [j.rewards("Hello?", row("x")) for _ in range(5)]) for j in (shared, other)
    ]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert most == [1]


def test_lengths_are_held_against_the_length_that_the_run_was_measured_with(tmp_path: Path) -> None:
    run = runs.make(tmp_path, objectives=[{"name": "kind", "reward": "concise"}, {"name": "words", "reward": "length",
                                           "direction": "minimize", "range": [0, 40]}])  # fmt: skip
    told = Judging.of(run).rewards("Hello?", Row("x", [1, 2, 3, 4]))  # type: ignore[arg-type]
    assert told["kind"]["value"] == pytest.approx(1 - 3 / 12)
