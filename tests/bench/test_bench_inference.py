"""The bench of compute at inference on a small ground: the tiny model, solutions written by rule."""

from __future__ import annotations

import json
import math
import random
from collections import Counter

import numpy as np
import prompted_runs
import pytest
from forge import ROOT
from hypothesis import given
from hypothesis import strategies as st

from pareto.bench.inference.bench import bench_inference
from pareto.bench.inference.keeping import near_duplicates
from pareto.bench.inference.kept import answers
from pareto.bench.inference.picture import inference_picture
from pareto.bench.inference.sizes import QUICK, quick
from pareto.bench.inference.supervising import at_the_end, every_step, every_third, searched
from pareto.bench.inference.written_steps import agreement, counted, write_steps
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe
from pareto.records import Prompt, Rollout
from pareto.training.process.labels import first_wrong
from pareto.training.process.solutions import Solution

pytestmark = pytest.mark.slow
PEOPLE, MIXED, SUMS = (ROOT / "sweeps" / f"{name}.yaml" for name in ("rewards", "assistant", "arithmetic"))


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


def measure(root, parts, run="", utility=""):
    return bench_inference(PEOPLE, MIXED, SUMS, parts, run, utility, [0], root, lambda line: None, QUICK)


def test_answers_of_one_call_are_those_of_several_and_a_hit_costs_less_than_a_miss(root):
    found = measure(root, ["batched", "cache"])
    json.dumps(found)
    assert found["figures"]["batched_same_answers"] == 1
    assert found["figures"]["batched_vs_separate"] == pytest.approx(found["batched"]["ratio_by_prompt"][0])
    cache = found["cache"]
    assert cache["hits"] == QUICK.hits
    assert cache["kept_prompts_that_hit"] == cache["kept_prompts"] > 0
    assert cache["wrong_hits"] == 0
    assert found["figures"]["cache_hit_seconds"] < cache["seconds_of_a_miss"]


