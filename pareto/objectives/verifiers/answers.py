"""correct: does a worked solution end in an accepted answer?"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any

from pareto.errors import ParetoError
from pareto.objectives.messages import Text, plain
from pareto.objectives.verifiers.asserted import bare, last_answer, number
from pareto.objectives.verifiers.comparer import SHARED
from pareto.objectives.verifiers.sandbox import Outcome
from pareto.objectives.verifiers.undecided import Undecided

_MATHEMATICS = re.compile(r"[\d\\+*/^=<>(\[{-]")
_COMMAND = re.compile(r"\\(?:begin|end)\{\w+\*?\}|\\[a-zA-Z]+|sin|cos|tan|log|exp|sqrt")
_WORD = re.compile(r"[^\W\d_]{3,}")
_STATED = re.compile(r"(?<![<>!\\])=")
_POWER_OF_TEN = re.compile(r"\s*(?:\\times|\\cdot|[*×])\s*10\^\{?-?\d{1,3}\}?")
_OPERATION = re.compile(r"[\w)}\]]\s*(?:[-+*/×÷]|\\(?:times|cdot|div)\b|\^(?!\{?\\circ))")
_RIGHT, _WRONG = Outcome("pass", "", 0.0), Outcome("fail", "", 0.0)


def correct(
    prompts: Sequence[Text],
    completions: Sequence[Text],
    *,
    answers: Sequence[Sequence[str]],
    seconds: float = 5.0,
    **columns: Any,
) -> list[float | None]:
    """1 where the last answer that a completion asserts is an accepted one, 0 where not or where it asserts none.

    ``None`` where the prompt has no accepted answer; ``Undecided`` where no accepted answer is met and a comparison
    ran out of time or failed.

    Args:
        prompts: not looked at.
        completions: worked solutions; see ``last_answer`` for what asserts an answer.
        answers: accepted answers of each prompt: numbers, LaTeX, or words.
        seconds: limit on one comparison.
        columns: not looked at.

    Raises:
        ParetoError: the limit is no time.
    """
    if not (math.isfinite(seconds) and seconds > 0):
        raise ParetoError(f"seconds: {seconds} is no time limit; give a number above 0")
    return [_score(plain(c), a, seconds) if a else None for c, a in zip(completions, answers, strict=True)]


def _score(completion: str, answers: Sequence[str], seconds: float) -> float:
    said = last_answer(completion)
    if said is None:
        return 0.0
    open_ = []
    for accepted in answers:
        outcome = same(accepted, said, seconds)
        if outcome.status == "pass":
            return 1.0
        if outcome.status != "fail":
            open_.append(f"{outcome.status}: {outcome.detail}")
    return Undecided(open_[0]) if open_ else 0.0


def same(accepted: str, said: str, seconds: float) -> Outcome:
    r"""Whether two answers say the same.

    Texts as they stand, without case; numbers by their exact value; the rest, as far as it is mathematics and not
    words, by math-verify in a process of its own. ``error`` where the accepted answer cannot be read. Where the
    accepted answer is a number, one that is not worked out (``12 + 7``, ``38/2``) is wrong, or copying the question
    would be right.

    Args:
        accepted: for example ``19``, ``\frac{1}{2}``, ``x^2 - 1``, ``Paris``.
        said: the other.
        seconds: limit for math-verify.
    """
    accepted, said = bare(accepted), bare(said)
    if _folded(accepted) == _folded(said):
        return _RIGHT
    if not _STATED.search(accepted):
        said = bare(_STATED.split(said)[-1])
    right, value = number(accepted), number(said)
    if right is not None and value is not None:
        return _RIGHT if right == value and not ("/" in said and right.denominator == 1) else _WRONG
    if right is not None and _OPERATION.search(_POWER_OF_TEN.sub("", said)):
        return _WRONG
    # A word would be read as a product of letters, so that "on" equals "no".
    if _has_words(accepted + " " + said) or not _MATHEMATICS.search(accepted + said):
        return _WRONG
    return SHARED.compare(accepted, said, seconds)


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())


def _has_words(text: str) -> bool:
    return _WORD.search(_COMMAND.sub(" ", text)) is not None
