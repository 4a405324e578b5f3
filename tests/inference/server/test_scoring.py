"""Scoring off the request path: what reaches the log, what is dropped, and what a failure costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import frontier_runs as runs
import numpy as np
import pytest
from forge import until

from pareto.errors import ParetoError
from pareto.inference.server.places import Place
from pareto.inference.server.scoring import Scorer
from pareto.traffic.log import Served, TrafficLog

PLACE = Place("made", {}, None, None, {"kind": {"mean": 0.6, "low": 0.5, "high": 0.7}}, "", ())
TOLD = {
    "kind": {"value": 0.7, "spread": 0.4, "flagged": True},
    "words": {"value": None, "spread": None, "flagged": False},
}


class Stub:
    """Stands for a run's rewards."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.gate = threading.Event()
        self.gate.set()

    def rewards(self, prompt: str, row: Any) -> dict[str, Any]:
        self.gate.wait(10)
        self.asked.append(prompt)
        if prompt == "boom":
            raise RuntimeError("boom")
        return TOLD


def features(texts: Any) -> np.ndarray:
    return np.full((len(texts), 4), 0.5, dtype=np.float32)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TrafficLog]:
    with TrafficLog.open(runs.make(tmp_path), create=True) as log:
        for k in range(6):
            log.add(
                Served(
                    id=f"r{k}", time=float(k + 1), model="made", arm="main", user="", weights=None, coefficients={},
                    point=None, moved="", prompt_tokens=1, tokens=1, n=1, finish="stop", queued=0.0, first_token=0.1,
                    seconds=0.2, status=200, prompt=None, answer=None,
                )
            )  # fmt: skip
        yield log


def scorer(log: TrafficLog, stub: Any, share: float = 1.0, **options: Any) -> Scorer:
    return Scorer({"main": stub, "candidate": stub}, log, share, **({"embed": features} | options))


def test_scores_spreads_doubts_predictions_and_features_reach_the_log(log: TrafficLog) -> None:
    heard: list[Any] = []
    made = scorer(log, Stub())
    made.on_scored = lambda arm, told: heard.append((arm, told))
    before = time.time()
    assert made.offer("r0", "main", PLACE, "Hello?", None)  # type: ignore[arg-type]
    made.close()
    (found,) = log.scores()
    assert found.id == "r0"
    assert before <= found.time <= time.time()
    assert found.scores["kind"] == 0.7
    assert np.isnan(found.scores["words"])
    assert (found.spreads, found.flagged, found.predicted) == ({"kind": 0.4}, ("kind",), {"kind": 0.6})
    assert heard == [("main", TOLD)]
    frame = log.frame()
    assert frame.featured.tolist() == [0]
    np.testing.assert_allclose(frame.features, 0.5)
    assert made.counted.scored == 1


def test_a_share_is_scored_and_always_the_same(log: TrafficLog) -> None:
    stub = Stub()
    made = scorer(log, stub, 0.2, most_waiting=3000)
    ids = [f"id-{k}" for k in range(2000)]
    taken = [made.offer(id, "main", PLACE, id, None) for id in ids]  # type: ignore[arg-type]
    assert abs(sum(taken) / len(ids) - 0.2) < 4 * (0.2 * 0.8 / len(ids)) ** 0.5
    made.close()
    assert stub.asked == [id for id, took in zip(ids, taken, strict=True) if took]
    again = scorer(log, stub, 0.2, most_waiting=3000)
    assert [again.offer(id, "main", PLACE, id, None) for id in ids] == taken  # type: ignore[arg-type]
    again.close()
    none = scorer(log, stub, 0.0)
    assert not any(none.offer(id, "main", PLACE, id, None) for id in ids)  # type: ignore[arg-type]
    none.close()


def test_offering_never_waits_and_what_is_too_much_is_dropped_and_counted(log: TrafficLog) -> None:
    stub = Stub()
    stub.gate.clear()
    made = scorer(log, stub, most_waiting=2)
    made.offer("r0", "main", PLACE, "first", None)  # type: ignore[arg-type]
    until(lambda: made.counted.waiting == 0)
    began = time.monotonic()
    taken = [made.offer(f"r{k}", "main", PLACE, f"{k}", None) for k in range(1, 6)]  # type: ignore[arg-type]
    assert time.monotonic() - began < 1
    assert taken == [True, True, False, False, False]
    assert made.counted.dropped == 3
    stub.gate.set()
    made.close()
    assert stub.asked == ["first", "1", "2"]
    assert made.counted.scored == 3
    assert not made.offer("r5", "main", PLACE, "late", None)  # type: ignore[arg-type]


def test_a_reward_that_breaks_costs_its_answer_alone(log: TrafficLog) -> None:
    made = scorer(log, Stub())
    for k, prompt in enumerate(("boom", "fine")):
        made.offer(f"r{k}", "main", PLACE, prompt, None)  # type: ignore[arg-type]
    made.close()
    assert [s.id for s in log.scores()] == ["r1"]
    counted = made.counted
    assert (counted.scored, counted.failed, counted.reason) == (1, 1, "RuntimeError: boom")


def test_without_the_encoder_answers_are_scored_and_have_no_features(log: TrafficLog) -> None:
    asked = []

    def missing(texts: Any) -> np.ndarray:
        asked.append(texts)
        raise ParetoError("the sentence encoder is not installed")

    made = scorer(log, Stub(), embed=missing)
    for k in range(3):
        made.offer(f"r{k}", "main", PLACE, "Hello?", None)  # type: ignore[arg-type]
    made.close()
    assert len(log.scores()) == made.counted.scored == 3
    assert len(asked) == 1
    assert log.frame().featured.tolist() == []


def test_closing_waits_no_longer_than_it_is_told(log: TrafficLog) -> None:
    stub = Stub()
    stub.gate.clear()
    made = scorer(log, stub)
    for k in range(4):
        made.offer(f"r{k}", "main", PLACE, f"{k}", None)  # type: ignore[arg-type]
    until(lambda: made.counted.waiting == 3)
    began = time.monotonic()
    made.close(0.2)
    assert time.monotonic() - began < 5
    assert made.counted.dropped == 3
    stub.gate.set()


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(log: TrafficLog, share: float) -> None:
    with pytest.raises(ParetoError, match="wanted a share of the answers, from 0 to 1"):
        scorer(log, Stub(), share)
