"""The model card of an exported adapter, as Markdown with the hub's front matter."""

from __future__ import annotations

import json

from pareto.choice.admission import Admission
from pareto.choice.levels import format_levels
from pareto.config import Model
from pareto.models import fine_tuned
from pareto.records import Point
from pareto.store.run import Run


def card(run: Run, point: Point, admission: Admission) -> str:
    """What the policy is, what made it, what was measured of it and what the priorities say of it."""
    recipe = run.recipe
    base = recipe.model.base
    lines = [
        "---",
        f"base_model: {json.dumps(base)}",
        "library_name: peft",
        "pipeline_tag: text-generation",
        "tags: [lora, pareto]",
        "---",
        "",
        f"# {run.name}: {point.id}",
        "",
        f"A LoRA adapter for `{base}`, a point of the Pareto frontier over {', '.join(recipe.names)}.",
        "",
        *_taught(recipe.model),
        f"- kind: {point.kind}",
        f"- weights: {_numbers(point.weights or {})}",
        f"- coefficients: {_numbers(point.coefficients)}",
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
    lines += _priorities(admission)
    lines += [
        "For a packaged base, the folder that `pareto model fetch` prints stands for its name:",
        "",
        "```python",
        "from peft import PeftModel",
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(base)})",
        'model = PeftModel.from_pretrained(base, "THIS FOLDER")',
        'tokenizer = AutoTokenizer.from_pretrained("THIS FOLDER")',
        "```",
        "",
    ]
    return "\n".join(lines)


def _taught(model: Model) -> list[str]:
    """That the base is not the plain one, where it is not."""
    if model.sft is None:
        return []
    return [f"That base was fine-tuned first and is `{fine_tuned(model)}` here: the plain one does not fit.", ""]


def _priorities(admission: Admission) -> list[str]:
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
        lines.append(f"- test: {admission.confirmation.text}")
    elif admission.measured:
        lines.append("- test: not measured")
    return [*lines, ""]


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "none"
