"""Which answer is the best: priorities first, then failures, then the utility."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.choice.levels import parse_levels
from pareto.choice.standing import keep
from pareto.config import Level, Objective, Recipe
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.inference.best_of.scoring import Judge, Scored
from pareto.objectives.load import Reward
from pareto.records import Prompt
from pareto.store.files import write_json
from pareto.store.run import Run

NAN = float("nan")
FRAME = Frame(("vowels", "length"), (1.0, -1.0), (0.4, 10.0), (0.2, 5.0), (-1.0, -1.0))
PROMPT = Prompt("p", "Hello?", "asked")


def vowels(completions, **columns):
    if any("boom" in c for c in completions):
        raise RuntimeError("boom\nboom")
    return [None if not c else sum(x in "aeiou" for x in c) / len(c) for c in completions]


def length(completions, completion_ids, **columns):
    return [float("inf") if c == "endless" else len(ids) for c, ids in zip(completions, completion_ids, strict=True)]


REWARDS = (Reward("vowels", 1, (0, 1), vowels), Reward("length", -1, (0, math.inf), length))


def judge(weights=(0.5, 0.5), text="") -> Judge:
    return Judge(REWARDS, FRAME, weights, parse_levels(text, FRAME.objectives))


def best(texts: list[str], weights=(0.5, 0.5), text="") -> str:
    scored = judge(weights, text).score(PROMPT, texts, [range(len(t)) for t in texts], 40)
    return texts[judge(weights, text).rank(scored).chosen]


def test_utility_is_the_weighted_sum_of_base_standard_deviations() -> None:
    scored = judge().score(PROMPT, ["aabb", "bbbbb"], [(1,) * 20, (1,) * 5], 40)
    np.testing.assert_allclose(scored.values, [[0.5, 20], [0, 5]])
    ranked = judge((0.25, 0.75)).rank(scored)
    # By hand: ¼·(0.5 − 0.4)/0.2 − ¾·(20 − 10)/5 and ¼·(0 − 0.4)/0.2 − ¾·(5 − 10)/5.
    np.testing.assert_allclose(ranked.utility, [0.125 - 1.5, -0.5 + 0.75])
    assert ranked.chosen == 1


def test_weights_decide_and_of_equals_the_first() -> None:
    assert best(["aaaaaaaa", "b"], (1, 0)) == "aaaaaaaa"
    assert best(["aaaaaaaa", "b"], (0, 1)) == "b"
    assert best(["ab", "ba"]) == "ab"


def test_a_reward_that_fails_on_an_answer_costs_that_answer_alone() -> None:
    texts = ["aaaa boom", "bbbb", "endless"]
    scored = judge().score(PROMPT, texts, [range(4)] * 3, 40)
    assert [list(f) for f in scored.failures] == [["vowels"], [], ["length"]]
    assert scored.failures[0]["vowels"] == "raised RuntimeError: boom boom"
    assert scored.failures[2]["length"] == "returned inf"
    assert judge().rank(scored).chosen == 1


def test_where_a_reward_fails_on_every_answer_the_rest_decide() -> None:
    assert best(["boom boom", "boom"]) == "boom"
    assert best(["boom"]) == "boom"


def test_a_failure_of_what_has_no_weight_costs_nothing() -> None:
    assert best(["boom", "aaaaaaaaaa"], (0, 1)) == "boom"
    assert best(["boom", "aaaaaaaaaa"], (0, 1), "vowels>=0.1") == "aaaaaaaaaa"


def test_a_priority_stands_above_failures_and_utility() -> None:
    assert best(["aaaaaaaa", "abcd"], (1, 0)) == "aaaaaaaa"
    assert best(["aaaaaaaa", "abcd"], (1, 0), "length<=5") == "abcd"
    assert best(["a boom", "aaaaaaaaaaaaaaaaaaaa"], (1, 0), "length<=10") == "a boom"


def test_an_answer_gains_nothing_by_escaping_a_measure() -> None:
    frame_mean_is_better = ["", "bb", "ab"]  # the first has no share of vowels at all, and the base's mean is 0.4
    assert best(frame_mean_is_better, (1, 0)) == "ab"
    scored = Scored(np.array([[NAN, 5.0], [0.1, 10.0]]), ({}, {}))
    np.testing.assert_allclose(judge().rank(scored).utility, [0.5 * -1.5 + 0.5 * 1, 0.5 * -1.5])


def test_what_applies_to_no_answer_is_left_out() -> None:
    scored = Scored(np.array([[NAN, 5.0], [NAN, 10.0]]), ({}, {}))
    np.testing.assert_allclose(judge().rank(scored).utility, [0.5, 0.0])


values = st.floats(0, 1) | st.just(NAN)


@given(st.lists(st.tuples(values, st.floats(0, 40), st.booleans()), min_size=1, max_size=10), st.floats(0, 1))
def test_no_breaker_and_no_failure_is_returned_while_there_is_another(rows, least) -> None:
    failures = tuple({"length": "raised"} if failed else {} for *_, failed in rows)
    table = np.array([[v, NAN if failed else n] for v, n, failed in rows])
    ranked = judge(text=f"vowels>={least!r}").rank(Scored(table, failures))
    keepers = [i for i in range(len(rows)) if not table[i, 0] < least - 1e-8 and not math.isnan(table[i, 0])]
    if np.isnan(table[:, 0]).all():
        keepers = list(range(len(rows)))
    if keepers:
        assert ranked.chosen in keepers
        assert ranked.broken[ranked.chosen] is None
        sound = [i for i in keepers if not failures[i]]
        if sound:
            assert ranked.utility[ranked.chosen] == max(ranked.utility[i] for i in sound)
            assert ranked.chosen in sound
    assert np.isfinite(ranked.utility).all()


RECIPE = {
    "name": "made",
    "model": {"base": "tiny-random"},
    "prompts": {"sources": [{"packaged": "sums"}]},
    "objectives": [
        {"name": "short", "reward": "concise"},
        {"name": "length", "reward": "length"},
        {"name": "vowels", "reward": "sweeps.rewards:vowels"},
    ],
    "priorities": [{"objective": "short", "at_least": 0.2}],
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = Run.create(tmp_path, Recipe.model_validate(RECIPE))
    frame = Frame(("short", "length", "vowels"), (1.0, -1.0, 1.0), (0.5, 9.0, 0.3), (0.1, 3.0, 0.1), (-1.0,) * 3)
    write_json(made.path / "frame.json", frame.to_json())
    return made


def test_a_run_s_judge_has_its_frame_its_standing_priorities_and_even_weights(run: Run) -> None:
    made = Judge.of(run)
    assert [r.name for r in made.rewards] == ["short", "length", "vowels"]
    assert made.weights == (1 / 3,) * 3
    assert made.frame.centre == (0.5, 9.0, 0.3)
    assert made.levels == run.recipe.priorities
    keep(run, [Level(objectives=("length",), at_most=5)])
    assert Judge.of(run).levels[0].at_most == 5
    assert Judge.of(run, levels=()).levels == ()


def test_a_threshold_on_the_wrong_side_is_refused(run: Run) -> None:
    with pytest.raises(ParetoError, match="length"):
        Judge.of(run, levels=[Level(objectives=("length",), at_least=5)])


def test_an_aggregation_without_an_ensemble_is_refused(run: Run) -> None:
    with pytest.raises(ParetoError, match=r"--aggregate min: no objective of run 'made' is scored by an ensemble"):
        Judge.of(run, aggregate="min")


def test_the_aggregation_is_asked_of_ensembles_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    objectives = [Objective(name="kind", reward="ensemble:there"), Objective(name="short", reward="concise")]
    recipe = run.recipe.model_copy(update={"objectives": tuple(objectives)})
    monkeypatch.setitem(run.__dict__, "recipe", recipe)
    asked = []

    def load(objective, home):
        asked.append((objective.name, objective.options, home))
        return Reward(objective.name, 1, (0, 1), vowels)

    monkeypatch.setattr("pareto.inference.best_of.scoring.load_reward", load)
    Judge.of(run, aggregate="lcb", levels=())
    Judge.of(run, levels=())
    assert [options for _, options, _ in asked] == [{"aggregate": "lcb"}, {}, {}, {}]
    assert {home for *_, home in asked} == {run.path}


def test_the_fingerprint_follows_everything_that_decides(run: Run, tmp_path: Path) -> None:
    told = {
        Judge.of(run).fingerprint,
        Judge.of(run, (1, 0, 0)).fingerprint,
        Judge.of(run, levels=()).fingerprint,
        Judge.of(run, levels=[Level(objectives=("short",), at_least=0.3)]).fingerprint,
    }
    assert len(told) == 4
    assert "" not in told
    assert Judge.of(run).fingerprint in told
    # A reward whose code cannot be found has no name.
    assert Judge(REWARDS, FRAME, (0.5, 0.5)).fingerprint == ""
