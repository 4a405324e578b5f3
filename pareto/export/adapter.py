"""Export one policy: its adapter for PEFT, the merged model, or either of them as GGUF.

A soup of adapters with one A is again an adapter of that rank, so nothing is lost on the way.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pareto import __version__
from pareto.choice.admission import Admission
from pareto.errors import ParetoError
from pareto.export.card import card
from pareto.export.formats import DType, PolicyFormat, stored_as, whole_model
from pareto.export.gguf_model import check_architecture, write_lora, write_model
from pareto.export.licence import licence_of
from pareto.export.place import check_place, placed
from pareto.export.source import exact_policy
from pareto.inference.policy import Policy, open_policy
from pareto.records import SCHEMA, Point
from pareto.store.files import read_json, write_json, write_text
from pareto.store.run import Run
from pareto.training.adapters import hash_state, write_adapter

MODEL_GGUF = "model.gguf"
ADAPTER_GGUF = "adapter.gguf"


def export(
    run: Run,
    point: Point,
    out: Path,
    admission: Admission,
    *,
    format: PolicyFormat = "peft",
    dtype: DType | None = None,
    overwrite: bool = False,
    force: bool = False,
) -> Path:
    """Write the point's policy with its card, its tokenizer and the hashes of all files.

    Args:
        run: the run.
        point: from the frontier or from ``asked_point``.
        out: a folder that is not there yet, or with ``overwrite`` an earlier export.
        admission: what the priorities say of it.
        format: of the export.
        dtype: of the weights; default: see ``stored_as``.
        overwrite: replace an earlier export; anything else stays in the way.
        force: even where it does not keep the priorities; the card then says so.

    Raises:
        ParetoError: ``out`` is there already; the base has no adapter to export; the priorities are not kept; the
            base cannot be written as GGUF.
    """
    if not point.coefficients and not whole_model(format):
        raise ParetoError(f"point '{point.id}' is the base model: there is no adapter to export")
    if not admission.kept and not force:
        way = "choose another (pareto choose)" if admission.measured else "measure it (pareto measure)"
        raise ParetoError(f"{point.id} is out of reach: {admission.reason}; {way}, or --force")
    check_place(out, overwrite=overwrite)
    stored_as(format, dtype, "")  # what it refuses is told before the model is loaded
    # An adapter is the same whatever the base computes in, and a large base is loaded as the run has it.
    policy = (exact_policy if whole_model(format) else open_policy)(run, point)
    if format.startswith("gguf"):
        check_architecture(policy.base)
    config = read_json(policy.base.path / "config.json")
    kept_as = stored_as(format, dtype, config.get("dtype") or config.get("torch_dtype") or "")
    about = {
        "schema": SCHEMA,
        "version": __version__,
        "format": format,
        "dtype": kept_as,
        "run": run.name,
        "recipe": run.recipe_hash,
        "point": point.id,
        "weights": point.weights,
        "coefficients": point.coefficients,
        "admission": admission.to_json(),
        "forced": not admission.kept,
    }
    with placed(out, overwrite=overwrite) as made:
        _write(made, run, point, policy, format, kept_as, about)
        write_text(made / "README.md", card(run, point, admission, format, kept_as))
    return out


def _write(
    made: Path, run: Run, point: Point, policy: Policy, format: PolicyFormat, dtype: DType, about: dict[str, Any]
) -> None:
    base, lora = policy.base, policy.recipe.training.lora
    name = f"{run.name}: {point.id}"
    if format == "peft":
        write_adapter(made, base, lora, *policy.update(), about)
        base.tokenizer.save_pretrained(str(made))
        return
    a, b = policy.update()
    write_json(made / "pareto.json", {"base": base.fingerprint, "a": hash_state(a), **about})
    if format == "gguf-lora":
        write_lora(made / ADAPTER_GGUF, base, a, b, policy.bank.scale, lora.alpha, name)
        return
    with policy.bank.policy(policy.coefficients):
        if format == "gguf":
            write_model(made / MODEL_GGUF, base, dtype, name, licence_of(run.recipe.model))
            return
        _save_merged(made, policy, dtype)


def _save_merged(made: Path, policy: Policy, dtype: DType) -> None:
    """The live model as transformers keeps it; it is rounded to the dtype, and of no use here afterwards."""
    import torch

    model = policy.base.model
    model.to(getattr(torch, dtype))
    model.config.dtype = getattr(torch, dtype)
    sampling = policy.recipe.sampling
    # What the card's measures were drawn with; vLLM and transformers take it where a request leaves it open.
    model.generation_config.update(
        do_sample=True, temperature=sampling.temperature, top_p=sampling.top_p, top_k=sampling.top_k
    )
    model.generation_config._from_model_config = False  # else it may be made anew from the model's
    model.save_pretrained(made)
    policy.base.tokenizer.save_pretrained(str(made))
