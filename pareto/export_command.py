"""``pareto export`` and ``pareto verify``: a policy, or the bank, in other systems' formats. Arguments only."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.errors import ParetoError
from pareto.export.formats import DType, Format
from pareto.terminal import Json, Root, RunName, bars, print_json, quiet

if TYPE_CHECKING:
    from pareto.export.verify import Verdict


def export(
    run: RunName,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is not there yet.")],
    point: Annotated[str | None, typer.Option("--point", help="A point of the front, by its id.")] = None,
    weights: Annotated[str | None, typer.Option("--weights", metavar="NAME=W,…", help="A preference instead.")] = None,
    coefficients: Annotated[
        str | None,
        typer.Option("--coefficients", metavar="NAME=λ,…", help="A soup of any adapters in `pareto bank list RUN`."),
    ] = None,
    best: Annotated[bool, typer.Option("--best", help="The balanced point that keeps the priorities.")] = False,
    format: Annotated[
        Format,
        typer.Option(
            "--format",
            help="peft: the adapter; merged: the whole model; gguf, gguf-lora: either for llama.cpp; bank: all "
            "adapters of the run and the coefficients of its policies.",
        ),
    ] = "peft",
    dtype: Annotated[
        DType | None,
        typer.Option("--dtype", help="Of a whole model; default: merged as the base's files, gguf float16."),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier export in DIR.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Even if it breaks a priority; its card says so.")] = False,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Write the chosen policy, or all adapters, in another system's format, with a card and the files' hashes."""
    asked = sum([point is not None, weights is not None, coefficients is not None, best])
    if format == "bank":
        if asked or dtype is not None:
            raise ParetoError("--format bank exports all adapters as they are: no --point, --weights, … and no --dtype")
        _export_bank(run, out, overwrite, root, as_json)
        return
    if asked != 1:
        raise ParetoError(
            "export needs exactly one of --point ID, --weights NAME=W,…, --coefficients NAME=λ,… or --best"
        )
    opened, chosen, admission = chosen_policy(run, root, point, weights, coefficients)
    quiet()
    from pareto.export.adapter import export as write

    written = write(opened, chosen, out, admission, format=format, dtype=dtype, overwrite=overwrite, force=force)
    if as_json:
        print_json(
            {
                "run": opened.name,
                "point": chosen.id,
                "out": str(written),
                "format": format,
                "coefficients": chosen.coefficients,
                "admission": admission.to_json(),
            }
        )
    else:
        typer.echo(f"{chosen.id} written to {written}")


def chosen_policy(
    run: str, root: Path, point: str | None, weights: str | None, coefficients: str | None
) -> tuple[Any, Any, Any]:
    """The run, the point asked for (by default the balanced one under its priorities), and what they say of it."""
    from pareto.choice.admission import admit
    from pareto.choice.choose import best
    from pareto.choice.standing import standing
    from pareto.frontier import find_point
    from pareto.store.run import Run

    if sum(asked is not None for asked in (point, weights, coefficients)) > 1:
        raise ParetoError("give only one of --point, --weights and --coefficients")
    opened = Run.open(run, root)
    if weights is not None or coefficients is not None:
        from pareto.inference.policy import asked_point

        chosen = asked_point(opened, weights, coefficients)
    else:
        chosen = best(opened) if point is None else find_point(opened, point)
    return opened, chosen, admit(opened, chosen, standing(opened))


def _export_bank(run: str, out: Path, overwrite: bool, root: Path, as_json: bool) -> None:
    from pareto.store.run import Run

    opened = Run.open(run, root)
    quiet()
    from pareto.export.bank import export_bank
    from pareto.store.files import read_json

    written = export_bank(opened, out, overwrite=overwrite)
    adapters = list(read_json(written / "manifest.json")["adapters"])
    if as_json:
        print_json({"run": opened.name, "out": str(written), "format": "bank", "adapters": adapters})
    else:
        typer.echo(f"{len(adapters)} adapters written to {written}")


def verify(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="What `pareto export` wrote.")],
    python: Annotated[
        str | None,
        typer.Option("--python", metavar="FILE", help="The interpreter that has the runtime; default: this one."),
    ] = None,
    prompts: Annotated[int, typer.Option("--prompts", metavar="N", min=1, help="Of the run's test prompts.")] = 20,
    run: Annotated[
        str | None, typer.Option("--run", help="The run that it was made from, if it has another name by now.")
    ] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Load an export in PEFT, transformers or llama.cpp and compare its answers with ours; exit code 1: they differ."""
    quiet()
    from pareto.export.verify import verify as check

    with bars(as_json) as progress:
        found = check(folder, root, run=run, python=python or sys.executable, prompts=prompts, progress=progress)
    if as_json:
        print_json({"folder": str(folder), **found.to_json()})
    else:
        typer.echo(_line(folder, found))
    if not found.same:
        raise typer.Exit(1)


def _line(folder: Path, found: Verdict) -> str:
    with_what = " ".join(f"{name} {version}" for name, version in found.versions.items())
    if not found.same:
        return f"{folder}: differs from ours: {found.reason}"
    ties = f", {found.ties} leave ours at a tie" if found.ties else ""
    return (
        f"{folder}: the same as ours ({with_what}, {found.dtype}): {found.equal} of {found.prompts} greedy answers "
        f"equal{ties}; logits within {found.difference:.2g} (allowed {found.tolerance:g})"
    )
