"""Which arm answers whom, and both runs' adapters over one live model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import frontier_runs as runs
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.inference.policy import open_policy, soup_point
from pareto.inference.server.places import Wish
from pareto.inference.server.routing import Arms
from pareto.models import Base
from pareto.soups.bank import Bank
from pareto.soups.members import members
from pareto.store.files import folder
from pareto.store.run import Run
from pareto.training.adapters import shared_a, write_adapter


def trained(run: Run, base: Base, seed: int) -> Run:
    """The same run with adapters of random numbers."""
    lora = run.recipe.training.lora
    a = shared_a(base, lora, run.recipe.seed)
    generator = torch.Generator().manual_seed(seed)
    for key in members(run).values():
        b = {
            k: torch.randn(base.model.get_submodule(k).out_features, lora.rank, generator=generator) for k in sorted(a)
        }
        with folder(run.adapters / key) as made:
            write_adapter(made, base, lora, a, b, {})
    return run


def update(bank: Bank, coefficients: dict[str, float]) -> dict[str, torch.Tensor]:
    a, b = bank.update(coefficients)
    return {k: bank.scale * b[k] @ a[k] for k in a}


@pytest.fixture(scope="module")
def both(tiny: Base, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Run]:
    root = tmp_path_factory.mktemp("both")
    main = trained(runs.make(root, training={"lora": {"rank": 4, "alpha": 6}}), tiny, 1)
    other = {"name": "next", "seed": 5, "training": {"lora": {"rank": 3, "alpha": 9}}}
    return main, trained(runs.make(root, **other), tiny, 2)


@pytest.fixture(scope="module")
def arms(both: tuple[Run, Run]) -> Arms:
    return Arms.of(*both, 0.25)


def test_a_user_stays_in_an_arm_and_the_share_is_as_asked(arms: Arms) -> None:
    users = [f"user-{k}" for k in range(4000)]
    found = [arms.arm(user) for user in users]
    assert found == [arms.arm(user) for user in users]
    share = found.count("candidate") / len(found)
    assert abs(share - 0.25) < 4 * (0.25 * 0.75 / len(users)) ** 0.5


@given(st.text())
def test_anything_can_be_a_user_s_id(arms: Arms, user: str) -> None:
    assert arms.arm(user) in ("main", "candidate")
    assert arms.arm(user) == arms.arm(user)


def test_a_larger_share_takes_nobody_away_from_the_candidate(arms: Arms) -> None:
    users = [f"user-{k}" for k in range(300)]
    few = {u for u in users if arms.arm(u) == "candidate"}
    assert few < {u for u in users if replace(arms, share=0.5).arm(u) == "candidate"}
    assert {replace(arms, share=0.0).arm(u) for u in users} == {"main"}
    assert {replace(arms, share=1.0).arm(u) for u in users} == {"candidate"}


def test_both_arms_answer_to_the_same_names_each_with_its_own_policies(arms: Arms, both: tuple[Run, Run]) -> None:
    assert {m.id for m in arms.places["candidate"].models} == {m.id for m in arms.places["main"].models}
    wish = Wish("made", {"kind": 0.6, "words": 0.4})
    for arm, run in zip(("main", "candidate"), both, strict=True):
        place = arms.places[arm].at(wish, "")
        alone = open_policy(run, soup_point(run, place.coefficients))
        mixed = update(arms.bank, dict(arms.bank_coefficients(arm, place)))
        wanted = update(alone.bank, place.coefficients)
        assert mixed.keys() == wanted.keys()
        for k in wanted:
            torch.testing.assert_close(mixed[k], wanted[k], rtol=1e-5, atol=1e-5)


def test_coefficients_in_the_bank_are_sorted_and_without_zeros(arms: Arms) -> None:
    for arm in ("main", "candidate"):
        place = arms.places[arm].at(Wish("made", coefficients={runs.TERSE: 0.5, runs.KIND: 1.0}), "")
        found = arms.bank_coefficients(arm, place)
        assert list(found) == sorted(found)
        assert {name for name, _ in found} <= set(arms.bank.names)
    assert arms.bank_coefficients("main", arms.places["main"].at(Wish("made", coefficients={runs.KIND: 0.0}), "")) == ()


def test_without_a_candidate_all_are_in_the_main_arm(both: tuple[Run, Run]) -> None:
    arms = Arms.of(both[0], share=1.0)
    assert list(arms.places) == list(arms.judging) == ["main"]
    assert {arms.arm(f"user-{k}") for k in range(50)} == {"main"}


@pytest.mark.parametrize(
    ("recipe", "says"),
    [
        ({"objectives": [{"name": "kind", "reward": "sweeps.rewards:vowels"}, {"name": "words", "reward": "digits"}]},
         None),
        ({"model": {"base": "tiny-random", "dtype": "float32", "device": "cpu", "system": "Be kind."}},
         "candidate 'next': has another system prompt"),
    ],
)  # fmt: skip
def test_a_candidate_that_cannot_stand_beside_the_run_is_refused(
    both: tuple[Run, Run], tmp_path: Path, recipe: dict[str, Any], says: str | None
) -> None:
    candidate = runs.make(tmp_path, **({"name": "next"} | recipe))
    if says is None:
        from pareto.store.files import read_json, write_json

        frame = read_json(candidate.path / "frame.json")
        write_json(candidate.path / "frame.json", frame | {"signs": [1.0, 1.0]})
        says = "the same names and directions are wanted"
    with pytest.raises(ParetoError, match=says):
        Arms.of(both[0], candidate)


def test_an_adapter_that_is_missing_changed_or_of_another_base_is_told_at_the_start(
    both: tuple[Run, Run], tiny: Base, tmp_path: Path
) -> None:
    run = runs.make(tmp_path)
    with pytest.raises(ParetoError, match=r"'expert-.*' is missing or damaged; the same sweep"):
        Arms.of(run)
    with pytest.raises(ParetoError, match=r"candidate 'made': .* is missing or damaged"):
        Arms.of(both[0], run)
    trained(run, replace(tiny, fingerprint="0" * 16), 3)
    with pytest.raises(ParetoError, match=r"candidate 'made': .*another base model"):
        Arms.of(both[0], run)


def test_an_adapter_that_is_changed_while_it_is_served_changes_nothing(tiny: Base, tmp_path: Path) -> None:
    run = trained(runs.make(tmp_path), tiny, 4)
    arms = Arms.of(run)
    wish = Wish("made", {"kind": 0.6, "words": 0.4})
    before = update(arms.bank, dict(arms.bank_coefficients("main", arms.places["main"].at(wish, ""))))
    for path in run.adapters.glob("*/adapter_model.safetensors"):
        path.write_bytes(b"changed")
    wish = Wish("made", {"kind": 0.600, "words": 0.4}, priorities="kind>=0@mean")  # not remembered
    after = update(arms.bank, dict(arms.bank_coefficients("main", arms.places["main"].at(wish, ""))))
    assert all(torch.equal(before[k], after[k]) for k in before)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_a_share_that_is_none_is_refused(both: tuple[Run, Run], share: float) -> None:
    with pytest.raises(ParetoError, match="wanted a share of the users, from 0 to 1"):
        Arms.of(*both, share)
