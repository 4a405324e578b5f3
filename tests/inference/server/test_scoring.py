"""Scoring off the request path: what reaches the log, what is dropped, and what a failure costs."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import frontier_runs as runs
import numpy as np
import pytest
from forge import until
from traffic_on_disk import served

from pareto.inference.server.places import Place
from pareto.inference.server.scoring import Scorer
from pareto.records import Prompt
from pareto.store.run import Run
from pareto.store.tables import write_prompts
from pareto.traffic.alarms import Alarm, alarms
from pareto.traffic.log import TrafficLog
from pareto.traffic.usual import Features
from pareto.traffic.watching import Watching

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


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TrafficLog]:
    with TrafficLog.open(runs.make(tmp_path), create=True) as log:
        for k in range(2):
            log.add(served(f"r{k}"))
        yield log


class Watched:
    """Stands for what watches the prompts."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, str]] = []

    def offer(self, id: str, prompt: str) -> bool:
        self.asked.append((id, prompt))
        return True


def scorer(log: TrafficLog, stub: Any, share: float = 1.0, watching: Any = None, **options: Any) -> Scorer:
    return Scorer({"main": stub, "candidate": stub}, log, share, watching or Watched(), **options)


def test_scores_spreads_doubts_and_predictions_reach_the_log(log: TrafficLog) -> None:
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
    assert made.counted.done == 1


def test_a_share_is_scored_and_the_prompts_of_all_are_watched(log: TrafficLog) -> None:
    stub, watched = Stub(), Watched()
    made = scorer(log, stub, 0.2, watched, most_waiting=3000)
    ids = [f"id-{k}" for k in range(2000)]
    taken = [made.offer(id, "main", PLACE, id, None) for id in ids]  # type: ignore[arg-type]
    assert abs(sum(taken) / len(ids) - 0.2) < 4 * (0.2 * 0.8 / len(ids)) ** 0.5
    made.close()
    assert stub.asked == [id for id, took in zip(ids, taken, strict=True) if took]
    assert watched.asked == [(id, id) for id in ids]


def test_a_reward_that_breaks_costs_its_answer_alone(log: TrafficLog) -> None:
    made = scorer(log, Stub())
    for k, prompt in enumerate(("boom", "fine")):
        made.offer(f"r{k}", "main", PLACE, prompt, None)  # type: ignore[arg-type]
    made.close()
    assert [s.id for s in log.scores()] == ["r1"]
    counted = made.counted
    assert (counted.done, counted.failed, counted.reason) == (1, 1, "RuntimeError: boom")


# -- drift that is planted in what is served ---------------------------------------------------------------------------

QUIET, PLANTED = 1000, 200
KINDS = {"usual": np.eye(16)[0], "other": np.eye(16)[1]}
NOISE = 0.2 * np.random.default_rng(0).standard_normal((8000, 16))


def encoded(texts: Sequence[str]) -> Features:
    """Prompts of one kind point roughly in one direction."""
    words = [text.split() for text in texts]
    found = np.stack([KINDS[kind] + NOISE[int(k)] for kind, k in words])
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def after(run: Run, prompts: Sequence[str]) -> tuple[dict[str, Alarm], int]:
    """The alarms when these were served at a score share of a tenth, and how many answers were scored."""
    with TrafficLog.open(run, create=True) as log, closing(Watching(run, log, 1.0, encoded)) as watching:
        made = Scorer({"main": Stub()}, log, 0.1, watching)  # type: ignore[dict-item]
        for k, prompt in enumerate(prompts):
            log.add(served(f"{k}", time=1000.0 + k))
            made.offer(f"{k}", "main", PLACE, prompt, None)  # type: ignore[arg-type]
            if k % 250 == 0:  # as in a server, where answers take longer than looks
                until(lambda: watching.counted.waiting == made.counted.waiting == 0)
        made.close()
        watching.close()
        assert watching.counted.dropped == made.counted.dropped == 0
        return {a.name: a for a in alarms(log, run)}, made.counted.done


def with_prompts(root: Path) -> Run:
    run = runs.make(root)
    splits = ["train"] * 100 + ["validation", "test"] * 100
    write_prompts(
        run.path / "prompts.parquet",
        [Prompt(f"p{k}", f"usual {k}", "kind", split=split) for k, split in enumerate(splits)],
    )
    return run


def test_prompts_of_another_kind_raise_the_alarm_within_200_served_requests(tmp_path: Path) -> None:
    prompts = [f"{'usual' if k < QUIET else 'other'} {k + 300}" for k in range(QUIET + PLANTED)]
    found, scored = after(with_prompts(tmp_path), prompts)
    assert 60 < scored < 180
    for name in ("prompts", "prompts change"):
        alarm = found[name]
        assert alarm.state == "raised"
        assert 1000.0 + QUIET <= (alarm.since or 0) < 1000.0 + QUIET + PLANTED
        assert {int(id) >= QUIET for id in alarm.examples} == {True}
    assert {a.state for name, a in found.items() if not name.startswith("prompts")} == {"waiting"}


def test_5000_requests_without_drift_raise_none(tmp_path: Path) -> None:
    found, _ = after(with_prompts(tmp_path), [f"usual {k + 300}" for k in range(5000)])
    assert {name: a.state for name, a in found.items()} == {
        "prompts": "quiet",
        "prompts change": "quiet",
        "score kind": "quiet",
        "spread kind": "quiet",
        "score words": "waiting",  # it applies to no answer
    }
    assert len(found["prompts"].times) == 5000
