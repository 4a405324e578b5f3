"""Problems of several steps in whole numbers, in words or written out, with worked answers that are right or wrong.

A problem is a tree of operations, so that its worked answer, its answer and every mistake follow from it. All values
stay between 1 and 999: a small model can learn to compute with them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from random import Random

from pareto.prompts.split import digest
from pareto.prompts.stories import story

Tree = int | tuple["Tree", str, "Tree"]
"""A number, or what an operation (``+``, ``-``, ``*``) makes of two trees."""

COUNT = 900
"""Problems of the packaged set."""
STEPS = (2, 3)
"""Fewest and most operations of a problem there."""
LARGEST = 999
WORDINGS = ("Compute {}.", "What is {}?", "Calculate {}.", "Work out {}.", "How much is {}?")


@dataclass(frozen=True)
class Operation:
    """One line of a worked answer."""

    left: int
    sign: str
    right: int
    value: int
    """What the line states, which a mistake makes wrong."""

    def __str__(self) -> str:
        return f"{self.left} {self.sign} {self.right} = {self.value}"


@dataclass(frozen=True)
class Problem:
    """A question with its solution."""

    text: str
    tree: Tree

    @property
    def operations(self) -> list[Operation]:
        """In the order in which they are worked."""
        return evaluate(self.tree)

    @property
    def answer(self) -> int:
        """The result."""
        return self.operations[-1].value

    @property
    def worked(self) -> str:
        """One operation a line, and ``Answer: 24`` in the last."""
        return _lines(self.operations)


def arithmetic() -> list[tuple[str, tuple[str, ...], tuple[str, ...]]]:
    """The packaged problems: text, answer, worked answer."""
    drawn = problems("packaged", STEPS, reserved=True)
    return [(p.text, (str(p.answer),), (p.worked,)) for p, _ in zip(drawn, range(COUNT), strict=False)]


def problems(seed: int | str, steps: tuple[int, int] = STEPS, *, reserved: bool = False) -> Iterator[Problem]:
    """Problems without end, no calculation twice.

    Args:
        seed: of the draw; the same on every machine.
        steps: fewest and most operations, 2 or more.
        reserved: calculations that only the packaged set asks, one in eight, or all but these. What is trained on
            the others has seen none of the packaged ones, in no other words either.
    """
    rng = Random(f"arithmetic {seed}")
    seen: set[str] = set()
    while True:
        text, tree = _draw(rng, rng.randint(*steps))
        calculation = "\n".join(map(str, evaluate(tree)))
        if calculation in seen or (int(digest(calculation), 16) % 8 == 0) != reserved:
            continue
        seen.add(calculation)
        yield Problem(text, tree)


def evaluate(tree: Tree, slips: Mapping[int, int] | None = None) -> list[Operation]:
    """Work a tree out.

    Args:
        tree: with at least one operation.
        slips: operation → how far what it states is off; later ones go on with what was stated.

    Returns:
        The operations, those of a left branch before those of the right one.
    """
    done: list[Operation] = []

    def value(part: Tree) -> int:
        if isinstance(part, int):
            return part
        left, right = value(part[0]), value(part[2])
        result = _apply(left, part[1], right) + (slips or {}).get(len(done), 0)
        done.append(Operation(left, part[1], right, result))
        return result

    value(tree)
    return done


def corrupted(problem: Problem, rng: Random) -> tuple[str, int]:
    """A worked answer that goes wrong in one operation and goes on rightly from there.

    Returns:
        The text, and which line is wrong, from 0.
    """
    at = rng.randrange(len(problem.operations))
    wrong = [done for off in _slips(problem.operations[at], rng) if _fits(done := evaluate(problem.tree, {at: off}))]
    return _lines(wrong[0]), at


def right_by_luck(problem: Problem, rng: Random) -> tuple[str, int]:
    """A worked answer that ends in the right result with a wrong line in it.

    Half have a second mistake that undoes the first, half a wrong line that nothing builds on.

    Returns:
        The text, and which line is the first wrong one, from 0.
    """
    right = problem.operations
    at = rng.randrange(len(right) - 1)
    if rng.random() < 0.5:
        aside = rng.choice(right)
        off = rng.choice((-2, -1, 1, 2, 10))
        lines = list(right)
        # Said of the problem's own numbers the other way round, or it would only repeat a line.
        lines.insert(at, Operation(aside.right, "+", aside.left, aside.left + aside.right + off))
        return _lines(lines), at
    for off in _slips(right[at], rng):
        slips = {at: off}
        then = evaluate(problem.tree, slips)
        undone = next(k for k in range(at + 1, len(right)) if then[k].value != right[k].value)
        slips[undone] = right[undone].value - then[undone].value
        if _fits(made := evaluate(problem.tree, slips)):
            return _lines(made), at
    raise AssertionError("one more or one less always fits")


def written(tree: Tree) -> str:
    """A tree as an expression, with the brackets that it needs."""
    if isinstance(tree, int):
        return str(tree)
    left, sign, right = tree
    return f"{_operand(left, sign)} {sign} {_operand(right, sign)}"


def _operand(tree: Tree, sign: str) -> str:
    inside = written(tree)
    return f"({inside})" if sign == "*" and not isinstance(tree, int) and tree[1] != "*" else inside


def _draw(rng: Random, steps: int) -> tuple[str, Tree]:
    """A problem's text and tree, of so many operations."""
    packed = rng.random() < 0.4
    start: Tree = _product(rng) if packed else rng.randint(4, 40)
    tree, moves = start, list[tuple[str, Tree]]()
    left = steps - packed
    while left:
        value = tree if isinstance(tree, int) else evaluate(tree)[-1].value
        sign = rng.choice("++--*")
        by: Tree = rng.randint(2, 3) if sign == "*" else rng.randint(2, 25)
        if sign != "*" and left > 1 and rng.random() < 0.4:
            by = _product(rng)
        size = by if isinstance(by, int) else evaluate(by)[-1].value
        if not 1 <= _apply(value, sign, size) <= LARGEST or (sign == "*" and value > 40):
            continue
        tree = (tree, sign, by)
        moves.append((sign, by))
        left -= 1 if isinstance(by, int) else 2
    if rng.random() < 0.5:
        return rng.choice(WORDINGS).format(written(tree)), tree
    return story(rng, start, moves), tree


def _product(rng: Random) -> Tree:
    return (rng.randint(2, 6), "*", rng.randint(2, 9))


def _apply(left: int, sign: str, right: int) -> int:
    return left + right if sign == "+" else left - right if sign == "-" else left * right


def _slips(operation: Operation, rng: Random) -> list[int]:
    """How far a calculation may go wrong, in random order, the small errors that always fit last."""
    other = _apply(operation.left, "-" if operation.sign == "+" else "+", operation.right)
    likely = [10, -10, 2, -2, other - operation.value, int(str(operation.value)[::-1]) - operation.value]
    near = [1, -1]
    rng.shuffle(likely)
    rng.shuffle(near)
    order = likely + near if rng.random() < 0.6 else near + likely
    return [off for off in order if off]


def _fits(operations: list[Operation]) -> bool:
    return all(0 <= done.value <= LARGEST for done in operations)


def _lines(operations: list[Operation]) -> str:
    return "\n".join([*map(str, operations), f"Answer: {operations[-1].value}"])
