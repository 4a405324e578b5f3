"""A training that is killed goes on from its checkpoint, and ends as if it had not been."""

from __future__ import annotations

import errno
import gc
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save

from pareto.config import Recipe
from pareto.objectives.load import Reward
from pareto.records import Prompt, Rollout
from pareto.store.files import folder
from pareto.training.checkpoint import Checkpoint
from pareto.training.online import equal_parts
from pareto.training.train import Ground, Job, train

if TYPE_CHECKING:
    from pareto.models import Base

JOB = Job((1.0, 0.0), {}, {})
STEPS = 6
Told = list[tuple[int, int]]


class Killed(BaseException):
    """As sudden as a signal: nothing but ``finally`` runs."""


def recipe(**training: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "first", "reward": "x"}, {"name": "second", "reward": "y"}],
            "sampling": {"max_new_tokens": 6, "temperature": 1.0, "top_p": 1.0, "top_k": 300},
            "training": {
                "steps": STEPS,
                "batch_size": 3,
                "learning_rate": 1e-2,
                "lora": {"rank": 4, "alpha": 8, "layers": 1},
                **training,
            },
        }
    )


def low(completion_ids: Sequence[Sequence[int]], **_: Any) -> list[float]:
    return [float(np.mean([token < 100 for token in ids])) for ids in completion_ids]


def online(method: str) -> dict[str, Any]:
    """Two prompts a step, so that four prompts are an epoch of two steps."""
    return {"method": method, "batch_size": 8, "num_generations": 4, "beta": 0.1, "learning_rate": 0.1, "steps": 4}


@pytest.fixture
def ground(tiny: Base, prompts: list[Prompt], pool: list[Rollout]) -> Ground:
    """Four comparisons, so that three a step make an epoch of two steps, of three and of one."""
    scores = np.array([[2.0, -1.0], [0.0, 0.0], [-1.0, 1.0]] * len(prompts))
    rewards = [Reward(name, 1, (-np.inf, np.inf), low) for name in ("first", "second")]
    return Ground(tiny, recipe(), rewards, prompts, pool, scores, "key")


def killed(ground: Ground, at: int, out: Path, checkpoint: Checkpoint) -> None:
    """Train until step ``at`` is done, in a process of its own as far as what it keeps in memory goes."""

    def stop(done: int, total: int) -> None:
        if done == at:
            raise Killed

    with pytest.raises(Killed):
        train(replace(ground), JOB, None, out, stop, checkpoint)


def tensors(adapter: Path) -> bytes:
    return (adapter / "adapter_model.safetensors").read_bytes()


