import json

import numpy as np
import pytest
from scipy.special import expit

from pareto.objectives.ensemble.calibration import Calibration, calibrate
from pareto.objectives.ensemble.report import Scored, report, text
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
