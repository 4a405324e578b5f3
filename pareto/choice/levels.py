"""Priorities as a line of text, for links and commands: ``harmless>=0.9@0.99;honest>=0.5~0.05,length<=40``.

Levels stand in order between ``;``, the rules of a level between ``,``: ``>=`` or ``<=`` a threshold, ``~`` within so
much of the best, or both. ``@`` and a confidence, or ``@mean``, end a level; 0.95 is not written.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from pydantic import ValidationError

from pareto.config import Level, Rule, suggest
from pareto.errors import ParetoError
from pareto.simplex import HUGE

CONFIDENCE = 0.95
"""What a level is judged at where nothing is said."""
_RULE = re.compile(r"(?P<name>[^<>=~@\s]+)\s*((?P<side>>=|<=)(?P<threshold>[^~<>=]*))?(~(?P<within>[^~<>=]*))?")


def parse_levels(text: str, names: Sequence[str]) -> tuple[Level, ...]:
    """Read levels; ``format_levels`` writes them back.

    Args:
        text: see the module; empty: no levels.
        names: the run's objectives.

    Raises:
        ParetoError: anything that cannot be read, in one line that says where. Whether ``>=`` or ``<=`` fits an
            objective's direction is not checked here: see ``Level.check_directions``.
    """
    parts = text.split(";") if text.strip() else []
    return tuple(_level(part.strip(), f"priorities, level {k}", tuple(names)) for k, part in enumerate(parts, 1))


def format_levels(levels: Sequence[Level]) -> str:
    """Levels as text that ``parse_levels`` reads to the same rules and confidences."""
    return ";".join(",".join(_written(level)) + _at(level.confidence) for level in levels)


def level_of(rules: Iterable[Rule], minimised: Collection[str], confidence: float | None) -> Level:
    """The level that asks these rules.

    Args:
        rules: one per objective.
        minimised: those whose threshold is the largest value allowed.
        confidence: as in ``Level``.
    """
    rules = tuple(rules)
    least = {r.objective: r.threshold for r in rules if r.threshold is not None and r.objective not in minimised}
    most = {r.objective: r.threshold for r in rules if r.threshold is not None and r.objective in minimised}
    within = {r.objective: r.within for r in rules if r.within is not None}
    return Level(
        objectives=tuple(r.objective for r in rules),
        at_least=least or None,
        at_most=most or None,
        within=within or None,
        confidence=confidence,
    )


def number(x: float) -> str:
    """The shortest text that reads back to the same number."""
    return repr(float(x)).removesuffix(".0")


def _written(level: Level) -> Iterable[str]:
    most = level.at_most if isinstance(level.at_most, dict) else dict.fromkeys(level.objectives, level.at_most)
    for name, threshold, within in level.rules:
        side = ">=" if most.get(name) is None else "<="
        asked = "" if threshold is None else side + number(threshold)
        yield name + asked + ("" if within is None else f"~{number(within)}")


def _at(confidence: float | None) -> str:
    if confidence is None:
        return "@mean"
    return "" if confidence == CONFIDENCE else f"@{number(confidence)}"


def _level(text: str, where: str, names: tuple[str, ...]) -> Level:
    body, at, confidence = text.partition("@")
    if not body.strip():
        raise ParetoError(f"{where}: is empty; wanted a rule such as {names[0]}>=0.9")
    read = [_rule(part.strip(), where, names) for part in body.split(",")]
    rules = [rule for rule, _ in read]
    for k, rule in enumerate(rules):
        if rule.objective in {r.objective for r in rules[:k]}:
            raise ParetoError(
                f"{where}: '{rule.objective}' stands twice; write both parts as one rule, such as >=0.5~0.1"
            )
    minimised = {rule.objective for rule, side in read if side == "<="}
    try:
        return level_of(rules, minimised, _confidence(confidence.strip(), where) if at else CONFIDENCE)
    except ValidationError as e:
        raise ParetoError(f"{where}: {e.errors()[0]['msg'].removeprefix('Value error, ')}") from None


def _rule(text: str, where: str, names: tuple[str, ...]) -> tuple[Rule, str]:
    """The rule and the side of its threshold."""
    found = _RULE.fullmatch(text)
    if found is None or (found["side"] is None and found["within"] is None):
        wanted = "NAME>=NUMBER, NAME<=NUMBER, NAME~NUMBER or NAME>=NUMBER~NUMBER"
        raise ParetoError(f"{where}: '{text}' is not a rule; wanted {wanted}")
    name = found["name"]
    if name not in names:
        raise ParetoError(f"{where}: unknown objective '{name}'; {suggest(name, names)}")
    rule = Rule(name, _number(found["threshold"], text, where), _number(found["within"], text, where))
    if rule.within is not None and rule.within < 0:
        raise ParetoError(f"{where}: '{text}': the distance after ~ must be 0 or more")
    return rule, found["side"] or ""


def _number(text: str | None, rule: str, where: str) -> float | None:
    if text is None:
        return None
    try:
        x = float(text)
        if abs(x) <= HUGE:  # no NaN either
            return x
    except ValueError:
        pass
    raise ParetoError(f"{where}: '{text.strip()}' in '{rule}' is not a number; wanted one such as 0.9")


def _confidence(text: str, where: str) -> float | None:
    if text == "mean":
        return None
    try:
        x = float(text)
    except ValueError:
        x = 0.0
    if not 0.5 < x < 1:
        raise ParetoError(f"{where}: '@{text}' is not a confidence; wanted one above 0.5 and below 1, or @mean")
    return x
