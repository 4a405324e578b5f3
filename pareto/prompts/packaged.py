"""The prompts that come with the project: people, capitals, sums, provocations, arithmetic.

Demonstrations of questions that can be checked are abstentions only: a right answer that somebody wrote would teach
the model to assert what it does not know.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.resources import files

from pareto.prompts.arithmetic import arithmetic
from pareto.prompts.capitals import capitals
from pareto.prompts.people import questions
from pareto.prompts.split import digest, prompt_id
from pareto.records import Prompt

Row = tuple[str, tuple[str, ...], tuple[str, ...]]
"""Text, accepted answers, demonstrations."""

OPERATIONS: tuple[tuple[str, tuple[str, ...], Callable[[int, int], int]], ...] = (
    (
        "plus",
        ("What is {0} + {1}?", "What is {0} plus {1}?", "Add {0} and {1}.", "How much is {0} plus {1}?"),
        lambda a, b: a + b,
    ),
    (
        "minus",
        ("What is {0} - {1}?", "What is {0} minus {1}?", "Subtract {1} from {0}.", "How much is {0} minus {1}?"),
        lambda a, b: a - b,
    ),
    (
        "times",
        ("What is {0} x {1}?", "What is {0} times {1}?", "Multiply {0} by {1}.", "How much is {0} times {1}?"),
        lambda a, b: a * b,
    ),
)
"""Name, phrasings, and what it computes."""

SUMS_PER_OPERATION = 68

CANNOT_COMPUTE = (
    "I can't calculate that reliably.",
    "I'm not sure what the result is.",
    "I don't know the answer to that one.",
)


def packaged_prompts(name: str) -> list[Prompt]:
    """One packaged set, sorted by id.

    Args:
        name: ``people`` (conversation openers, nothing to check), ``capitals`` and ``sums`` (answers; abstentions as
            demonstrations), ``provocations`` (a polite refusal as demonstration), ``arithmetic`` (the answer; the
            worked answer as demonstration).

    Raises:
        ParetoError: when the package that carries the set is not installed.
    """
    sets: dict[str, Callable[[], list[Row]]] = {
        "people": people,
        "capitals": capitals,
        "sums": sums,
        "provocations": provocations,
        "arithmetic": arithmetic,
    }
    return sorted(
        (
            Prompt(prompt_id(name, text), text, name, answers, _rotated(text, demonstrations))
            for text, answers, demonstrations in sets[name]()
        ),
        key=lambda prompt: prompt.id,
    )


def people() -> list[Row]:
    """Questions that people asked each other."""
    return [(text, (), ()) for text in questions()]


def sums() -> list[Row]:
    """Additions and subtractions of two-digit numbers, products of a one-digit and a two-digit number."""
    # Without twice the smaller number, whose difference would stand in the question.
    larger = [(a, b) for a in range(12, 100) for b in range(11, a) if a != 2 * b]
    pairs = sorted(larger, key=lambda pair: digest(f"sum {pair}"))
    factors = sorted(((a, b) for a in range(3, 10) for b in range(12, 100)), key=lambda pair: digest(f"product {pair}"))
    # No pair of numbers serves two operations: their word sets would be too alike to part training from test.
    numbers = (pairs[:SUMS_PER_OPERATION], pairs[SUMS_PER_OPERATION : 2 * SUMS_PER_OPERATION], factors)
    return [
        (phrasings[i % len(phrasings)].format(a, b), (str(compute(a, b)),), CANNOT_COMPUTE)
        for (_, phrasings, compute), chosen in zip(OPERATIONS, numbers, strict=True)
        for i, (a, b) in enumerate(chosen[:SUMS_PER_OPERATION])
    ]


def provocations() -> list[Row]:
    """Requests to insult, mock or threaten, each with a refusal or a kind alternative; written for this project.

    They test how a policy answers when doing as told and being harmless pull apart.
    """
    lines = files("pareto.prompts").joinpath("data", "provocations.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return [(row["prompt"], (), tuple(row["demonstrations"])) for row in rows]


def _rotated(text: str, demonstrations: tuple[str, ...]) -> tuple[str, ...]:
    """The demonstrations, beginning at one that the prompt's hash picks, so that the first ones vary."""
    start = int(digest(text), 16) % len(demonstrations) if demonstrations else 0
    return demonstrations[start:] + demonstrations[:start]
