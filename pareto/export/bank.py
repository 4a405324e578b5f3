"""Export the bank itself: every adapter of a run, and the coefficients that make its policies of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from pareto.choice.levels import format_levels
from pareto.choice.standing import standing
from pareto.errors import ParetoError
from pareto.export.card_metadata import front_matter
from pareto.export.gguf_model import check_architecture, write_lora
from pareto.export.manifest import CONVENTION, LOADING, manifest
from pareto.export.place import check_place, placed
from pareto.models import Base, load
from pareto.soups.members import members
from pareto.store.files import folder_ok, read_json, write_json, write_text
from pareto.store.run import Run
from pareto.training.adapters import read_adapter

_PARTS = ("adapter_config.json", "adapter_model.safetensors", "pareto.json")


def export_bank(run: Run, out: Path, *, overwrite: bool = False) -> Path:
    """Write all adapters as PEFT folders, and as GGUF where the base is a model that is written so.

    Args:
        run: with an expert for every objective.
        out: a folder that is not there yet, or with ``overwrite`` an earlier export.
        overwrite: replace an earlier export; anything else stays in the way.

    Raises:
        ParetoError: ``out`` is there already; an adapter is damaged or missing.
    """
    check_place(out, overwrite=overwrite)
    base = load(run.recipe.model)
    with placed(out, overwrite=overwrite) as made:
        adapters = {name: _copy(run, made, name, key, base) for name, key in members(run).items()}
        about = manifest(run, base.fingerprint, adapters)
        write_json(made / "manifest.json", about)
        recorded = {"format": "bank", "dtype": "float32", "run": run.name, "recipe": run.recipe_hash}
        write_json(made / "pareto.json", {"base": base.fingerprint, **recorded})
        base.tokenizer.save_pretrained(str(made))
        write_text(made / "README.md", _card(run, about))
    return out


def _copy(run: Run, made: Path, name: str, key: str, base: Base) -> dict[str, Any]:
    """One adapter into the folder; where it lies there and its scale."""
    source = run.adapters / key
    if not folder_ok(source):
        raise ParetoError(f"{source}: missing or damaged; the same sweep again, or pareto bank add, makes it again")
    a, b = read_adapter(source, base)
    peft = made / "adapters" / name
    peft.mkdir(parents=True)
    for part in _PARTS:
        shutil.copyfile(source / part, peft / part)
    config = read_json(peft / "adapter_config.json")
    told = {"folder": f"adapters/{name}", "gguf": None, "rank": config["r"], "alpha": config["lora_alpha"]}
    try:
        check_architecture(base)
    except ParetoError:
        return told
    (made / "gguf").mkdir(exist_ok=True)
    write_lora(made / "gguf" / f"{name}.gguf", base, a, b, told["alpha"] / told["rank"], told["alpha"], name)
    return told | {"gguf": f"gguf/{name}.gguf"}


def _card(run: Run, about: dict[str, Any]) -> str:
    lines = [
        front_matter(run, None, "bank"),
        f"# {run.name}: the bank",
        "",
        f"The {len(about['adapters'])} LoRA adapters for `{about['base']['name']}` that the policies of this Pareto "
        f"frontier over {', '.join(about['objectives'])} are mixed from.",
        "",
        CONVENTION,
        "",
        "`manifest.json` has the coefficients of every policy that was measured and keeps the priorities, and of "
        "weights in steps of a quarter.",
        "",
        f"- licence of the base: {about['base']['licence'] or 'not stated where the base was loaded from'}",
        f"- recipe hash: `{about['recipe']}`",
        "",
        "| policy | " + " | ".join(about["objectives"]) + " | KL to the base |",
        "| --- |" + " --- |" * (len(about["objectives"]) + 1),
    ]
    for name, point in about["points"].items():
        cells = [f"{o['mean']:.3f} ({o['low']:.3f} to {o['high']:.3f})" for o in point["objectives"].values()]
        lines.append(f"| {name} | {' | '.join(cells)} | {point['kl']:.3f} |")
    lines.append("")
    if levels := standing(run):
        lines += [
            f"Priorities: `{format_levels(levels)}`. Other scales may break them.",
            "",
        ]
        lines += [f"- out of reach: {name}: {reason}" for name, reason in about["out_of_reach"].items()]
        lines.append("")
    lines += [f"- {runtime}: {how}" for runtime, how in LOADING.items()]
    return "\n".join([*lines, ""])
