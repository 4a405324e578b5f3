"""Best of several answers on a tiny model: the same answers as one by one, honest counts, exact keeping."""

from __future__ import annotations

import dataclasses
import math
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from pareto.choice.levels import parse_levels
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.inference.best_of.cache import Cache
from pareto.inference.best_of.candidates import Best
from pareto.inference.best_of.engine import best_of, row_seeds
from pareto.inference.best_of.scoring import Judge
from pareto.inference.best_of.task import Task
from pareto.inference.policy import Policy, open_policy
from pareto.objectives.load import Reward
from pareto.records import Prompt
from pareto.rollouts.sampling import Request, draw
from pareto.store.points import load_points

QUESTION = "Name a river."
FRAME = Frame(("digits", "length"), (1.0, -1.0), (0.1, 6.0), (0.1, 4.0), (-1.0, -1.0))


def digits(completions, **columns):
    return [sum(x.isdigit() for x in c) / max(1, len(c)) for c in completions]


def length(completion_ids, **columns):
    return [len(ids) for ids in completion_ids]


REWARDS = (Reward("digits", 1, (0, 1), digits), Reward("length", -1, (0, math.inf), length))
JUDGE = Judge(REWARDS, FRAME, (0.75, 0.25), source="these")


@pytest.fixture
def policy(forged_run) -> Policy:
    run, _ = forged_run
    return open_policy(run, next(p for p in load_points(run) if p.id == "soup-0"))


@dataclass(frozen=True)
class After:
    """Enough after so many."""

    least: int

    def enough(self, utilities, spread):
        return len(utilities) >= self.least


