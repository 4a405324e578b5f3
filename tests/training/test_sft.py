"""Fine-tuning before a sweep: what is learnt, that it is made once, and who finds it."""

from __future__ import annotations

import json
import random
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from forge import Forge, smoke_recipe
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from pareto.config import Model, Sft
from pareto.errors import ParetoError
from pareto.inference.policy import asked_point, open_policy
from pareto.models import Base, fine_tuned, load
from pareto.prompts.arithmetic import problems
from pareto.rollouts.sampling import log_probabilities
from pareto.store.files import discard
from pareto.store.run import Run
from pareto.training.sft import examples, fine_tune
from pareto.training.sft_forward import forward


@pytest.fixture
def empty_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PARETO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def asked(**changes: Any) -> Model:
    settings = {"examples": "arithmetic", "steps": 3, "batch_size": 2, "learning_rate": 1e-2}
    return Model.model_validate({"base": "tiny-random", "device": "cpu", "sft": settings | changes})


def made(cache: Path) -> list[str]:
    """What the cache holds beside the plain base and locks."""
    return sorted(p.name for p in (cache / "models").iterdir() if p.name != "tiny-random-1" and p.suffix != ".lock")


def unseen_loss(base: Base) -> float:
    """Nats per token of worked answers that no training has seen."""
    tests = list(islice(problems("test", reserved=True), 12))
    pairs = [(base.prompt_ids(p.text), base.completion_ids(p.worked)) for p in tests]
    return -sum(log_probabilities(base, pairs)) / sum(len(answer) for _, answer in pairs)


def test_an_example_is_a_whole_conversation_of_which_only_the_answer_is_learnt(tiny: Base) -> None:
    base = replace(tiny, system="Be exact.")
    data = examples(base, Sft(examples="arithmetic", steps=5, batch_size=3))
    assert len(data) == 15
    for row, problem in zip(data, problems("sft 0"), strict=False):
        text = base.tokenizer.decode(row["input_ids"])
        assert text == (
            f"<|im_start|>system\nBe exact.<|im_end|>\n<|im_start|>user\n{problem.text}<|im_end|>\n"
            f"<|im_start|>assistant\n{problem.worked}<|im_end|>"
        )
        learnt = [token for token in row["labels"] if token != -100]
        assert base.tokenizer.decode(learnt) == f"{problem.worked}<|im_end|>"
        assert row["labels"][-len(learnt) :] == row["input_ids"][-len(learnt) :] == learnt


def test_the_forward_scores_the_answers_and_nothing_else(tiny: Base) -> None:
    rows = list(examples(tiny, Sft(examples="arithmetic", steps=1, batch_size=5)))
    batch = DataCollatorForLanguageModeling(pad_token_id=tiny.tokenizer.pad_token_id)(rows)
    with torch.no_grad():
        out = forward(tiny)(tiny.model, **batch)
    answers = [[token for token in row["labels"] if token != -100] for row in rows]
    pairs = [(row["input_ids"][: -len(a)], a) for row, a in zip(rows, answers, strict=True)]
    assert out.log_probs.sum(1).tolist() == pytest.approx(log_probabilities(tiny, pairs), abs=1e-3)
    assert out.label_mask.sum(1).tolist() == [len(a) for a in answers]
    assert not out.log_probs[~out.label_mask].any()


@pytest.mark.parametrize("rank", [None, 8])
def test_a_model_learns_what_it_is_shown(empty_cache: Path, tiny: Base, rank: int | None) -> None:
    model = asked(steps=25, batch_size=8, rank=rank, learning_rate=2e-2)
    fine_tune(model)
    taught = load(model.model_copy(update={"dtype": "float32", "sft": None, "base": str(fine_tuned(model))}))
    assert unseen_loss(taught) < unseen_loss(tiny) - 1
    assert not any("lora" in name for name, _ in taught.model.named_parameters())
    assert {p.dtype for p in taught.model.parameters()} == {torch.float32}
    assert load(Model(base="tiny-random", dtype="float32")).fingerprint == tiny.fingerprint


