"""A policy from a run's folder: the right mixture, the right words, and nothing from outside the run."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch

from pareto.errors import ParetoError
from pareto.inference.policy import open_policy, weights_point
from pareto.records import Point
from pareto.rollouts.sampling import Request, draw
from pareto.store.points import load_points
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.training.adapters import State


def point(run: Run, name: str) -> Point:
    return next(p for p in load_points(run) if p.id == name)


def test_a_policy_s_weights_are_the_base_s_plus_its_adapter(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, b = forged_run
    policy = open_policy(run, point(run, "soup-0"))
    name = "model.layers.1.mlp.up_proj"
    before = policy.base.model.get_submodule(name).weight.clone()
    list(policy.answer("Hi", max_new_tokens=1))
    a = policy.bank.a[name]
    expected = before + 1.5 * (0.5 * b["expert-kind"][name] - 0.25 * b["expert-short"][name]) @ a
    assert torch.allclose(policy.base.model.get_submodule(name).weight, expected, atol=1e-6)
    made_a, made_b = policy.update()
    assert torch.equal(made_a[name], a)
    assert torch.allclose(before + 1.5 * made_b[name] @ made_a[name], expected, atol=1e-6)


def test_an_answer_streams_the_text_that_its_seed_draws(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, _ = forged_run
    policy = open_policy(run, point(run, "expert-kind"))
    texts = {}
    for seed in range(8):
        pieces = list(policy.answer("Name a river.", seed=seed))
        ids = tuple(policy.base.prompt_ids("Name a river."))
        drawn = draw(policy.base, [Request(ids, seed)], run.recipe.sampling)[0]
        # Bytes that are no whole character at the very end are not shown.
        whole = policy.base.tokenizer.decode(drawn.token_ids, skip_special_tokens=True).rstrip("\ufffd")
        assert "".join(pieces).rstrip("\ufffd") == whole
        texts[seed] = "".join(pieces)
    assert len(set(texts.values())) == 8
    assert len("".join(policy.answer("Name a river.", seed=0, max_new_tokens=3))) <= 3


def test_another_point_answers_otherwise_and_the_base_as_the_base(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, _ = forged_run
    expert = open_policy(run, point(run, "expert-kind"))
    base = open_policy(run, point(run, "base"))
    assert list(expert.answer("Why?", seed=1)) != list(base.answer("Why?", seed=1))
    ids = tuple(base.base.prompt_ids("Why?"))
    drawn = draw(base.base, [Request(ids, 1)], run.recipe.sampling)[0]
    whole = base.base.tokenizer.decode(drawn.token_ids, skip_special_tokens=True)
    assert whole.startswith("".join(base.answer("Why?", seed=1)))


def test_a_prompt_that_does_not_fit_is_refused(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, _ = forged_run
    policy = open_policy(run, point(run, "base"))
    with pytest.raises(ParetoError, match=r"prompt: the prompt is \d+ tokens long and at most 500 fit .*context 512"):
        list(policy.answer("x" * 600))


def test_weights_become_coefficients_with_the_largest_whole(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, _ = forged_run
    asked = weights_point(run, (0.25, 0.75))
    assert asked.coefficients == pytest.approx({"expert-kind": 1 / 3, "expert-short": 1.0})
    assert asked.adapters == {n: point(run, n).adapters[n] for n in ("expert-kind", "expert-short")}
    assert asked.weights == {"kind": 0.25, "short": 0.75}
    assert weights_point(run, (0.0, 1.0)).coefficients == {"expert-short": 1.0}


def test_weights_that_need_an_untrained_expert_are_refused(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, _ = forged_run
    for split in ("validation", "test"):
        (run.points / f"expert-short.{split}.json").unlink(missing_ok=True)
    with pytest.raises(ParetoError, match=r"run 'forged' has no expert for 'short' yet"):
        weights_point(run, (0.5, 0.5))
    assert weights_point(run, (1.0, 0.0)).coefficients == {"expert-kind": 1.0}


@pytest.mark.parametrize("key", ["../../outside", "/etc", "..", ".", ""])
def test_an_adapter_outside_the_run_is_refused(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path, key: str
) -> None:
    run, _ = forged_run
    honest = point(run, "expert-kind")
    shutil.copytree(run.adapters / honest.adapters["expert-kind"], run.adapters / "../../outside")
    with pytest.raises(ParetoError, match=r"point 'expert-kind' of run 'forged': .* is no adapter's name") as refused:
        open_policy(run, dataclasses.replace(honest, adapters={"expert-kind": key}))
    assert "\n" not in str(refused.value)


def test_a_damaged_or_missing_adapter_is_told_and_not_used(forged_run: tuple[Run, dict[str, State]]) -> None:
    run, _ = forged_run
    honest = point(run, "expert-kind")
    file = run.adapters / honest.adapters["expert-kind"] / "adapter_model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1  # a number that looks like any other
    file.write_bytes(data)
    with pytest.raises(ParetoError, match=r"missing or damaged; the same sweep again makes it again"):
        open_policy(run, honest)
    shutil.rmtree(file.parent)
    with pytest.raises(ParetoError, match=r"missing or damaged"):
        open_policy(run, honest)