def logged(adapter: Path) -> list[float]:
    return [row["step"] for row in json.loads((adapter / "log.json").read_text())]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """Every trainer collects garbage as it starts, which takes longer than these trainings: spare it the modules."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


@pytest.fixture
def whole(ground: Ground, kept: Path) -> Path:
    """The adapter of a training that nothing disturbed."""
    return train(ground, JOB, None, kept)


@pytest.mark.parametrize(
    ("every", "kills", "goes_on"),
    [
        (1, [1], 1),  # before the first checkpoint
        (1, [3], 3),  # from an epoch's end
        (3, [4], 4),  # from within an epoch
        (2, [3, 5, 6], 5),  # again and again
    ],
)
def test_a_killed_training_goes_on_and_ends_bit_for_bit_the_same(
    ground: Ground, whole: Path, tmp_path: Path, every: int, kills: list[int], goes_on: int
) -> None:
    checkpoint = Checkpoint(tmp_path / "checkpoints", every, pytest.fail)
    for at in kills:
        killed(ground, at, tmp_path / "a", checkpoint)
    told: Told = []
    made = train(ground, JOB, None, tmp_path / "a", lambda *step: told.append(step), checkpoint)
    assert told == [(step, STEPS) for step in range(goes_on, STEPS + 1)]
    assert made.name == whole.name
    assert tensors(made) == tensors(whole)
    assert logged(made) == logged(whole)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize(("method", "every"), [("grpo", 3), ("rloo", 2)])
def test_a_policy_that_samples_as_it_learns_goes_on_bit_for_bit_too(
    ground: Ground, tmp_path: Path, method: str, every: int
) -> None:
    sampling = replace(ground, recipe=recipe(**online(method)))
    undisturbed = train(sampling, JOB, None, tmp_path / "undisturbed")
    checkpoint = Checkpoint(tmp_path / "checkpoints", every, pytest.fail)
    killed(sampling, 4, tmp_path / "a", checkpoint)
    torch.manual_seed(1234)
    told: Told = []
    made = train(sampling, JOB, None, tmp_path / "a", lambda *step: told.append(step), checkpoint)
    assert told[0] == (every + 1, 4)
    assert tensors(made) == tensors(undisturbed)


def test_at_most_two_lie_there_and_nothing_in_them_is_pickled(ground: Ground, tmp_path: Path) -> None:
    counts = []

    def count(done: int, total: int) -> None:
        found = list((tmp_path / "checkpoints").glob("*/*"))
        counts.append(len(found))
        assert {f.suffix for path in found for f in path.iterdir()} <= {".safetensors", ".json"}

    train(ground, JOB, None, tmp_path / "a", count, Checkpoint(tmp_path / "checkpoints", 1, pytest.fail))
    assert counts == [0, 1, 2, 2, 2, 2]


def resealed(path: Path, change: Callable[[dict[str, Any]], None], state: bytes | None = None) -> None:
    """The checkpoint with its JSON changed, under a seal that fits."""
    state = state or (path / "state.safetensors").read_bytes()
    told = json.loads((path / "checkpoint.json").read_text())
    change(told)
    shutil.rmtree(path)
    with folder(path) as sealed:
        (sealed / "state.safetensors").write_bytes(state)
        (sealed / "checkpoint.json").write_text(json.dumps(told))


def cut(path: Path) -> None:
    state = path / "state.safetensors"
    state.write_bytes(state.read_bytes()[:-1])


def of_another_adapter(path: Path) -> None:
    resealed(path, lambda told: told.update(key="0123456789abcdef"))


def of_other_versions(path: Path) -> None:
    resealed(path, lambda told: told["versions"].update(torch="1.0.0"))


def of_another_shape(path: Path) -> None:
    state = load_file(path / "state.safetensors")
    resealed(path, lambda told: None, save({k: v[:1] if k.startswith("value/") else v for k, v in state.items()}))


def no_state_at_all(path: Path) -> None:
    resealed(path, lambda told: None, b"{}")


@pytest.fixture
def left(ground: Ground, kept: Path, tmp_path: Path) -> Path:
    """What a training that was killed in its fifth step left, after steps 2 and 4."""
    if not (kept / "left").exists():
        killed(ground, 5, tmp_path / "a", Checkpoint(kept / "left", 2, pytest.fail))
    return shutil.copytree(kept / "left", tmp_path / "checkpoints")


@pytest.mark.parametrize("spoil", [cut, of_another_adapter, of_other_versions, of_another_shape, no_state_at_all])
def test_a_checkpoint_that_does_not_fit_is_left_out_with_a_note(
    ground: Ground, whole: Path, left: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(left / whole.name / "000004")
    notes: list[str] = []
    told: Told = []
    checkpoint = Checkpoint(left, 2, notes.append)
    made = train(ground, JOB, None, tmp_path / "a", lambda *step: told.append(step), checkpoint)
    assert told[0] == (3, STEPS), "the one before it still counts"
    assert len(notes) == 1
    assert str(left / whole.name / "000004") in notes[0]
    assert tensors(made) == tensors(whole)


def test_with_no_whole_checkpoint_training_begins_anew(ground: Ground, whole: Path, left: Path, tmp_path: Path) -> None:
    for path in left.glob("*/*"):
        cut(path)
    notes: list[str] = []
    told: Told = []
    checkpoint = Checkpoint(left, 2, notes.append)
    made = train(ground, JOB, None, tmp_path / "a", lambda *step: told.append(step), checkpoint)
    assert told[0] == (1, STEPS)
    assert len(notes) == 2
    assert tensors(made) == tensors(whole)


def test_a_full_disk_is_noted_and_training_goes_on(
    ground: Ground, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr("pareto.training.checkpoint.write_bytes", full)
    notes: list[str] = []
    made = train(ground, JOB, None, tmp_path / "a", checkpoint=Checkpoint(tmp_path / "c", 2, notes.append))
    assert [note.split(":")[0] for note in notes] == ["no checkpoint at step 2", "no checkpoint at step 4"]
    assert all("disk is full" in note for note in notes)
    assert tensors(made) == tensors(whole)


def test_a_file_where_the_checkpoints_should_lie_is_noted(ground: Ground, tmp_path: Path) -> None:
    (tmp_path / "c").write_text("mine")
    notes: list[str] = []
    train(ground, JOB, None, tmp_path / "a", checkpoint=Checkpoint(tmp_path / "c", 2, notes.append))
    assert len(notes) == 2
    assert (tmp_path / "c").read_text() == "mine"


@pytest.mark.parametrize("batch_size", [1, 3, 4])
def test_a_batch_in_parts_gives_the_same_loss_and_the_same_adapter(
    ground: Ground, tmp_path: Path, batch_size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the likelihood term, a mean over tokens, which a mean over parts of unequal length would miss."""
    asked = replace(ground, recipe=recipe(batch_size=batch_size, sft_weight=0.7, steps=3))
    rows: list[int] = []
    forward = type(ground.base.model.model).forward

    def counted(self: Any, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(kwargs["attention_mask"]))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(ground.base.model.model), "forward", counted)
    one = train(asked, JOB, None, tmp_path / "one")
    assert max(rows) == 2 * batch_size
    rows.clear()
    halves = train(asked, JOB, None, tmp_path / "halves", batch_share=0.5)
    assert max(rows) == batch_size, "chosen and rejected are rows of their own, so a single pair is halved too"
    assert halves.name == one.name
    logs = [json.loads((adapter / "log.json").read_text()) for adapter in (one, halves)]
    for a, b in zip(*logs, strict=True):
        timed = {k for k in a if "second" in k or "runtime" in k}
        assert {k: b[k] for k in a.keys() - timed} == pytest.approx({k: a[k] for k in a.keys() - timed}, abs=1e-4)
    expected = load_file(one / "adapter_model.safetensors")
    for key, value in load_file(halves / "adapter_model.safetensors").items():
        assert torch.allclose(value, expected[key], rtol=0, atol=1e-5), key


