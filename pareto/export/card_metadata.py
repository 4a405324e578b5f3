"""What the Hugging Face hub reads of a card: its front matter, with the measures as a ``model-index``.

Fields: https://huggingface.co/docs/hub/model-cards; ``huggingface_hub`` writes them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from pareto.export.formats import Format
from pareto.export.licence import hub_name, licence_of
from pareto.records import Point
from pareto.store.run import Run

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

_LIBRARY = {"peft": "peft", "merged": "transformers", "gguf": "llama.cpp", "gguf-lora": "llama.cpp", "bank": "peft"}
_RELATION = {"peft": "adapter", "merged": "finetune", "gguf": "finetune", "gguf-lora": "adapter", "bank": "adapter"}


def front_matter(run: Run, point: Point | None, format: Format) -> str:
    """The block between two lines of ``---``.

    Args:
        run: the run.
        point: the exported policy, whose measures it tells; ``None`` for a bank.
        format: of the export.
    """
    from huggingface_hub import ModelCardData

    licence = licence_of(run.recipe.model)
    measures = [] if point is None else _measures(run, point)
    data = ModelCardData(
        base_model=hub_name(run.recipe.model.base),
        base_model_relation=_RELATION[format],
        library_name=_LIBRARY[format],
        license=licence or "other",
        license_name=None if licence else "that-of-the-base-model",
        pipeline_tag="text-generation",
        tags=["lora", "pareto", *(["gguf"] if format.startswith("gguf") else [])],
        model_name=f"{run.name}: {point.id}" if point and measures else None,
        eval_results=measures or None,
    )
    return f"---\n{data.to_yaml()}\n---\n"


def _measures(run: Run, point: Point) -> list[EvalResult]:
    """Every objective with its 95 % interval, the held-out measures and the KL, where there is a number."""
    from huggingface_hub import EvalResult

    if not point.scores:
        return []
    halves = {name: 1.96 * se for name, se in point.se.items()}
    values = point.mean | point.gold | {"KL to the base": point.kl}
    return [
        EvalResult(
            task_type="text-generation",
            dataset_type=run.name,
            dataset_name=f"{point.split} prompts of the run {run.name}",
            dataset_split=point.split,
            metric_type=name.replace(" ", "-").lower(),
            metric_name=name,
            metric_value=round(value, 6),
            metric_args={"low": round(value - halves[name], 6), "high": round(value + halves[name], 6)}
            if math.isfinite(halves.get(name, math.nan))
            else None,
        )
        for name, value in values.items()
        if math.isfinite(value)
    ]
