"""Gold rewards as an annotator: signs, ties, what does not apply, and noise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pareto.errors import ParetoError
from pareto.objectives.load import Reward
from pareto.preferences.annotation.annotator import annotate
from pareto.preferences.annotation.gold import GoldAnnotator
from pareto.preferences.annotation.questions import make
from pareto.preferences.annotation.queue import AnnotationQueue
from pareto.records import Label, Prompt, Question

INFINITY = float("inf")


def count_x(*, prompts: Any, completions: Any, **columns: Any) -> list[float | None]:
    return [None if p == "sum" else float(c.count("x")) for p, c in zip(prompts, completions, strict=True)]


def tokens(*, completion_ids: Any, max_new_tokens: int, answers: Any, source: Any, **columns: Any) -> list[float]:
    assert set(answers) == {("42",)}
    assert set(source) == {"s"}
    return [len(ids) / max_new_tokens for ids in completion_ids]


def broken(*, completions: Any, **columns: Any) -> list[float]:
    return [1 / (len(c) - 3) for c in completions]


REWARDS = {
    "much": Reward("much", 1, (0, INFINITY), count_x),  # type: ignore[arg-type]
    "little": Reward("little", -1, (0, INFINITY), count_x),  # type: ignore[arg-type]
    "long": Reward("long", 1, (0, 1), tokens),  # type: ignore[arg-type]
    "broken": Reward("broken", 1, (-INFINITY, INFINITY), broken),  # type: ignore[arg-type]
}


def asked(objective: str, one: str, other: str, prompt: str = "?") -> Question:
    return make(objective, Prompt(prompt, prompt, "s", ("42",)), (one, other))


def gold(noise: float = 0.0, seed: int = 0) -> GoldAnnotator:
    return GoldAnnotator(REWARDS, noise, seed, tokens=lambda text: [*map(ord, text), 0], max_new_tokens=4)


def labels_of(annotator: GoldAnnotator, questions: list[Question]) -> list[Label]:
    found = list(annotator.answer(questions))
    return [x for x in found if isinstance(x, Label)]


def test_more_or_less_of_it_is_better_ties_and_what_does_not_apply() -> None:
    questions = [
        asked("much", "ax", "bxx"),
        asked("little", "ax", "bxx"),
        asked("much", "ax", "xb"),
        asked("much", "ax", "bxx", "sum"),
        asked("much", "xx", "y"),
    ]
    labels = labels_of(gold(), questions)
    assert [x.answer for x in labels] == ["second", "first", "tie", "skip", "first"]
    assert {(x.who, x.annotator) for x in labels} == {("gold", "gold")}


def test_rewards_that_count_tokens_see_them_up_to_the_cap() -> None:
    """ "abc" has four tokens with its end; "abcdefg" is cut at four, so both are as long."""
    labels = labels_of(gold(), [asked("long", "abc", "abcdefg"), asked("long", "ab", "abc")])
    assert [x.answer for x in labels] == ["tie", "second"]


def test_a_row_that_the_reward_fails_on_stays_waiting(tmp_path: Path) -> None:
    queue = AnnotationQueue(tmp_path)
    queue.ask([asked("broken", "a", "bbb"), asked("broken", "a", "bb")])
    done = annotate(queue, gold(), queue.waiting())
    assert [f.reason for f in done.failed] == ["reward 'broken' raised ZeroDivisionError: division by zero"]
    assert [q.second for q in queue.waiting()] == ["bbb"]


def test_an_objective_without_a_reward() -> None:
    with pytest.raises(ParetoError, match="no reward for objective 'kind'"):
        list(gold().answer([asked("kind", "a", "b")]))


def many(n: int) -> list[Question]:
    """Of each, ``second`` is the better one."""
    return [asked("much", "a", "x" * (1 + k % 3), f"p{k}") for k in range(n)]


def mistakes(questions: list[Question], noise: float, seed: int = 0) -> list[str]:
    return [x.prompt_id for x in labels_of(gold(noise, seed), questions) if x.answer == "first"]


def test_noise_is_as_frequent_as_asked_for_and_the_questions_own() -> None:
    questions = many(2000)
    wrong = mistakes(questions, 0.25)
    assert 0.22 < len(wrong) / 2000 < 0.28
    # The same question gets the same answer, alone or among others, in whatever order.
    assert mistakes(questions[::-2], 0.25) == [p for p in wrong[::-1] if int(p[1:]) % 2 == 1]
    assert len({*wrong} & {*mistakes(questions, 0.25, seed=1)}) < 0.5 * len(wrong)


def test_more_noise_keeps_the_mistakes_of_less() -> None:
    assert mistakes(many(300), 0.0) == []
    assert {*mistakes(many(300), 0.1)} < {*mistakes(many(300), 0.3)}


def test_asked_twice_nothing_counts_twice(tmp_path: Path) -> None:
    queue = AnnotationQueue(tmp_path)
    seen = []
    for _ in range(2):
        annotate(queue, gold(), many(5), lambda done, total: seen.append((done, total)))
    assert len(queue.labels) == 5
    assert seen == [(k, 5) for k in range(1, 6)]