def test_the_best_of_more_answers_is_better_and_the_picture_shows_all_parts(root):
    found = measure(root, ["best-of", "adaptive", "arithmetic"])
    json.dumps(found)
    selected = found["best-of"]["selected_by_objective"]
    assert selected["objective"]["mean"] == sorted(selected["objective"]["mean"])
    assert {"fluency"} <= set(selected)
    over = found["best-of"]["ensemble"]["noisy"]
    assert (over["warning"] is not None) == (over["gold"]["64_over_8"]["value"] < 0)
    figures = found["figures"]
    assert figures["best_of_8_objective_gain"] == pytest.approx(
        selected["objective"]["mean"][3] - selected["objective"]["mean"][0]
    )
    several, people = found["adaptive"]["several"], found["adaptive"]["people"]
    assert figures["adaptive_tokens_saved"] == several["rules"]["learned"]["tokens_saved"]["value"]
    assert figures["people_adaptive_tokens_saved"] == people["rules"]["learned"]["tokens_saved"]["value"]
    assert "saves nothing" in several["equal_difficulty"]["allocation"]["verdict"]
    assert (several["prompts"], several["samples"]) == (24, QUICK.mixed_each)
    sums = found["arithmetic"]
    # A third of the solutions are written wrong, the others end in the right answer.
    assert sums["solved"]["asked"] >= 2 / 3 - 0.1
    assert sums["accuracy"]["hindsight"]["value"] == 1
    assert sums["accuracy"]["random"]["value"] == pytest.approx(sums["solved"]["asked"])
    assert figures["lucky_outcome_accepts"] == 1
    assert figures["search_checks_above_bound"] <= 0
    inference_picture(found, root / "picture.png")
    assert (root / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert measure(root, ["arithmetic"])["arithmetic"] == sums


def test_learned_weights_are_measured_and_the_run_stays_as_it_was(root, monkeypatch):
    run = prompted_runs.make(root / "others")
    before = sorted(p.name for p in run.path.iterdir())
    found = measure(root, ["auto"], str(run.path), prompted_runs.UTILITY)
    assert found["figures"]["auto_weights_gain"] == found["auto"]["gain"]["value"]
    assert found["figures"]["auto_weights_worst_type"] == min(of["gain"] for of in found["auto"]["types"].values())
    assert sorted(p.name for p in run.path.iterdir()) == before
    inference_picture(found, root / "weights.png")
    monkeypatch.setattr(prompted_runs, "TYPES", ("greetings", "sums"))
    few = prompted_runs.make(root / "few")
    with pytest.raises(ParetoError, match=r"prompts of 2 types \(greetings, sums\); 3 are needed"):
        measure(root, ["batched", "auto"], str(few.path), "warm=1")


def test_an_unknown_part_is_named(root):
    with pytest.raises(ParetoError, match="did you mean 'adaptive'"):
        measure(root, ["adaptve"])


@given(st.integers(0, 60), st.integers(1, 12))
def test_counting_is_arithmetic(a, b):
    assert [counted(a, s, b) for s in "+-*"] == [a + b, a - b, a * b]
    assert counted(a * b, "/", b) == a


def test_written_steps_are_right_and_wrong_and_a_checker_that_errs_would_show(monkeypatch):
    steps = write_steps(300, 1)
    assert min(Counter(s.right for s in steps).values()) >= 50
    assert agreement(steps)["share"] >= 0.95
    monkeypatch.setattr("pareto.bench.inference.written_steps.check_step", lambda text: True)
    told = agreement(steps)
    assert told["share"] == pytest.approx(np.mean([s.right is True for s in steps]))
    assert told["by_kind"]["words"] == 0


def test_a_search_finds_the_first_error_within_its_bound_and_stops_at_its_budget():
    wrong = Solution("?", "1 + 1 = 2\n2 + 2 = 4\n4 + 4 = 9\n9 + 1 = 10\n10 + 1 = 12\nAnswer: 12")
    right = Solution("?", "1 + 1 = 2\n2 + 1 = 3\nAnswer: 3")
    found = searched([wrong, right])
    assert first_wrong(found.labels[0]) == 2
    assert [label.right for label in found.labels[0]] == [True, True, False, None, None, None]
    assert found.checks[0] <= math.ceil(math.log2(5)) + 1
    assert [label.right for label in found.labels[1]] == [True, True, None]
    assert found.checks[1] == 1
    spent = searched([wrong, right], budget=1)
    assert spent.checks[1] == 0
    assert all(label.right is None for label in spent.labels[1])
    assert every_step([wrong, right]).checks == [5, 2]
    assert sum(every_third([wrong, right]).checks) < 7


def test_an_outcome_is_the_label_of_the_last_step_alone():
    full = every_step([Solution("?", "1 + 1 = 2\nAnswer: 2"), Solution("?", "")]).labels
    assert [[label.right for label in of] for of in at_the_end(full, [False, True])] == [[None, False], []]


def test_near_duplicates_are_none_of_the_texts_and_none_twice():
    texts = ["How do I bake bread?", "Is it safe to swim here?"]
    made = near_duplicates(texts, 500, random.Random(3))
    assert len({*made, *texts}) == 502


def test_answers_are_found_again_and_others_prompts_are_asked_anew(root):
    class Lab:
        """Says what it was asked, and counts."""

        folder = root / "kept"
        recipe = quick(read_recipe(SUMS))
        say = staticmethod(lambda line: None)
        drawn = 0

        def sample(self, prompts, samples, stream):
            self.drawn += samples * len(prompts)
            return [Rollout(p.id, k, "sampled", 0, f"{p.text} {k}", (1,), 0.0) for p in prompts for k in range(samples)]

    lab = Lab()
    asked = [Prompt(str(k), f"What is {k}?", "sums") for k in range(12)]
    first = answers(lab, "some", asked, 3)
    assert [r.text for r in first[:4]] == ["What is 0? 0", "What is 0? 1", "What is 0? 2", "What is 1? 0"]
    assert answers(lab, "some", asked, 3) == first
    assert lab.drawn == 36
    (lab.folder / sorted(p.name for p in lab.folder.iterdir())[1]).write_bytes(b"half")
    assert answers(lab, "some", asked, 3) == first
    assert lab.drawn == 42
    answers(lab, "some", asked[:2], 3)
    assert lab.drawn == 48