@dataclass(frozen=True)
class Half:
    """The better half goes on."""

    after: int

    def survivors(self, prefix_utilities):
        order = sorted(range(len(prefix_utilities)), key=lambda i: -prefix_utilities[i])
        return order[: max(1, len(order) // 2)]


def test_answers_are_those_of_separate_calls_with_the_same_seeds(policy: Policy) -> None:
    best = best_of(policy, QUESTION, JUDGE, n=8, seed=5)
    assert len({c.text for c in best.candidates}) > 4
    ids = tuple(policy.base.prompt_ids(QUESTION))
    for candidate in best.candidates:
        with policy.bank.policy(policy.coefficients):
            (alone,) = draw(policy.base, [Request(ids, candidate.seed)], policy.recipe.sampling)
        assert alone.token_ids == candidate.token_ids
        assert alone.logp == pytest.approx(candidate.logp, abs=1e-4)
        streamed = "".join(policy.answer(QUESTION, seed=candidate.seed))
        assert streamed.strip().rstrip("\ufffd") == candidate.text.rstrip("\ufffd")


def test_the_best_is_the_one_of_the_largest_utility_by_hand(policy: Policy) -> None:
    best = best_of(policy, QUESTION, JUDGE, n=16)

    def utility(text, ids):
        share = sum(x.isdigit() for x in text) / max(1, len(text))
        return 0.75 * (share - 0.1) / 0.1 - 0.25 * (len(ids) - 6) / 4

    by_hand = [utility(c.text, c.token_ids) for c in best.candidates]
    assert [c.utility for c in best.candidates] == pytest.approx(by_hand)
    assert best.chosen == by_hand.index(max(by_hand))
    assert best.answer is best.candidates[best.chosen]
    assert best.kl == pytest.approx(math.log(16) - 15 / 16)
    assert best.tokens == sum(len(c.token_ids) for c in best.candidates)
    assert best.reason == "all 16 drawn"


def test_one_answer_is_the_plain_one_and_fewer_are_the_first_of_more(policy: Policy) -> None:
    one = best_of(policy, QUESTION, JUDGE, n=1, seed=3)
    plain = "".join(policy.answer(QUESTION, seed=3)).strip()
    assert one.answer.text.rstrip("\ufffd") == plain.rstrip("\ufffd")
    assert one.kl == 0
    four, eight = (best_of(policy, QUESTION, JUDGE, n=n, seed=3) for n in (4, 8))
    assert [c.token_ids for c in four.candidates] == [c.token_ids for c in eight.candidates[:4]]
    assert eight.answer.utility >= four.answer.utility >= one.answer.utility
    assert best_of(policy, QUESTION, JUDGE, n=4, seed=4).candidates != four.candidates


@pytest.mark.parametrize("n", [0, -1, 1025, 10**9])
def test_no_answers_or_too_many_are_refused(policy: Policy, n: int) -> None:
    with pytest.raises(ParetoError, match=rf"best of {n}: from 1 to 1024 answers can be drawn"):
        best_of(policy, QUESTION, JUDGE, n=n)


def test_more_answers_than_a_batch_holds(policy: Policy) -> None:
    best = best_of(policy, QUESTION, JUDGE, n=200, max_new_tokens=2)
    assert len(best.candidates) == 200
    assert len({c.seed for c in best.candidates}) == 200


def test_a_prompt_that_does_not_fit_is_refused(policy: Policy) -> None:
    with pytest.raises(ParetoError, match="tokens long and at most"):
        best_of(policy, "x" * 600, JUDGE, n=2)


def test_the_prompt_s_prefill_is_computed_once(policy: Policy) -> None:
    widths = []
    hook = policy.base.model.register_forward_pre_hook(
        lambda module, args, kwargs: widths.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    try:
        best_of(policy, QUESTION, JUDGE, n=8)
    finally:
        hook.remove()
    assert widths[0] == (1, len(policy.base.prompt_ids(QUESTION)))
    assert all(columns == 1 for _, columns in widths[1:])


def test_a_stopping_rule_ends_the_drawing(policy: Policy) -> None:
    best = best_of(policy, QUESTION, JUDGE, n=16, stopping=After(5), chunk=2)
    assert len(best.candidates) == 6
    assert best.reason == "stopped after 6 of 16"
    assert best.kl == pytest.approx(math.log(16) - 15 / 16)
    whole = best_of(policy, QUESTION, JUDGE, n=16)
    assert [c.token_ids for c in best.candidates] == [c.token_ids for c in whole.candidates[:6]]
    assert best.tokens == sum(len(c.token_ids) for c in best.candidates) < whole.tokens


def test_answers_that_break_a_priority_do_not_speak_for_stopping(policy: Policy) -> None:
    seen = []

    @dataclass(frozen=True)
    class Look:
        def enough(self, utilities, spread):
            seen.append((list(utilities), spread))
            return False

    levels = parse_levels("digits>=0.05", FRAME.objectives)
    best = best_of(
        policy, QUESTION, dataclasses.replace(JUDGE, levels=levels), n=12, stopping=Look(), chunk=4, spread=0.7
    )
    keeping = [c.broken is None for c in best.candidates]
    assert 0 < sum(keeping) < 12
    assert [len(utilities) for utilities, _ in seen] == [k for k in (sum(keeping[:4]), sum(keeping[:8])) if k]
    assert {spread for _, spread in seen} == {0.7}
    assert best.answer.broken is None


def test_rejected_answers_end_early_are_counted_and_never_returned(policy: Policy) -> None:
    whole = best_of(policy, QUESTION, JUDGE, n=8)
    best = best_of(policy, QUESTION, JUDGE, n=8, rejection=Half(3))
    early = [c for c in best.candidates if c.early]
    assert early
    assert all(len(c.token_ids) == 3 for c in early)
    assert not best.answer.early
    assert best.tokens == sum(len(c.token_ids) for c in best.candidates) < whole.tokens
    for short, long in zip(best.candidates, whole.candidates, strict=True):
        assert short.token_ids == long.token_ids[: len(short.token_ids)]
        assert short.early or short == long
    # By hand: of those that ran on after 3 tokens, the better half by their beginnings went on.
    running = [c for c in whole.candidates if len(c.token_ids) > 3]
    assert len(early) == len(running) - len(running) // 2
    assert best_of(policy, QUESTION, JUDGE, n=8, rejection=Half(99)).candidates == whole.candidates


def test_a_rejection_of_all_is_an_error(policy: Policy) -> None:
    @dataclass(frozen=True)
    class Nobody:
        after: int = 2

        def survivors(self, prefix_utilities):
            return []

    with pytest.raises(ValueError, match="must let one answer go on"):
        best_of(policy, QUESTION, JUDGE, n=4, rejection=Nobody())


def test_progress_counts_tokens(policy: Policy) -> None:
    told = []
    best = best_of(policy, QUESTION, JUDGE, n=4, progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (best.tokens, 4 * 12)
    assert [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_kept_answer_is_the_same_and_generates_nothing(policy: Policy, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "answers.sqlite", note=pytest.fail)
    made = best_of(policy, QUESTION, JUDGE, n=4, cache=cache)
    hook = policy.base.model.register_forward_pre_hook(lambda *_: pytest.fail("it generates"))
    try:
        kept = best_of(policy, QUESTION, JUDGE, n=4, cache=Cache(tmp_path / "answers.sqlite"))
    finally:
        hook.remove()
    assert kept == dataclasses.replace(made, cached=True)
    assert not made.cached
    assert Best.from_json(made.to_json()) == made
    assert (cache.use().hits, cache.use().misses) == (1, 1)


def task(policy: Policy, prompt: str | Prompt = QUESTION, **changes) -> Task:
    asked = prompt if isinstance(prompt, Prompt) else Prompt("asked", prompt, "asked")
    made = Task(policy, asked, JUDGE, policy.recipe.sampling, row_seeds(0, 4), None, None, 4, None)
    return dataclasses.replace(made, **changes)


def test_an_answer_for_which_a_reward_failed_is_not_kept(policy: Policy, tmp_path: Path) -> None:
    def flaky(completions: list[str], **columns: object) -> list[float]:
        raise OSError("disk briefly gone")

    cache = Cache(tmp_path / "answers.sqlite")
    broken = dataclasses.replace(JUDGE, rewards=tuple(dataclasses.replace(r, function=flaky) for r in REWARDS))
    best_of(policy, QUESTION, broken, n=2, cache=cache)
    assert not best_of(policy, QUESTION, JUDGE, n=2, cache=cache).cached
    assert best_of(policy, QUESTION, JUDGE, n=2, cache=cache).cached


def test_whatever_changes_the_answer_changes_the_key(policy: Policy, forged_run) -> None:
    run, _ = forged_run
    other = open_policy(run, next(p for p in load_points(run) if p.id == "expert-kind"))
    moved = dataclasses.replace(policy, coefficients={**policy.coefficients, "expert-kind": 0.5000001})
    sampling = policy.recipe.sampling
    tasks = [
        task(policy),
        task(policy, QUESTION + " "),
        task(policy, QUESTION.lower()),
        task(policy, Prompt("asked", QUESTION, "elsewhere")),
        task(policy, Prompt("asked", QUESTION, "asked", ("Niger",))),
        task(other),
        task(moved),
        task(policy, judge=dataclasses.replace(JUDGE, weights=(0.74, 0.26))),
        task(policy, judge=dataclasses.replace(JUDGE, source="others")),
        task(policy, sampling=sampling.model_copy(update={"temperature": 0.99})),
        task(policy, sampling=sampling.model_copy(update={"max_new_tokens": 13})),
        task(policy, seeds=row_seeds(0, 5)),
        task(policy, seeds=row_seeds(1, 4)),
        task(policy, stopping=After(3)),
        task(policy, stopping=After(4)),
        task(policy, stopping=After(4), chunk=2),
        task(policy, stopping=After(4), spread=0.5),
        task(policy, rejection=Half(3)),
        task(policy, rejection=Half(4)),
    ]
    keys = [t.key() for t in tasks]
    assert len(set(keys)) == len(tasks)
    assert keys[0] == task(open_policy(run, next(p for p in load_points(run) if p.id == "soup-0"))).key()


def test_an_adapter_of_the_same_name_and_other_numbers_changes_the_key(policy: Policy) -> None:
    before = task(policy).key()
    b = policy.bank.adapters["expert-kind"]
    name = sorted(b)[0]
    policy.bank.adapters["expert-kind"] = {**b, name: b[name] + torch.eye(*b[name].shape) * 1e-6}
    assert task(policy).key() != before
    policy.bank.adapters["expert-kind"] = b
    assert task(policy).key() == before


def test_ten_thousand_near_duplicate_prompts_have_keys_of_their_own(policy: Policy, tmp_path: Path) -> None:
    rng = random.Random(7)
    prompts: set[str] = set()
    question = "Tell me why you should not give a dog any chocolate at all , please"
    while len(prompts) < 10_000:
        words = question.split(" ")
        for _ in range(rng.randint(1, 4)):
            at = rng.randrange(len(words))
            words[at] = rng.choice(["", "not", "never", "always", words[at].upper(), words[at] + "s", "cat", "\u00a0"])
        prompts.add(" ".join(words))
    keys = {task(policy, prompt).key() for prompt in prompts}
    assert len(keys) == len(prompts)
    kept = set(rng.sample(sorted(prompts), 2000))
    cache = Cache(tmp_path / "answers.sqlite", note=pytest.fail)
    for prompt in sorted(kept):
        cache.put(task(policy, prompt).key(), prompt)
    for prompt in prompts:
        assert cache.get(task(policy, prompt).key()) == (prompt if prompt in kept else None)


def test_what_cannot_be_named_is_not_kept(policy: Policy, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "answers.sqlite")
    best_of(policy, QUESTION, dataclasses.replace(JUDGE, source=""), n=2, cache=cache)
    assert cache.use().entries == 0

    class Rule:
        def enough(self, utilities, spread):
            return True

    with pytest.raises(TypeError, match="Rule is no dataclass"):
        best_of(policy, QUESTION, JUDGE, n=2, stopping=Rule(), cache=cache)
