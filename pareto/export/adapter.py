"""Export a policy as one plain PEFT adapter: a soup of adapters with one A is again an adapter of that rank."""

from __future__ import annotations

from pathlib import Path

from pareto.choice.admission import Admission
from pareto.errors import ParetoError
from pareto.export.card import card
from pareto.inference.policy import open_policy
from pareto.records import Point
from pareto.store.files import discard, staged
from pareto.store.run import Run
from pareto.training.adapters import write_adapter


def export(
    run: Run, point: Point, out: Path, admission: Admission, *, overwrite: bool = False, force: bool = False
) -> Path:
    """Write the point's adapter, its card and the tokenizer.

    Args:
        run: the run.
        point: from the frontier or from ``asked_point``.
        out: a folder that is not there yet, or with ``overwrite`` an earlier export.
        admission: what the priorities say of it.
        overwrite: replace an earlier export; anything else stays in the way.
        force: even where it does not keep the priorities; the card then says so.

    Raises:
        ParetoError: ``out`` is there already; the base has no adapter to export; the priorities are not kept.
    """
    if not point.coefficients:
        raise ParetoError(f"point '{point.id}' is the base model: there is no adapter to export")
    if not admission.kept and not force:
        way = "choose another (pareto choose)" if admission.measured else "measure it (pareto measure)"
        raise ParetoError(f"{point.id} is out of reach: {admission.reason}; {way}, or --force")
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
        "admission": admission.to_json(),
        "forced": not admission.kept,
    }
    fresh = out.with_name(out.name + ".new")
    discard(fresh)
    with staged(fresh) as made:
        write_adapter(made, policy.base, policy.recipe.training.lora, a, b, made_from)
        policy.base.tokenizer.save_pretrained(str(made))
        (made / "README.md").write_text(card(run, point, admission), encoding="utf-8")
    # The earlier export goes only once the new one is whole.
    discard(out)
    fresh.rename(out)
    return out
