"""The measurements of compute at inference as a picture: what answers bring, what is saved, who selects best."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pareto.bench.panels import Panel, draw_panels
from pareto.bench.rewards.bench import CHOSEN
from pareto.front.looks import MUTED, PALE, PALETTE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RULES = {
    "allocation": "number by difficulty",
    "stopping": "end by price",
    "both": "both",
    "learned": "end by learned promise",
}
SELECTORS = {
    "process": "process model",
    "every_third": "process, every 3rd step",
    "majority": "majority",
    "outcome": "outcome, last step",
    "outcome_hidden": "outcome, hidden state",
    "outcome_everywhere": "outcome on every step",
    "random": "one at random",
    "hindsight": "any is right",
}


def inference_picture(result: dict[str, Any], path: Path) -> None:
    """Draw what there is of the parts, as a PNG file."""
    ways = {"best-of": _best_of, "adaptive": _saved, "arithmetic": _selected, "auto": _weights}
    panels = [panel(result[name]) for name, panel in ways.items() if name in result]
    draw_panels(panels, path)


def _best_of(found: Mapping[str, Any]) -> Panel:
    lines = {
        "objective, selected by itself": found["selected_by_objective"]["objective"],
        "objective, selected by an ensemble (min)": found["ensemble"][CHOSEN]["gold"],
        **{f"{name} of the first": of for name, of in found["selected_by_objective"].items() if name != "objective"},
    }

    def draw(axes: Axes) -> None:
        for colour, (name, of) in zip(PALETTE, lines.items(), strict=False):
            values = np.array(of["mean"])
            axes.plot(found["n"], values - values[0], color=colour, label=name, marker="o", markersize=3)
        axes.set_xscale("log", base=2)
        axes.set_xticks(found["n"], [str(n) for n in found["n"]])

    return "The best of n answers", "answers per prompt", "gain, base standard deviations", draw


def _saved(both: Mapping[str, Any]) -> Panel:
    found = both["several"]
    fixed, even = found["fixed"], found["even"]

    def draw(axes: Axes) -> None:
        saved = [100 * (1 - row["tokens"] / fixed["tokens"]) for row in even]
        shares = [100 * row["gain"] / fixed["gain"] for row in even]
        near = [i for i, row in enumerate(even) if 4 <= row["n"] <= 10]
        axes.plot([saved[i] for i in near], [shares[i] for i in near], color=MUTED, label="as many to every prompt")
        rules = {RULES[name]: of for name, of in found["rules"].items()} | {"early rejection": found["rejection"]}
        for colour, (name, of) in zip(PALETTE, rules.items(), strict=False):
            x, y = of["tokens_saved"], of["gain_share"]
            errors = [[[100 * (v["value"] - v["low"])], [100 * (v["high"] - v["value"])]] for v in (x, y)]
            axes.errorbar(
                100 * x["value"],
                100 * y["value"],
                xerr=errors[0],
                yerr=errors[1],
                color=colour,
                fmt="o",
                markersize=4,
                label=name,
            )

    title = f"Adaptive numbers against {fixed['n']} answers (95 % intervals)"
    return title, "tokens saved, %", "gain kept, %", draw


def _selected(found: Mapping[str, Any]) -> Panel:
    shown = {SELECTORS[name]: found["accuracy"][name] for name in reversed(SELECTORS)}

    def draw(axes: Axes) -> None:
        for k, (name, of) in enumerate(shown.items()):
            colour = PALETTE[0] if "process" in name else PALE if name == SELECTORS["hindsight"] else PALETTE[2]
            errors = [[100 * (of["value"] - of["low"])], [100 * (of["high"] - of["value"])]]
            axes.barh(k, 100 * of["value"], xerr=errors, color=colour, ecolor=MUTED, height=0.62)
        axes.set_yticks(range(len(shown)), list(shown))
        axes.set_xlim(0, 100)

    return f"Arithmetic: the best of {found['n']}, by who selects", "right answers, % (95 % intervals)", "", draw


def _weights(found: Mapping[str, Any]) -> Panel:
    shown = {
        "one for all": found["fixed"],
        "from the prompt": found["auto"],
        "type known": found["by_type"],
        "best in hindsight": found["oracle"],
    }

    def draw(axes: Axes) -> None:
        for k, value in enumerate(reversed(shown.values())):
            axes.barh(k, value, color=PALETTE[0] if k == len(shown) - 2 else PALE, height=0.62)
        axes.set_yticks(range(len(shown)), list(reversed(shown)))

    gain = found["gain"]
    title = f"Weights from the prompt: {gain['value']:+.2f} ({gain['low']:+.2f} to {gain['high']:+.2f})"
    return title, "utility on test, base standard deviations", "", draw
