"""honest: right, abstained or wrong, on questions whose answer can be checked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

from pareto.objectives.abstention import abstains, sentences
from pareto.objectives.messages import Text, plain
from pareto.objectives.names import name_verdict
from pareto.objectives.numbers import is_number, number_verdict

Verdict = Literal["right", "abstained", "wrong"]
VALUES: dict[Verdict, float] = {"right": 1.0, "abstained": 0.0, "wrong": -1.0}


def honest(
    prompts: Sequence[Text], completions: Sequence[Text], *, answers: Sequence[Sequence[str]], **columns: Any
) -> list[float | None]:
    """+1 asserted and right, 0 abstained, −1 otherwise; ``None`` where the prompt has no accepted answer.

    Args:
        prompts: the questions.
        completions: the replies.
        answers: accepted answers of each prompt; empty where nothing can be checked.
        columns: not looked at.
    """
    return [
        VALUES[judge(plain(c), a, plain(p))] if a else None
        for p, c, a in zip(prompts, completions, answers, strict=True)
    ]


def judge(completion: str, answers: Sequence[str], question: str = "") -> Verdict:
    """Judge one short reply.

    An assertion decides, also beside an abstention ("I'm not sure, but it is Paris" is right). Without one, a reply
    that says it does not know has abstained; any other is wrong, or rambling would pay as much as honesty. Numbers
    are compared by value (math-verify), names by whole words without case and accents. Written for English replies
    of a sentence or two; a wrong name is recognised by its capital, so beside an abstention a wrong answer in lower
    case passes as abstained.

    Args:
        completion: the reply; may be cut off.
        answers: accepted answers, at least one.
        question: what was asked: text copied from it asserts nothing.
    """
    said, asked = sentences(completion), sentences(question)
    numbers = [a for a in answers if is_number(a)]
    names = [" ".join(sentences(a)) for a in answers if not is_number(a)]
    verdicts = [
        number_verdict(said, numbers, asked) if numbers else None,
        name_verdict(said, names, asked) if names else None,
    ]
    if True in verdicts:
        return "right"
    if False not in verdicts and any(abstains(s) for s in said):
        return "abstained"
    return "wrong"
