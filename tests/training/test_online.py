"""GRPO and RLOO: they raise what they are told to raise, at the weights they are given."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.objectives.load import Reward
from pareto.records import Prompt
from pareto.rollouts.sampling import Request, draw
from pareto.soups.bank import Bank
from pareto.training.adapters import State, shared_a
from pareto.training.online import _normalised_sum, train_online

if TYPE_CHECKING:
    from pareto.models import Base

METHODS = pytest.mark.parametrize("method", ["grpo", "rloo"])
PROMPTS = [Prompt(f"p{i}", f"Say {i}!", "said", answers=("yes",) * (i % 3)) for i in range(8)]


def share(token_ids: Sequence[int]) -> float:
    """Share of tokens in the lower part of the alphabet of bytes."""
    return float(np.mean([token < 100 for token in token_ids]))


def low(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [share(ids) for ids in completion_ids]


def high(completion_ids: list[list[int]], **_: Any) -> list[float]:
    return [1000 * (1 - share(ids)) for ids in completion_ids]


def reward(function: Any, name: str = "low", sign: Any = 1) -> Reward:
    return Reward(name, sign, (-np.inf, np.inf), function)


def recipe(method: str, **training: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "low", "reward": "x"}, {"name": "high", "reward": "y"}],
            "sampling": {"max_new_tokens": 10, "temperature": 1.0, "top_p": 1.0, "top_k": 300},
            "training": {
                "method": method,
                "batch_size": 32,
                "num_generations": 8,
                "learning_rate": 0.1,
                "beta": 0.0,
                "lora": {"rank": 4, "alpha": 8},
                **training,
            },
        }
    )


def trained(
    base: Base, asked: Recipe, rewards: list[Reward], weights: Sequence[float], scratch: Path, steps: int
) -> tuple[State, list[dict[str, float]]]:
    a = shared_a(base, asked.training.lora, 0)
    return train_online(
        base, asked, rewards, weights, PROMPTS, a, None, steps=steps, seed=0, scratch=scratch, progress=lambda *_: None
    )


def gain(base: Base, asked: Recipe, b: State) -> tuple[float, float]:
    """Mean change of ``share`` and its standard error, on other prompts with the same seeds before and after."""
    ids = [tuple(base.prompt_ids(f"Tell me about {i}?")) for i in range(8)]
    requests = [Request(ids[i % 8], 10_000 + i) for i in range(320)]
    bank = Bank(base, asked.training.lora, shared_a(base, asked.training.lora, 0))
    bank.adapters["it"] = b
    before = [share(d.token_ids) for d in draw(base, requests, asked.sampling)]
    bank.merge({"it": 1.0})
    try:
        after = [share(d.token_ids) for d in draw(base, requests, asked.sampling)]
    finally:
        bank.merge({})
    change = np.array(after) - np.array(before)
    return float(change.mean()), float(change.std(ddof=1) / np.sqrt(len(change)))


@METHODS
@pytest.mark.parametrize("sign", [1, -1])
def test_a_planted_reward_rises_and_with_its_sign_turned_falls(
    tiny: Base, tmp_path: Path, method: str, sign: int
) -> None:
    asked = recipe(method)
    b, log = trained(tiny, asked, [reward(low, sign=sign)], (1.0,), tmp_path, 12)
    change, error = gain(tiny, asked, b)
    assert sign * change > 3 * error
    assert log


@METHODS
def test_a_thousandfold_variance_does_not_override_the_weights(tiny: Base, tmp_path: Path, method: str) -> None:
    """``high`` pulls the other way, in units a thousand times as large, at a quarter of the weight."""
    asked = recipe(method)
    b, _ = trained(tiny, asked, [reward(low), reward(high, "high")], (0.8, 0.2), tmp_path, 12)
    change, error = gain(tiny, asked, b)
    assert change > 3 * error


def test_groups_are_normalised_and_summed_as_by_hand() -> None:
    first, second = [1.0, 3.0, 10.0, 10.0], [500.0, None, -4000.0, 4000.0]
    functions = [lambda **_: first, lambda **_: second]
    by_hand = [
        # 1 and 3: mean 2, spread 1. 500 stands alone: at its own mean.
        -0.75,
        0.75,
        # 10 and 10: no spread. ±4000: one spread each way.
        -0.25,
        0.25,
    ]
    assert _normalised_sum(functions, (0.75, 0.25), 2)() == pytest.approx(by_hand, abs=1e-3)
    whole = [1.0, 3.0, 10.0, 10.0]  # in one group: mean 6, variance (25 + 9 + 16 + 16) / 4
    expected = [(v - 6) / 16.5**0.5 for v in whole]
    assert _normalised_sum([lambda **_: whole], (1.0,), 4)() == pytest.approx(expected, abs=1e-3)


@METHODS
def test_the_live_model_and_a_are_left_as_they_were_and_a_seed_repeats(tiny: Base, tmp_path: Path, method: str) -> None:
    model = tiny.model
    weights = {name: value.clone() for name, value in model.state_dict().items()}

    def state() -> tuple[Any, ...]:
        return (
            {name: type(module) for name, module in model.named_modules()},
            {name: p.requires_grad for name, p in model.named_parameters()},
            {name: (module.training, set(module.__dict__)) for name, module in model.named_modules()},
            [(len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()],
            model.config.to_dict(),
            model.generation_config.to_dict(),
        )

    before = state()
    asked = recipe(method, beta=0.1)  # with a pull to the base, which switches the adapter off and on
    first, _ = trained(tiny, asked, [reward(low)], (1.0,), tmp_path, 2)
    assert state() == before
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    torch.manual_seed(123)
    again, _ = trained(tiny, asked, [reward(low)], (1.0,), tmp_path, 2)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert any(first[k].any() for k in first)


@METHODS
def test_rewards_see_what_they_see_when_the_pool_is_scored(tiny: Base, tmp_path: Path, method: str) -> None:
    seen: list[dict[str, Any]] = []

    def spy(**columns: Any) -> list[float]:
        seen.append(columns)
        return low(columns["completion_ids"])

    trained(tiny, recipe(method), [reward(spy)], (1.0,), tmp_path, 1)
    columns = seen[0]
    assert set(columns) == {"prompts", "completions", "completion_ids", "answers", "source", "max_new_tokens"}
    assert columns["max_new_tokens"] == 10
    by_text = {p.text: p for p in PROMPTS}
    rows = zip(*(columns[k] for k in ("prompts", "completions", "completion_ids", "answers", "source")), strict=True)
    for prompt, completion, ids, answers, source in rows:
        assert list(answers) == list(by_text[prompt].answers)
        assert source == "said"
        assert completion == tiny.tokenizer.decode(ids, skip_special_tokens=True).strip()
    assert len(columns["prompts"]) == 32
    assert all(len(set(columns["prompts"][i : i + 8])) == 1 for i in range(0, 32, 8))  # groups of one prompt


@METHODS
def test_a_row_on_which_a_reward_fails_is_masked_and_told_in_the_log(tiny: Base, tmp_path: Path, method: str) -> None:
    def touchy(completion_ids: list[list[int]], **_: Any) -> list[float | None]:
        if any(ids[0] % 2 for ids in completion_ids):
            raise RuntimeError("odd")
        return [None if ids[0] % 4 else float("nan") if ids[1] % 2 else share(ids) for ids in completion_ids]

    b, log = trained(tiny, recipe(method), [reward(low), reward(touchy, "touchy")], (0.5, 0.5), tmp_path, 2)
    assert all(torch.isfinite(v).all() for v in b.values())
    told = [v for row in log for k, v in row.items() if k.endswith("failed/touchy")]
    assert told
    assert all(0.3 < share < 0.9 for share in told)
    assert [v for row in log for k, v in row.items() if k.endswith("failed/low")] == [0.0] * len(told)


def test_a_reward_that_always_fails_and_a_batch_that_does_not_divide_are_told(tiny: Base, tmp_path: Path) -> None:
    def broken(**_: Any) -> list[float]:
        raise RuntimeError("no such file")

    with pytest.raises(ParetoError, match=r"reward 'low' fails on every row: raised RuntimeError: no such file"):
        trained(tiny, recipe("grpo"), [reward(broken)], (1.0,), tmp_path, 1)
    assert "lora" not in str(tiny.model)
    with pytest.raises(ParetoError, match=r"training.batch_size: 12 .*training.num_generations 8; use a multiple"):
        trained(tiny, recipe("rloo", batch_size=12), [reward(low)], (1.0,), tmp_path, 1)


@pytest.mark.real_model
@METHODS
def test_two_steps_on_the_real_model(real: Base, tmp_path: Path, method: str) -> None:
    asked = recipe(method, batch_size=4, num_generations=2, lora={"rank": 4, "alpha": 8, "layers": 4})
    asked = asked.model_copy(update={"sampling": asked.sampling.model_copy(update={"max_new_tokens": 6})})

    def spread(completions: list[str], **_: Any) -> list[float]:
        return [float(len(text)) for text in completions]

    b, log = trained(real, asked, [reward(spread)], (1.0,), tmp_path, 2)
    assert len(b) == 4 * 7
    assert all(v.any() and v.isfinite().all() for v in b.values())
    assert [row["completions/mean_length"] <= 6 for row in log if "completions/mean_length" in row] == [True, True]
