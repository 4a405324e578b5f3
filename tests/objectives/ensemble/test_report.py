import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import expit

from pareto.objectives.ensemble.calibration import Calibration, calibrate
from pareto.objectives.ensemble.report import Scored, report, text, warnings
from pareto.objectives.ensemble.scores import EnsembleScores
from pareto.records import Pair
from pareto.store.files import to_json


def made(n: int, noise: float, seed: int) -> tuple[list[Pair], np.ndarray]:
    """Pairs whose labels follow a quality, and what five members say of them; the noise is theirs."""
    rng = np.random.default_rng(seed)
    quality = rng.normal(0, 1.5, (2, n))
    turn = rng.random(n) > expit(quality[0] - quality[1])
    quality[:, turn] = quality[::-1, turn]
    pairs = [Pair(f"prompt {i // 2}", f"good {i}", f"bad {i} of two words") for i in range(n)]
    return pairs, (quality[..., None] + noise * rng.normal(size=(2, n, 5))).reshape(2 * n, 5)


@pytest.fixture(scope="module")
def calibration() -> Calibration:
    pairs, raw = made(1500, 1.0, 0)
    n = len(pairs)
    return calibrate(raw[:n], raw[n:], np.ones(n), np.ones(n), [p.prompt for p in pairs], 0.1)


def scored(calibration: Calibration, n: int, noise: float = 1.0, seed: int = 1) -> Scored:
    pairs, raw = made(n, noise, seed)
    return Scored.of(pairs, calibration.apply(raw))


def test_it_tells_how_far_scores_can_be_trusted(calibration: Calibration) -> None:
    found = report(calibration, {"in_distribution": scored(calibration, 2000)})["in_distribution"]
    assert (found["pairs"], found["ties"], found["prompts"]) == (2000, 0, 1000)
    assert found["accuracy"]["low"] < found["accuracy"]["value"] < found["accuracy"]["high"]
    # Five that err apart are better than one of them.
    assert max(found["member_accuracy"]) < found["accuracy"]["value"]
    assert found["calibration_error"] < 0.04
    assert found["auc"]["uncertainty"] >= found["auc"]["margin"] - 1e-9
    assert 0.08 < found["flagged"]["share"] < 0.12
    assert found["flagged"]["ratio"] > 2
    kept = list(found["kept"].values())
    assert kept[0] == pytest.approx(found["accuracy"]["value"])
    assert kept == sorted(kept)


def test_sets_are_told_apart(calibration: Calibration) -> None:
    sets = {"in_distribution": scored(calibration, 800), "shifted": scored(calibration, 800, noise=5.0)}
    found = report(calibration, sets)
    assert found["shifted"]["accuracy"]["high"] < found["in_distribution"]["accuracy"]["low"]
    assert found["shifted"]["calibration_error"] > 3 * found["in_distribution"]["calibration_error"]
    # The members disagree more about what they do not know.
    assert found["shifted"]["completions_flagged"] > 0.5
    lines = text(found).splitlines()
    assert lines[0].split() == ["in", "distribution", "shifted"]
    (row,) = (line for line in lines if line.startswith("expected calibration error"))
    told = [f"{found[name]['calibration_error']:.3f}" for name in sets]
    assert row.split()[-2:] == told


def test_the_margins_baseline_stands_beside_the_uncertainty(calibration: Calibration) -> None:
    found = report(calibration, {"in_distribution": scored(calibration, 500)})
    lines = text(found).splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("area under the curve for errors"))
    aucs = found["in_distribution"]["auc"]
    told = {line.rsplit(maxsplit=1)[0].strip(): line.split()[-1] for line in lines[at + 1 : at + 3]}
    assert told == {"of the margin alone": f"{aucs['margin']:.3f}", "of the spread alone": f"{aucs['spread']:.3f}"}
    assert "the margin alone, to which the spread added nothing" in text(found)


