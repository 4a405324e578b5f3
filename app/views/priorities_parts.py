"""The parts of the page Priorities beside its form: the policy proposed, prices, reasons, and keeping them."""

from __future__ import annotations

import html
from collections.abc import Sequence

import streamlit as st

from app import data, place
from app.charts.scene import Z95
from app.data import Data
from app.markup import tiles
from app.notices import notice
from app.theme import look
from app.views.frontier_parts import link
from pareto.choice.candidates import Candidates
from pareto.choice.confirm import Confirmation, confirm
from pareto.choice.decide import decide
from pareto.choice.levels import format_levels, parse_levels
from pareto.choice.prices import Price, prices
from pareto.choice.priorities import Verdict
from pareto.choice.standing import keep
from pareto.config import Level
from pareto.store.run import Run


def proposal(found: Data, candidates: Candidates, verdict: Verdict, text: str) -> None:
    """The best balanced policy of those that are kept, and what test prompts say of it."""
    name = decide(candidates, verdict.kept)
    row = next(row for row in found.validation if row["id"] == name)
    with st.container(border=True, key="proposal"):
        with st.container(horizontal=True, horizontal_alignment="distribute", vertical_alignment="center"):
            st.html(f"<div class=policy>{html.escape(name)}<span class=tag>best balanced</span></div>", width="content")
            taken = place.get("policy") == name
            with st.container(horizontal=True, width="content", gap="small", vertical_alignment="center"):
                st.button(
                    "Chosen" if taken else "Choose this policy", key="choose", type="primary", disabled=taken,
                    icon=":material/check:", on_click=place.put, args=("policy", name),
                )  # fmt: skip
                if taken:
                    link("explore", "Explore it", "explore_it", ":material/tune:")
        st.html(tiles.tiles(found.names, look(), row["mean"], row["se"], {}))
        st.caption("Means on validation prompts ± one standard error.")
        if text:
            _confirmed(_confirm(str(found.run.path), name, text, verdict.kept, data.stamp(found.run)))


def _confirmed(said: Confirmation | None) -> None:
    if said is None:
        st.caption("Not measured on test prompts yet, so nothing confirms it there.")
        return
    heads = {
        "confirmed": "Confirmed on test prompts.",
        "not confirmed": "On test prompts kept on average, but not surely.",
        "violated": "Broken on test prompts.",
    }
    notice(f"\n{said.text}", strong=heads[said.overall], key="confirmation")


def infeasible(found: Data, verdict: Verdict) -> None:
    """Nothing is left: which rule empties the set, who comes nearest, and the least that has to be given up."""
    relaxation = verdict.relaxation
    assert relaxation is not None
    with st.container(border=True, key="infeasible"):
        st.subheader("No policy keeps all of this", anchor=False)
        st.text(relaxation.text[0].upper() + relaxation.text[1:])
        with st.container(horizontal=True, gap="small"):
            st.button(
                "Relax to this", key="relax", type="primary", on_click=place.set_levels,
                args=(found, relaxation.levels),
            )  # fmt: skip
            st.button(
                "Choose the nearest", key="nearest", on_click=place.put, args=("policy", relaxation.nearest),
                help="It breaks the priorities: export will say so and ask again.",
            )  # fmt: skip


def price_list(found: Data, verdict: Verdict, text: str) -> None:
    """What each level costs in every other objective."""
    with st.container(border=True, key="prices"):
        st.subheader("What each level costs", anchor=False)
        if not verdict.kept:
            st.caption("Nothing is left, so nothing has a price.")
            return
        found_prices = _prices(str(found.run.path), text, data.stamp(found.run))
        scale = dict(zip(found.names, verdict.candidates.frame.scale, strict=True))
        rows = [
            (_short(verdict.levels[p.level], p.level), p.objective, priced(p, scale[p.objective])) for p in found_prices
        ]
        if not rows:
            st.caption("The levels name every objective, so none of them is paid for in another.")
            return
        st.html(tiles.sheet(("Level", "costs in", "price"), _once(rows)))
        st.caption(
            "Best value of an objective without the level, less the best with it, ± one standard error; no clear "
            "price: the 95 % interval covers 0."
        )


