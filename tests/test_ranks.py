"""One training shared out among processes: the adapter of one process, whoever of them fails says why."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import psutil
import pytest
from forge import Forge, smoke_recipe, until
from safetensors.numpy import load_file

from pareto.recipe_file import read_recipe

pytestmark = pytest.mark.slow


def recipe(folder: Path, processes: int, **training: object) -> Path:
    folder.mkdir(exist_ok=True)
    return smoke_recipe(
        folder,
        training={"steps": 4, **training},
        driver={"trials": 2},
        soups={"count": 0},
        gold=[],
        engine={"processes": processes},
    )


def adapters(root: Path) -> dict[str, dict[str, np.ndarray]]:
    return {p.parent.name: load_file(p) for p in (root / "smoke" / "adapters").glob("*/adapter_model.safetensors")}


def test_two_processes_train_what_one_does_though_one_of_them_is_killed(forge: Forge, tmp_path: Path) -> None:
    how = {"sft_weight": 0.0, "steps": 24}
    one = forge.start("sweep", recipe(tmp_path / "1", 1, **how), "--root", tmp_path / "1", "--json")
    two = forge.start("sweep", recipe(tmp_path / "2", 2, **how), "--root", tmp_path / "2", "--json")
    until(lambda: bool(list((tmp_path / "2" / "smoke" / "checkpoints").glob("*/*"))))
    ranks = [p for p in psutil.process_iter() if "pareto.ranks" in _words(p)]
    ranks[-1].send_signal(signal.SIGKILL)
    assert [sweep.wait().json()["trials"] for sweep in (one, two)] == [2, 2]
    theirs, ours = adapters(tmp_path / "1"), adapters(tmp_path / "2")
    assert theirs.keys() == ours.keys()
    for key, tensors in theirs.items():
        for name, value in tensors.items():
            np.testing.assert_allclose(ours[key][name], value, rtol=1e-3, atol=1e-5)
        assert any(np.abs(v).max() > 1e-4 for name, v in tensors.items() if "lora_B" in name), "it was trained"


def test_processes_that_draw_their_own_completions_train_together(forge: Forge, tmp_path: Path) -> None:
    asked = recipe(tmp_path, 2, method="grpo", num_generations=2, steps=1)
    assert forge.run("sweep", asked, "--root", tmp_path, "--json").json()["trials"] == 2
    assert all(np.isfinite(v).all() for b in adapters(tmp_path).values() for v in b.values())


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
