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
        assert all(int(id.removeprefix("r")) >= 1300 for id in alarm.examples)
        assert len(alarm.examples) == 5


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
    assert found["prompts change"].sentence == "compares with the first 200 that are watched; 40 are so far"
    empty = by_name(watched(frame(0), NAMES, known(), SPREADS))
    assert {a.state for a in empty.values()} == {"waiting"}
    assert empty["prompts"].sentence == "nothing is watched yet"
    assert empty["spread harmless"].sentence == "nothing is scored yet"


def test_answers_that_the_client_cut_short_are_not_held_against_the_prediction() -> None:
    found = traffic(1400, planted=1000, lift=-1.5)
    cut = np.arange(1400) >= 1000
    short = replace(found, finish=np.where(cut, "length", "stop"), tokens=np.where(cut, 5, 30))
    alarm = by_name(watched(short, NAMES, known(), SPREADS, longest=24))["score concise"]
    assert alarm.state == "quiet"
    assert alarm.sentence == "nothing unusual in 800 requests; left out: 400 cut off before 24 tokens"
    for other in (
        replace(short, tokens=np.full(1400, 24)),  # as the run's own are cut
        replace(short, finish=np.full(1400, "stop")),  # they said all that they had to say
    ):
        alarm = by_name(watched(other, NAMES, known(), SPREADS, longest=24))["score concise"]
        assert alarm.state == "raised"
        assert "left out" not in alarm.sentence
    several = replace(short, tokens=np.where(cut, 40, 60), answers=np.full(1400, 2))
    assert by_name(watched(several, NAMES, known(), SPREADS, longest=24))["score concise"].state == "quiet"


def test_what_cannot_be_scored_on_traffic_is_not_waited_for() -> None:
    def said(n: int, scores: float) -> Alarm:
        found = traffic(n)
        other = {**found.scores, "concise": np.full(n, scores)}
        return by_name(watched(replace(found, scores=other), NAMES, known(), SPREADS))["score concise"]

    assert said(199, np.nan).sentence == "compares with the first 200 that are scored; 0 are so far"
    assert said(200, np.nan).sentence == "cannot be scored on traffic: it needs known answers"
    assert said(200, np.nan).state == "waiting"
    assert said(200, 1.0).sentence == "compares with the first 200 that are scored; 200 are so far"


def test_an_alarm_says_since_when_how_to_look_on_and_what_is_most_unusual() -> None:
    found = traffic(1400, planted=1000, doubt=0.5)
    worst = [f"r{row}" for row in 1100 + np.argsort(-found.spreads["harmless"][1100:])[:5]]
    alarm = by_name(watched(found, NAMES, known(), SPREADS))["spread harmless"]
    assert alarm.since < found.time[1100]
    assert alarm.sentence.startswith("the reward models of harmless disagree more than on validation, since ")
    assert alarm.sentence.endswith("; `pareto traffic alarms RUN` lists the requests")
    assert {*worst} & {*alarm.examples}
    first = found.id.index(alarm.examples[0])
    later = found.time >= alarm.since
    assert found.spreads["harmless"][first] == found.spreads["harmless"][later].max()
    quiet = by_name(watched(found, NAMES, known(), SPREADS, look=""))
    assert quiet["spread harmless"].sentence.endswith(alarm.sentence.split("; `")[0][-5:])
    flagged = [found.id.index(id) for id in quiet["flagged harmless"].examples]
    assert found.flagged["harmless"][flagged].all()
    assert quiet["prompts"].examples == ()


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