@pytest.mark.parametrize("targets", [[0.5, 0.5], [1.0], [0.5, 1.0]])
def test_too_few_pairs_leave_blanks(calibration: Calibration, targets: list[float]) -> None:
    pairs = [Pair("p", "a", "b", target) for target in targets]
    scores = EnsembleScores(np.arange(10.0 * len(pairs)).reshape(-1, 5))
    found = report(calibration, {"in_distribution": Scored.of(pairs, scores)})
    again = json.loads(to_json(found))
    assert text(again) == text(found)
    assert "nan" not in text(found)
    assert "–" in text(found)
    assert again["in_distribution"]["auc"] == {"uncertainty": None, "margin": None, "spread": None}
    assert "–: nothing to tell it by, or too few comparisons" in text(found).splitlines()


def test_a_whole_table_has_no_legend_for_blanks_and_says_its_units(calibration: Calibration) -> None:
    pairs, raw = made(500, 1.0, 1)
    pairs[:100] = [replace(p, rejected="bad too") for p in pairs[:100]]
    pairs[100:200] = [replace(p, chosen="good " * 9) for p in pairs[100:200]]
    told = text(report(calibration, {"in_distribution": Scored.of(pairs, calibration.apply(raw))}))
    assert "–" not in told
    assert f"spread above {calibration.spread_threshold:.3f} nats" in told
    assert told.count("for comparison: of ") == 2


def test_too_few_errors_are_not_said_to_be_a_spread_that_adds_nothing(calibration: Calibration) -> None:
    unknown = replace(calibration, error_model=None, error_auc=(float("nan"), float("nan")))
    told = text(report(unknown, {"in_distribution": scored(calibration, 50)}))
    assert "errors were too few to tell" in told
    assert "added nothing" not in told


def test_one_model_is_not_said_to_have_a_spread() -> None:
    pairs, raw = made(300, 1.0, 0)
    one = calibrate(raw[:300, :1], raw[300:, :1], np.ones(300), np.ones(300), [p.prompt for p in pairs], 0.1)
    scores = Scored.of(pairs, one.apply(raw[:, :1]))
    assert "the margin alone: one model has no spread" in text(report(one, {"in_distribution": scores}))


def guessed(right: int, n: int) -> Scored:
    """The first ones right, the others wrong, each of a prompt of its own."""
    pairs = [Pair(f"p{i}", "a", "b") for i in range(n)]
    better = np.where(np.arange(n) < right, 1.0, -1.0)[:, None] * np.arange(1, 6)
    return Scored.of(pairs, EnsembleScores(np.concatenate([better, -better])))


@pytest.mark.parametrize(
    ("right", "says"),
    [
        # Wilson's intervals for 19 independent ones, as 20 are worth whose variance is estimated.
        (10, ["these: accuracy 0.50 (0.29 to 0.71): no better than a coin"]),
        (2, ["these: accuracy 0.10 (0.03 to 0.31): worse than a coin"]),
        (19, []),
    ],
)
def test_guessing_is_called_so(calibration: Calibration, right: int, says: list[str]) -> None:
    found = report(calibration, {"these": guessed(right, 20)})
    assert warnings(found) == says
    assert [line for line in text(found).splitlines() if "warning: " in line] == [f"warning: {line}" for line in says]


def test_labels_that_contradict_each_other_are_counted_beside_it(calibration: Calibration) -> None:
    pairs = [Pair(f"p{i}", *words) for i in range(6) for words in (("a", "b"), ("b", "a"))]
    scores = EnsembleScores(np.concatenate([np.tile([[1.0], [-1.0]], (6, 5)), np.tile([[-1.0], [1.0]], (6, 5))]))
    found = report(calibration, {"these": Scored.of(pairs, scores)})
    assert found["these"]["contradictions"] == 6
    (line,) = warnings(found)
    assert line.endswith("no better than a coin; contradictions among these 12 comparisons: 6")
