"""A run seen by the process that leads it: what was measured is found again, and what is asked for is asked once."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pareto.campaign import Campaign, Policy
from pareto.engines import Beat, Ended, Inline, Node, Work
from pareto.errors import ParetoError
from pareto.store.points import load_points
from pareto.store.results import read_result
from pareto.store.run import Run
from pareto.store.tables import read_prompts
from pareto.watch import Silent


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    shutil.copytree(finished / "smoke", tmp_path / "smoke")
    return Run.open(tmp_path / "smoke")


class Counting:
    """An engine that counts what it is given; ``slots`` at a time."""

    def __init__(self, slots: int = 1) -> None:
        self.inner, self.slots, self.given = Inline(), slots, list[Work]()

    def submit(self, work: Work) -> None:
        self.given.append(work)
        self.inner.submit(work)

    def capacity(self) -> int:
        return self.slots - len(self.inner._waiting)

    def wait(self, seconds: float) -> list[Ended]:
        return self.inner.wait(seconds)

    def cancel(self, key: str) -> None:
        self.inner.cancel(key)

    def beats(self) -> Mapping[str, Beat]:
        return {}

    def nodes(self) -> list[Node]:
        return [Node("here", self.slots, 0, True, 0.0)]

    def now(self) -> float:
        return self.inner.now()

    def close(self) -> None:
        self.inner.close()


def test_measuring_again_gives_the_stored_point_without_any_work(run: Run) -> None:
    engine = Counting()
    campaign = Campaign.open(run, Silent(), engine)
    point = next(p for p in load_points(run) if p.kind == "soup" and p.split == "validation")
    policy = Policy(point.id, "soup", point.weights, point.coefficients)
    assert campaign.measure([policy], "validation") == [point]
    assert not engine.given
    for folder in (run.scores, run.rollouts):
        (folder / f"{point.scores}.parquet").unlink()
    assert campaign.measure([policy], "validation") == [point]
    assert [work.label for work in engine.given] == [f"measure {point.id}"]


@pytest.mark.parametrize("slots", [1, 2, 5])
def test_soups_that_are_measured_together_are_shared_out_among_the_slots(run: Run, slots: int) -> None:
    engine = Counting(slots)
    campaign = Campaign.open(run, Silent(), engine)
    first, second = sorted(campaign.keys)[:2]
    soups = [{first: 0.3}, {second: 0.4}, {first: 0.5, second: -0.2}]
    asked = [Policy(f"mix-{i}", "soup", None, soup) for i, soup in enumerate(soups)]
    found = campaign.measure(asked, "validation", together=True)
    assert [p.id for p in found] == ["mix-0", "mix-1", "mix-2"]
    assert [p.coefficients for p in found] == soups
    assert len({p.scores for p in found}) == 3
    shared = sorted(len(work.body["soups"]) for work in engine.given)
    assert shared == {1: [3], 2: [1, 2], 5: [1, 1, 1]}[slots]


@pytest.mark.parametrize("slots", [1, 2])
def test_policies_answer_training_prompts_with_the_same_random_numbers_however_they_are_shared_out(
    run: Run, slots: int
) -> None:
    engine = Counting(slots)
    campaign = Campaign.open(run, Silent(), engine)
    expert = min(campaign.keys)
    policies = [Policy("a", "expert", None, {expert: 1.0}), Policy("b", "soup", None, {expert: 0.5})]
    train = [p for p in read_prompts(run.path / "prompts.parquet") if p.split == "train"][:3]
    found = campaign.answers(policies, [p.id for p in train], 2, "asked")
    assert [r.origin for r in found] == ["a"] * 6 + ["b"] * 6
    assert [r.prompt_id for r in found[:6]] == [p.id for p in train for _ in range(2)]
    assert len(engine.given) == slots
    assert campaign.answers(policies, [p.id for p in train], 2, "asked") == found
    assert len(engine.given) == slots
    alone = campaign.answers(policies[1:], [p.id for p in train], 2, "asked")
    assert [r.text for r in alone] == [r.text for r in found[6:]]
    other = campaign.answers(policies[1:], [p.id for p in train], 2, "other")
    assert [r.text for r in other] != [r.text for r in alone]


def test_what_a_worker_tells_is_kept_with_what_it_made(run: Run) -> None:
    campaign = Campaign.open(run, Silent())
    name = sorted(campaign.keys)[0]
    work = campaign.tables([{name: 0.7}], "validation", "mix")
    assert campaign.dispatch.made(work) is None
    (told,) = campaign.dispatch.all([work])
    result = read_result(run.path, work.key)
    assert result is not None
    assert result.told == told
    table = run.path / f"scores/{told['scores'][0]}.parquet"
    assert str(table.relative_to(run.path)) in result.files
    table.write_bytes(table.read_bytes()[:-3])
    assert read_result(run.path, work.key) is None
    assert campaign.dispatch.made(work) is None


class Broken(Counting):
    """Whose works fail in one way."""

    def __init__(self, **end: Any) -> None:
        super().__init__(2)
        self.end, self.cancelled = end, list[str]()

    def wait(self, seconds: float) -> list[Ended]:
        key, *_ = self.inner._waiting
        self.inner.cancel(key)
        return [Ended(key, **self.end)]

    def cancel(self, key: str) -> None:
        self.cancelled.append(key)


def test_work_that_fails_is_told_and_the_rest_is_stopped(run: Run) -> None:
    engine = Broken(outcome="failed", error="no room", cause="user")
    campaign = Campaign.open(run, Silent(), engine)
    name = sorted(campaign.keys)[0]
    asked = [Policy(f"mix-{i}", "soup", None, {name: 0.1 + i}) for i in range(2)]
    with pytest.raises(ParetoError, match="no room"):
        campaign.measure(asked, "validation")
    assert engine.cancelled == [engine.given[1].key]


def test_a_worker_in_another_folder_is_found_out(run: Run) -> None:
    campaign = Campaign.open(run, Silent(), Broken(outcome="done"))
    name = sorted(campaign.keys)[0]
    with pytest.raises(ParetoError, match="do not see the same folder; see `pareto cluster check`"):
        campaign.measure([Policy("mix", "soup", None, {name: 0.1})], "validation")


def test_another_base_than_the_runs_is_refused(run: Run) -> None:
    campaign = Campaign.open(run, Silent())
    work = campaign.work("tables", {"base": "0" * 16, "soups": [{}], "split": "test"}, "measure")
    with pytest.raises(ParetoError, match="is not the one that run 'smoke' began with"):
        campaign.dispatch.all([work])
