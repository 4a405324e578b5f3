"""Where a person stands: weights, chosen policy, pinned policy and priorities, kept in the session and the address.

A link reproduces the view: ``?run=&w_<objective>=&policy=&pin=&rules=``. A policy is written as the id of a measured
point or as ``mix:adapter=λ,…``; without one, it is the soup of the weights. Prompts never stand in links.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from app.data import Data, Row, load, stamp
from pareto.choice.levels import format_levels, parse_levels
from pareto.choice.standing import standing
from pareto.config import Level
from pareto.errors import ParetoError
from pareto.simplex import parse_numbers
from pareto.soups.members import LARGEST, members
from pareto.store.run import Run

STEPS = 10
"""A slider goes from 0 to this; only the shares count."""
MIDDLE = 5
NONE = "none"
"""``rules=none``: no priorities, though the run has some."""


@dataclass(frozen=True)
class Policy:
    """A place on the frontier."""

    spec: str
    """As written in links; empty for the soup of the weights."""
    label: str
    """For people."""
    coefficients: dict[str, float]
    """Adapter → λ, without zeros; empty: the base model."""
    weights: dict[str, float] | None
    row: Row | None
    """What was measured of it; ``None``: nothing."""


def get(name: str) -> str | None:
    """One part of the place; what a link brought counts until the session changes it."""
    if f"at_{name}" not in st.session_state:
        st.session_state[f"at_{name}"] = st.query_params.get(name)
    value: str | None = st.session_state[f"at_{name}"]
    return value


def put(name: str, value: str | None) -> None:
    """Change one part of the place, in the session and in the address."""
    st.session_state[f"at_{name}"] = value
    keep_address()


def look_at(run: str) -> None:
    """Turn to another run; a callback. Policies and priorities of one mean nothing in another."""
    st.session_state["run"] = run  # the choice in the header
    put("run", run)
    for name in ("policy", "pin", "rules"):
        put(name, None)


def keep_address() -> None:
    """Write the place into the address, which a change of page empties."""
    for name in ("run", "policy", "pin", "rules"):
        value = get(name)
        if value:
            st.query_params[name] = value
        elif name in st.query_params:
            del st.query_params[name]


def keep_weights(names: Sequence[str]) -> None:
    """Write the sliders into the address of a page that has none: Explore's own are bound to it."""
    for name, value in sliders(names).items():
        if value != MIDDLE:
            st.query_params[f"w_{name}"] = str(value)


def sliders(names: Sequence[str]) -> dict[str, int]:
    """What the sliders say, 0 to ``STEPS`` each; their keys are ``w_<objective>``."""
    return {name: _slider(f"w_{name}") for name in names}


def weights(names: Sequence[str]) -> dict[str, float]:
    """The sliders on the simplex; all at zero: equal weights."""
    values = sliders(names)
    total = sum(values.values())
    return {name: value / total if total else 1 / len(values) for name, value in values.items()}


def put_weights(names: Sequence[str], weights: Mapping[str, float]) -> None:
    """Move the sliders to weights, the largest to its end; before they are drawn."""
    top = max(weights.values())
    for name in names:
        st.session_state[f"w_{name}"] = round(STEPS * weights.get(name, 0.0) / top)


def weights_policy(data: Data) -> Policy:
    """The soup of the weights. Needs ``data.outlook``."""
    assert data.outlook is not None
    asked = weights(data.names)
    mix = _soup(str(data.run.path), stamp(data.run), rules(data), tuple(asked.values()))
    label = "mix " + " / ".join(f"{100 * w:.0f}" for w in asked.values())
    return Policy("", label, mix, asked, None)


@st.cache_data(show_spinner=False, max_entries=4096)
def _soup(path: str, when: tuple[float, ...], rules: str, weights: tuple[float, ...]) -> dict[str, float]:
    """Coefficients for weights: with a map, a search of a tenth of a second, and pages ask again and again."""
    found = load(Run.open(path))
    assert found.outlook is not None
    levels = parse_levels(rules, found.names) if rules else ()
    mix: dict[str, float] = found.outlook.under(levels).at(dict(zip(found.names, weights, strict=True)))["coefficients"]
    return mix


def policy(data: Data) -> Policy | None:
    """What is chosen; ``None`` where nothing can be chosen yet."""
    found = resolve(data, get("policy"))
    return found or (weights_policy(data) if data.outlook else None)


def pinned(data: Data) -> Policy | None:
    """What is kept for comparison."""
    return resolve(data, get("pin"))


def resolve(data: Data, spec: str | None) -> Policy | None:
    """A policy as written in a link; ``None`` for nothing or nonsense."""
    if not spec:
        return None
    if spec.startswith("mix:"):
        written = spec.removeprefix("mix:")
        try:
            mix = parse_numbers(written, "mix", "expert-a=1") if written else {}
        except ParetoError:
            return None
        if not mix.keys() <= members(data.run).keys() or not all(abs(v) <= LARGEST for v in mix.values()):
            return None
        used = {name: value for name, value in mix.items() if value}
        label = " + ".join(f"{value:.2g} {name.removeprefix('expert-')}" for name, value in used.items()) or "base"
        return Policy(spec, label, used, None, None)
    row = data.row(spec)
    return Policy(spec, spec, dict(row["coefficients"]), row["weights"], row) if row else None


def mix_spec(coefficients: Mapping[str, float]) -> str:
    """Coefficients as written in links."""
    return "mix:" + ",".join(f"{name}={value:.4g}" for name, value in coefficients.items() if value)


def rules(data: Data) -> str:
    """The priorities in force, as ``pareto.choice.levels`` writes them; empty for none."""
    text = get("rules")
    if text == NONE:
        return ""
    if text:
        try:
            return format_levels(parse_levels(text, data.names))
        except ParetoError:  # a broken link: what the run itself asks for
            pass
    return format_levels(standing(data.run))


def levels(data: Data) -> tuple[Level, ...]:
    """The priorities in force."""
    text = rules(data)
    return parse_levels(text, data.names) if text else ()


def set_levels(data: Data, chosen: Sequence[Level]) -> None:
    """Put other priorities in force for this session."""
    text = format_levels(chosen)
    put("rules", None if text == format_levels(standing(data.run)) else text or NONE)


def _slider(key: str) -> int:
    value: Any = st.session_state.get(key, st.query_params.get(key, MIDDLE))
    try:
        return min(max(int(value), 0), STEPS)
    except ValueError:
        return MIDDLE
