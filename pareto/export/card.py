"""The model card of an exported adapter, as Markdown with the hub's front matter."""

from __future__ import annotations

import json
from typing import Any

from pareto.records import Point
from pareto.store.run import Run


def card(run: Run, point: Point, metrics: dict[str, Any] | None) -> str:
    """What the policy is, what made it, and what was measured of it."""
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
        f"- kind: {point.kind}",
        f"- weights: {_numbers(point.weights or {})}",
        f"- coefficients: {_numbers(point.coefficients)}",
        f"- recipe hash: `{run.recipe_hash}`, seed {recipe.seed}",
        f"- system prompt while training: {json.dumps(recipe.model.system)} (written out even when empty, so that the "
        "chat template's own default stays away)",
        "",
    ]
    if metrics is None:
        lines += ["Not measured: these weights are a mixture that the sweep did not evaluate.", ""]
    else:
        lines += [f"Measured on the {metrics['split']} prompts (mean ± 1.96 standard errors over prompts):", ""]
        lines += ["| objective | mean | 95 % interval |", "| --- | --- | --- |"]
        for name in recipe.names:
            mean, half = metrics["mean"][name], 1.96 * metrics["se"][name]
            lines.append(f"| {name} | {mean:.3f} | {mean - half:.3f} to {mean + half:.3f} |")
        lines += ["", "Never trained on:", "", "| measure | value |", "| --- | --- |"]
        lines += [f"| {name} | {value:.3f} |" for name, value in metrics["gold"].items()]
        lines += [f"| KL to the base (nats per token) | {metrics['kl']:.3f} |", ""]
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


def _numbers(values: dict[str, float]) -> str:
    return ", ".join(f"{name} {value:.3g}" for name, value in values.items()) or "none"
