from pathlib import Path

import numpy as np
import pytest

from pareto.choice.candidates import Candidates
from pareto.choice.confirm import confirm
from pareto.choice.levels import parse_levels
from pareto.choice.priorities import judge
from pareto.errors import ParetoError
from pareto.frontier import per_prompt, read_frame
from pareto.store.points import load_points
from pareto.store.run import Run


@pytest.fixture(scope="module")
def run(finished: Path) -> Run:
    return Run.open("smoke", finished)


def test_candidates_are_all_policies_but_the_base_measured_on_validation(run: Run) -> None:
    points = {p.id: p for p in load_points(run) if p.split == "validation"}
    c = Candidates.of(run)
    assert list(c.ids) == sorted(set(points) - {"base"})
    for k, name in enumerate(run.recipe.names):
        assert c.means[:, k] == pytest.approx([points[i].mean[name] for i in c.ids])
    assert c.frame == read_frame(run)
    assert (c.lowest <= np.nanmin(c.scores, axis=(0, 1))).all()
    assert (c.highest >= np.nanmax(c.scores, axis=(0, 1))).all()
    two = c.take({c.ids[2], c.ids[0]})
    assert two.ids == (c.ids[0], c.ids[2])
    assert two.means == pytest.approx(c.means[[0, 2]], nan_ok=True)


def test_nothing_measured_is_told(run: Run, tmp_path: Path) -> None:
    empty = Run.create(tmp_path, run.recipe)
    with pytest.raises(ParetoError, match="no policies measured on validation prompts yet"):
        Candidates.of(empty)


def test_each_rule_is_confirmed_on_test_prompts_alone(run: Run) -> None:
    points = {p.id: p for p in load_points(run) if p.split == "test" and p.kind != "base"}
    name = run.recipe.names[0]
    best = max(points, key=lambda i: points[i].mean[name])
    value = points[best].mean[name]
    levels = parse_levels(f"{name}>={value - 1e-6!r};{name}>=-0.999;{name}>={value + 0.001!r}", run.recipe.names)
    found = confirm(run, best, levels)
    assert found is not None
    assert found.words == ("not confirmed", "confirmed", "violated")
    assert found.overall == "violated"
    assert [c.value for c in found.checks] == pytest.approx([value] * 3)
    assert found.to_json()["checks"][0]["verdict"] == "not confirmed"
    assert len(found.text.splitlines()) == 3
    on_mean = confirm(run, best, parse_levels(f"{name}>={value - 1e-6!r}@mean", run.recipe.names))
    assert on_mean is not None
    assert on_mean.overall == "confirmed"


def test_a_distance_is_to_the_best_of_what_validation_kept(run: Run) -> None:
    points = {p.id: p for p in load_points(run) if p.split == "test" and p.kind != "base"}
    name = run.recipe.names[0]
    order = sorted(points, key=lambda i: points[i].mean[name])
    worst, best = order[0], order[-1]
    gap = points[best].mean[name] - points[worst].mean[name]
    assert gap > 0
    levels = parse_levels(f"{name}~{gap / 2!r}@mean", run.recipe.names)
    alone, against = confirm(run, worst, levels), confirm(run, worst, levels, kept=[best, "not measured"])
    assert alone is not None
    assert against is not None
    assert (alone.overall, against.overall) == ("confirmed", "violated")
    assert against.checks[0].rival == best


def test_nothing_asked_is_confirmed_and_what_is_not_measured_has_no_answer(run: Run) -> None:
    assert confirm(run, "nobody", ()) is None
    found = confirm(run, "base", ())
    assert found is not None
    assert found.overall == "confirmed"


def test_a_real_run_is_judged(run: Run) -> None:
    name = run.recipe.names[0]
    points = [p for p in load_points(run) if p.split == "validation" and p.kind != "base"]
    means = {p.id: float(np.nanmean(per_prompt(run, p)[:, 0])) for p in points}
    middle = float(np.median(list(means.values())))
    verdict = judge(Candidates.of(run), parse_levels(f"{name}>={middle!r}@mean", run.recipe.names))
    assert set(verdict.kept) == {i for i, mean in means.items() if mean >= middle - 1e-9}
