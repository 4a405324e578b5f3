"""The live engine: whose mix answers, who waits, what ends a job, what survives."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from app.live import engine as module
from app.live import voices
from app.live.engine import Engine
from app.live.voices import Job, Voice
from pareto.errors import ParetoError
from pareto.inference.policy import Policy
from pareto.models import Base
from pareto.records import Prompt
from pareto.rollouts.sampling import Decoder
from pareto.soups.bank import Bank
from pareto.store.points import load_points, save_point
from pareto.store.run import Run
from pareto.training.adapters import State, shared_a

Forged = tuple[Run, dict[str, State]]
KIND = Voice("Chosen", "kind", {"expert-kind": 1.0})
SHORT = Voice("Chosen", "short", {"expert-short": -1.5})
BASE = Voice("Base model", "nothing mixed in", {})
PROMPT = Prompt("asked", "What is 2 + 3?", "asked")


@pytest.fixture
def engine(forged_run: Forged) -> Any:
    made = Engine(forged_run[0])
    yield made
    made.close()


def finished(*jobs: Job, seconds: float = 60.0) -> None:
    until = time.monotonic() + seconds
    while any(job.busy for job in jobs):
        assert time.monotonic() < until, [job.state for job in jobs]
        time.sleep(0.01)


def alone(run: Run, base: Base, coefficients: dict[str, float], seed: int, length: int) -> str:
    """What ``pareto chat`` says: the policy merged into the weights, nobody beside it."""
    lora = run.recipe.training.lora
    bank = Bank(base, lora, shared_a(base, lora, run.recipe.seed))
    keys = {"expert-kind": "a" * 16, "expert-short": "b" * 16}
    for name in coefficients:
        bank.add(name, run.adapters / keys[name])
    said = "".join(Policy(run.recipe, base, bank, coefficients).answer(PROMPT.text, seed=seed, max_new_tokens=length))
    bank.merge({})
    return said


def test_every_voice_says_what_its_policy_says_alone(engine: Engine, forged_run: Forged, tiny: Base) -> None:
    job = engine.ask("ann", PROMPT, [KIND, BASE, SHORT], 7, 16)
    finished(job)
    assert job.state == "done", job.error
    expected = [alone(forged_run[0], tiny, dict(v.coefficients), 7, 16) for v in job.voices]
    assert [s.text.rstrip("\ufffd") for s in job.spoken] == expected
    assert len(set(expected)) == 3


def test_sessions_that_ask_at_once_each_hear_their_own_mix(engine: Engine, forged_run: Forged, tiny: Base) -> None:
    mixes = [{"expert-kind": 0.5 * k, "expert-short": 1.5 - 0.5 * k} for k in range(4)]

    def session(k: int) -> list[str]:
        heard = []
        for seed in range(3):
            job = engine.ask(f"session {k}", PROMPT, [Voice("Chosen", "", mixes[k]), BASE], seed, 12)
            while job.busy:
                job.look()
                time.sleep(0.005)
            assert job.state == "done", job.error
            heard.append(job.spoken[0].text.rstrip("\ufffd"))
        return heard

    with ThreadPoolExecutor(4) as pool:
        heard = list(pool.map(session, range(4)))
    used = [{name: value for name, value in mix.items() if value} for mix in mixes]
    assert heard == [[alone(forged_run[0], tiny, mix, seed, 12) for seed in range(3)] for mix in used]


def test_the_answers_are_scored_and_the_base_has_no_distance_to_itself(engine: Engine) -> None:
    job = engine.ask("ann", PROMPT, [KIND, BASE], 0, 12)
    finished(job)
    chosen, base = (s.scores for s in job.spoken)
    assert {"kind", "short", "gold:fluency", "gold:kl"} <= chosen.keys()
    assert base["gold:kl"] == 0.0 != chosen["gold:kl"]
    assert all(0 <= s["short"] <= 1 for s in (chosen, base))


class Gate:
    """Holds the model between two tokens until it is opened."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.open = False
        step: Callable[[Decoder], Any] = Decoder.step

        def held(decoder: Decoder) -> Any:
            while not self.open:
                time.sleep(0.005)
            return step(decoder)

        monkeypatch.setattr(Decoder, "step", held)


@pytest.fixture
def gate(monkeypatch: pytest.MonkeyPatch) -> Any:
    made = Gate(monkeypatch)
    yield made
    made.open = True


def running(job: Job) -> None:
    until = time.monotonic() + 60
    while job.state != "running":
        assert time.monotonic() < until, job.state
        time.sleep(0.01)


