"""How many answers a prompt is worth, by its class."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.inference.best_of.candidates import MOST
from pareto.simplex import parse_numbers

CLASSES = {"simple": 1, "ordinary": 4, "critical": 8}
"""Class → answers, where nothing else is asked."""
SIMPLE_WORDS = 6
"""A prompt of so many words is simple, unless it is critical."""
CRITICAL_WORDS = 60
"""A prompt of so many words or more is critical: much can go wrong."""
_CRITICAL = re.compile(
    r"\b(?:allerg|ammonia|aspirin|banks?\b|bleach|cancer|chest\b|contract|courts?\b|doses?\b|dosage|dosing|drug|emergenc|"
    r"hurts?\b|ibuprofen|invest(?:ing|ments?|ors?)?\b(?! time)|kill(?:s|ing)?\b|laws?\b|lawyer|legal|loan|medic|"
    r"mortgage|overdos|pain(?:s|ful)?\b|paracetamol|pills?\b|poison|police|pregnan|self-harm|suicid|surg|symptom|tax(?:es)?\b|"
    r"toxic|vaccin)",
    re.IGNORECASE,
)
"""English words of health, law and money: an answer that is wrong costs the one who asks."""


MEAN = 4
"""Answers on average, where a prompt's number follows from its difficulty."""
MOST_PER_MEAN = 4
"""How many times that many a prompt gets at most."""


@dataclass(frozen=True)
class Adaptive:
    """As many answers as a prompt's difficulty makes worth drawing."""

    mean: int = MEAN
    """Over prompts like those that the run was trained on."""

    @property
    def cap(self) -> int:
        """Answers to one prompt at most."""
        return min(MOST, MOST_PER_MEAN * self.mean)


def class_of(prompt: str) -> str:
    """``critical``, ``simple`` or ``ordinary``, by the prompt's words and length alone."""
    words = len(prompt.split())
    if _CRITICAL.search(prompt) or words >= CRITICAL_WORDS:
        return "critical"
    return "simple" if words <= SIMPLE_WORDS else "ordinary"


def parse_best_of(text: str) -> int | dict[str, int] | Adaptive:
    """``8``; or answers by class such as ``simple=1,critical=8``, where classes that are not named have ``CLASSES``';
    or ``auto`` or ``auto=8``: by difficulty, so many on average.

    Raises:
        ParetoError: no whole number from 1 to ``MOST``, or an unknown class.
    """
    word, equals, number = text.partition("=")
    if word == "auto":
        return Adaptive(_count(number, text)) if equals else Adaptive()
    if not equals:
        return _count(text, text)
    asked = parse_numbers(text, "--best-of", "simple=1,critical=8")
    for name in asked:
        if name not in CLASSES:
            raise ParetoError(f"--best-of: unknown class '{name}'; {suggest(name, list(CLASSES))}")
    return CLASSES | {name: _count(str(value).removesuffix(".0"), text) for name, value in asked.items()}


def answers_for(prompt: str, n: int | Mapping[str, int], rule: Callable[[str], str] = class_of) -> int:
    """How many answers a prompt gets.

    Args:
        prompt: its text.
        n: for every prompt, or by class.
        rule: from a prompt to its class; another than words may be predicted from it, such as the spread of utility.
    """
    return n if isinstance(n, int) else n[rule(prompt)]


def _count(text: str, whole: str) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MOST:
        return int(text)
    raise ParetoError(
        f"--best-of {whole}: wanted a whole number of answers from 1 to {MOST}, simple=1,critical=8 or auto"
    )
