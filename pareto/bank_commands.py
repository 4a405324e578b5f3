"""``pareto bank``: what a run's soups are made of. Arguments only; heavy modules are imported inside the commands."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.terminal import Json, Root, RunName, bars, print_json, quiet

if TYPE_CHECKING:
    from pareto.soups.adding import Joined
    from pareto.soups.members import Member

bank_app = typer.Typer(
    help="The adapters that a run's soups are made of, its own and others.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Name = Annotated[str, typer.Option("--name", help="How coefficients will call it.")]


@bank_app.command("add")
def add(
    run: RunName,
    folders: Annotated[list[Path], typer.Argument(metavar="DIR", help="PEFT LoRA folders of the run's base model.")],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the bank; default: the folder's.")] = None,
    rank: Annotated[
        int | None, typer.Option("--rank", min=1, help="Compress to this rank; default: exact, at its own rank.")
    ] = None,
    same_base: Annotated[
        bool, typer.Option("--same-base", help="You know that it was trained on this base, whatever its files say.")
    ] = False,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Take adapters from elsewhere into a run's bank: all of them, or none where one is refused."""
    from pareto.store.run import Run

    opened = Run.open(run, root)
    quiet()
    from pareto.models import load
    from pareto.soups.adding import add_folders

    base = load(opened.recipe.model)
    joined = add_folders(opened, base, folders, name=name, rank=rank, same_base=same_base)
    if as_json:
        print_json({"run": opened.name, "added": [_described(j) for j in joined]})
    else:
        for j in joined:
            typer.echo(_line(j))


@bank_app.command("list")
def list_members(run: RunName, root: Root = Path("runs"), as_json: Json = False) -> None:
    """The adapters that coefficients can be given for."""
    from pareto.soups.members import added, trained
    from pareto.store.run import Run

    opened = Run.open(run, root)
    rows: list[dict[str, Any]] = [
        {"name": name, "kind": "trained", "adapter": key, "exact": True} for name, key in trained(opened).items()
    ]
    rows += [_member(member) for member in added(opened).values()]
    if as_json:
        print_json({"run": opened.name, "members": rows})
        return
    for row in rows:
        size = f"  rank {row['rank']}, {row['modules']} modules, {_error(row)}" if "rank" in row else ""
        typer.echo(f"{row['name']:24} {row['kind']:8} {row['adapter']}{size}")
    if not rows:
        typer.echo(
            f"no adapters in run '{opened.name}' yet; go on with the sweep, or: pareto bank add {opened.name} DIR"
        )


@bank_app.command("combine")
def combine(
    run: RunName,
    name: Name,
    coefficients: Annotated[
        str, typer.Option("--coefficients", metavar="NAME=λ,…", help="What goes in and how much, e.g. a=1,b=1.")
    ],
    method: Annotated[
        str,
        typer.Option("--method", help="PEFT's: ties_svd, dare_ties_svd, dare_linear_svd or magnitude_prune_svd."),
    ] = "ties_svd",
    density: Annotated[
        float, typer.Option("--density", help="Share of each update's values that is kept, in (0, 1].")
    ] = 0.5,
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="Of the result; default: the run's.")] = None,
    seed: Annotated[int, typer.Option("--seed", help="Of DARE's random pruning.")] = 0,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Make a new adapter of several by TIES, DARE or magnitude pruning, as PEFT does it.

    The methods work on the updates ΔW and bring the result to a rank. PEFT's variants without _svd treat the factors
    A and B apart, which mixes no updates, and are not offered.
    """
    from pareto.simplex import parse_numbers
    from pareto.store.run import Run

    parts = parse_numbers(coefficients, "coefficients", "expert-helpful=1,other=.5")
    opened = Run.open(run, root)
    quiet()
    from pareto.models import load
    from pareto.soups.adding import add_combination

    base = load(opened.recipe.model)
    with bars(as_json) as progress:
        joined = add_combination(
            opened,
            base,
            parts,
            name=name,
            method=method,
            density=density,
            rank=rank or opened.recipe.training.lora.rank,
            seed=seed,
            progress=partial(progress, "combine"),
        )
    if as_json:
        print_json({"run": opened.name, "combined": _described(joined)})
    else:
        typer.echo(_line(joined))


@bank_app.command("remove")
def remove(
    run: RunName,
    name: Annotated[str, typer.Argument(metavar="NAME", help="An added or combined adapter.")],
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Take an added adapter out of a run's bank; measured points that have it in them keep it."""
    from pareto.soups.members import remove as remove_member
    from pareto.store.run import Run

    opened = Run.open(run, root)
    remove_member(opened, name)
    if as_json:
        print_json({"run": opened.name, "removed": name})
    else:
        typer.echo(f"{name} removed")


def _member(member: Member) -> dict[str, Any]:
    return {
        "name": member.name,
        "kind": member.kind,
        "adapter": member.adapter,
        "rank": member.rank,
        "modules": member.modules,
        "exact": member.error == 0,
        "relative_error": member.error,
        "made_from": member.made_from,
    }


def _described(joined: Joined) -> dict[str, Any]:
    layers = [
        {
            "module": loss.module,
            "rank_before": loss.rank_before,
            "rank": loss.rank,
            "norm": loss.norm,
            "absolute": loss.absolute,
            "relative": loss.relative,
        }
        for loss in joined.losses
    ]
    return {**_member(joined.member), "layers": layers}


def _line(joined: Joined) -> str:
    member = joined.member
    text = f"{member.name}: rank {member.rank}, {member.modules} modules, {_error(_member(member))}"
    if member.error:
        worst = max(joined.losses, key=lambda loss: loss.relative)
        text += f", at worst {worst.relative:.3g} in {worst.module} (the table: --json)"
    return text


def _error(row: dict[str, Any]) -> str:
    return "exact" if row["exact"] else f"relative error {row['relative_error']:.3g}"
