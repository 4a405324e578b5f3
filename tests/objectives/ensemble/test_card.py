from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard

from pareto.config import Ensemble as Settings
from pareto.config import Model
from pareto.objectives.ensemble.card import card
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.records import Pair
from pareto.training.rewards.train import train_ensemble


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    folder = tmp_path_factory.mktemp("card")
    pairs = [Pair(f"Question {i}?", "yes " * (9 + i % 5), "no " * (1 + i % 3)) for i in range(40)]
    model = Model(base="tiny-random", dtype="float32", device="cpu", system="Be brief.")
    settings = Settings(members=2, held_out=0.4, aggregate="uwo", k=0.5, review_rate=0.2)
    return train_ensemble("long", pairs, settings, model, folder / "it", cache=folder / "cache", seed=3)


def test_the_hub_reads_it(ensemble: Ensemble) -> None:
    data: Any = ModelCard(card(ensemble)).data
    assert (data.base_model, data.pipeline_tag) == ("tiny-random", "text-classification")
    assert "reward-model" in data.tags


def test_it_says_what_the_members_are_and_how_far_to_trust_them(ensemble: Ensemble) -> None:
    text = card(ensemble)
    assert "reward: `uwo`, k = 0.5" in text
    assert 'system prompt "Be brief."' in text
    assert text.count("| linear |") == 2
    assert "24 to learn from, 8 to calibrate on, 8 to report on" in text
    assert "expected calibration error" in text
    assert "20% of the completions" in text
    assert "warning: " not in text


def test_it_names_the_members_that_were_dropped(ensemble: Ensemble) -> None:
    lost = {"member": "member 2 (mlp)", "why": "its loss is NaN or infinite"}
    less = Ensemble(Path("somewhere"), ensemble.info | {"dropped": [lost]}, None)
    assert "- **dropped**: member 2 (mlp): its loss is NaN or infinite" in card(less)


def test_it_warns_of_a_model_that_guesses(ensemble: Ensemble) -> None:
    known = ensemble.report
    coin = known["in_distribution"] | {"accuracy": {"value": 0.5, "low": 0.3, "high": 0.7}, "contradictions": 3}
    poor = Ensemble(Path("somewhere"), ensemble.info | {"report": known | {"in_distribution": coin}}, None)
    assert "accuracy 0.50 (0.30 to 0.70): no better than a coin; contradictions among these 8 comparisons: 3" in card(
        poor
    )


def test_one_model_alone_is_said_to_be_without_doubt_of_its_own(tmp_path: Path) -> None:
    pairs = [Pair(f"Question {i}?", "yes " * (9 + i % 5), "no " * (1 + i % 3)) for i in range(40)]
    model = Model(base="tiny-random", dtype="float32", device="cpu")
    said: list[str] = []
    settings = Settings(members=1, held_out=0.4, steps=20)
    made = train_ensemble("long", pairs, settings, model, tmp_path / "it", cache=tmp_path, note=said.append)
    assert said == ["1 member: a single model has no spread and cannot tell when it is unsure; several can"]
    text = card(made)
    assert "1 reward model of how well" in text
    assert "cannot tell when it is unsure" in text
    assert "are to be reviewed" not in text
