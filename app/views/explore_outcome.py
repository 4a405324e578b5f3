"""Explore, what the policy gives: predicted or measured outcomes, their price, the priorities, what is held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import streamlit as st

from app import data as run_data
from app import exchange, place
from app.data import Data
from app.looks import Look
from app.markup import marks
from app.place import Policy
from pareto.choice.foreseen import bests, doubts
from pareto.errors import ParetoError
from pareto.soups.surrogate import half_width

WIDTH = half_width(0.9)


@dataclass(frozen=True)
class Values:
    """Every objective of a policy, in own units, with 90 % intervals."""

    mean: dict[str, float]
    half: dict[str, float]
    kl: float
    source: str
    """Where they come from, for people."""


def values(found: Data, policy: Policy) -> Values | str:
    """What is known of a policy: measured where it was, else predicted; where neither can be, why."""
    if policy.row is not None:
        row = policy.row
        half = {n: WIDTH * (se if (se := row["se"][n]) is not None else float("nan")) for n in found.names}
        return Values(row["mean"], half, row["kl"], f"Measured on {row['split']} prompts.")
    assert found.outlook is not None
    try:
        seen = found.outlook.predict(policy.coefficients)
    except ParetoError:  # an adapter that the prediction does not know
        return "No prediction: this mix holds an adapter that was not part of what was measured. Ask it instead."
    half = {n: seen["high"][n] - seen["mean"][n] for n in found.names}
    return Values(seen["mean"], half, seen["kl"], _source(found))


def card(found: Data, policy: Policy, pinned: Policy | None, look: Look) -> None:
    """The outcome card."""
    with st.container(
        horizontal=True, horizontal_alignment="distribute", vertical_alignment="center", key="explore_outcome_head"
    ):
        st.subheader("Predicted outcome" if policy.row is None else "Measured outcome", anchor=False)
        with st.container(horizontal=True, width="content", vertical_alignment="center"):
            if pinned is not None:
                st.button("Unpin", key="unpin", type="tertiary", on_click=place.put, args=("pin", None))
            st.button(
                "Pin", key="pin", icon=":material/keep:", shortcut="P", type="tertiary", on_click=_pin, args=(policy,)
            )  # fmt: skip
    seen = values(found, policy)
    if isinstance(seen, str):
        st.html(marks.line(seen))
        return
    other = values(found, pinned) if pinned is not None else None
    shown = [_outcome(found, n, seen, other if isinstance(other, Values) else None, policy) for n in found.names]
    pieces = [marks.outcome_bars(shown, look)]
    if found.outlook is not None and policy.coefficients.keys() <= set(found.outlook.adapters):
        told = exchange.sentence(found.outlook, policy.coefficients, _order(found, policy))
        pieces.append(marks.line(told, "price"))
    pieces.append(_priorities(found, policy, seen))
    beside = [f"KL to the base {marks.figure(seen.kl)} nats per token"]
    if policy.row is not None:
        beside += [f"{name} {marks.figure(value)}" for name, value in policy.row["gold"].items() if value is not None]
    pieces.append(marks.line(" · ".join(beside)))
    legend = "Pale: all that is within reach; strong: 90 % interval; dashed: the base model"
    pieces.append(marks.line(f"{seen.source} {legend}{'; upright tick: pinned.' if pinned else '.'}"))
    st.html("".join(pieces))


def _source(found: Data) -> str:
    assert found.outlook is not None
    if found.outlook.source == "map":
        return "Predicted by the frontier map."
    known = len(found.outlook.map.surrogate.coefficients)
    return f"A first guess from {known} measured policies; pareto map {found.run.name} makes it better."


def _outcome(found: Data, name: str, seen: Values, other: Values | None, policy: Policy) -> marks.Outcome:
    k = found.names.index(name)
    assert found.frame is not None
    mean, half = seen.mean[name], seen.half[name]
    half = half if half == half else 0.0
    reach = [v for row in found.validation for v in [row["mean"][name]] if v is not None]
    if found.outlook is not None:
        reach += [side[name] for side in found.outlook.reach]
    base = next((r for r in (found.test if _on_test(policy) else ()) if r["kind"] == "base"), None)
    return marks.Outcome(
        name,
        mean,
        mean - half,
        mean + half,
        (min(reach), max(reach)),
        base=base["mean"][name] if base else found.frame.centre[k],
        pin=other.mean[name] if other else None,
        difference=marks.difference(mean, half, other.mean[name], other.half[name]) if other else "",
        better_low=found.frame.signs[k] < 0,
    )


def _on_test(policy: Policy) -> bool:
    return policy.row is not None and policy.row["split"] == "test"


def _order(found: Data, policy: Policy) -> list[str]:
    """Objectives by weight, the highest first; without weights in order of priority."""
    wanted = policy.weights or {}
    return sorted(found.names, key=lambda n: -wanted.get(n, 0.0))


def _priorities(found: Data, policy: Policy, seen: Values) -> str:
    """Whether the policy keeps the priorities in force."""
    levels = place.levels(found)
    if not levels:
        return marks.line("No priorities are in force; set them on the page Priorities.")
    if policy.row is not None and found.candidates is not None and policy.spec in found.candidates.ids:
        judged = run_data.verdict(found, place.rules(found))
        if policy.spec in judged.kept:
            return marks.line("✓ Keeps the priorities in force, as measured on validation prompts.", "rules")
        return marks.line(f"✗ Out of reach under the priorities: {judged.excluded[policy.spec].text}", "rules")
    std = {name: half / WIDTH for name, half in seen.half.items()}
    assert found.frame is not None
    minimised = [n for n, sign in zip(found.names, found.frame.signs, strict=True) if sign < 0]
    known = [] if found.candidates is None else bests(run_data.verdict(found, place.rules(found)))
    missed = doubts(levels, minimised, seen.mean, std, known)
    if not missed:
        return marks.line(
            "✓ Keeps the priorities in force, as far as predicted; only measuring makes it sure.", "rules"
        )
    return marks.line(f"✗ Priorities: {'; '.join(doubt.text(marks.figure) for doubt in missed)}.", "rules")


def _pin(policy: Policy) -> None:
    spec: Any = policy.spec or place.mix_spec(policy.coefficients)
    place.put("pin", spec)
