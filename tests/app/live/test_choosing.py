"""Several answers of the chosen policy: who draws them, which is taken, what is kept of the others."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from app.live.choosing import Choice
from app.live.engine import Engine
from app.live.voices import Job, Voice
from pareto.config import Level
from pareto.front.frame import Frame
from pareto.inference.policy import Policy
from pareto.models import Base
from pareto.objectives.load import Reward
from pareto.records import Prompt
from pareto.rollouts.sampling import Decoder
from pareto.soups.bank import Bank
from pareto.store.files import write_json
from pareto.store.run import Run
from pareto.training.adapters import State, shared_a

Forged = tuple[Run, dict[str, State]]
CHOSEN = Voice("Chosen", "kind", {"expert-kind": 1.0})
BASE = Voice("Base model", "nothing mixed in", {})
PROMPT = Prompt("asked", "What is 2 + 3?", "asked")
FREE = (float("-inf"), float("inf"))
FRAME = Frame(("kind", "short"), (1.0, 1.0), (0.4, 0.6), (0.2, 0.5), (-1.0, -1.0))


@pytest.fixture
def engine(forged_run: Forged) -> Iterator[Engine]:
    run = forged_run[0]
    write_json(run.path / "frame.json", FRAME.to_json())
    made = Engine(run)
    yield made
    made.close()


@pytest.fixture
def rewards(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    """``kind``: how much of an answer is even bytes; ``short``: its length. Both are spread over random answers."""

    def kind(completions: list[str], **columns: Any) -> list[float]:
        return [sum(ord(c) % 2 == 0 for c in text) / max(1, len(text)) for text in completions]

    def short(completions: list[str], **columns: Any) -> list[float]:
        return [1 / (1 + len(set(text))) for text in completions]

    replace_rewards(engine, monkeypatch, kind, short)


def replace_rewards(engine: Engine, monkeypatch: pytest.MonkeyPatch, *functions: Any) -> None:
    """Put these in the place of the objectives' rewards, once the engine has loaded those."""
    until = time.monotonic() + 60
    while not engine.ready or "rewards" not in vars(engine._voices):
        assert time.monotonic() < until
        time.sleep(0.01)
    made = [Reward(name, 1, FREE, f) for name, f in zip(FRAME.objectives, functions, strict=True)]
    monkeypatch.setitem(vars(engine._voices), "rewards", [*made, *engine._voices.rewards[len(made) :]])


def finished(job: Job, seconds: float = 60.0) -> Job:
    until = time.monotonic() + seconds
    while job.busy:
        assert time.monotonic() < until, job.state
        time.sleep(0.01)
    assert job.state == "done", job.error
    return job


def by_hand(job: Job, weights: tuple[float, float]) -> list[float]:
    assert job.best is not None
    return [
        sum(
            w * (c.scores[n] - m) / s
            for w, n, m, s in zip(weights, FRAME.objectives, (0.4, 0.6), (0.2, 0.5), strict=True)
        )
        for c in job.best.candidates
    ]


@pytest.mark.usefixtures("rewards")
def test_the_answer_is_the_best_of_several_by_hand(engine: Engine) -> None:
    weights = (0.7, 0.3)
    job = finished(engine.ask("ann", PROMPT, [CHOSEN, BASE], 5, 12, Choice(8, weights)))
    assert job.best is not None
    expected = by_hand(job, weights)
    assert [c.utility for c in job.best.candidates] == pytest.approx(expected)
    assert job.best.chosen == int(np.argmax(expected))
    assert job.spoken[0].text == job.best.answer.text
    assert job.spoken[0].scores["kind"] == pytest.approx(job.best.answer.scores["kind"])
    assert len({c.text for c in job.best.candidates}) > 1
    assert job.best.kl == pytest.approx(np.log(8) - 7 / 8)


