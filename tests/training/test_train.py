"""One adapter per weight setting: trained once, found again, alike in A."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.records import Prompt, Rollout
from pareto.training.train import Ground, Job, train

if TYPE_CHECKING:
    from pareto.models import Base


def recipe(**training: Any) -> Recipe:
    lora = {"rank": 4, "alpha": 8, "layers": 1, **training.pop("lora", {})}
    return Recipe.model_validate(
        {
            "name": "r",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "first", "reward": "x"}, {"name": "second", "reward": "y"}],
            "training": {
                "steps": 2,
                "steps_from_soup": 1,
                "batch_size": 4,
                "learning_rate": 1e-2,
                "lora": lora,
                **training,
            },
        }
    )


@pytest.fixture
def ground(tiny: Base, prompts: list[Prompt], pool: list[Rollout]) -> Ground:
    scores = np.array([[1.0, -1.0], [0.0, 0.0], [-1.0, 1.0]] * len(prompts))
    return Ground(tiny, recipe(), [], prompts, pool, scores, "key")


def tensors(folder: Path, factor: str) -> dict[str, torch.Tensor]:
    return {k: v for k, v in load_file(folder / "adapter_model.safetensors").items() if f".lora_{factor}." in k}


def test_all_weight_settings_have_one_a_and_each_its_own_b(ground: Ground, tmp_path: Path) -> None:
    jobs = [Job(w, {}, {}) for w in ((1.0, 0.0), (0.0, 1.0), (0.7, 0.3))]
    folders = [train(ground, job, None, tmp_path) for job in jobs]
    first = tensors(folders[0], "A")
    assert len(first) == 7
    for folder in folders[1:]:
        other = tensors(folder, "A")
        assert other.keys() == first.keys()
        assert all(torch.equal(other[k], first[k]) for k in first)
    b = [tensors(folder, "B") for folder in folders]
    assert all(float(v.abs().max()) > 0 for state in b for v in state.values())
    assert any(not torch.equal(b[0][k], b[1][k]) for k in b[0])


def test_a_finished_adapter_is_found_and_not_trained_again(ground: Ground, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    job = Job((1.0, 0.0), {}, {})
    folder = train(ground, job, None, tmp_path, lambda *step: told.append(step))
    assert told == [(1, 2), (2, 2)]
    content = {p.name: p.read_bytes() for p in folder.iterdir()}
    told.clear()
    assert train(ground, job, None, tmp_path, lambda *step: told.append(step)) == folder
    assert not told
    damaged = folder / "adapter_model.safetensors"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    assert train(ground, job, None, tmp_path, lambda *step: told.append(step)) == folder
    assert told == [(1, 2), (2, 2)]
    made_again = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert made_again["adapter_model.safetensors"] == content["adapter_model.safetensors"]
    assert made_again["pareto.json"] == content["pareto.json"]
    assert [p.name for p in tmp_path.iterdir()] == [folder.name]


def test_a_start_from_a_soup_takes_fewer_steps_from_there(ground: Ground, tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    start = {k: torch.randn(ground.base.model.get_submodule(k).out_features, 4, generator=generator) for k in ground.a}
    told: list[tuple[int, int]] = []
    folder = train(ground, Job((1.0, 0.0), {}, {"some": 1.0}), start, tmp_path, lambda *step: told.append(step))
    assert told == [(1, 1)]
    for key, value in tensors(folder, "B").items():
        name = key.removeprefix("base_model.model.").removesuffix(".lora_B.weight")
        assert 0 < float((value - start[name]).abs().max()) <= 0.011  # one AdamW step at rate 0.01


def test_whatever_makes_another_adapter_gives_another_name(ground: Ground) -> None:
    names = {
        Job((1.0, 0.0), {}, {}).key(ground),
        Job((0.0, 1.0), {}, {}).key(ground),
        Job((1.0, 0.0), {"beta": 0.2}, {}).key(ground),
        Job((1.0, 0.0), {}, {"x": 0.5}).key(ground),
        Job((1.0, 0.0), {}, {"x": 0.6}).key(ground),
        Job((1.0, 0.0), {}, {}).key(replace(ground, pool_key="other")),
        Job((1.0, 0.0), {}, {}).key(replace(ground, recipe=recipe(beta=0.3))),
        Job((1.0, 0.0), {}, {}).key(replace(ground, recipe=recipe().model_copy(update={"seed": 1}))),
    }
    assert len(names) == 8
    assert Job((1.0, 1e-15), {}, {}).key(ground) in names


def test_a_searched_rank_gives_an_adapter_that_still_mixes(ground: Ground, tmp_path: Path) -> None:
    whole = train(ground, Job((1.0, 0.0), {}, {}), None, tmp_path)
    small = train(ground, Job((1.0, 0.0), {"rank": 2, "beta": 0.2}, {}), None, tmp_path)
    assert all(torch.equal(v, tensors(whole, "A")[k]) for k, v in tensors(small, "A").items())
    for value in tensors(small, "B").values():
        assert value.shape[1] == 4
        assert not value[:, 2:].any()
        assert value[:, :2].any()


def test_settings_of_a_trial_reach_the_trainer(ground: Ground, tmp_path: Path) -> None:
    def moved(**settings: float) -> float:
        folder = train(ground, Job((1.0, 0.0), settings, {}), None, tmp_path)
        return max(float(v.abs().max()) for v in tensors(folder, "B").values())

    # AdamW moves each number by about its rate at each of the two steps.
    assert moved(learning_rate=1e-3) == pytest.approx(moved() / 10, rel=0.05)


def test_candidates_that_do_not_differ_are_told_with_the_weights(ground: Ground, tmp_path: Path) -> None:
    flat = replace(ground, scores=np.zeros_like(ground.scores))
    with pytest.raises(ParetoError, match=r"no comparison at weights \{'first': 0.5, 'second': 0.5\}.*min_margin 0.05"):
        train(flat, Job((0.5, 0.5), {}, {}), None, tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_architecture_that_cannot_share_is_trained_without(
    ground: Ground, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pareto.training import trunk

    job = Job((1.0, 0.0), {}, {})
    shared = train(ground, job, None, tmp_path / "shared")
    assert ground.trunk is not None
    assert ground.trunk.kept
    monkeypatch.setattr(trunk, "shareable", lambda *_: False)
    unshared = replace(ground)
    assert unshared.trunk is None
    alone = train(unshared, job, None, tmp_path / "alone")
    for key, value in tensors(alone, "B").items():
        assert torch.allclose(value, tensors(shared, "B")[key], rtol=0, atol=1e-5)
