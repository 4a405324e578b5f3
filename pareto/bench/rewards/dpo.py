"""DPO against a proxy, over and over on the policy's own answers: what the proxy promises and what gold says.

Each turn the policy answers training prompts, the proxy pairs its best answers with its worst, and DPO goes on from
there. Nothing new is labelled: the proxy is asked ever further away from what it has learnt from.
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

TURNS, PROMPTS, SAMPLES = 5, 48, 8
NAME = "policy"
Proxy = Callable[[Sequence[Rollout]], Floats]
"""(n,) of completions."""


@dataclass(frozen=True, eq=False)
class Policies:
    """What came of it, turn by turn; the first is the base."""

    kl: Floats
    """(turns + 1, prompts) KL to the base on test prompts, nats per completion, one sample each."""
    answers: list[list[Rollout]]
    """Their completions of the test prompts."""


def optimise(lab: Lab, named: dict[str, Any], proxy: Proxy, seed: int, turns: int = TURNS) -> Policies:
    """Optimise a proxy, or read back what came of it.

    Args:
        lab: the ground; training prompts in turn, ``PROMPTS`` each; measured on the prompts of ``many``.
        named: plain data that tells the proxy from others.
        proxy: scores completions.
        seed: of sampling and training.
        turns: how many.
    """
    training = lab.recipe.training
    made_from = {"training": training.model_dump(mode="json"), "seed": seed, "base": lab.base.fingerprint}
    key = fingerprint({**named, **made_from})
    home = lab.folder / "policies" / key
    a = shared_a(lab.base, training.lora, seed)
    bank = Bank(lab.base, training.lora, a)
    prompts, tested = lab.asked("train"), lab.asked("many")
    b: State | None = None
    kls, answers = [], []
    for turn in range(turns + 1):
        out = home / str(turn)
        if not folder_ok(out):
            if turn:
                lab.say(f"DPO against {named}: turn {turn} of {turns}")
                asked = [prompts[(turn * PROMPTS + i) % len(prompts)] for i in range(PROMPTS)]
                b = _turn(lab, bank, b, asked, proxy, seed + turn, a)
            _measure(lab, bank, b, tested, out, a)
        if turn:
            bank.add(NAME, out)
            b = bank.adapters[NAME]
        answers.append(read_rollouts(out / "answers.parquet"))
        kls.append(read_json(out / "kl.json"))
    bank.merge({})
    return Policies(np.array(kls), answers)


def _turn(lab: Lab, bank: Bank, b: State | None, prompts: Sequence[Prompt], proxy: Proxy, seed: int, a: State) -> State:
    training = lab.recipe.training
    pool = _answers(lab, bank, b, prompts, SAMPLES, f"turn-{seed}")
    bank.merge({})
    # DPO's reference is the base, however far the policy has come.
    ids = {p.id: lab.base.prompt_ids(p.text) for p in prompts}
    under_base = log_probabilities(lab.base, [(ids[r.prompt_id], r.token_ids) for r in pool])
    pool = [Rollout(**{**vars(r), "logp": logp}) for r, logp in zip(pool, under_base, strict=True)]
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
    answers = _answers(lab, bank, b, prompts, 1, "test")
    bank.merge({})
    ids = {p.id: lab.base.prompt_ids(p.text) for p in prompts}
    under_base = log_probabilities(lab.base, [(ids[r.prompt_id], r.token_ids) for r in answers])
    out.parent.mkdir(parents=True, exist_ok=True)
    with sealed(out) as inside:
        write_rollouts(inside / "answers.parquet", answers)
        write_json(inside / "kl.json", [r.logp - base for r, base in zip(answers, under_base, strict=True)])
        if b is not None:
            write_adapter(inside, lab.base, lab.recipe.training.lora, a, b, {})


def _answers(
    lab: Lab, bank: Bank, b: State | None, prompts: Sequence[Prompt], samples: int, stream: str
) -> list[Rollout]:
    if b is not None:
        bank.adapters[NAME] = b
        bank.merge({})
        bank.merge({NAME: 1.0})
    return lab.sample(prompts, samples, stream)
