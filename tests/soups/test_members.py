"""What a run's bank has: names, sealed folders, nothing twice, nothing half."""

from __future__ import annotations

import dataclasses
import json
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from peft_folders import IDS, elsewhere, logits_with, peft_logits

from pareto.errors import ParetoError
from pareto.inference.policy import open_policy
from pareto.soups.adding import add_combination, add_folders
from pareto.soups.members import added, members, remove, soup_point, trained
from pareto.store.files import folder_ok
from pareto.store.points import load_points, save_point
from pareto.store.run import Run
from pareto.training.adapters import read_adapter

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.training.adapters import State

Forged = tuple[Run, dict[str, "State"]]
SETTINGS: dict[str, Any] = {"r": 5, "lora_alpha": 7, "target_modules": ["q_proj", "up_proj"]}
TRAINED = {"expert-kind": "a" * 16, "expert-short": "b" * 16}


@pytest.fixture
def run(forged_run: Forged) -> Run:
    return forged_run[0]


@pytest.fixture
def other(tiny: Base, tmp_path: Path) -> Path:
    return elsewhere(tiny, tmp_path / "other", **SETTINGS)


def files(run: Run) -> set[str]:
    return {str(p.relative_to(run.path)) for p in run.path.rglob("*") if p.name != "bank.lock" and p.is_file()}


def test_a_run_of_an_earlier_version_has_its_trained_adapters(run: Run) -> None:
    assert members(run) == trained(run) == TRAINED
    assert added(run) == {}
    assert not (run.path / "bank").exists()


def test_an_added_adapter_is_a_sealed_folder_that_plain_peft_reads_alike(tiny: Base, run: Run, other: Path) -> None:
    (joined,) = add_folders(run, tiny, [other])
    member = added(run)["other"]
    assert (member.rank, member.modules, member.error, member.kind) == (5, 4, 0, "added")
    assert joined.member == member
    assert members(run) == {**TRAINED, "other": member.adapter}
    folder = run.adapters / member.adapter
    assert folder_ok(folder)
    assert json.loads((folder / "pareto.json").read_text())["base"] == tiny.fingerprint
    a, b = read_adapter(folder, tiny)
    wanted = peft_logits(tiny, other)
    assert (logits_with(tiny, {n: 1.5 * b[n] @ a[n] for n in a}) - wanted).norm() < 1e-5 * wanted.norm()
    assert (peft_logits(tiny, folder) - wanted).norm() < 1e-5 * wanted.norm()


def test_adding_twice_changes_nothing_and_another_of_that_name_is_refused(
    tiny: Base, run: Run, other: Path, tmp_path: Path
) -> None:
    add_folders(run, tiny, [other])
    before = {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file() and p.name != "bank.lock"}
    add_folders(run, tiny, [other])
    assert {p: p.stat().st_mtime_ns for p in run.path.rglob("*") if p.is_file() and p.name != "bank.lock"} == before
    another = elsewhere(tiny, tmp_path / "elsewhere" / "other", seed=1, **SETTINGS)
    with pytest.raises(ParetoError, match=r"name 'other': is another adapter's .* pareto bank remove forged other"):
        add_folders(run, tiny, [another])
    add_folders(run, tiny, [another], name="another")
    assert set(members(run)) == {*TRAINED, "other", "another"}
    assert len(set(members(run).values())) == 4


@pytest.mark.parametrize(
    "name", ["expert-kind", "soup-0", "base", "trial-7", "expert-new", "soup", "a=b", "a,b", ".x", ""]
)
def test_names_that_cannot_be_had(tiny: Base, run: Run, other: Path, name: str) -> None:
    before = files(run)
    with pytest.raises(ParetoError, match="name "):
        add_folders(run, tiny, [other], name=name)
    assert files(run) == before


def test_several_are_added_together_or_not_at_all(tiny: Base, run: Run, other: Path, tmp_path: Path) -> None:
    second = elsewhere(tiny, tmp_path / "second", seed=2, r=3, lora_alpha=1, target_modules="all-linear")
    bad = elsewhere(tiny, tmp_path / "bad", r=3, target_modules=["q_proj"], use_dora=True)
    before = files(run)
    with pytest.raises(ParetoError, match="bad: cannot be mixed exactly: DoRA"):
        add_folders(run, tiny, [other, second, bad])
    twin = elsewhere(tiny, tmp_path / "deeper" / "other", seed=5, **SETTINGS)
    with pytest.raises(ParetoError, match="two of these adapters would have it"):
        add_folders(run, tiny, [other, twin])
    with pytest.raises(ParetoError, match="--name x: one name for 2 adapters"):
        add_folders(run, tiny, [other, second], name="x")
    assert files(run) == before
    assert [j.member.name for j in add_folders(run, tiny, [other, second])] == ["other", "second"]
    assert set(members(run)) == {*TRAINED, "other", "second"}


