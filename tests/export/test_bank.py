"""The bank: every adapter, and a manifest from which others mix the run's policies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGUFReader
from merging_runs import point

from pareto.errors import ParetoError
from pareto.export.bank import export_bank
from pareto.export.place import check_sums
from pareto.inference.policy import open_policy
from pareto.store.run import Run


def test_the_manifest_and_the_adapters_make_the_policies_of_the_run(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = export_bank(run, tmp_path / "bank")
    assert check_sums(out) == []
    told = json.loads((out / "manifest.json").read_text())
    assert set(told["adapters"]) == {"expert-kind", "expert-short"}
    assert set(told["points"]) == {"expert-kind", "expert-short", "soup-0"}
    assert told["points"]["soup-0"]["objectives"]["kind"] == {"mean": 0.5, "low": -0.48, "high": 1.48}
    assert told["base"]["licence"] == "mit"
    policy = open_policy(run, point(run, "soup-0"))
    with policy.bank.policy(policy.coefficients):
        merged = {k: m.weight.clone() for k, m in policy.bank.modules.items()}
    for name, weight in merged.items():
        update = policy.bank.pristine[name].clone()
        for adapter, coefficient in told["points"]["soup-0"]["coefficients"].items():
            kept = told["adapters"][adapter]
            factors = load_file(out / kept["folder"] / "adapter_model.safetensors")
            a, b = (factors[f"base_model.model.{name}.lora_{f}.weight"] for f in "AB")
            update += coefficient * kept["alpha"] / kept["rank"] * b @ a
        assert float((update - weight).abs().max()) <= 1e-6


def test_the_lattice_has_the_coefficients_that_the_run_serves_weights_with(run: Run, tmp_path: Path) -> None:
    lattice = json.loads((export_bank(run, tmp_path / "bank") / "manifest.json").read_text())["lattice"]
    assert lattice["how"] == "experts by rule"
    found = {place["weights"]["kind"]: place["coefficients"] for place in lattice["places"]}
    # The largest coefficient is 1, the others are as their weights are to the largest.
    assert found == {
        0.0: {"expert-short": 1.0},
        0.25: {"expert-kind": pytest.approx(1 / 3), "expert-short": 1.0},
        0.5: {"expert-kind": 1.0, "expert-short": 1.0},
        0.75: {"expert-kind": 1.0, "expert-short": pytest.approx(1 / 3)},
        1.0: {"expert-kind": 1.0},
    }


def test_each_adapter_is_there_as_gguf_with_the_same_factors(run: Run, tmp_path: Path) -> None:
    out = export_bank(run, tmp_path / "bank")
    told = json.loads((out / "manifest.json").read_text())
    for name, kept in told["adapters"].items():
        reader = GGUFReader(out / kept["gguf"])
        assert reader.get_field("adapter.lora.alpha").contents() == kept["alpha"] == 6  # type: ignore[union-attr]
        ours = open_policy(run, point(run, name)).update()[1]["model.layers.0.mlp.up_proj"]
        theirs = next(t.data for t in reader.tensors if t.name == "blk.0.ffn_up.weight.lora_b")
        assert np.array_equal(theirs, ours.numpy())


def test_a_damaged_adapter_leaves_no_bank(forged_run: tuple[Run, Any], tmp_path: Path) -> None:
    run, _ = forged_run
    (run.adapters / ("a" * 16) / "adapter_model.safetensors").write_bytes(b"")
    with pytest.raises(ParetoError, match=r"a{16}: missing or damaged"):
        export_bank(run, tmp_path / "bank")
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]
