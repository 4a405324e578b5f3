from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import binomtest
from traffic_on_disk import empty_run, scored, served
from traffic_simulated import frame

from pareto.records import Prompt
from pareto.store.tables import write_prompts
from pareto.traffic.alarms import Alarm, Settings, alarms, watched
from pareto.traffic.frame import Frame
from pareto.traffic.log import TrafficLog
from pareto.traffic.usual import FILE, Prompts, Spreads, usual_prompts

NAMES = ("harmless", "concise")
SPREADS = {"harmless": Spreads(tuple(np.linspace(0, 1, 101)), 0.95, 0.05, 400)}
EAST, NORTH = np.eye(16)[0], np.eye(16)[1]


def features(n: int, seed: int, towards: np.ndarray = EAST) -> np.ndarray:
    """Prompts of one kind: they point roughly in one direction."""
    found = towards + 0.2 * np.random.default_rng(seed).standard_normal((n, 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def known(seed: int = 0) -> Prompts:
    splits = ["train"] * 100 + ["validation", "test"] * 100
    return Prompts.of(features(300, seed), [Prompt(f"p{k}", "", "kind", split=split) for k, split in enumerate(splits)])


def traffic(n: int, seed: int = 1, planted: int = 0, lift: float = 0.0, doubt: float = 0.0) -> Frame:
    """All scored; from the request ``planted`` on, of another kind, with other rewards and more doubts."""
    rng = np.random.default_rng(seed)
    later = np.arange(n) >= planted
    spread = rng.random(n) + doubt * later
    predicted = rng.random(n)
    return frame(
        n,
        scored=np.ones(n, dtype=bool),
        scores={name: predicted + rng.standard_normal(n) + lift * later for name in NAMES},
        predicted=dict.fromkeys(NAMES, predicted),
        spreads={"harmless": spread},
        flagged={"harmless": spread > 0.95},
        featured=np.arange(n),
        features=features(n, seed + 1000),
    )


def by_name(found: list[Alarm]) -> dict[str, Alarm]:
    return {alarm.name: alarm for alarm in found}


def test_uneventful_traffic_is_quiet() -> None:
    found = watched(traffic(3000), NAMES, known(), SPREADS)
    assert [a.name for a in found] == [
        "prompts", "prompts change", "score harmless", "spread harmless", "flagged harmless", "score concise",
    ]  # fmt: skip
    assert {a.state for a in found} == {"quiet"}
    assert all(a.value < a.threshold == pytest.approx(np.log10(6 * 10_000 / 0.01)) for a in found)


def test_all_alarms_together_keep_their_promise() -> None:
    settings = Settings(chance=0.2, requests=300, warm=50)
    runs = 120
    raised = sum(
        any(a.state == "raised" for a in watched(traffic(300, seed), NAMES, known(seed), SPREADS, settings))
        for seed in range(runs)
    )
    assert binomtest(raised, runs, 0.2, alternative="greater").pvalue > 0.001


@pytest.mark.parametrize("name", ["prompts", "prompts change"])
def test_prompts_of_another_kind_raise_an_alarm_within_200_requests(name: str) -> None:
    for seed in range(5):
        usual, other = traffic(1500, seed), features(200, seed + 5, NORTH)
        changed = replace(usual, features=np.concatenate([usual.features[:1300], other]))
        alarm = by_name(watched(changed, NAMES, known(seed), SPREADS))[name]
        assert alarm.state == "raised"
        assert changed.time[1300] <= alarm.since < changed.time[1500 - 1]
        assert alarm.evidence[-1] == alarm.value


@pytest.mark.parametrize(
    ("change", "raised"),
    [
        ({"lift": -1.5}, {"score harmless", "score concise"}),
        ({"doubt": 0.5}, {"spread harmless", "flagged harmless"}),
    ],
)
def test_what_is_planted_is_what_is_found(change: dict[str, float], raised: set[str]) -> None:
    found = watched(traffic(1400, planted=1000, **change), NAMES, known(), SPREADS)
    assert {a.name for a in found if a.state == "raised"} == raised
    assert all(a.since >= 1_700_001_000 for a in found if a.name in raised)


def test_without_a_calibration_spread_is_compared_with_the_first() -> None:
    found = by_name(watched(traffic(1400, planted=1000, doubt=0.5), NAMES, known(), {}))
    assert found["spread harmless"].state == "raised"
    assert "flagged harmless" not in found


def test_other_weights_are_no_drift() -> None:
    """What is predicted of a place is taken off."""
    found = traffic(1500)
    moved = {name: values + 3 * (np.arange(1500) > 700) for name, values in found.predicted.items()}
    changed = {name: values + 3 * (np.arange(1500) > 700) for name, values in found.scores.items()}
    quiet = watched(replace(found, scores=changed, predicted=moved), NAMES, known(), SPREADS)
    assert {a.state for a in quiet if a.name.startswith("score")} == {"quiet"}


def test_a_candidate_is_compared_not_watched() -> None:
    found = traffic(1000, planted=0, doubt=5.0)
    every = by_name(watched(replace(found, arm=np.full(1000, "candidate")), NAMES, known(), SPREADS))
    assert {every[name].state for name in ("score harmless", "spread harmless", "flagged harmless")} == {"waiting"}


def test_too_little_traffic_is_waited_for() -> None:
    found = by_name(watched(traffic(40), NAMES, known(), SPREADS))
    assert found["score concise"].state == "waiting"
    assert found["score concise"].sentence == "compares with the first 200 that are scored; 40 are so far"
    assert found["prompts"].state == "quiet"
    assert {a.state for a in watched(frame(0), NAMES, known(), {})} == {"waiting"}


def test_a_share_of_flags_that_few_calibration_completions_allow_is_no_alarm() -> None:
    few, many = Spreads((0.0, 1.0), 0.95, 0.05, 40), Spreads((0.0, 1.0), 0.95, 0.05, 40_000)
    assert few.share > 0.14  # 99 % upper end of 2 in 40 by Clopper and Pearson: 0.194
    assert many.share == pytest.approx(0.05, abs=0.004)


def test_a_log_is_read_and_features_are_made_once(tmp_path) -> None:
    run, asked = empty_run(tmp_path), []

    def embed(texts: Sequence[str]) -> np.ndarray:
        asked.append(len(texts))
        return features(len(texts), 0)

    prompts = [Prompt(f"p{k}", f"Say {k}.", "kind", split="train" if k < 50 else "test") for k in range(250)]
    write_prompts(run.path / "prompts.parquet", prompts)
    first = usual_prompts(run, embed)
    assert (usual_prompts(run, embed).usual == first.usual).all()
    assert asked == [250]
    with TrafficLog.open(run, create=True) as log:
        for k, row in enumerate(features(60, 7, NORTH)):
            log.add(served(f"r{k}", time=2000.0 + k, features=row))
            log.add_score(scored(f"r{k}", scores={"vowels": 0.5}))
        log.flush()
        found = by_name(alarms(log, run))
        assert found["prompts"].state == "raised"
        assert 2000 < found["prompts"].since < 2060
        assert by_name(alarms(log, run, Settings(since=3000.0)))["prompts"].state == "waiting"
    (run.path / FILE).write_bytes(b"damaged")
    usual_prompts(run, embed)
    write_prompts(run.path / "prompts.parquet", prompts[:200])
    usual_prompts(run, embed)
    assert asked == [250, 250, 200]