def test_each_answer_is_the_one_of_its_seed_and_the_base_has_one(
    engine: Engine, forged_run: Forged, tiny: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda decoder: rows.append(len(decoder.rows)) or step(decoder))
    job = finished(engine.ask("ann", PROMPT, [CHOSEN, BASE], 7, 12, Choice(4, (0.5, 0.5))))
    assert rows[0] == 5, "one batch: four answers and the base's"
    run, _ = forged_run
    lora = run.recipe.training.lora
    bank = Bank(tiny, lora, shared_a(tiny, lora, run.recipe.seed))
    bank.add("expert-kind", run.adapters / ("a" * 16))
    policy = Policy(run.recipe, tiny, bank, {"expert-kind": 1.0})
    assert job.best is not None
    assert job.seeds[0] == 7
    for candidate in job.best.candidates:
        alone = "".join(policy.answer(PROMPT.text, seed=candidate.seed, max_new_tokens=12))
        assert candidate.text.rstrip("\ufffd") == alone
    bank.merge({})


@pytest.mark.usefixtures("rewards")
def test_an_answer_that_breaks_a_priority_is_not_taken_while_another_keeps_it(engine: Engine) -> None:
    free = finished(engine.ask("ann", PROMPT, [CHOSEN], 5, 12, Choice(8, (1.0, 0.0))))
    assert free.best is not None
    values = sorted(c.scores["short"] for c in free.best.candidates)
    wanted = values[-1]
    level = Level.model_validate({"objective": "short", "at_least": wanted})
    job = finished(engine.ask("ann", PROMPT, [CHOSEN], 5, 12, Choice(8, (1.0, 0.0), (level,))))
    assert job.best is not None
    assert job.best.answer.broken is None
    assert job.best.answer.scores["short"] == wanted
    assert all(c.broken for c in job.best.candidates if c.scores["short"] < wanted)


def test_a_reward_that_fails_on_an_answer_costs_that_answer_alone(
    engine: Engine, rewards: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = finished(engine.ask("ann", PROMPT, [CHOSEN], 5, 12, Choice(4, (1.0, 0.0))))
    assert before.best is not None
    bad = before.best.answer.text

    def failing(completions: list[str], **columns: Any) -> list[float]:
        return [float("nan") if text == bad else 0.5 for text in completions]

    replace_rewards(engine, monkeypatch, failing, engine._voices.rewards[1].function)
    job = finished(engine.ask("ann", PROMPT, [CHOSEN], 5, 12, Choice(4, (1.0, 0.0))))
    assert job.best is not None
    assert job.best.answer.text != bad
    assert [bool(c.failures) for c in job.best.candidates] == [c.text == bad for c in job.best.candidates]


def test_without_a_choice_there_is_one_answer_and_nothing_is_judged(engine: Engine) -> None:
    job = finished(engine.ask("ann", PROMPT, [CHOSEN, BASE], 7, 12))
    assert (job.best, len(job.drafts), len(job.spoken)) == (None, 1, 2)
    assert job.drafts[0] is job.spoken[0]


def test_answers_that_were_drawn_are_not_drawn_again(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    finished(engine.ask("ann", PROMPT, [CHOSEN, BASE], 7, 12, Choice(2, (0.5, 0.5))))
    rows: list[int] = []
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda decoder: rows.append(len(decoder.rows)) or step(decoder))
    finished(engine.ask("ann", PROMPT, [CHOSEN, BASE], 7, 12, Choice(4, (0.2, 0.8))))
    assert max(rows) == 2


def test_a_threshold_on_the_wrong_side_is_said_and_the_answer_kept(engine: Engine) -> None:
    level = Level.model_validate({"objective": "short", "at_most": 0.5})
    job = engine.ask("ann", PROMPT, [CHOSEN], 7, 12, Choice(2, (0.5, 0.5), (level,)))
    while job.busy:
        time.sleep(0.01)
    assert job.state == "failed"
    assert "short" in (job.error or "")
    assert job.spoken[0].text
