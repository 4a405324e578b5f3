"""What a link asks for and the run does not have: taken out of the address, and said on top of the page."""

from __future__ import annotations

import streamlit as st

from app import data, place
from app.notices import notice
from pareto.choice.levels import parse_levels
from pareto.errors import ParetoError
from pareto.store.run import Run

_FRESH, _TOLD = "link_fresh", "link_told"
"""Of the session: what was just found, and on which page it is told."""
_LONGEST = 160


def another_run(asked: str, shown: str) -> None:
    """The link's run is none; what else it says means nothing in another."""
    place.look_at(shown)
    _keep(f"There is no run '{_short(asked)}' here; shown is '{shown}'.")


def check(run: Run) -> None:
    """Forget the policies and the priorities that the run does not have.

    Raises:
        ParetoError: the run's own priorities are damaged.
    """
    name, rules, chosen, pin = run.path.name, place.get("rules"), place.get("policy"), place.get("pin")
    if rules and rules != place.NONE:
        try:
            parse_levels(rules, run.recipe.names)
        except ParetoError as e:
            place.put("rules", None)
            _keep(f"This link's priorities cannot be read ({_short(str(e))}); in force are the run's own.")
    if not chosen and not pin:
        return
    found = data.load(run)
    if pin and place.resolve(found, pin) is None:
        place.put("pin", None)
        _keep(f"This link pins a policy '{_short(pin)}' that '{name}' does not have; nothing is pinned.")
    if chosen and place.resolve(found, chosen) is None:
        place.put("policy", None)
        instead = place.policy(found)
        shown = f"shown is {instead.label}" if instead else "none is chosen"
        _keep(f"This link names a policy '{_short(chosen)}' that '{name}' does not have; {shown}.")


def tell(page: str, run: Run) -> None:
    """Say what was wrong with the link, until another page or run is looked at."""
    here = (page, run.path.name)
    if fresh := st.session_state.pop(_FRESH, None):
        st.session_state[_TOLD] = (here, fresh)
    where, texts = st.session_state.get(_TOLD, (None, []))
    if where == here:
        notice("\n".join(texts), key="link_wrong")
    else:
        st.session_state.pop(_TOLD, None)


def _keep(text: str) -> None:
    st.session_state.setdefault(_FRESH, []).append(text)


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