def test_it_is_made_once_and_is_another_model_than_its_base(empty_cache: Path, tiny: Base) -> None:
    model, steps = asked(), list[tuple[int, int]]()
    out = fine_tune(model, lambda done, total: steps.append((done, total)))
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert fine_tune(model, lambda done, total: steps.append((done, total))) == out
    assert len(steps) == 3
    base = load(model)
    assert base.fingerprint != tiny.fingerprint
    assert base.name == str(out), "an adapter must not say that it fits the plain base"
    weights = out / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-4] + b"oops")
    with pytest.raises(ParetoError, match=r"model\.sft: .* damaged"):
        load(model)
    assert fine_tune(model) == out
    assert weights.read_bytes() == content, "the same settings make the same model"


@pytest.mark.parametrize(
    "other",
    [
        asked(steps=4),
        asked(batch_size=3),
        asked(learning_rate=1e-3),
        asked(rank=2),
        asked(seed=1),
        asked().model_copy(update={"system": "Be exact."}),
        asked().model_copy(update={"dtype": "float32"}),
    ],
)
def test_every_setting_that_changes_the_model_changes_its_place(other: Model) -> None:
    assert fine_tuned(other) != fine_tuned(asked())


def test_a_training_that_dies_leaves_nothing_and_begins_again(empty_cache: Path) -> None:
    def die(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fine_tune(asked(), die)
    assert made(empty_cache) == []
    # A kill has no chance to tidy up: what it left is taken away by the next one.
    left = empty_cache / "models" / f".{fine_tuned(asked()).name}.tmp-{socket.gethostname()}-4194304-00000000"
    left.mkdir()
    assert made(empty_cache) == [left.name]
    fine_tune(asked())
    assert made(empty_cache) == [fine_tuned(asked()).name]


def test_of_two_at_once_one_trains_and_the_other_waits(empty_cache: Path) -> None:
    steps: list[int] = []
    both = [threading.Thread(target=fine_tune, args=(asked(), lambda done, _: steps.append(done))) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert steps == [1, 2, 3]
    assert made(empty_cache) == [fine_tuned(asked()).name]


def test_a_loss_that_is_no_number_is_told_and_nothing_is_kept(empty_cache: Path) -> None:
    with pytest.raises(ParetoError, match=r"model\.sft: the loss is no number any more; .* below 1e\+30"):
        fine_tune(asked(learning_rate=1e30, steps=8, warmup=0))
    assert made(empty_cache) == []


def test_an_example_that_does_not_fit_is_told(tiny: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Base, "context", 60)
    with pytest.raises(ParetoError, match=r"an example is \d+ tokens long and the context of tiny-random is 60"):
        examples(tiny, Sft(examples="arithmetic"))


def test_a_model_that_is_not_made_yet_is_told_in_one_line(empty_cache: Path) -> None:
    with pytest.raises(ParetoError, match=r"fine-tuned first; `pareto sweep` of the same recipe makes it") as refused:
        load(asked())
    assert "\n" not in str(refused.value)


@pytest.fixture
def of_this_test() -> Iterator[Model]:
    """A section that nothing in the user's own cache, which started processes share, was made by."""
    model = asked(seed=random.SystemRandom().randrange(2**31))
    yield model
    discard(fine_tuned(model))
    fine_tuned(model).with_name(f"{fine_tuned(model).name}.lock").unlink()


def test_a_sweep_makes_it_first_and_whoever_opens_the_run_finds_it(
    forge: Forge, tmp_path: Path, of_this_test: Model
) -> None:
    model = of_this_test
    quick = {"steps": 1, "steps_from_soup": 1}
    recipe = smoke_recipe(tmp_path, model=model.model_dump(mode="json"), training=quick, driver={"trials": 2})
    told = forge.run("sweep", recipe, "--root", tmp_path, "--json").json()
    assert told["seconds"]["fine-tune"] > 0
    run = Run.open("smoke", tmp_path)
    events = map(json.loads, (run.path / "log.jsonl").read_text().splitlines())
    assert next(e["name"] for e in events if e["event"] == "phase") == "fine-tune"
    policy = open_policy(run, asked_point(run, "vowels=1", None))
    assert policy.base.path == fine_tuned(model)
    assert policy.base.fingerprint != load(Model(base="tiny-random")).fingerprint
    (key,) = set(asked_point(run, "vowels=1", None).adapters.values())
    told_base = json.loads((run.adapters / key / "adapter_config.json").read_text())["base_model_name_or_path"]
    assert told_base == str(fine_tuned(model))
    again = forge.run("sweep", recipe, "--root", tmp_path, "--json").json()
    assert "fine-tune" not in again["seconds"]
