"""What a bank's folder says of itself, for runtimes that scale adapters when they load them or per request."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pareto import __version__
from pareto.choice.admission import admit
from pareto.choice.standing import standing
from pareto.config import Level
from pareto.export.licence import hub_name, licence_of
from pareto.inference.policy import weights_point
from pareto.records import SCHEMA, Point
from pareto.simplex import das_dennis
from pareto.soups.frontier_map import FILE as MAP
from pareto.store.points import load_points
from pareto.store.run import Run

CONVENTION = (
    "The policy with coefficients λ is W + Σ λ·(alpha/rank)·B·A over the adapters; coefficients may be negative and "
    "need not sum to 1. All adapters that the sweep trained have the same A."
)
LOADING = {
    "peft": "PeftModel.from_pretrained(base, FOLDER, adapter_name=NAME), load_adapter for the others, "
    "base_model.set_adapter([NAME, …]), and set_scale(NAME, λ) on every LoRA layer, which multiplies alpha/rank",
    "llama.cpp": "llama-server -m BASE.gguf --lora-scaled gguf/NAME.gguf:λ for each; or per request "
    '{"lora": [{"id": 0, "scale": λ}]}, the ids in the order of the command line',
    "vllm": "one adapter per request and no scale: export each point by itself with --format peft",
}
PARTITIONS = 4
"""Of the lattice of weights: multiples of a quarter."""


def manifest(run: Run, fingerprint: str, adapters: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Plain data for ``manifest.json``.

    Args:
        run: the run.
        fingerprint: of the base model.
        adapters: name → where it lies in the folder, its rank and alpha.

    Returns:
        ``base``, ``objectives``, ``adapters``, ``convention``, ``loading``; ``points``: id → ``weights``,
        ``coefficients`` and measures of those measured on test that keep the priorities; ``out_of_reach``: id → why, of
        the others; ``lattice``: coefficients for weights in steps of a quarter, and how they were found.
    """
    recipe = run.recipe
    levels = standing(run)
    points, out_of_reach = _points(run, levels)
    return {
        "schema": SCHEMA,
        "version": __version__,
        "run": run.name,
        "recipe": run.recipe_hash,
        "base": {
            "name": recipe.model.base,
            "hub": hub_name(recipe.model.base),
            "fingerprint": fingerprint,
            "licence": licence_of(recipe.model),
            "system": recipe.model.system,
        },
        "objectives": list(recipe.names),
        "adapters": adapters,
        "convention": CONVENTION,
        "loading": LOADING,
        "points": points,
        "out_of_reach": out_of_reach,
        "lattice": {
            "how": "frontier map" if (run.path / MAP).is_file() else "experts by rule",
            "note": "predicted, not measured: whether they keep the priorities is not known" if levels else "",
            "places": _lattice(run),
        },
    }


def _points(run: Run, levels: Sequence[Level]) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    kept, out = {}, {}
    for point in load_points(run):
        if point.split != "test" or point.kind == "base":
            continue
        admission = admit(run, point, levels)
        if admission.kept:
            kept[point.id] = _described(point)
        else:
            out[point.id] = admission.reason
    return kept, out


def _described(point: Point) -> dict[str, Any]:
    intervals = {
        name: {"mean": mean, "low": mean - 1.96 * point.se[name], "high": mean + 1.96 * point.se[name]}
        for name, mean in point.mean.items()
    }
    return {
        "weights": point.weights,
        "coefficients": point.coefficients,
        "split": point.split,
        "objectives": intervals,
        "kl": point.kl,
    }


def _lattice(run: Run) -> list[dict[str, Any]]:
    names = run.recipe.names
    found = [weights_point(run, tuple(map(float, row))) for row in das_dennis(len(names), PARTITIONS)]
    return [{"weights": point.weights, "coefficients": point.coefficients} for point in found]
