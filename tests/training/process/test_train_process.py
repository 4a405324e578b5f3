from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from pareto.config import Model, Objective
from pareto.errors import ParetoError
from pareto.objectives.load import load_reward
from pareto.objectives.process.model import INFO, WEIGHTS, ProcessModel
from pareto.store.files import read_json
from pareto.training.process.labels import StepLabel
from pareto.training.process.solutions import Solution
from pareto.training.process.train import Settings, train_process

TINY = Model(base="tiny-random", dtype="float32", device="cpu")
LAST = Settings("linear", "last", steps=60)


@pytest.fixture(scope="module")
def made(solutions: list[Solution], tmp_path_factory: pytest.TempPathFactory) -> ProcessModel:
    folder = tmp_path_factory.mktemp("process")
    return train_process(solutions, LAST, TINY, folder / "model", cache=folder / "cache")


def test_it_finds_the_first_wrong_step_where_the_baselines_do_not(made: ProcessModel) -> None:
    report = made.info["report"]
    assert report["first_error"]["f1"] > 0.9
    assert report["always_right"]["f1"] == 0
    assert report["position_only"]["f1"] < 0.7
    assert report["step_auc"] > 0.95


def test_it_scores_each_step_of_other_solutions(made: ProcessModel) -> None:
    opened = ProcessModel.open(made.path)
    one, two, none = opened.score(["New?"] * 3, ["yes 1 aaa\nno 2 zzz\nyes 3 aaa", "yes 0 aaa", " "])
    assert (len(one), len(two), none) == (3, 1, ())
    assert one[1] < 0.5 < min(one[0], one[2], two[0])
    assert opened.first_error(one) == 1
    assert opened.first_error(two) is None
    # Who stands beside a solution does not matter.
    (alone,) = opened.score(["New?"], ["yes 0 aaa"])
    assert alone == pytest.approx(two, abs=1e-5)


def test_it_is_an_objective_of_a_sweep(made: ProcessModel) -> None:
    objective = Objective(name="process", reward=f"process:{made.path.name}")
    reward = load_reward(objective, made.path.parent)
    values = reward.function(prompts=["?"] * 3, completions=["yes 1 aaa\nno 2 zzz", "yes 1 aaa", ""])
    assert reward.range == (0, 1)
    assert values[0] < 0.5 < values[1]  # type: ignore[operator]
    assert values[2] == 0.0
    mean = load_reward(objective.model_copy(update={"options": {"how": "mean"}}), made.path.parent)
    assert mean.function(prompts=["?"], completions=["yes 1 aaa\nno 2 zzz"])[0] > values[0]  # type: ignore[operator]
    with pytest.raises(ParetoError, match="has no option 'hwo'; did you mean 'how'"):
        load_reward(objective.model_copy(update={"options": {"hwo": "mean"}}), made.path.parent)


def test_the_same_call_finds_the_folder_and_another_does_not_replace_it(
    made: ProcessModel, solutions: list[Solution], tmp_path: Path
) -> None:
    again = train_process(solutions, LAST, TINY, made.path, cache=tmp_path)
    assert again.info == made.info
    with pytest.raises(ParetoError, match="made of something else"):
        train_process(solutions, LAST, TINY, made.path, cache=tmp_path, seed=1)


def test_a_killed_training_goes_on_to_the_same_model(
    made: ProcessModel, solutions: list[Solution], tmp_path: Path
) -> None:
    class Killed(Exception):
        pass

    def kill(what: str, done: int, total: int) -> None:
        if what == "train" and done == 40:
            raise Killed

    begun: list[int] = []
    with pytest.raises(Killed):
        train_process(solutions, LAST, TINY, tmp_path / "model", cache=tmp_path / "cache", progress=kill)
    assert not (tmp_path / "model").exists()
    again = train_process(
        solutions, LAST, TINY, tmp_path / "model", cache=tmp_path / "cache",
        progress=lambda what, done, total: begun.append(done) if what == "train" else None,
    )  # fmt: skip
    assert begun[0] > 1
    assert again.info["weights"] == made.info["weights"]
    assert not list((tmp_path / "cache" / "process").iterdir())


@pytest.mark.parametrize(("kind", "reads"), [("mlp", "middle"), ("mlp", "surprise"), ("lora", "last")])
def test_every_kind_is_trained_kept_and_opened(
    solutions: list[Solution], tmp_path: Path, kind: Any, reads: Any
) -> None:
    few = solutions[:24]
    made = train_process(few, Settings(kind, reads, steps=4), TINY, tmp_path / "model", cache=tmp_path / "cache")
    kept = train_process(few, Settings(kind, reads, steps=4), TINY, tmp_path / "other", cache=tmp_path / "cache2")
    assert made.info["weights"] == kept.info["weights"]
    (steps,) = made.score(["Problem?"], ["yes 1 aaa\nno 2 zzz"])
    assert len(steps) == 2
    assert all(0 <= p <= 1 for p in steps)


