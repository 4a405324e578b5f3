"""``pareto bench soup``: what a soup costs, against PEFT's own ways and against the base model, in one run.

The machine runs other things too, so every ratio is of two things timed in turn on one loaded model. Adapters are
random: how long anything takes does not depend on their values. That each way computes ΔW = Σ λ ΔW_k, or does not, is
measured beside its time. The negative control is the base model timed against itself.
"""

from __future__ import annotations

import datetime
import tempfile
from pathlib import Path
from typing import Any, cast

from pareto.bench.hardware import hardware
from pareto.bench.soup_parts.generate import batching, generation, grid
from pareto.bench.soup_parts.switch import growth, switching
from pareto.bench.soup_parts.timed import Kind, Row, Say, Size, Timed
from pareto.config import Model
from pareto.models import load

SEED = 0
FULL = Size(
    rank=16,
    switches=9,
    generations=3,
    prompts=16,
    new_tokens=12,
    experts=4,
    grids=((5, 8, 1), (15, 1, 1), (15, 16, 1)),
    adapters=(2, 4, 8, 16),
    rows=64,
)
QUICK = Size(
    rank=4,
    switches=2,
    generations=1,
    prompts=2,
    new_tokens=3,
    experts=3,
    grids=((2, 1, 1), (3, 2, 1)),
    adapters=(2, 3),
    rows=4,
)
"""Shows that everything runs; no figure of it means anything."""


def bench_soup(base: str, say: Say, size: Size = FULL) -> dict[str, Any]:
    """Time every way of changing λ, generating after it and evaluating many λ, and what more adapters cost.

    Args:
        base: as ``model.base`` of a recipe.
        say: told of progress, a line at a time.
        size: how much is measured.

    Returns:
        ``bench``, ``hardware``, ``date``, ``model``, ``seeds``, ``figures``, ``rows``. A ratio says how many times
        better ours is; of what is named ``…_vs_base``, how many times the base model's tokens per second.
    """
    model = load(Model(base=base))
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as root:
        # Half the layers, as the demo adapts; then all, which everything after it is measured with.
        for layers in (max(1, model.model.config.num_hidden_layers // 2), None):
            timed = Timed(model, layers, size, Path(root, str(layers)), SEED)
            rows += switching(timed, say)
        kind = fastest_exact(rows)
        rows += generation(timed, kind, say)
        for lambdas, prompts, pairs in size.grids:
            rows += grid(timed, lambdas, prompts, pairs, kind, say)
        if model.device.type == "cuda":
            rows += batching(timed, say)
        rows += growth(timed, kind, say)
    return {
        "bench": "soup",
        "hardware": hardware(),
        "date": datetime.date.today().isoformat(),
        "model": f"{base}, {str(model.model.dtype).removeprefix('torch.')}",
        "seeds": [SEED],
        "figures": figures(rows, kind, size.grids[-1][:2]),
        "rows": rows,
    }


def fastest_exact(rows: list[Row]) -> Kind:
    """The ``add_weighted_adapter`` type that changes λ fastest among those that compute the soup exactly."""
    kinds = {f"PEFT {kind}" for kind in ("cat", "linear", "svd")}
    exact = [r for r in _all_layers(rows) if r["way"] in kinds and r["exact"]]
    return cast(Kind, min(exact, key=lambda r: r["seconds"])["way"].removeprefix("PEFT "))


def figures(rows: list[Row], kind: Kind, headline: tuple[int, int]) -> dict[str, float]:
    """The numbers by name, those of switching with every layer adapted, those of a grid from the headline's."""
    switch = {r["way"]: r for r in _all_layers(rows)}
    speed = {r["way"]: r["ratio"] for r in rows if r["part"] == "generation"}
    whole = {r["way"]: r for r in rows if r["part"] == "grid" and (r["lambdas"], r["prompts"]) == headline}
    peer = f"PEFT {kind}"
    return {
        "switch_seconds": switch[peer]["ours_seconds"],
        "switch_vs_peft": switch[peer]["ratio"],
        "switch_vs_peft_in_place": switch["PEFT in place"]["ratio"],
        "switch_vs_peft_merged": switch["PEFT merged"]["ratio"],
        "generation_vs_base": speed["ours, merged"],
        "generation_per_row_vs_base": speed["ours, per row"],
        "peft_generation_vs_base": speed[peer],
        "peft_in_place_generation_vs_base": speed["PEFT in place"],
        "grid_seconds": whole["ours"]["seconds"],
        "grid_vs_peft": whole[peer]["ratio"],
        "grid_vs_peft_in_place": whole["PEFT in place"]["ratio"],
        "grid_vs_peft_merged": whole["PEFT merged"]["ratio"],
        "generation_control": speed["base again"],
    }


def _all_layers(rows: list[Row]) -> list[Row]:
    switches = [r for r in rows if r["part"] == "switch"]
    return [r for r in switches if r["layers"] == max(s["layers"] for s in switches)]
