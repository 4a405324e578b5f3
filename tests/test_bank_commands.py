"""``pareto bank``, and soups of any members in ``pareto chat`` and ``pareto export``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from forge import ROOT, Forge
from peft_folders import elsewhere, logits_with, peft_logits

from pareto.soups.members import members
from pareto.store.run import Run
from pareto.training.adapters import read_adapter

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.training.adapters import State

Forged = tuple[Run, dict[str, "State"]]

COMBINE = ("bank", "combine", "forged", "--name", "x", "--coefficients")


@pytest.fixture
def root(forged_run: Forged) -> Path:
    return forged_run[0].path.parent


@pytest.fixture
def other(tiny: Base, tmp_path: Path) -> Path:
    return elsewhere(tiny, tmp_path / "other", r=5, lora_alpha=7, target_modules=["q_proj", "up_proj"])


def test_add_tells_rank_modules_and_that_it_is_exact(forge: Forge, root: Path, other: Path) -> None:
    ended = forge.run("bank", "add", "forged", other, "--root", root)
    assert (ended.code, ended.out) == (0, "other: rank 5, 4 modules, exact\n")
    told = forge.run("bank", "add", "forged", other, "--name", "again", "--root", root, "--json").json()
    (one,) = told["added"]
    assert {"name", "kind", "adapter", "rank", "modules", "exact", "relative_error", "made_from", "layers"} == set(one)
    assert (one["name"], one["rank"], one["exact"], len(one["layers"])) == ("again", 5, True, 4)
    assert all(layer["absolute"] == 0 < layer["norm"] for layer in one["layers"])


def test_add_compressed_tells_the_worst_layer_and_the_table(forge: Forge, tiny: Base, root: Path, other: Path) -> None:
    words = ("bank", "add", "forged", other, "--rank", "2", "--root", root)
    (one,) = forge.run(*words, "--json").json()["added"]
    assert (one["rank"], one["exact"]) == (2, False)
    worst = max(one["layers"], key=lambda layer: layer["relative"])
    assert 0 < one["relative_error"] <= worst["relative"] < 1
    said = forge.run(*words).out
    assert said.startswith(f"other: rank 2, 4 modules, relative error {one['relative_error']:.3g}, at worst ")
    assert f"{worst['relative']:.3g} in {worst['module']}" in said


def test_list_names_what_coefficients_can_be_given_for(forge: Forge, root: Path, other: Path) -> None:
    words = ("bank", "list", "forged", "--root", root)
    assert [m["name"] for m in forge.run(*words, "--json").json()["members"]] == ["expert-kind", "expert-short"]
    forge.run("bank", "add", "forged", other, "--root", root)
    rows = forge.run(*words, "--json").json()["members"]
    assert [(m["name"], m["kind"]) for m in rows] == [
        ("expert-kind", "trained"),
        ("expert-short", "trained"),
        ("other", "added"),
    ]
    assert "other" in forge.run(*words).out.splitlines()[2]
    assert forge.run("bank", "remove", "forged", "other", "--root", root).out == "other removed\n"
    assert len(forge.run(*words).out.splitlines()) == 2


def test_combine_makes_a_member(forge: Forge, root: Path, other: Path) -> None:
    forge.run("bank", "add", "forged", other, "--root", root)
    words = ("bank", "combine", "forged", "--method", "dare_ties_svd", "--coefficients", "other=1,expert-kind=-.5")
    words = (*words, "--density", ".5", "--rank", "3", "--seed", "7", "--name", "both", "--root", str(root))
    made = forge.run(*words, "--json").json()["combined"]
    assert (made["name"], made["kind"], made["rank"], made["modules"]) == ("both", "combined", 3, 14)
    assert made["made_from"]["coefficients"] == {"other": 1.0, "expert-kind": -0.5}
    assert forge.run(*words).out.startswith("both: rank 3, 14 modules, relative error ")
    assert members(Run.open("forged", root))["both"] == made["adapter"]


def test_chat_and_export_take_coefficients_of_any_members(
    forge: Forge, tiny: Base, forged_run: Forged, root: Path, other: Path, tmp_path: Path
) -> None:
    run, b = forged_run
    forge.run("bank", "add", "forged", other, "--root", root)
    chosen = ("--coefficients", "other=-1.5,expert-kind=1.25", "--root", root)
    told = forge.run("chat", "forged", "Hello", *chosen, "--json").json()
    assert told["coefficients"] == {"other": -1.5, "expert-kind": 1.25}
    without = ("--coefficients", "expert-kind=1.25", "--root", root)
    plain = forge.run("chat", "forged", "Hello", *without, "--json").json()
    assert told["answer"] != plain["answer"]
    out = tmp_path / "exported"
    assert forge.run("export", "forged", "--out", out, *chosen, "--json").json()["coefficients"] == told["coefficients"]
    a = read_adapter(run.adapters / ("a" * 16), tiny)[0]
    theirs = read_adapter(run.adapters / members(run)["other"], tiny)
    updates = {name: 1.25 * 1.5 * b["expert-kind"][name] @ a[name] for name in a}
    for name in theirs[0]:
        updates[name] = updates[name] - 1.5 * 1.5 * theirs[1][name] @ theirs[0][name]
    wanted = logits_with(tiny, updates)
    assert (peft_logits(tiny, out) - wanted).norm() < 1e-5 * wanted.norm()
    assert "Not measured" in (out / "README.md").read_text()
    # And the export comes back as the one member that it is.
    assert "exact" in forge.run("bank", "add", "forged", out, "--root", root).out
    back = read_adapter(run.adapters / members(run)["exported"], tiny)
    ours = logits_with(tiny, {name: 1.5 * back[1][name] @ back[0][name] for name in back[0]})
    assert torch.allclose(ours, wanted, atol=1e-4)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("bank", "add", "forged", "nowhere"), "nowhere: no such folder"),
        (("bank", "add", "forged", "dora", "other"), "dora: cannot be mixed exactly: DoRA"),
        (("bank", "add", "forged", "other", "--name", "a=b"), "name 'a=b': must be letters"),
        (("bank", "add", "forged", "other", "dora", "--name", "x"), "one name for 2 adapters"),
        (("bank", "add", "forge", "other"), "no run 'forge'"),
        (("bank", "list", "forge"), "no run 'forge'"),
        (("bank", "remove", "forged", "expert-kind"), "'expert-kind' was trained by the sweep of run 'forged'"),
        (("bank", "remove", "forged", "x"), "no added adapter 'x' in run 'forged'; there is none"),
        ((*COMBINE, "expert-kind=1"), "at least two adapters"),
        ((*COMBINE, "a=1,b=2"), "no adapter 'a' in run 'forged'"),
        ((*COMBINE, "a"), "coefficients: 'a' is not name=number"),
        (
            (*COMBINE, "expert-kind=1,expert-short=1", "--method", "ties"),
            "no method 'ties'; did you mean 'ties_svd'?",
        ),
        (("chat", "forged", "Hi", "--coefficients", "expert-kid=1"), "did you mean 'expert-kind'?"),
        (("chat", "forged", "Hi", "--coefficients", "expert-kind=nan"), "expert-kind=nan is not a finite number"),
        (("chat", "forged", "Hi", "--coefficients", "expert-kind=1,expert-kind=2"), "'expert-kind' is given twice"),
        (("chat", "forged", "Hi", "--coefficients", "expert-kind=1", "--point", "base"), "give only one of --point"),
        (("export", "forged", "--out", "x", "--coefficients", "expert-kind=0"), "there is no adapter to export"),
        (("export", "forged", "--out", "x", "--coefficients", "expert-kind=1", "--best"), "exactly one of"),
    ],
)
def test_bad_input_is_told_in_one_line_and_changes_nothing(
    forge: Forge, tiny: Base, root: Path, other: Path, tmp_path: Path, words: tuple[str, ...], says: str
) -> None:
    if "dora" in words:
        elsewhere(tiny, tmp_path / "dora", r=2, target_modules=["q_proj"], use_dora=True)
    before = sorted(p for p in root.rglob("*") if p.name not in ("bank", "bank.lock"))
    assert says in forge.run(*words, "--root", root, cwd=tmp_path).line()
    assert sorted(p for p in root.rglob("*") if p.name not in ("bank", "bank.lock")) == before
    assert not (tmp_path / "x").exists()


def test_listing_a_bank_imports_no_torch(forged_run: Forged) -> None:
    run, _ = forged_run
    code = "import sys; from pareto.cli import app; app(sys.argv[1:], standalone_mode=False); assert 'torch' not in {}"
    command = [sys.executable, "-c", code.format("sys.modules"), "bank", "list", str(run.path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert "expert-kind" in done.stdout
