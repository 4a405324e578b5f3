"""Which number does a reply assert, and is it an accepted one?"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Sequence

from pareto.objectives.abstention import abstains, open_question

_NUMBER = r"(?<![\w.^])[-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+|/\d+)?(?![\w/^]|[.,]\d)"
_LONGEST = 20
"""Digits of the longest number that is compared: the checker's own time limit is off, so its input is bounded."""
_FILLER = (
    r"(?:\s*(?:\$|\\boxed\{|\\\(|exactly|approximately|about|around|roughly|probably|just|simply|to|the|number|now))*"
)
_FRAME = re.compile(
    rf"(?P<frame>=|:|\b(?:is|was|are|be|equals?|makes?|gives?|get|maybe|perhaps|probably|think|believe|guess|say|"
    rf"so|therefore|thus|has|have)\b)(?P<filler>{_FILLER}\s*)(?P<number>{_NUMBER})",
    re.IGNORECASE,
)
_OPERATION_FOLLOWS = re.compile(r"\s*(?:[+*/×÷x=]|-\s|plus|minus|times)\s*\d", re.IGNORECASE)
_ANSWER_WORD = re.compile(r"\b(?:answer|result)\b", re.IGNORECASE)
_SUBJECT = re.compile(r"\b(?:it|that|this|sum|total|product|difference|maybe|perhaps|guess|think|say|probably)\b", re.I)


def is_number(text: str) -> bool:
    """Whether an accepted answer is a number, so that it is compared by value."""
    return re.fullmatch(_NUMBER, text.strip()) is not None


def number_verdict(said: Sequence[str], answers: Sequence[str], question: Sequence[str]) -> bool | None:
    """Whether the number that a reply asserts is accepted; ``None`` where it asserts none.

    In this order: the first number called the answer or the result; the first result of the question's own numbers
    ("17 + 25 = 42"); the last other result ("20 + 10 = 30. 30 + 12 = 42"); the first number outside a copy of the
    question's expression. Taking the first keeps a list of guesses from paying more than its first guess.

    Args:
        said: the reply's sentences (from ``abstention.sentences``).
        answers: accepted numbers.
        question: the question's sentences.
    """
    number = _asserted(said, " ".join(question))
    return None if number is None else any(equal(a, number) for a in answers)


def _asserted(said: Sequence[str], question: str) -> str | None:
    asked = re.findall(_NUMBER, question)
    unsure = any(abstains(s) for s in said)
    named, own, other = [], [], []
    for sentence in said:
        for match in _FRAME.finditer(sentence):
            subject = sentence[: match.start()] + match["frame"]
            if _OPERATION_FOLLOWS.match(sentence, match.end()) or open_question(sentence, match.start("number")):
                continue
            if _ANSWER_WORD.search(subject):
                named.append(match["number"])
            elif asked and all(subject.count(a) >= asked.count(a) for a in asked):
                own.append(match["number"])
            elif match["frame"] == "=" or _SUBJECT.search(subject) or not unsure:
                other.append(match["number"])
    if named or own or other:
        return (named or own or other[-1:])[0]
    for sentence in said:
        rest = _without_expression(sentence, question)
        for match in re.finditer(_NUMBER, rest):
            denied = re.search(r"\b(?:not|never)\s+(?:be\s+)?$", rest[: match.start()], re.IGNORECASE)
            # Beside an abstention a number is an answer only where nothing else is said: "I don't know. 42?"
            alone = re.fullmatch(r"\W*", _clause(rest, match))
            if not denied and not open_question(rest, match.start()) and (alone or not unsure):
                return match.group()
    return None


def _clause(text: str, match: re.Match[str]) -> str:
    """What stands around a number between commas."""
    return re.split(r"[,;:]\s", text[: match.start()])[-1] + " " + re.split(r"[,;:]\s", text[match.end() :])[0]


def _without_expression(sentence: str, question: str) -> str:
    """The sentence without the question's expression, such as "17 + 25" or "17 and 25", and what leads up to it."""
    asked = re.findall(_NUMBER, question)
    if len(asked) < 2:
        return sentence
    between = r"\s*(?:[-+*/×÷x]|[a-z]+(?:\s+[a-z]+)?)?\s*"
    return re.sub(rf"(?<![\d.])(?:{between.join(map(re.escape, asked))})(?!\d)", " ", sentence, flags=re.IGNORECASE)


def equal(accepted: str, number: str) -> bool:
    """Whether two written numbers have the same value, by math-verify."""
    if max(len(accepted), len(number)) > _LONGEST:
        return False
    return _verified(accepted.strip(), number)


@functools.lru_cache(maxsize=4096)
def _verified(accepted: str, number: str) -> bool:
    from math_verify import ExprExtractionConfig, parse, verify

    # Its time limits are signals, which do nothing but raise outside the main thread; numbers this short need none.
    # It warns of that once.
    for name in ("math_verify.parser", "math_verify.grader"):
        logging.getLogger(name).setLevel(logging.ERROR)
    gold, said = (parse(t, [ExprExtractionConfig()], parsing_timeout=None) for t in (accepted, number))
    return bool(gold and said and verify(gold, said, timeout_seconds=None))
