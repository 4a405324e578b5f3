"""What weights from the prompt gain over one weight for all, on a run that is there."""

from __future__ import annotations

from pareto.bench.inference.ground import Found, Ground
from pareto.bench.inference.intervals import figures
from pareto.errors import ParetoError
from pareto.inference.auto_weights.evaluation import evaluate
from pareto.inference.auto_weights.learning import fit
from pareto.inference.auto_weights.stated import Stated
from pareto.store.run import Run
from pareto.store.tables import read_prompts

TYPES = 3
"""Of prompts, at least."""


def auto(ground: Ground) -> Found:
    """As ``evaluate``, learned anew; the run is only read. Raises as ``asked`` and ``evaluate`` do."""
    run, stated = asked(ground)
    ground.say(f"weights from the prompt: run '{run.name}'")
    found = evaluate(run, fit(run, stated), ground.sizes.shuffles)
    told = {
        **figures("auto_weights_gain", found["gain"]),
        "auto_weights_declined": found["declined"],
        "auto_weights_worst_type": min(of["gain"] for of in found["types"].values()),
        "auto_weights_oracle_gain": found["oracle_gain"]["value"],
    }
    if found["control"]:
        told["auto_weights_shuffled_gain"] = found["control"]["gain"]
    return {**found, "figures": told}


def asked(ground: Ground) -> tuple[Run, Stated]:
    """The run and what is wanted of its prompts.

    Raises:
        ParetoError: no such run, a utility that cannot be read, or fewer than three types of prompts.
    """
    run = Run.open(ground.run, ground.root)
    stated = Stated.read(run, ground.utility)
    types = {p.source for p in read_prompts(run.path / "prompts.parquet") if p.split == "test"}
    if len(types) < TYPES:
        raise ParetoError(
            f"--run {run.name}: test prompts of {len(types)} types ({', '.join(sorted(types))}); {TYPES} are needed"
        )
    return run, stated
