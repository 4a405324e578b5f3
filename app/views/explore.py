"""Explore: what would it feel like? Weights, what they give, and the live model, in one live part."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from app import data as run_data
from app import looks, place, ternary
from app.data import Data, Row
from app.markup import candidates, marks, steps
from app.notices import notice, told
from app.theme import look
from app.views import explore_answers, explore_auto, explore_outcome
from pareto.soups.members import members
from pareto.store.run import Run

TITLE = "Explore"
REACH = (-1.0, 2.0)
"""Of a coefficient in the expert panel."""
EQUAL, KNEE = "Equal", "Knee"


def page(run: Run) -> None:
    """The page, or what is missing for it."""
    found = run_data.load(run)
    if found.trouble:
        notice(found.trouble, key="explore_trouble")
        return
    if found.outlook is None:
        notice(
            f"Too little of '{run.name}' is measured to predict from: the base, one expert per objective and a few "
            "soups are needed. Go on with the sweep, on the page Sweep or with: pareto sweep RECIPE",
            key="explore_empty",
        )
        return
    colours = look()
    pieces = marks.css(colours) + steps.css(colours) + candidates.css(colours)
    st.html(pieces + looks.objective_css(found.names, colours) + STYLE)
    _live(found)


@st.fragment(key="explore_live")
@told
def _live(found: Data) -> None:
    explore_auto.settle(found)
    colours = look()
    policy, pinned = place.policy(found), place.pinned(found)
    assert policy is not None  # there is an outlook
    left, right = st.columns([0.36, 0.64], gap="medium")
    # Drawn first: it is what a person who moves a slider waits for.
    with right, st.container(border=True, key="explore_outcome"):
        explore_outcome.card(found, policy, pinned, colours)
    with left, st.container(border=True, key="explore_weights"):
        _weights(found, policy)
    with right, st.container(border=True, key="explore_hear"):
        explore_answers.card(found, policy, pinned)


def _weights(found: Data, policy: place.Policy) -> None:
    colours, names = look(), found.names
    st.subheader("What matters to you", anchor=False)
    st.pills(
        "Presets", [EQUAL, KNEE, *names], key="preset", label_visibility="collapsed", on_change=_preset, args=(found,)
    )
    weights = place.weights(names)
    if len(names) == 3:
        ternary.pad(weights, colours, "pad", partial(_to_pad, found))
    for name in names:
        st.slider(
            name, 0, place.STEPS, place.MIDDLE, key=f"w_{name}", bind="query-params", on_change=_moved, args=(found,)
        )
    pieces = [marks.mix_bar(weights, colours)]
    if not any(place.sliders(names).values()):
        pieces.append(marks.line("Everything at zero: all count the same."))
    if policy.spec and not explore_auto.standing(found):
        pieces.append(
            marks.line(f"Shown is {policy.label}, not the sliders' mix; move one to come back to it.", "rules")
        )
    st.html("".join([*pieces, marks.coefficients(policy.coefficients)]))
    explore_auto.toggle(found)
    st.selectbox(
        "Measured points", _measured(found), index=None, key="measured", placeholder="Measured points…",
        label_visibility="collapsed", on_change=_measured_chosen, args=(found,),
    )  # fmt: skip
    panel = st.expander("Expert panel", key="explore_panel", on_change="rerun")
    if panel.open:
        with panel:
            _panel(found, policy)


def _panel(found: Data, policy: place.Policy) -> None:
    """Coefficients of every adapter, on or off the simplex."""
    st.html(marks.line("How much of each adapter goes into the soup; from what is shown, anywhere from −1 to 2."))
    for name in members(found.run):
        # What the panel shows is what is chosen: the session forgets the number, the policy keeps it.
        st.session_state[f"mix_{name}"] = float(np.clip(policy.coefficients.get(name, 0.0), *REACH))
        st.number_input(name, *REACH, step=0.05, key=f"mix_{name}", on_change=_mixed, args=(found,))
    st.button("From the weights", key="mix_reset", on_click=_moved, args=(found,), icon=":material/undo:")


def _moved(found: Data) -> None:
    """A slider was moved: from now on its mix counts."""
    place.put("policy", None)
    explore_answers.again(found)


def _to_pad(found: Data, weights: list[float]) -> None:
    place.put_weights(found.names, dict(zip(found.names, weights, strict=True)))
    _moved(found)


def _preset(found: Data) -> None:
    asked = st.session_state["preset"]
    st.session_state["preset"] = None
    if asked == KNEE:
        _show(found, knee(found))
    elif asked:
        place.put_weights(found.names, dict.fromkeys(found.names, 1.0) if asked == EQUAL else {asked: 1.0})
        _moved(found)


def _measured_chosen(found: Data) -> None:
    chosen = st.session_state["measured"]
    st.session_state["measured"] = None
    if chosen:
        _show(found, found.row(chosen))


def _show(found: Data, row: Row | None) -> None:
    """Choose a measured point; the sliders go to its weights where it has some."""
    if row is None:
        return
    if row["weights"]:
        place.put_weights(found.names, row["weights"])
    place.put("policy", row["id"])
    explore_answers.again(found)


def _mixed(found: Data) -> None:
    mix = {name: float(st.session_state[f"mix_{name}"]) for name in members(found.run)}
    place.put("policy", place.mix_spec(mix))
    explore_answers.again(found)


def _measured(found: Data) -> list[str]:
    return [row["id"] for row in found.validation]


def knee(found: Data) -> Row | None:
    """The measured point where the front bulges most: farthest from the plane through the best of each objective.

    On objectives in units of their range over the front, that is the largest sum (Das 1999, "On characterizing the
    knee of the Pareto curve").
    """
    front = [row for row in found.validation if row["on_front"]]
    if not front or found.frame is None:
        return None
    z = found.frame.normalise([[row["mean"][n] for n in found.names] for row in front])
    span = np.ptp(z, axis=0)
    return front[int(((z - z.min(axis=0)) / np.where(span > 0, span, 1.0)).sum(axis=1).argmax())]


STYLE = """<style>
.st-key-explore_weights [data-testid=stSlider]{margin-bottom:-.5rem}
.st-key-explore_outcome_head,.st-key-explore_answers_head{min-height:2.5rem}
.price{font-size:1rem!important;margin:.7rem 0 .2rem!important}
.rules{font-size:.93rem!important}
.trouble{font-size:.93rem!important;font-weight:600}
</style>"""
