"""The model card of an exported policy, as Markdown with the hub's front matter."""

from __future__ import annotations

import json

from pareto.choice.admission import Admission
from pareto.choice.levels import format_levels
from pareto.config import Model
from pareto.export.card_metadata import front_matter
from pareto.export.formats import DType, PolicyFormat
from pareto.export.licence import licence_of
from pareto.export.loading import how_to_load
from pareto.models import fine_tuned
from pareto.records import Point
from pareto.store.run import Run

_WHAT = {
    "peft": "A LoRA adapter for `{base}`",
    "merged": "`{base}` with an adapter merged into it",
    "gguf": "`{base}` with an adapter merged into it, as GGUF for llama.cpp",
    "gguf-lora": "A LoRA adapter for `{base}`, as GGUF for llama.cpp",
}


def card(run: Run, point: Point, admission: Admission, format: PolicyFormat = "peft", dtype: DType = "float32") -> str:
    """What the policy is, what made it, what was measured of it and what the priorities say of it.

    Args:
        run: the run.
        point: the exported policy.
        admission: what the priorities say of it.
        format: of the export.
        dtype: of its weights.
    """
    recipe = run.recipe
    base = recipe.model.base
    what = _WHAT[format].format(base=base) if point.coefficients else f"`{base}` as it is"
    lines = [
        front_matter(run, point, format),
        f"# {run.name}: {point.id}",
        "",
        f"{what}, a point of the Pareto frontier over {', '.join(recipe.names)}.",
        "",
        *_taught(recipe.model),
        f"- kind: {point.kind}",
        f"- weights: {_numbers(point.weights or {})}",
        f"- coefficients: {_numbers(point.coefficients)}",
        f"- stored as: {dtype}",
        f"- sampled for the measures below: temperature {recipe.sampling.temperature:g}, top-p "
        f"{recipe.sampling.top_p:g}, top-k {recipe.sampling.top_k}",
        f"- licence of the base: {licence_of(recipe.model) or 'not stated where the base was loaded from'}",
        f"- recipe hash: `{run.recipe_hash}`, seed {recipe.seed}",
        f"- system prompt while training: {json.dumps(recipe.model.system)} (written out even when empty, so that the "
        "chat template's own default stays away)",
        "",
    ]
    if not point.scores:
        lines += ["Not measured: these weights are a mixture that the sweep did not evaluate.", ""]
    else:
        lines += [f"Measured on the {point.split} prompts (mean ± 1.96 standard errors over prompts):", ""]
        lines += ["| objective | mean | 95 % interval |", "| --- | --- | --- |"]
        for name in recipe.names:
            mean, half = point.mean[name], 1.96 * point.se[name]
            lines.append(f"| {name} | {mean:.3f} | {mean - half:.3f} to {mean + half:.3f} |")
        lines += ["", "Never trained on:", "", "| measure | value |", "| --- | --- |"]
        lines += [f"| {name} | {value:.3f} |" for name, value in point.gold.items()]
        lines += [f"| KL to the base (nats per token) | {point.kl:.3f} |", ""]
    lines += priorities_text(admission)
    lines += how_to_load(recipe.model, format)
    return "\n".join(lines)


def _taught(model: Model) -> list[str]:
    """That the base is not the plain one, where it is not."""
    if model.sft is None:
        return []
    return [f"That base was fine-tuned first and is `{fine_tuned(model)}` here: the plain one does not fit.", ""]


def priorities_text(admission: Admission) -> list[str]:
    """What was asked, whether it is kept, and every check."""
    if not admission.levels:
        return []
    lines = [f"Priorities: `{format_levels(admission.levels)}`", ""]
    if admission.kept:
        lines += ["Kept on the validation prompts, on which the policy was chosen.", ""]
    elif not admission.measured:
        lines += ["**Not known: it is not measured.**", ""]
    else:
        lines += [f"**Not kept; exported by force.** {admission.reason}", ""]
    lines += [f"- validation: {check['text']}" for check in admission.checks]
    if admission.confirmation:
        lines += [f"- test: {line}" for line in admission.confirmation.text.splitlines()]
    elif admission.measured:
        lines.append("- test: not measured")
    return [*lines, ""]


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "none"
