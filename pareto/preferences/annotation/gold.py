"""Gold rewards as an annotator, wrong as often as one likes: for study."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pareto.errors import ParetoError
from pareto.objectives.load import Reward
from pareto.objectives.score import results
from pareto.preferences.annotation.annotator import Failure, failure, labelled
from pareto.records import Answer, Label, Question, Who
from pareto.store.files import fingerprint

Value = float | str | None
"""A score, why there is none, or ``None`` where the objective does not apply."""


class GoldAnnotator:
    """Prefers what an objective's reward scores higher; equal scores are a tie, what does not apply is skipped."""

    who: Who = "gold"

    def __init__(
        self,
        rewards: Mapping[str, Reward],
        noise: float = 0.0,
        seed: int = 0,
        *,
        tokens: Callable[[str], Sequence[int]],
        max_new_tokens: int,
        name: str = "gold",
    ) -> None:
        """Make an annotator.

        Args:
            rewards: objective → what answers for it; its sign says which way is better.
            noise: chance that an answer which is no tie is the wrong one, in [0, 0.5]. Decided by a random number of
                the question's own, so the same question always gets the same answer.
            seed: of those random numbers.
            tokens: a completion's tokens with its end token, such as ``Base.completion_ids``; rewards may count them.
            max_new_tokens: cap on a completion's length, in tokens.
            name: as the labels bear it.
        """
        self.name = name
        self._rewards, self._noise, self._seed = rewards, noise, seed
        self._tokens, self._cap = tokens, max_new_tokens

    def answer(self, questions: Sequence[Question]) -> Iterator[Label | Failure]:
        """See ``Annotator.answer``.

        Raises:
            ParetoError: an objective without a reward, or something that a reward needs is missing.
        """
        found: list[tuple[Value, Value] | None] = [None] * len(questions)
        for objective in dict.fromkeys(q.objective for q in questions):
            rows = [k for k, q in enumerate(questions) if q.objective == objective]
            for k, values in zip(rows, self._scores([questions[k] for k in rows]), strict=True):
                found[k] = values
        for question, of_both in zip(questions, found, strict=True):
            assert of_both is not None
            yield self._said(question, *of_both)

    def _scores(self, questions: Sequence[Question]) -> list[tuple[Value, Value]]:
        """What the reward of their common objective gives first and second."""
        objective = questions[0].objective
        if objective not in self._rewards:
            raise ParetoError(f"gold annotator: no reward for objective '{objective}'")
        texts = [q.first for q in questions] + [q.second for q in questions]
        twice = [*questions, *questions]
        columns: dict[str, list[Any]] = {
            "prompts": [q.prompt for q in twice],
            "completions": texts,
            "completion_ids": [list(self._tokens(text))[: self._cap] for text in texts],
            "answers": [q.answers for q in twice],
            "source": [q.source for q in twice],
        }
        values = results(self._rewards[objective], columns, self._cap, len(texts))
        return list(zip(values[: len(questions)], values[len(questions) :], strict=True))

    def _said(self, question: Question, first: Value, second: Value) -> Label | Failure:
        for value in (first, second):
            if isinstance(value, str):
                return failure(question, self, f"reward '{self._rewards[question.objective].name}' {value}")
        if not isinstance(first, float) or not isinstance(second, float):
            return labelled(question, "skip", self)
        if first == second:
            return labelled(question, "tie", self)
        first_is_better = (first > second) == (self._rewards[question.objective].sign > 0)
        chance = int(fingerprint([self._seed, *question.key]), 16) / 16**16
        answer: Answer = "first" if first_is_better != (chance < self._noise) else "second"
        return labelled(question, answer, self)
