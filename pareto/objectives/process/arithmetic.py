"""Is what a step computes right? Exact, in bounded time, without a model."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from pareto.objectives.process.equations import Side, chains

BITS = 4096
"""Of the numerators and denominators that are computed; what needs more stays unchecked."""
LONGEST = 400
"""Characters of the longest expression."""


@dataclass(frozen=True)
class Equation:
    """Two sides that a text sets equal, and whether they are."""

    start: int
    """Of its first character in the text."""
    end: int
    right: bool


def check_step(text: str) -> bool | None:
    """Whether all that a step computes is right; ``None`` where it computes nothing that can be checked.

    See ``equations`` for what counts.
    """
    found = equations(text)
    return all(e.right for e in found) if found else None


def equations(text: str) -> list[Equation]:
    """The equations of a text that can be checked, each of a chain ``2 + 3 = 5 + 1 = 6`` by itself.

    Values are compared as fractions. A decimal may be rounded where no finite one is right (``10 / 3 = 3.33``), a
    percentage stand for its number (``1 / 5 * 100 = 20%``). Left unchecked: two plain numbers (``5 = 6``), sides of
    different units that differ in value (``2 hours + 1 hour = 180 minutes``), what is too large (``9**9**9``), what
    divides by zero.
    """
    found = []
    for chain in chains(text):
        computed = False
        for left, right in pairwise(chain):
            computed |= bool(left.operations or right.operations)
            verdict = _equal(left, right) if computed and left.known and right.known else None
            if verdict is not None:
                found.append(Equation(left.start, right.end, verdict))
    return found


def _equal(left: Side, right: Side) -> bool | None:
    for per in (Fraction(1, 100), Fraction(1)):
        a, b = evaluate(left, per), evaluate(right, per)
        if a is None or b is None:
            return None
        if a == b or _rounds_to(left, a, b, per) or _rounds_to(right, b, a, per):
            return True
    if not (left.operations or right.operations) and (left.units or right.units or "p" in right.expression):
        return None  # "2 + 3 = 5 parts = 100%"
    return None if left.units and right.units and not left.units & right.units else False


def _rounds_to(side: Side, stated: Fraction | None, exact: Fraction | None, per: Fraction) -> bool:
    """Whether a side states a decimal, rounded because no finite one is exact."""
    if side.operations or not side.decimals or stated is None or exact is None:
        return False
    finite = exact.denominator
    for prime in (2, 5):
        while finite % prime == 0:
            finite //= prime
    return finite > 1 and abs(stated - exact) <= (per if "p" in side.expression else 1) * Fraction(
        1, 2 * 10**side.decimals
    )


class _Unbounded(Exception):
    pass


def evaluate(side: Side, per: Fraction = Fraction(1, 100)) -> Fraction | None:
    """The exact value of one side; ``None`` where it is no arithmetic, too large, or divides by zero.

    Args:
        side: as it was read.
        per: what a percentage is multiplied by.
    """
    names = {f"n{i}": number for i, number in enumerate(side.numbers)} | {"p": per}
    code = _balanced(side.expression.strip())
    if len(code) > LONGEST:
        return None
    try:
        return _value(ast.parse(code, mode="eval").body, names)
    except (SyntaxError, ZeroDivisionError, _Unbounded, RecursionError):
        return None


def _balanced(code: str) -> str:
    """Without brackets that were opened before the equation or close after it: "the total (5 + 3 = 8)"."""
    surplus = code.count("(") - code.count(")")
    while surplus > 0 and code.startswith("("):
        code, surplus = code[1:].strip(), surplus - 1
    while surplus < 0 and code.endswith(")"):
        code, surplus = code[:-1].strip(), surplus + 1
    return code


def _value(node: ast.expr, names: Mapping[str, Fraction]) -> Fraction:
    match node:
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Constant(value=int(number)):
            return Fraction(number)
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, names)
        case ast.BinOp(left=left, op=op, right=right):
            return _bounded(op, _value(left, names), _value(right, names))
    raise _Unbounded


def _bounded(op: ast.operator, a: Fraction, b: Fraction) -> Fraction:
    match op:
        case ast.Add():
            result = a + b
        case ast.Sub():
            result = a - b
        case ast.Mult():
            result = a * b
        case ast.Div():
            result = a / b
        case ast.Pow() if b.denominator == 1 and _bits(a) * abs(b) <= BITS:
            result = Fraction(a ** int(b))
        case _:
            raise _Unbounded
    if _bits(result) > BITS:
        raise _Unbounded
    return result


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())