def test_two_processes_that_want_one_name(tiny: Base, run: Run, tmp_path: Path) -> None:
    folders = [elsewhere(tiny, tmp_path / str(i) / "same", seed=i, **SETTINGS) for i in range(4)]
    refused: list[ParetoError] = []

    def add(folder: Path) -> None:
        try:
            add_folders(run, tiny, [folder])
        except ParetoError as e:
            refused.append(e)

    threads = [threading.Thread(target=add, args=(folder,)) for folder in folders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 3
    assert set(added(run)) == {"same"}


def test_compressed_it_is_another_adapter_with_its_error(tiny: Base, run: Run, other: Path) -> None:
    (exact,) = add_folders(run, tiny, [other])
    (small,) = add_folders(run, tiny, [other], name="small", rank=2)
    assert (small.member.rank, small.member.modules) == (2, 4)
    assert 0 < small.member.error < 1
    assert small.member.adapter != exact.member.adapter
    a, b = read_adapter(run.adapters / small.member.adapter, tiny)
    full_a, full_b = read_adapter(run.adapters / exact.member.adapter, tiny)
    for loss in small.losses:
        dense = 1.5 * (full_b[loss.module] @ full_a[loss.module]).double()
        left = dense - 1.5 * (b[loss.module] @ a[loss.module]).double()
        assert loss.absolute == pytest.approx(float(torch.linalg.svdvals(dense)[2:].norm()), rel=1e-4)
        assert float(left.norm()) == pytest.approx(loss.absolute, rel=1e-4)


def test_removing_leaves_what_others_need(tiny: Base, run: Run, other: Path) -> None:
    before = files(run)
    (joined,) = add_folders(run, tiny, [other])
    add_folders(run, tiny, [other], name="alias")
    folder = run.adapters / joined.member.adapter
    remove(run, "other")
    assert folder_ok(folder)
    assert set(added(run)) == {"alias"}
    measured = dataclasses.replace(soup_point(run, {"alias": 0.5}), id="measured", kl=0.1)
    save_point(run, measured)
    remove(run, "alias")
    assert folder_ok(folder)
    open_policy(run, next(p for p in load_points(run) if p.id == "measured"))
    (run.points / "measured.test.json").unlink()
    add_folders(run, tiny, [other])
    remove(run, "other")
    assert files(run) == before


def test_only_added_adapters_are_removed(run: Run) -> None:
    with pytest.raises(ParetoError, match="'expert-kind' was trained by the sweep"):
        remove(run, "expert-kind")
    for name in ("nothing", "../points/base.test", ""):
        with pytest.raises(ParetoError, match="no added adapter"):
            remove(run, name)


def test_a_damaged_member_is_told_and_can_be_taken_away(tiny: Base, run: Run, other: Path) -> None:
    (joined,) = add_folders(run, tiny, [other])
    tensors = run.adapters / joined.member.adapter / "adapter_model.safetensors"
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ParetoError, match="missing or damaged; add 'other' to the bank again"):
        soup_point(run, {"other": 1.0})
    add_folders(run, tiny, [other])
    assert tensors.read_bytes() == whole
    file = run.path / "bank" / "other.json"
    for text in ("{", "[]", file.read_text().replace('"rank": 5', '"rank": 6')):
        file.write_text(text)
        with pytest.raises(ParetoError, match=r"bank/other.json.*damaged"):
            members(run)
    remove(run, "other")
    assert members(run) == TRAINED


def test_a_soup_of_any_members_is_exact(tiny: Base, forged_run: Forged, other: Path) -> None:
    run, b = forged_run
    add_folders(run, tiny, [other])
    coefficients = {"other": -0.75, "expert-kind": 1.25, "expert-short": 0.0}
    point = soup_point(run, coefficients)
    assert point.coefficients == {"other": -0.75, "expert-kind": 1.25}
    assert point.weights is None
    policy = open_policy(run, point)
    theirs = read_adapter(run.adapters / members(run)["other"], tiny)
    updates = {name: 1.25 * 1.5 * b["expert-kind"][name] @ a for name, a in policy.bank.a.items()}
    for name in theirs[0]:
        updates[name] = updates[name] - 0.75 * 1.5 * theirs[1][name] @ theirs[0][name]
    wanted = logits_with(tiny, updates)
    with policy.bank.policy(point.coefficients), torch.no_grad():
        ours = policy.base.model(IDS).logits
    assert (ours - wanted).norm() < 1e-5 * wanted.norm()


@pytest.mark.parametrize(
    ("coefficients", "says"),
    [
        ({"expert-kin": 1.0}, "no adapter 'expert-kin' in run 'forged'; did you mean 'expert-kind'?"),
        ({"soup-0": 1.0}, "no adapter 'soup-0'"),
        ({"expert-kind": float("nan")}, "expert-kind=nan is not a finite number"),
        ({"expert-kind": float("inf")}, "expert-kind=inf is not a finite number"),
    ],
)
def test_coefficients_that_make_no_soup(run: Run, coefficients: dict[str, float], says: str) -> None:
    with pytest.raises(ParetoError) as refused:
        soup_point(run, coefficients)
    assert says in str(refused.value)


def test_a_combination_is_a_member_like_any_other(tiny: Base, run: Run, other: Path) -> None:
    add_folders(run, tiny, [other])
    settings = {"method": "ties_svd", "density": 0.5, "rank": 3, "seed": 0}
    parts = {"other": 1.0, "expert-kind": 1.0}
    made = add_combination(run, tiny, parts, name="both", **settings)  # type: ignore[arg-type]
    assert (made.member.kind, made.member.rank, made.member.modules) == ("combined", 3, 14)
    assert made.member.made_from == {"coefficients": parts, **settings}
    assert folder_ok(run.adapters / members(run)["both"])
    assert add_combination(run, tiny, parts, name="both", **settings) == made  # type: ignore[arg-type]
    with pytest.raises(ParetoError, match="name 'both': is another adapter's"):
        add_combination(run, tiny, parts, name="both", **settings | {"rank": 2})  # type: ignore[arg-type]
    with pytest.raises(ParetoError, match="no adapter 'nobody' in run 'forged'"):
        add_combination(run, tiny, {"other": 1, "nobody": 1}, name="x", **settings)  # type: ignore[arg-type]
    assert soup_point(run, {"both": 2.0}).adapters == {"both": made.member.adapter}
