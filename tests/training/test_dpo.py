"""DPO with shared work, against TRL's own trainer without any of it."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from datasets import Dataset
from peft import get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedModel
from trl import DPOConfig, DPOTrainer

from pareto.config import Lora, Training
from pareto.records import Comparison, Prompt, Rollout
from pareto.rollouts.sampling import log_probabilities
from pareto.training.adapters import State, first_layer, freeze_a, lora_config, put, shared_a, take
from pareto.training.dpo import rows, train_dpo
from pareto.training.trunk import Trunk, shareable

if TYPE_CHECKING:
    from pareto.models import Base

UPPER = Lora(rank=4, alpha=8, layers=1)
Train = Callable[..., tuple[State, list[dict[str, float]]]]


def random_b(base: Base, a: State, seed: int = 0) -> State:
    generator = torch.Generator().manual_seed(seed)
    return {k: torch.randn(base.model.get_submodule(k).out_features, 4, generator=generator) / 20 for k in a}


@pytest.fixture
def train(
    tiny: Base, prompts: list[Prompt], pool: list[Rollout], comparisons: list[Comparison], tmp_path: Path
) -> Train:
    """``train_dpo`` on the written comparisons."""
    data = rows({p.id: tiny.prompt_ids(p.text) for p in prompts}, pool, comparisons)

    def call(training: Training, a: State, start: State | None, trunk: Trunk | None = None, steps: int = 1) -> Any:
        _, *b_and_log = train_dpo(
            tiny, training, data, a, start, trunk, steps=steps, seed=5, scratch=tmp_path, progress=lambda *_: None
        )
        return b_and_log

    return call


@pytest.fixture
def plain_data(tiny: Base, prompts: list[Prompt], pool: list[Rollout], comparisons: list[Comparison]) -> Dataset:
    """The comparisons as text, for TRL to tokenise itself."""
    texts = {p.id: p.text for p in prompts}
    return Dataset.from_list(
        [
            {
                "prompt": tiny.tokenizer.apply_chat_template(
                    [{"role": "system", "content": ""}, {"role": "user", "content": texts[c.prompt_id]}],
                    add_generation_prompt=True,
                    tokenize=False,
                ),
                "chosen": pool[c.chosen].text,
                "rejected": pool[c.rejected].text,
            }
            for c in comparisons
        ]
    )


def fresh(base: Base) -> PreTrainedModel:
    return AutoModelForCausalLM.from_pretrained(base.path, dtype=torch.float32)


def plain_config(tmp_path: Path, training: Training, steps: int) -> DPOConfig:
    """Written out by hand, as a user of TRL would."""
    return DPOConfig(
        output_dir=str(tmp_path / "plain"),
        per_device_train_batch_size=training.batch_size,
        max_steps=steps,
        learning_rate=training.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=round(training.warmup * steps),
        beta=training.beta,
        loss_type=["sigmoid", "sft"] if training.sft_weight else "sigmoid",
        loss_weights=[1.0, training.sft_weight] if training.sft_weight else None,
        seed=5,
        bf16=False,
        use_cpu=True,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )


@pytest.mark.parametrize("sft_weight", [0.0, 0.7])
@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_the_first_loss_is_that_of_plain_trl(
    tiny: Base, train: Train, plain_data: Dataset, tmp_path: Path, sft_weight: float, beta: float
) -> None:
    training = Training(learning_rate=1e-3, batch_size=8, beta=beta, sft_weight=sft_weight, lora=UPPER)
    a = shared_a(tiny, UPPER, 0)
    b = random_b(tiny, a)
    _, log = train(training, a, b)
    # The policy as a whole model and the base as another: no adapter, no stored reference.
    policy = fresh(tiny)
    with torch.no_grad():
        for name in a:
            policy.get_submodule(name).weight.add_(2.0 * b[name] @ a[name])
    trainer = DPOTrainer(
        model=policy,
        ref_model=fresh(tiny),
        args=plain_config(tmp_path, training, 1),
        train_dataset=plain_data,
        processing_class=tiny.tokenizer,
    )
    trainer.train()
    plain = trainer.state.log_history[0]
    assert abs(plain["loss"] - 0.6931) > 0.01  # not the loss of a policy that equals its reference
    told = {k: v for k, v in log[0].items() if k.startswith(("loss", "rewards", "logps", "logits", "entropy"))}
    assert {"loss", "rewards/chosen", "rewards/rejected", "rewards/margins", "rewards/accuracies"} <= told.keys()
    assert told == pytest.approx({k: plain[k] for k in told}, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("shared", [False, True])
def test_training_ends_where_plain_trl_ends(
    tiny: Base, train: Train, plain_data: Dataset, tmp_path: Path, shared: bool
) -> None:
    training = Training(learning_rate=5e-3, batch_size=4, lora=UPPER)
    a = shared_a(tiny, UPPER, 0)
    b, _ = train(training, a, None, Trunk(tiny, 1) if shared else None, steps=4)
    wrapped = get_peft_model(fresh(tiny), lora_config(tiny, UPPER))
    put(wrapped, a, None)
    reference = fresh(tiny)
    trainer = DPOTrainer(
        model=wrapped,
        ref_model=reference,
        args=plain_config(tmp_path, training, 4),
        train_dataset=plain_data,
        processing_class=tiny.tokenizer,
    )
    freeze_a(trainer.model)
    trainer.train()
    _, plain = take(trainer.model)
    assert b.keys() == plain.keys()
    assert all(float(b[k].abs().max()) > 1e-3 for k in b)
    for k in b:
        assert torch.allclose(b[k], plain[k], atol=1e-4), k


def test_the_live_model_is_left_bit_for_bit_as_it_was(tiny: Base, train: Train) -> None:
    model = tiny.model

    def state() -> tuple[Any, ...]:
        return (
            {name: type(module) for name, module in model.named_modules()},
            {name: p.requires_grad for name, p in model.named_parameters()},
            {name: (module.training, set(module.__dict__)) for name, module in model.named_modules()},
            [(len(m._forward_hooks), len(m._forward_pre_hooks), len(m._backward_hooks)) for m in model.modules()],
            model.forward.__func__,
            model.config.to_dict(),
        )

    weights = {name: value.clone() for name, value in model.state_dict().items()}
    before = state()
    a = shared_a(tiny, UPPER, 0)
    kept = {k: v.clone() for k, v in a.items()}
    start = random_b(tiny, a)
    started = {k: v.clone() for k, v in start.items()}
    b, _ = train(Training(learning_rate=1e-2, batch_size=4, lora=UPPER), a, start, Trunk(tiny, 1), steps=3)
    assert state() == before
    assert model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(a[k], kept[k]) and torch.equal(start[k], started[k]) for k in a)
    assert any(not torch.equal(b[k], start[k]) for k in b)


def test_a_failure_in_training_leaves_the_live_model_whole(
    tiny: Base, train: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {name: value.clone() for name, value in tiny.model.state_dict().items()}
    trunk = Trunk(tiny, 1)

    def fail(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(trunk, "hidden", fail)
    a = shared_a(tiny, UPPER, 0)
    with pytest.raises(KeyboardInterrupt):
        train(Training(lora=UPPER), a, random_b(tiny, a), trunk)
    assert tiny.model.state_dict().keys() == weights.keys()
    assert all(torch.equal(value, weights[name]) for name, value in tiny.model.state_dict().items())
    assert "forward" not in tiny.model.__dict__


def test_training_prefers_the_chosen_answers(tiny: Base, train: Train) -> None:
    a = shared_a(tiny, UPPER, 0)
    _, log = train(Training(learning_rate=2e-2, batch_size=8, sft_weight=0.0, lora=UPPER), a, None, steps=16)
    losses = [row["loss"] for row in log if "loss" in row]
    assert losses[-1] < 0.8 * losses[0]
    assert log[-2]["rewards/accuracies"] == 1.0


def test_the_same_seed_trains_the_same_adapter(tiny: Base, train: Train) -> None:
    a = shared_a(tiny, UPPER, 0)
    training = Training(learning_rate=1e-2, batch_size=2, lora=UPPER)
    torch.manual_seed(1)
    first, _ = train(training, a, None, steps=3)
    torch.manual_seed(2)
    again, _ = train(training, a, None, steps=3)
    assert all(torch.equal(first[k], again[k]) for k in first)


def test_every_step_is_reported(
    tiny: Base, prompts: list[Prompt], pool: list[Rollout], comparisons: list[Comparison], tmp_path: Path
) -> None:
    data = rows({p.id: tiny.prompt_ids(p.text) for p in prompts}, pool, comparisons)
    told: list[tuple[int, int]] = []
    train_dpo(
        tiny,
        Training(batch_size=8, lora=UPPER),
        data,
        shared_a(tiny, UPPER, 0),
        None,
        None,
        steps=3,
        seed=0,
        scratch=tmp_path,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told == [(1, 3), (2, 3), (3, 3)]


@pytest.mark.real_model
def test_a_few_steps_on_the_real_model(real: Base, tmp_path: Path) -> None:
    prompt = real.prompt_ids("Name a river.")
    answers = [real.completion_ids(text) for text in ("The Nile.", "I will not tell you that.")]
    logps = log_probabilities(real, [(prompt, ids) for ids in answers])
    pool = [
        Rollout("p", k, "demonstration", 0, "", tuple(ids), logp)
        for k, (ids, logp) in enumerate(zip(answers, logps, strict=True))
    ]
    lora = Lora(rank=4, alpha=8, layers=4)
    first = first_layer(real, lora)
    assert shareable(real, first)
    _, b, log = train_dpo(
        real,
        Training(batch_size=2, lora=lora),
        rows({"p": prompt}, pool, [Comparison("p", 0, 1, 1.0)] * 2),
        shared_a(real, lora, 0),
        None,
        Trunk(real, first),
        steps=5,
        seed=0,
        scratch=tmp_path,
        progress=lambda *_: None,
    )
    assert len(b) == 4 * 7
    assert all(v.any() and v.isfinite().all() for v in b.values())
    losses = [row["loss"] for row in log if "loss" in row]
    # At the first step the policy is the reference: ln 2, and the likelihood of the chosen answer per token.
    assert losses[0] == pytest.approx(math.log(2) - logps[0] / len(answers[0]), rel=0.03)
    assert losses[-1] < losses[0]
