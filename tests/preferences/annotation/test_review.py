"""Completions to be reviewed, and the trigger."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pareto.errors import ParetoError
from pareto.objectives.ensemble.scores import EnsembleScores
from pareto.preferences.annotation.review import Flagged, ReviewQueue, flagged, questions, trigger
from pareto.records import Prompt


@pytest.fixture
def review(tmp_path: Path) -> ReviewQueue:
    return ReviewQueue(tmp_path / "review")


P, Q = Prompt("p", "Why?", "s", ("42",)), Prompt("q", "Who?", "s")
SCORES = EnsembleScores(np.array([[0.8, 0.2, 0.5], [1.0, 1.0, 1.1], [2.0, -2.0, 0.0], [0.0, 0.0, 0.0]]))


def found() -> list[Flagged]:
    return flagged("kind", [P, P, Q, P], ["sure?", "sure", "alone", "zero"], SCORES, threshold=0.25)


def test_members_that_say_different_things_are_flagged_most_uncertain_first() -> None:
    items = found()
    assert [(i.completion, i.spread) for i in items] == [("alone", 2.0), ("sure?", pytest.approx(0.3))]
    assert items[1].scores == (0.8, 0.2, 0.5)
    assert items[1].text == "members say 0.8, 0.2, 0.5: uncertain (spread 0.30, threshold 0.25)"
    # Compared with the completion of the same prompt that the members agree on most.
    assert [i.other for i in items] == ["", "zero"]


def test_each_is_flagged_once_and_waits_until_settled(review: ReviewQueue) -> None:
    assert review.flag(found()) == 2
    assert review.flag(found()) == 0
    first, second = review.waiting
    assert first.spread > second.spread
    review.settle(first.id, "ann", "bad")
    assert ReviewQueue(review.folder).waiting == [second]
    assert ReviewQueue(review.folder).settled[first.id].by == "ann"
    assert review.flag(found()) == 0
    assert len(review.items) == 2


def test_what_is_no_verdict_or_not_flagged(review: ReviewQueue) -> None:
    review.flag(found())
    with pytest.raises(ParetoError, match="nothing is flagged under 'x'"):
        review.settle("x", "ann", "fine")
    with pytest.raises(ParetoError, match="one of fine, bad, label"):
        review.settle(review.waiting[0].id, "ann", "perhaps")  # type: ignore[arg-type]


def test_flagged_ones_become_questions(review: ReviewQueue) -> None:
    review.flag(found())
    (question,) = questions(review.waiting, round=3)
    assert (question.prompt, question.first, question.second) == ("Why?", "sure?", "zero")
    assert (question.objective, question.round, question.answers) == ("kind", 3, ("42",))
    assert question.reason.startswith("members say 0.8, 0.2, 0.5")


def test_a_torn_line_costs_that_line_only(review: ReviewQueue) -> None:
    review.flag(found())
    path = review.folder / "review.jsonl"
    path.write_bytes(path.read_bytes()[:-20])
    assert (len(review.items), review.torn) == (1, 1)
    assert review.flag(found()) == 1


def test_the_trigger_fires_beyond_what_validation_showed() -> None:
    """P(X ≥ 6) of a binomial (10, 0.1) is 0.000147; P(X ≥ 2) is 0.264."""
    spreads = [0.5] * 4 + [2.0, 3.0, 2.5, 2.2, 2.1, 9.0]
    prompts = ["w", "w", "w", "w", "a", "b", "b", "c", "d", "c"]
    fired = trigger(spreads, 1.0, 0.1, prompts)
    assert (fired.fires, fired.share, fired.p_value) == (True, 0.6, pytest.approx(0.000147, abs=1e-6))
    assert fired.prompts == ("c", "b", "d", "a")
    assert (
        fired.text
        == "60% of 10 completions are uncertain, 10% were expected (p = 0.00015): retrain, with labels on 4 prompts"
    )
    calm = trigger([0.5] * 8 + [2.0, 2.0], 1.0, 0.1, prompts)
    assert (calm.fires, calm.p_value) == (False, pytest.approx(0.2639, abs=1e-4))
    assert "no more than chance explains" in calm.text


def test_the_trigger_seldom_fires_where_nothing_changed() -> None:
    rng = np.random.default_rng(0)
    fires = sum(trigger(rng.random(200), 0.9, 0.1, ["p"] * 200).fires for _ in range(300))
    assert fires <= 8


def test_nothing_scored_yet() -> None:
    assert trigger([], 1.0, 0.1, []).text == "nothing was scored yet"
    assert not trigger([], 1.0, 0.1, []).fires
