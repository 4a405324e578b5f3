"""Export a policy as one plain PEFT adapter: a soup of adapters with one A is again an adapter of that rank."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pareto.errors import ParetoError
from pareto.export.card import card
from pareto.inference.policy import open_policy
from pareto.records import Point
from pareto.store.files import discard, staged
from pareto.store.run import Run
from pareto.training.adapters import write_adapter


def export(run: Run, point: Point, out: Path, metrics: dict[str, Any] | None, *, overwrite: bool = False) -> Path:
    """Write the point's adapter, its card and the tokenizer.

    Args:
        run: the run.
        point: from the frontier or from ``weights_point``.
        out: a folder that is not there yet, or with ``overwrite`` an earlier export.
        metrics: the point's row of ``pareto front --json``, or ``None`` for an unmeasured soup.
        overwrite: replace an earlier export; anything else stays in the way.

    Raises:
        ParetoError: ``out`` is there already; the base has no adapter to export.
    """
    if not point.coefficients:
        raise ParetoError(f"point '{point.id}' is the base model: there is no adapter to export")
    earlier = (out / "pareto.json").is_file() and (out / "adapter_config.json").is_file()
    if out.exists() and not (overwrite and earlier):
        hint = "--overwrite replaces an earlier export" if earlier else "give a folder that is not"
        raise ParetoError(f"{out} is there already; {hint}")
    policy = open_policy(run, point)
    a, b = policy.update()
    out.parent.mkdir(parents=True, exist_ok=True)
    made_from = {
        "run": run.name,
        "recipe": run.recipe_hash,
        "point": point.id,
        "weights": point.weights,
        "coefficients": point.coefficients,
    }
    fresh = out.with_name(out.name + ".new")
    discard(fresh)
    with staged(fresh) as made:
        write_adapter(made, policy.base, policy.recipe.training.lora, a, b, made_from)
        policy.base.tokenizer.save_pretrained(str(made))
        (made / "README.md").write_text(card(run, point, metrics), encoding="utf-8")
    # The earlier export goes only once the new one is whole.
    discard(out)
    fresh.rename(out)
    return out