def priced(price: Price, scale: float) -> str:
    """A price in words.

    Args:
        price: of a level in an objective.
        scale: the objective's spread, for the decimals where there is no standard error.
    """
    if price.cost is None:
        return "no score to compare"
    if price.cost == 0 and not price.se:
        return "nothing"
    digits = tiles.decimals(price.se or scale / 10)
    amount = tiles.fixed(price.cost, digits)
    if price.se is None:
        return amount
    clear = abs(price.cost) > Z95 * price.se
    return (
        f"{amount} ± {tiles.fixed(price.se, digits)}"
        if clear
        else f"no clear price ({amount} ± {tiles.fixed(price.se, digits)})"
    )


def excluded_table(verdict: Verdict) -> None:
    """Every policy that is out, with the level that took it out and the reason."""
    with st.container(border=True, key="excluded"):
        st.subheader(f"Out of reach: {len(verdict.excluded)}", anchor=False)
        if not verdict.excluded:
            st.caption("Every policy keeps these priorities.")
            return
        order = sorted(
            verdict.excluded.items(),
            key=lambda item: (-item[1].level, not item[1].by_confidence, item[1].short, item[0]),
        )
        rows = [(name, str(reason.level + 1), reason.text) for name, reason in order]
        with st.container(height=330 if len(rows) > 5 else "content", border=False, key="reasons"):
            st.html(tiles.sheet(("policy", "level", "reason"), rows))
        st.caption("First those that came furthest, and of these the ones that only the confidence keeps out.")


def standing_buttons(found: Data, verdict: Verdict, kept: str) -> None:
    """Keep what is set for this run, unless no policy keeps it, or go back to what was.

    Args:
        found: of the run.
        verdict: under what is set.
        kept: the run's own priorities, as written in links.
    """
    text = place.rules(found)
    recipe = format_levels(found.run.recipe.priorities)
    with st.container(horizontal=True, gap="small", key="standing"):
        st.button(
            "Keep for this run", key="keep", icon=":material/bookmark:", disabled=text == kept or not verdict.kept,
            help="The commands and the export obey them from then on." if verdict.kept else
            "No policy keeps all of this, so nothing could be exported any more. Relax it first.",
            on_click=_keep, args=(found, text),
        )  # fmt: skip
        st.button("Back to the run's own", key="back", disabled=text == kept, on_click=place.put, args=("rules", None))
        if kept != recipe:
            st.button("Back to the recipe's", key="recipe", on_click=_keep, args=(found, recipe))
    st.caption(
        "These are the run's own."
        if text == kept
        else "Only you see these, and who has your link, until you keep them."
    )


def _keep(found: Data, text: str) -> None:
    keep(found.run, parse_levels(text, found.names))
    place.put("rules", None)


def _short(level: Level, k: int) -> str:
    return f"{k + 1}  {' and '.join(level.objectives)}"


def _once(rows: Sequence[tuple[str, str, str]]) -> list[tuple[str, str, str]]:
    """A level's name in its first row only."""
    return [("" if i and rows[i - 1][0] == row[0] else row[0], *row[1:]) for i, row in enumerate(rows)]


@st.cache_resource(show_spinner=False, max_entries=64)
def _prices(path: str, text: str, when: tuple[float, ...]) -> list[Price]:
    found = data.load(Run.open(path))
    assert found.candidates is not None
    return prices(found.candidates, parse_levels(text, found.names))


@st.cache_resource(show_spinner=False, max_entries=64)
def _confirm(path: str, name: str, text: str, kept: tuple[str, ...], when: tuple[float, ...]) -> Confirmation | None:
    run = Run.open(path)
    return confirm(run, name, parse_levels(text, run.recipe.names), kept=kept)
