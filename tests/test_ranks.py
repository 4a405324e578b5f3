"""One training shared out among processes: the adapter of one process, whoever of them fails says why."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest
from forge import Forge, smoke_recipe, until
from safetensors.numpy import load_file

from pareto.campaign import Campaign
from pareto.recipe_file import read_recipe
from pareto.store.run import Run
from pareto.sweep import sweep
from pareto.watch import Silent

pytestmark = pytest.mark.slow


def recipe(folder: Path, processes: int, **training: object) -> Path:
    folder.mkdir(exist_ok=True)
    return smoke_recipe(
        folder, training={"steps": 4, **training}, soups={"count": 0}, gold=[], engine={"processes": processes}
    )


def trained(folder: Path, processes: int, **training: object) -> dict[str, np.ndarray]:
    """The adapter of one trial."""
    parsed = read_recipe(recipe(folder, processes, **training))
    campaign = Campaign(Run.create(folder, parsed), Silent(), processes=parsed.engine.together)
    campaign.pool()
    campaign.frame = campaign.new_frame(campaign.measured_base())
    (told,) = campaign.dispatch.all([campaign.trial((0.25, 0.75), {}, {}, "one")])
    return load_file(campaign.run.adapters / told["adapter"] / "adapter_model.safetensors")


def test_two_processes_train_what_one_does_though_one_of_them_is_killed(tmp_path: Path) -> None:
    how = {"sft_weight": 0.0, "steps": 24}

    def kill() -> None:
        until(lambda: bool(list((tmp_path / "2" / "smoke" / "checkpoints").glob("*/*"))))
        ranks = [p for p in psutil.process_iter() if f"pareto.ranks {tmp_path}" in _words(p)]
        ranks[-1].send_signal(signal.SIGKILL)

    theirs = trained(tmp_path / "1", 1, **how)
    with ThreadPoolExecutor(1) as beside:
        killed = beside.submit(kill)
        ours = trained(tmp_path / "2", 2, **how)
        killed.result()
    assert theirs.keys() == ours.keys()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, rtol=1e-3, atol=1e-5)
    assert any(np.abs(v).max() > 1e-4 for name, v in theirs.items() if "lora_B" in name), "it was trained"


def test_processes_that_draw_their_own_completions_train_together(tmp_path: Path) -> None:
    adapter = trained(tmp_path, 2, method="grpo", num_generations=2, steps=1)
    assert all(np.isfinite(value).all() for value in adapter.values())


def test_a_sweep_has_each_training_shared_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr("pareto.workshop.train_in", lambda processes, *rest: asked.append(processes))
    told = sweep(read_recipe(recipe(tmp_path, 2, steps=1)), tmp_path, None, Silent())
    assert asked == [2] * told["trials"]


def _words(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


def test_a_batch_that_cannot_be_shared_out_is_told_in_one_line(forge: Forge, tmp_path: Path) -> None:
    said = forge.run("sweep", recipe(tmp_path, 3), "--root", tmp_path).line()
    assert "training.batch_size: batch_size 8 cannot be shared out among 3 processes" in said


def test_several_gpus_ask_for_as_many_processes(tmp_path: Path) -> None:
    path = smoke_recipe(tmp_path, engine={"kind": "ray", "gpus": 4})
    assert read_recipe(path).engine.together == 4
