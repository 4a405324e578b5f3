"""All measurements of compute at inference, part by part; what is sampled or trained is found again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from pareto.bench.hardware import hardware
from pareto.bench.inference.adaptive import adaptive
from pareto.bench.inference.arithmetic import arithmetic
from pareto.bench.inference.auto import asked, auto
from pareto.bench.inference.batched import batched
from pareto.bench.inference.best_of_n import best_of_n
from pareto.bench.inference.ground import Found, Ground
from pareto.bench.inference.keeping import keeping
from pareto.bench.inference.sizes import FULL, Sizes, quick
from pareto.bench.rewards.lab import Lab
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.recipe_file import read_recipe

PARTS: dict[str, Callable[[Ground], Found]] = {
    "batched": batched,
    "best-of": best_of_n,
    "adaptive": adaptive,
    "cache": keeping,
    "arithmetic": arithmetic,
    "auto": auto,
}
"""What is measured, by name."""


def bench_inference(
    recipe_path: Path,
    mixed_path: Path,
    arithmetic_path: Path,
    parts: Sequence[str],
    run: str,
    utility: str,
    seeds: Sequence[int],
    root: Path,
    say: Callable[[str], None],
    sizes: Sizes = FULL,
) -> dict[str, Any]:
    """Measure.

    Args:
        recipe_path: people's questions, and the objective by which the best is chosen.
        mixed_path: prompts of several types, on which numbers of answers are adapted.
        arithmetic_path: the recipe of arithmetic; its model is fine-tuned first where it is not yet.
        parts: of ``PARTS``.
        run: whose policies learned weights choose among; its name or its folder.
        utility: what is wanted there of each type of prompt.
        seeds: of an ensemble's labels and members.
        root: folder of runs; what is made is kept there, in ``bench-rewards`` (shared with that bench) and
            ``bench-inference``.
        say: told of progress, a line at a time.
        sizes: how much.

    Returns:
        ``bench``, ``hardware``, ``date``, ``seeds``, ``figures``, and what each part found under its name.

    Raises:
        ParetoError: no such part, or what the recipes and the parts raise.
    """
    for name in parts:
        if name not in PARTS:
            raise ParetoError(f"--parts: no '{name}'; {suggest(name, list(PARTS))}")
    recipe, mixed, sums = map(read_recipe, (recipe_path, mixed_path, arithmetic_path))
    pools, folder = root / "bench-rewards", root / "bench-inference"
    if sizes.quick:
        recipe, mixed, sums = map(quick, (recipe, mixed, sums))
        pools = folder = root / "bench-inference-quick"
    folder.mkdir(parents=True, exist_ok=True)
    ground = Ground(Lab(recipe, pools, say), mixed, sums, folder, run, root, utility, sizes, tuple(seeds))
    if "auto" in parts:
        asked(ground)  # a wrong name is told before hours are spent
    found = {name: PARTS[name](ground) for name in parts}
    figures: dict[str, float] = {}
    for part in found.values():
        figures |= part.pop("figures")
    return {
        "bench": "inference",
        "hardware": hardware(),
        "date": date.today().isoformat(),
        "seeds": list(seeds),
        "figures": figures,
        **found,
    }
