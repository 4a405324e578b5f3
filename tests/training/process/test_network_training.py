from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.objectives.process.hidden import encode
from pareto.objectives.process.network import StepNetwork, Unlabelled
from pareto.training.process.network_training import Example, collate, last_checkpoint

NAN = float("nan")


def gradients(network: StepNetwork, batch: dict[str, Any]) -> list[torch.Tensor]:
    network.zero_grad()
    network(**batch)["loss"].backward()
    return [p.grad.clone() for p in network.parameters() if p.grad is not None]


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0.0, 1.0, 0.3, NAN]), min_size=1, max_size=12), st.sampled_from(["linear", "mlp"]))
def test_steps_without_a_label_change_no_bit_of_the_gradient(targets: list[float], kind: Any) -> None:
    labelled = [i for i, t in enumerate(targets) if t == t]
    torch.manual_seed(0)
    network = StepNetwork(kind, 5)
    features = np.random.default_rng(0).normal(size=(len(targets), 5)).astype(np.float32)
    whole = [Example(features, tuple(targets), "a")]
    if not labelled:
        with pytest.raises(ParetoError):
            collate(0)(whole)
        return
    only = [Example(features[labelled], tuple(targets[i] for i in labelled), "a")]
    with_them, without = gradients(network, collate(0)(whole)), gradients(network, collate(0)(only))
    assert all(torch.equal(a, b) for a, b in zip(with_them, without, strict=True))


def test_nor_in_a_network_with_lora(tiny: Any) -> None:
    torch.manual_seed(0)
    network = StepNetwork("lora", 32, copy.deepcopy(tiny.model.base_model))
    rows = [encode(tiny, "How?", "one\ntwo\nthree"), encode(tiny, "Why?", "four\nfive")]
    whole = [Example(rows[0], (1.0, NAN, 0.0), "a"), Example(rows[1], (NAN, 1.0), "b")]
    from dataclasses import replace

    cut = [replace(r, ends=tuple(r.ends[k] for k in keep)) for r, keep in zip(rows, ([0, 2], [1]), strict=True)]
    only = [Example(cut[0], (1.0, 0.0), "a"), Example(cut[1], (1.0,), "b")]
    with_them, without = gradients(network, collate(0)(whole)), gradients(network, collate(0)(only))
    assert len(with_them) > 4
    assert all(torch.equal(a, b) for a, b in zip(with_them, without, strict=True))


def test_a_batch_without_a_label_is_an_error_that_names_it() -> None:
    features = np.zeros((2, 5), dtype=np.float32)
    with pytest.raises(ParetoError, match=r"no step has a label in a batch of file.jsonl:3, file.jsonl:8"):
        collate(0)([Example(features, (NAN, NAN), f"file.jsonl:{k}") for k in (3, 8)])
    with pytest.raises(Unlabelled):
        StepNetwork("linear", 5)(features=torch.zeros(2, 5), targets=torch.tensor([NAN, NAN]))


def test_a_half_written_checkpoint_is_passed_over(tmp_path: Path) -> None:
    assert last_checkpoint(tmp_path) is None
    for step in (8, 16, 100):
        (tmp_path / f"checkpoint-{step}").mkdir()
        if step < 100:
            (tmp_path / f"checkpoint-{step}" / "trainer_state.json").touch()
    assert last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-16")