@pytest.mark.parametrize("method", ["grpo", "rloo"])
def test_sampled_batches_in_parts_give_the_same_adapter(ground: Ground, tmp_path: Path, method: str) -> None:
    asked = replace(ground, recipe=recipe(**online(method) | {"steps": 2}))
    one = train(asked, JOB, None, tmp_path / "one")
    halves = train(asked, JOB, None, tmp_path / "halves", batch_share=0.5)
    expected = load_file(one / "adapter_model.safetensors")
    for key, value in load_file(halves / "adapter_model.safetensors").items():
        assert torch.allclose(value, expected[key], rtol=0, atol=1e-3), key


def test_what_whole_batches_began_is_ended_in_halves(ground: Ground, whole: Path, left: Path, tmp_path: Path) -> None:
    told: Told = []
    checkpoint = Checkpoint(left, 2, pytest.fail)
    made = train(ground, JOB, None, tmp_path / "a", lambda *step: told.append(step), checkpoint, batch_share=0.5)
    assert told[0] == (5, STEPS)
    expected = load_file(whole / "adapter_model.safetensors")
    for key, value in load_file(made / "adapter_model.safetensors").items():
        assert torch.allclose(value, expected[key], rtol=0, atol=1e-5), key


@given(batch=st.integers(1, 64), parts=st.integers(1, 8))
def test_parts_are_equal_and_as_few_as_can_be(batch: int, parts: int) -> None:
    n = equal_parts(batch, parts)
    assert batch % n == 0
    assert n >= min(parts, batch)
    assert not any(batch % fewer == 0 for fewer in range(min(parts, batch), n))
