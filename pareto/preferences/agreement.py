"""Do people who were asked the same agree?"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Agreement:
    """Over all questions that two people or more answered."""

    questions: int
    people: int
    """Who answered at least one of them."""
    share: float
    """Of pairs of answers to the same question, those that are equal, in [0, 1]; NaN without overlap."""
    alpha: float
    """Krippendorff's alpha: 1 agreement, 0 as by chance; NaN where it is not defined."""

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.questions:
            return "no overlap yet: nobody has answered a question that somebody else has answered"
        chance = "" if self.alpha != self.alpha else f", Krippendorff's alpha {self.alpha:.2f}"
        asked = "1 question" if self.questions == 1 else f"{self.questions} questions"
        return f"{self.share:.0%} of answers agree{chance} ({asked} answered by 2 people or more, {self.people} people)"


def agreement(answers: Iterable[tuple[Hashable, str, str]]) -> Agreement:
    """How far answers to the same question agree.

    Args:
        answers: question (equal for everybody who was asked the same), person, answer, in the order given: of several
            answers of a person to the same question the last counts. ``skip`` is no answer.
    """
    by_question: dict[Hashable, dict[str, str]] = defaultdict(dict)
    for question, person, answer in answers:
        if answer != "skip":
            by_question[question][person] = answer
    shared = [a for a in by_question.values() if len(a) > 1]
    pairs = [(len(a) * (len(a) - 1), sum(n * (n - 1) for n in Counter(a.values()).values())) for a in shared]
    total = sum(n for n, _ in pairs)
    return Agreement(
        questions=len(shared),
        people=len({person for a in shared for person in a}),
        share=sum(same for _, same in pairs) / total if total else float("nan"),
        alpha=krippendorff_alpha(shared),
    )


def krippendorff_alpha(units: Sequence[Mapping[str, str]]) -> float:
    """Krippendorff's alpha for nominal answers, some of which may be missing.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C.

    Args:
        units: question → person → answer.

    Returns:
        1 − observed / expected disagreement; NaN where all answers are alike or nothing can be compared.
    """
    counts = [Counter(unit.values()) for unit in units if len(unit) > 1]
    values: Counter[str] = sum(counts, Counter())
    n = values.total()
    expected = n * n - sum(c * c for c in values.values())
    if expected == 0:
        return float("nan")
    observed = sum((c.total() ** 2 - sum(k * k for k in c.values())) / (c.total() - 1) for c in counts)
    return 1 - (n - 1) * observed / expected
