"""What learned weights gain on prompts held out, against one policy for all and the best of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from pareto.errors import ParetoError
from pareto.inference.auto_weights.auto import allowed
from pareto.inference.auto_weights.kept import Kept, load
from pareto.inference.auto_weights.learned import Learned
from pareto.inference.auto_weights.learning import fit
from pareto.inference.auto_weights.measured import Measured, embed
from pareto.inference.auto_weights.regression import KINDS, Floats, Kind
from pareto.inference.auto_weights.rule import Rule
from pareto.store.run import Run

RESAMPLES = 4000
LEVEL = 0.95


def evaluate(
    run: Run,
    kept: Kept | None = None,
    shuffles: int = 0,
    kinds: Sequence[Kind] = KINDS,
    embed: Callable[[Sequence[str]], Floats] = embed,
) -> dict[str, Any]:
    """Compare on test prompts, among the policies that are measured there and keep the priorities.

    Args:
        run: with learned weights and a test split.
        kept: what was learned; default: what the run's folder has.
        shuffles: how often to learn again from prompts that got each other's features; nothing can be learned so.
        kinds: of learners tried for that.
        embed: texts to features of length 1, (n, d).

    Returns:
        As ``compare``, with ``run``, ``utility`` (as stated), ``policies`` (compared) and ``control`` (mean ``gain``
        and share ``declined`` of the shuffled), ``None`` without shuffles.

    Raises:
        ParetoError: nothing was learned, or fewer than two policies can be compared.
    """
    kept = kept or load(run)
    measured = Measured.of(run, "test")
    column = {p.id: i for i, p in enumerate(measured.points)}
    ids = [name for name in allowed(run, kept.learned.ids) if name in column]
    if len(ids) < 2:
        raise ParetoError(f"run '{run.name}': {len(ids)} policies keep the priorities on test; two can be compared")
    values, told = measured.utility(kept.stated.of(measured.prompts, len(measured.objectives)))
    rows = np.flatnonzero(told)
    if not rows.size:
        raise ParetoError(f"run '{run.name}': the utility says nothing of any test prompt")
    prompts = [measured.prompts[i] for i in rows]
    x, types = embed([p.text for p in prompts]), [p.source for p in prompts]
    # Of a policy that is not measured here nothing is known, and the rule never takes it.
    utility = np.full((len(rows), len(kept.learned.ids)), np.nan)
    for k, name in enumerate(kept.learned.ids):
        if name in column:
            utility[:, k] = values[rows, column[name]]

    def found(learned: Learned) -> dict[str, Any]:
        return compare(learned, learned.rule(ids), x, utility, types, run.recipe.seed)

    controls = [found(fit(run, kept.stated, kinds, embed, shuffled=seed).learned) for seed in range(shuffles)]
    control = None
    if controls:
        control = {
            "gain": float(np.mean([c["gain"]["value"] for c in controls])),
            "declined": float(np.mean([c["declined"] for c in controls])),
        }
    return {
        "run": run.name,
        "utility": kept.stated.told,
        "policies": len(ids),
        **found(kept.learned),
        "control": control,
    }


def compare(
    learned: Learned, rule: Rule, x: Floats, utility: Floats, types: Sequence[str], seed: int = 0
) -> dict[str, Any]:
    """Learned weights against others on q prompts that they were not learned from.

    Args:
        learned: with P policies.
        rule: which of them may be taken, and when.
        x: features, (q, d).
        utility: (q, P); of policies that may be taken.
        types: of the prompts, (q,).
        seed: of the bootstrap.

    Returns:
        ``prompts``; mean utilities, in base standard deviations: ``auto``, ``fixed`` (the policy that was best for all
        prompts learned from, id in ``default``), ``by_type`` (the best for the type, known), ``oracle`` (the best of
        each prompt in hindsight, noise included: out of reach); ``gain`` of auto over fixed and ``oracle_gain`` with 95
        % intervals from a paired bootstrap over prompts; ``declined``: share; ``types``: the same per type.
    """
    q = np.arange(len(utility))
    taken = learned.take(x, rule)
    auto, fixed = utility[q, taken.chosen], utility[:, rule.default]
    oracle, by_type = utility[:, rule.allowed].max(axis=1), utility[q, _best_of_types(learned, rule, types)]
    drawn = np.random.default_rng(seed).integers(len(q), size=(RESAMPLES, len(q)))

    def interval(gained: Floats) -> dict[str, float]:
        low, high = np.quantile(gained[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return {"value": float(gained.mean()), "low": float(low), "high": float(high)}

    of = np.array(types)
    return {
        "prompts": len(q),
        "default": learned.ids[rule.default],
        "auto": float(auto.mean()),
        "fixed": float(fixed.mean()),
        "by_type": float(by_type.mean()),
        "oracle": float(oracle.mean()),
        "gain": interval(auto - fixed),
        "oracle_gain": interval(oracle - fixed),
        "declined": float(taken.declined.mean()),
        "types": {
            kind: {
                "prompts": int((of == kind).sum()),
                "gain": float((auto - fixed)[of == kind].mean()),
                "declined": float(taken.declined[of == kind].mean()),
            }
            for kind in sorted(set(types))
        },
    }


def _best_of_types(learned: Learned, rule: Rule, types: Sequence[str]) -> np.ndarray[Any, np.dtype[np.int64]]:
    """The policy of the best mean utility over the prompts of a type that were learned from; for each prompt, (q,)."""
    of = np.array(learned.familiar.sources)
    best = {
        kind: int(rule.allowed[learned.utility[of == kind][:, rule.allowed].mean(axis=0).argmax()]) for kind in set(of)
    }
    return np.array([best.get(kind, rule.default) for kind in types])
