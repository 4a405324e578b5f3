"""Calculations told in words: somebody has something, and gets more of it and loses some."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True)
class Scene:
    """How one kind of story tells each move; ``n`` is a number, ``k`` times ``m`` a product."""

    start: str
    start_packed: str
    more: tuple[str, ...]
    more_packed: tuple[str, ...]
    less: tuple[str, ...]
    less_packed: tuple[str, ...]
    times: tuple[str, ...]
    ask: tuple[str, ...]


PEOPLE = (
    "Tom",
    "Ann",
    "Ben",
    "Mia",
    "Sam",
    "Eva",
    "Leo",
    "Zoe",
    "Max",
    "Ida",
    "Jim",
    "Lea",
    "Dan",
    "Amy",
    "Kim",
    "Ron",
)
THINGS = (
    "apples",
    "pens",
    "books",
    "stones",
    "coins",
    "shells",
    "cards",
    "stamps",
    "nuts",
    "beads",
    "keys",
    "rings",
    "cups",
    "balls",
    "eggs",
    "plums",
)
PLACES = ("shop", "school", "farm", "club", "museum", "library", "hotel", "village")
VEHICLES = ("train", "bus", "ship", "tram", "ferry", "plane")

SCENES = (
    Scene(
        "{person} has {n} {things}.",
        "{person} has {k} bags of {m} {things}.",
        ("{person} buys {n} more", "{person} finds {n} more", "{person} gets {n} from a friend"),
        ("{person} buys {k} bags of {m}", "{k} friends each give {person} {m}"),
        ("{person} gives away {n}", "{person} loses {n}", "{person} sells {n}"),
        ("{person} sells {k} bags of {m}", "{person} gives {m} to each of {k} friends"),
        ("{person} swaps them for {n} times as many",),
        ("How many {things} does {person} have now?", "How many {things} are there in the end?"),
    ),
    Scene(
        "A {place} has {n} {things}.",
        "A {place} has {k} boxes of {m} {things}.",
        ("the {place} gets {n} more", "{n} more are found"),
        ("the {place} gets {k} boxes of {m}", "{m} more come on each of {k} days"),
        ("{n} are sold", "{n} are broken"),
        ("{k} boxes of {m} are sold", "{m} are lost on each of {k} days"),
        ("the {place} makes the number {n} times as large",),
        ("How many {things} does the {place} have now?", "How many {things} are left?"),
    ),
    Scene(
        "A {vehicle} leaves with {n} people.",
        "A {vehicle} leaves with {k} groups of {m} people.",
        ("{n} people get on",),
        ("{k} groups of {m} get on", "{m} get on at each of {k} stops"),
        ("{n} people get off",),
        ("{k} groups of {m} get off", "{m} get off at each of {k} stops"),
        ("{n} times as many people are on board",),
        ("How many people are on the {vehicle} now?",),
    ),
    Scene(
        "{person} has saved {n} dollars.",
        "{person} saves {m} dollars a week for {k} weeks.",
        ("{person} earns {n} more", "{person} is given {n}"),
        ("{person} earns {m} a day for {k} days", "{k} uncles each give {person} {m}"),
        ("{person} spends {n}", "{person} pays {n} for a shirt"),
        ("{person} spends {m} a day for {k} days", "{person} buys {k} tickets for {m} each"),
        ("{person} wins a prize and has {n} times as much",),
        ("How many dollars does {person} have now?", "How much money is left?"),
    ),
)


def story(rng: Random, start: Any, moves: Sequence[tuple[str, Any]]) -> str:
    """Tell a calculation.

    Args:
        rng: picks the scene, the names and the words.
        start: a number, or a product ``(k, "*", m)``.
        moves: sign (``+``, ``-``, ``*``) and by how much: a number or, with ``+`` and ``-``, a product.
    """
    scene = rng.choice(SCENES)
    cast = {
        "person": rng.choice(PEOPLE),
        "things": rng.choice(THINGS),
        "place": rng.choice(PLACES),
        "vehicle": rng.choice(VEHICLES),
    }

    def tell(plain: Sequence[str], packed: Sequence[str], amount: Any) -> str:
        if isinstance(amount, int):
            return rng.choice(plain).format(n=amount, **cast)
        return rng.choice(packed).format(k=amount[0], m=amount[2], **cast)

    said = {"+": (scene.more, scene.more_packed), "-": (scene.less, scene.less_packed), "*": (scene.times, ())}
    opening = tell((scene.start,), (scene.start_packed,), start)
    told = [tell(*said[sign], amount) for sign, amount in moves]
    return f"{opening} Then {', then '.join(told)}. {rng.choice(scene.ask).format(**cast)}"
