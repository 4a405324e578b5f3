"""Steps whose truth is known from how they were written, to hold the checker of steps against."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pareto.objectives.process.arithmetic import check_step

Verdict = bool | None
Kind = Literal["plain", "mangled", "chained", "words"]
SIGNS = {
    "+": ("+", "plus"),
    "-": ("-", "minus", "−"),
    "*": ("*", "×", "times", r"\times"),
    "/": ("/", "÷", "divided by"),
}
FRAMES: tuple[str, ...] = (
    "{l} {s} {r} = {v}",
    "{l}{t}{r}={v}",
    "3. {l} {s} {r} = {v}",
    "Step 2: {l} {s} {r} = {v}.",
    "First, we take {l} {s} {r} = {v}.",
    "So there are {l} {s} {r} = {v} left now.",
    "The total is {l} {s} {r} = **{v}**",
    "${l} {s} {r} = {v}$",
    r"\( {l} {s} {r} = {v} \)",
    "{l} {s} {r} is {v}",
    "**{l} {s} {r}** = {v}",
    "- {l} {s} {r} equals {v}.",
    "  {l} {s} {r}  =  {v} ,",
    "({l} {s} {r}) = {v}",
    "{l} {s} {r} = ${v}",
    "<<{l}{t}{r}={v}>> {v} in all",
    "{v} = {l} {s} {r}",
    "{l} {s} {r}\n= {v}",
    "{l} {s} {r} = {v}!",
    "{l} {s} {r} = {v} (so far)",
    r"{l} {s} {r} = \boxed{{{v}}}",
    "{l} {s} {r} = {v} = {v}",
    "{l} {s} {r} gives {v}, which is more than {r}.",
    "After 3 days: {l} {s} {r} = {v} apples",
    "`{l} {s} {r} = {v}`",
    "| {l} {s} {r} = {v} |",
    "{l} apples {s} {r} = {v} apples",
    "{l}.0 {s} {r} = {v}.0",
    "(a) {l} {s} ({r}) = {v}",
    "Result of {l} {s} {r}: {l} {s} {r} = {v}",
)
NOTHING = (
    "Now we look at what is left.",
    "Answer: {v}",
    "Let us think step by step, for {l} friends and {r} boxes.",
    "There are {l} boxes.",
    "x = {v}",
    "{l} = {v}",
    "We need the number of apples in {r} boxes.",
)
"""Steps that compute nothing."""


@dataclass(frozen=True)
class WrittenStep:
    """A step, and whether what it computes is right."""

    text: str
    kind: Kind
    right: Verdict
    """``None``: it computes nothing."""


def write_steps(count: int, seed: int) -> list[WrittenStep]:
    """Steps right and wrong, in the format of worked answers and in those that models write, and steps of words."""
    rng = random.Random(seed)
    makers: list[Callable[[random.Random], WrittenStep]] = [_plain, _mangled, _mangled, _chained, _words]
    return [makers[k % len(makers)](rng) for k in range(count)]


def agreement(steps: Sequence[WrittenStep]) -> dict[str, Any]:
    """How often the checker says what is true of a step.

    Returns:
        ``share``, ``by_kind``; of the rest ``unread`` (it says nothing where there is something to say) and
        ``contradicted`` (it says what is not true); the first texts on which they ``differ``.
    """
    said = [check_step(step.text) for step in steps]
    pairs = list(zip(steps, said, strict=True))
    of, good = Counter(s.kind for s in steps), Counter(s.kind for s, told in pairs if told is s.right)
    differ = [(step.text, told) for step, told in pairs if told is not step.right]
    return {
        "share": 1 - len(differ) / len(steps),
        "by_kind": {kind: good[kind] / n for kind, n in sorted(of.items())},
        "unread": sum(told is None for _, told in differ) / len(steps),
        "contradicted": sum(told is not None for _, told in differ) / len(steps),
        "differ": [text for text, _ in differ][:20],
    }


def counted(left: int, sign: str, right: int) -> int:
    """The result by counting one by one, as a child does: no expression is read and nothing is multiplied."""
    if sign == "/":
        return next(q for q in range(left + 1) if counted(q, "*", right) == left)
    total = left if sign in "+-" else 0
    for _ in range(right):
        total += {"+": 1, "-": -1, "*": left}[sign]
    return total


def _operation(rng: random.Random) -> tuple[int, str, int, int]:
    """Two numbers, a sign, and the result."""
    sign = rng.choice("+-*/")
    right = rng.randint(2, 12) if sign in "*/" else rng.randint(1, 99)
    left = rng.randint(2, 40) if sign == "*" else rng.randint(100, 999)
    if sign == "/":
        left = right * rng.randint(2, 40)
    return left, sign, right, counted(left, sign, right)


def _stated(value: int, rng: random.Random) -> int:
    """The value in half of the cases, else another one."""
    return value if rng.random() < 0.5 else value + rng.choice([-10, -9, -2, -1, 1, 2, 9, 10, 100])


def _plain(rng: random.Random) -> WrittenStep:
    left, sign, right, value = _operation(rng)
    stated = _stated(value, rng)
    return WrittenStep(f"{left} {sign} {right} = {stated}", "plain", stated == value)


def _mangled(rng: random.Random) -> WrittenStep:
    left, sign, right, value = _operation(rng)
    stated = _stated(value, rng)
    tight = rng.choice([s for s in SIGNS[sign] if len(s) == 1])
    text = rng.choice(FRAMES).format(l=left, s=rng.choice(SIGNS[sign]), t=tight, r=right, v=stated)
    return WrittenStep(text, "mangled", stated == value)


def _chained(rng: random.Random) -> WrittenStep:
    """Two operations in one step, each of which may be wrong."""
    left, sign, right, value = _operation(rng)
    first = _stated(value, rng) if rng.random() < 0.5 else value
    more = rng.randint(1, 60)
    total = counted(first, "+", more)
    second = _stated(total, rng)
    joined = rng.choice(
        ["{a} = {f}, and {f} + {m} = {v}", "{a} = {f}; {f} + {m} = {v}", "{a} = {f}. Then {f} + {m} = {v}."]
    )
    text = joined.format(a=f"{left} {sign} {right}", f=first, m=more, v=second)
    return WrittenStep(text, "chained", first == value and second == total)


def _words(rng: random.Random) -> WrittenStep:
    left, _, right, value = _operation(rng)
    return WrittenStep(rng.choice(NOTHING).format(l=left, r=right, v=value), "words", None)