def test_those_who_wait_are_told_how_many_come_before_them(engine: Engine, gate: Gate) -> None:
    first = engine.ask("ann", PROMPT, [KIND], 0, 8)
    running(first)
    second, third = (engine.ask(name, PROMPT, [SHORT], 0, 8) for name in ("bob", "cid"))
    assert [engine.ahead(job) for job in (first, second, third)] == [0, 1, 2]
    engine.stop(second)
    assert (second.state, engine.ahead(third)) == ("stopped", 1)
    gate.open = True
    finished(first, third)
    assert [first.state, third.state] == ["done", "done"]


def test_asking_again_replaces_ones_own_question_only(engine: Engine, gate: Gate) -> None:
    first = engine.ask("ann", PROMPT, [KIND], 0, 8)
    other = engine.ask("bob", PROMPT, [KIND], 1, 8)
    running(first)
    again = engine.ask("ann", PROMPT, [SHORT], 0, 8)
    gate.open = True
    finished(first, other, again)
    assert [first.state, other.state, again.state] == ["stopped", "done", "done"]


def test_a_full_queue_says_so_and_takes_nobody(engine: Engine, gate: Gate) -> None:
    running(engine.ask("ann", PROMPT, [KIND], 0, 8))
    for k in range(module.WAITING):
        engine.ask(f"session {k}", PROMPT, [KIND], 0, 8)
    with pytest.raises(ParetoError, match="waiting for an answer already"):
        engine.ask("late", PROMPT, [KIND], 0, 8)


def test_stop_keeps_what_was_said(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    step = Decoder.step
    jobs: list[Job] = []

    def stopping(decoder: Decoder) -> Any:
        if decoder.step_index == 5:
            engine.stop(jobs[0])
        return step(decoder)

    monkeypatch.setattr(Decoder, "step", stopping)
    jobs.append(engine.ask("ann", PROMPT, [KIND, BASE], 3, 60))
    finished(jobs[0])
    assert jobs[0].state == "stopped"
    assert 1 <= len(jobs[0].spoken[0].tokens) <= 6


def test_a_job_at_which_nobody_looks_any_more_ends(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(voices, "PATIENCE", 0.0)
    job = engine.ask("gone", PROMPT, [KIND], 0, 60)
    finished(job)
    assert job.state == "stopped"


def test_an_error_is_one_line_and_the_next_question_is_answered(engine: Engine) -> None:
    wrong = engine.ask("ann", PROMPT, [Voice("Chosen", "", {"expert-gone": 1.0})], 0, 8)
    finished(wrong)
    assert wrong.state == "failed"
    assert wrong.error == "run 'forged' has no adapter 'expert-gone' any more"
    right = engine.ask("ann", PROMPT, [KIND], 0, 8)
    finished(right)
    assert right.state == "done"


def test_an_adapter_that_comes_later_joins(engine: Engine, forged_run: Forged) -> None:
    finished(engine.ask("ann", PROMPT, [KIND], 0, 8))
    run, _ = forged_run
    expert = next(p for p in load_points(run) if p.id == "expert-short")
    save_point(run, replace(expert, id="trial-9", coefficients={"trial-9": 1.0}, adapters={"trial-9": "b" * 16}))
    both = [Voice("Chosen", "", {"trial-9": 1.0}), Voice("Pinned", "", {"expert-short": 1.0})]
    job = engine.ask("ann", PROMPT, both, 0, 12)
    finished(job)
    assert job.state == "done", job.error
    assert job.spoken[0].text == job.spoken[1].text


def test_half_of_a_character_is_never_shown(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    step = Decoder.step
    jobs: list[Job] = []

    def watching(decoder: Decoder) -> Any:
        seen.append(jobs[0].spoken[0].text)
        return step(decoder)

    monkeypatch.setattr(Decoder, "step", watching)
    jobs.append(engine.ask("ann", PROMPT, [KIND], 1, 40))  # random bytes: most are no whole character
    finished(jobs[0])
    assert len(seen) > 5
    assert not any(text.endswith("\ufffd") for text in seen)


def test_a_voice_that_has_spoken_is_not_asked_twice(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    first = engine.ask("ann", PROMPT, [KIND, BASE], 0, 8)
    finished(first)
    rows: list[int] = []
    step = Decoder.step
    monkeypatch.setattr(Decoder, "step", lambda decoder: rows.append(len(decoder.rows)) or step(decoder))
    second = engine.ask("ann", PROMPT, [SHORT, BASE], 0, 8)
    finished(second)
    assert set(rows) == {1}
    assert second.spoken[1].text == first.spoken[1].text
    assert second.spoken[0].text != first.spoken[0].text