def test_lora_learns_and_leaves_the_base_alone(solutions: list[Solution], tmp_path: Path) -> None:
    settings = Settings("lora", steps=40, learning_rate=5e-3)
    made = train_process(solutions, settings, TINY, tmp_path / "model", cache=tmp_path / "cache")
    assert made.info["report"]["step_auc"] > 0.8
    from safetensors.torch import load_file

    names = set(load_file(tmp_path / "model" / WEIGHTS))
    assert any(".lora_A." in name for name in names)
    assert not any("base_layer" in name or "embed" in name for name in names)


def test_a_loss_that_is_no_number_is_an_error(solutions: list[Solution], tmp_path: Path) -> None:
    wild = replace(LAST, learning_rate=1e38)
    with pytest.raises(ParetoError, match="take a learning rate below 1e\\+38"):
        train_process(solutions, wild, TINY, tmp_path / "model", cache=tmp_path / "cache")
    assert not (tmp_path / "model").exists()


def test_solutions_without_a_label_are_told_and_change_nothing(
    made: ProcessModel, solutions: list[Solution], tmp_path: Path
) -> None:
    notes: list[str] = []
    more = [*solutions, Solution("Another?", "a\nb", (StepLabel(None, "x"), StepLabel(None, "x")), "row 80")]
    told = train_process(more, LAST, TINY, tmp_path / "model", cache=tmp_path / "cache", note=notes.append)
    assert notes == ["1 of 81 solutions have no labelled step; left out"]
    assert told.info["weights"] == made.info["weights"]


def test_what_nothing_can_be_learnt_from_is_refused(solutions: list[Solution], tmp_path: Path) -> None:
    def refused(found: list[Solution]) -> str:
        with pytest.raises(ParetoError) as e:
            train_process(found, LAST, TINY, tmp_path / "model", cache=tmp_path / "cache")
        return str(e.value)

    blank = [replace(s, labels=tuple(StepLabel(None, "x") for _ in s.labels or ())) for s in solutions]
    assert refused(blank) == "no labelled step to learn from; label some, or take --labels verified"
    assert "steps to learn from are right: there is nothing to tell apart" in refused(solutions[::2])
    assert "no labelled step" in refused([])
    assert "no labelled step" in refused(solutions[1:2])


def test_too_long_solutions_are_told_and_left_out(solutions: list[Solution], tmp_path: Path) -> None:
    notes: list[str] = []
    long = Solution("Long?", "yes 1 aaa\n" * 100, tuple(StepLabel(True, "x") for _ in range(100)), "row 99")
    train_process([*solutions, long], LAST, TINY, tmp_path / "m", cache=tmp_path / "c", note=notes.append)
    assert len(notes) == 1
    assert notes[0].startswith("row 99: prompt and completion are ")
    assert notes[0].endswith("the context is 512; left out")


def test_a_folder_of_another_base_or_a_damaged_one_is_refused(made: ProcessModel, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / made.path.name
    shutil.copytree(made.path, copy)
    info = (copy / INFO).read_text()
    (copy / INFO).write_text(info.replace(read_json(copy / INFO)["base"][0], "0" * 16))
    with pytest.raises(ParetoError, match="damaged or edited"):
        ProcessModel.open(copy)
    from pareto.store.files import SEAL, sha256_file, write_json

    seal = read_json(copy / SEAL)
    seal["files"][INFO] = sha256_file(copy / INFO)
    write_json(copy / SEAL, seal)
    with pytest.raises(ParetoError, match="trained on another state of tiny-random"):
        ProcessModel.open(copy)
    with pytest.raises(ParetoError, match="not a process reward model"):
        ProcessModel.open(tmp_path)


def test_the_loss_is_the_mean_over_labelled_steps() -> None:
    from pareto.objectives.process.network import StepNetwork

    network = StepNetwork("linear", 1)
    with torch.no_grad():
        network.head.weight.fill_(1.0)
        network.head.bias.fill_(0.0)
    x, t = [0.5, -1.0, 2.0], [1.0, 0.25, math.nan]
    loss = network(features=torch.tensor(x)[:, None], targets=torch.tensor(t))["loss"].item()
    sigma = [1 / (1 + math.exp(-v)) for v in x]
    by_hand = [-(y * math.log(s) + (1 - y) * math.log(1 - s)) for y, s in zip(t, sigma, strict=True)][:2]
    assert loss == pytest.approx(sum(by_hand) / 2, rel=1e-6)
