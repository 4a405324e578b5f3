"""DPO against a proxy, longer and longer: what the proxy promises and what gold says.

The proxy pairs what it likes most of each training prompt's answers with what it likes least, and DPO goes over these
pairs again and again; in between, the policy answers test prompts. Rafailov et al. 2024 (arXiv 2406.02900) find that
gold falls within an epoch of such training.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pareto.bench.rewards.lab import Floats, Lab
from pareto.preferences import compare
from pareto.records import Prompt, Rollout
from pareto.rollouts.sampling import log_probabilities
from pareto.soups.bank import Bank
from pareto.store.files import fingerprint, folder_ok, read_json, write_json
from pareto.store.files import folder as sealed
from pareto.store.tables import read_rollouts, write_rollouts
from pareto.training.adapters import State, shared_a, write_adapter
from pareto.training.dpo import rows, train_dpo

TURNS, SAMPLES = 3, 2
NAME = "policy"
Proxy = Callable[[Sequence[Rollout]], Floats]
"""(n,) of completions."""


@dataclass(frozen=True, eq=False)
class Policies:
    """What came of it, turn by turn; the first is the base."""

    kl: Floats
    """(turns + 1, answers) log-ratio to the base of each answer, nats; its mean is the KL."""
    answers: list[list[Rollout]]
    """Their completions of the test prompts."""
    last: State | None
    """The last one's adapter."""
    a: State
    """The frozen A that it goes with."""


def optimise(lab: Lab, named: dict[str, Any], proxy: Proxy, seed: int, turns: int = TURNS) -> Policies:
    """Optimise a proxy, or read back what came of it.

    Args:
        lab: the ground; the pool ``train`` trains, measured on ``SAMPLES`` answers to each prompt of ``many``.
        named: plain data that tells the proxy from others.
        proxy: scores completions.
        seed: of sampling and training.
        turns: how many, of the recipe's steps each.
    """
    training = lab.recipe.training
    made_from = {"training": training.model_dump(mode="json"), "seed": seed, "base": lab.base.fingerprint}
    key = fingerprint({**named, **made_from})
    home = lab.folder / "policies" / key
    a = shared_a(lab.base, training.lora, seed)
    bank = Bank(lab.base, training.lora, a)
    tested = lab.asked("many")
    b: State | None = None
    kls, answers = [], []
    for turn in range(turns + 1):
        out = home / str(turn)
        if not folder_ok(out):
            if turn:
                lab.say(f"DPO against {named}: turn {turn} of {turns}")
                b = _turn(lab, bank, b, proxy, seed + turn, a)
            _measure(lab, bank, b, tested, out, a)
        if turn:
            bank.add(NAME, out)
            b = bank.adapters[NAME]
        answers.append(read_rollouts(out / "answers.parquet"))
        kls.append(read_json(out / "kl.json"))
    bank.merge({})
    return Policies(np.array(kls), answers, b, a)


def _turn(lab: Lab, bank: Bank, b: State | None, proxy: Proxy, seed: int, a: State) -> State:
    training, pool = lab.recipe.training, lab.pool("train")
    bank.merge({})
    ids = {p.id: lab.base.prompt_ids(p.text) for p in lab.asked("train")}
    scores = proxy(pool)
    unit = float(scores.std()) or 1.0
    comparisons = compare(pool, scores[:, None] / unit, (1.0,), training)
    with tempfile.TemporaryDirectory() as scratch:
        _, trained, _ = train_dpo(
            lab.base,
            training,
            rows(ids, pool, comparisons),
            a,
            b,
            None,
            steps=training.steps,
            seed=seed,
            scratch=Path(scratch),
            progress=lambda done, total: None,
        )
    return trained


def _measure(lab: Lab, bank: Bank, b: State | None, prompts: Sequence[Prompt], out: Path, a: State) -> None:
    """Answers and KL of a policy on test prompts, and its adapter, in a folder."""
    answers = _answers(lab, bank, b, prompts, SAMPLES, "test")
    ids = {p.id: lab.base.prompt_ids(p.text) for p in prompts}
    under_base = log_probabilities(lab.base, [(ids[r.prompt_id], r.token_ids) for r in answers])
    out.parent.mkdir(parents=True, exist_ok=True)
    with sealed(out) as inside:
        write_rollouts(inside / "answers.parquet", answers)
        write_json(inside / "kl.json", [r.logp - base for r, base in zip(answers, under_base, strict=True)])
        if b is not None:
            write_adapter(inside, lab.base, lab.recipe.training.lora, a, b, {})


def answers_of(lab: Lab, policies: Policies, prompts: Sequence[Prompt], samples: int, stream: str) -> list[Rollout]:
    """Completions by the last of the policies."""
    bank = Bank(lab.base, lab.recipe.training.lora, policies.a)
    return _answers(lab, bank, policies.last, prompts, samples, stream)


def _answers(
    lab: Lab, bank: Bank, b: State | None, prompts: Sequence[Prompt], samples: int, stream: str
) -> list[Rollout]:
    bank.merge({})
    if b is not None:
        bank.adapters[NAME] = b
        bank.merge({NAME: 1.0})
    answers = lab.sample(prompts, samples, stream)
    bank.merge({})
    return answers
