"""``pareto map``: build a run's frontier map, or ask it. Arguments and their table; heavy modules come when needed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from pareto.engine_options import Address, Kind, Share, Workers, engine_asked
from pareto.terminal import Json, Root, RunName, print_json, quiet, watching, writable


def map_run(
    run: RunName,
    minutes: Annotated[
        float | None, typer.Option("--minutes", min=0, help="Begin no soup that would not end within them.")
    ] = None,
    evaluations: Annotated[
        int, typer.Option("--evaluations", min=0, help="Soups measured for the map in all, earlier calls included.")
    ] = 40,
    adapters: Annotated[
        str | None, typer.Option("--adapters", metavar="NAME,…", help="What is mixed; default: the experts.")
    ] = None,
    box: Annotated[tuple[float, float], typer.Option("--box", metavar="LOW HIGH", help="Range of coefficients.")] = (
        0.0,
        1.5,
    ),
    negative: Annotated[
        bool, typer.Option("--negative", help="Let coefficients be negative: LOW is minus half of HIGH.")
    ] = False,
    max_kl: Annotated[
        float | None,
        typer.Option("--max-kl", min=0, help="Largest KL to the base; default: 1.5 times the experts' largest."),
    ] = None,
    held_out: Annotated[
        int, typer.Option("--held-out", min=0, help="Soups measured for the check alone; 0: cross-validation.")
    ] = 0,
    at: Annotated[
        str | None, typer.Option("--at", metavar="NAME=W,…", help="Ask the map that is there for these weights.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option("--plot", metavar="FILE", help="Draw predicted against measured: a .png file.")
    ] = None,
    engine: Kind = None,
    workers: Workers = None,
    address: Address = None,
    share: Share = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Find which soup serves which weights best, or go on with that; or ask the map with --at."""
    from pareto.store.run import Run

    writable(plot, ".png", "--plot")
    opened = Run.open(run, root)
    if at is not None:
        _ask(opened, at, as_json)
        return
    quiet()
    from pareto.engines.choose import opened as engine_opened
    from pareto.mapping import build_map

    wanted = engine_asked(opened.recipe.engine, engine, workers, address, share)
    with watching(opened.recipe.names, as_json) as watch, engine_opened(wanted, watch.note) as carrying:
        report = build_map(
            opened,
            watch,
            engine=carrying,
            share=wanted.share,
            adapters=None if adapters is None else [name.strip() for name in adapters.split(",")],
            box=(-box[1] / 2, box[1]) if negative else box,
            max_kl=max_kl,
            evaluations=evaluations,
            minutes=minutes,
            held_out=held_out,
            seed=opened.recipe.seed,
        )
    if plot:
        from pareto.front.prediction import save_prediction

        save_prediction(report["held_out"], plot, report["objectives"], title=f"{report['run']}: the frontier map")
    if as_json:
        print_json(report)
    else:
        typer.echo(map_table(report))
        if plot:
            typer.echo(f"picture: {plot}")


def _ask(run: Any, weights: str, as_json: bool) -> None:
    """What the map says of one preference."""
    from pareto.choice.standing import standing
    from pareto.simplex import parse_weights
    from pareto.soups.frontier_map import FrontierMap

    names = run.recipe.names
    asked = dict(zip(names, parse_weights(weights, names), strict=True))
    answer = {"weights": asked, **replace(FrontierMap.load(run), priorities=standing(run)).at(asked)}
    if as_json:
        print_json({"run": run.name, **answer})
    else:
        typer.echo("\n".join(_rows([answer], names)))


def map_table(report: dict[str, Any]) -> str:
    """Weights → coefficients → predictions, then how far the map can be trusted and what it gained.

    Args:
        report: from ``build_map``.
    """
    check, gained = report["held_out"], report["hypervolume"]
    covered = ", ".join(f"{name} {share:.0%}" for name, share in check["coverage"].items())
    return "\n".join(
        [
            *_rows(report["weights"], report["objectives"]),
            "",
            "predictions on validation with 90 % intervals",
            f"intervals cover, of {check['points']} soups ({check['how']}): {covered}",
            *(
                f"hypervolume on {split}: {both['before']:.2f} without the map's soups, {both['after']:.2f} with them"
                for split, both in gained.items()
            ),
            f"{report['evaluations']} soups measured for the map, {report['points']} known to it; "
            f"KL at most {report['max_kl']:.2f}",
        ]
    )


def _rows(answers: list[dict[str, Any]], names: list[str]) -> list[str]:
    """Lines of a table, header first; weights and coefficients in the order of the names."""
    adapters = sorted({a for answer in answers for a in answer["coefficients"]})
    header = [*(f"w {n}" for n in names), "→", *(f"λ {a.removeprefix('expert-')}" for a in adapters), "→", *names, "KL"]
    body = [
        [
            *(f"{r['weights'].get(n, 0):.2f}" for n in names),
            "",
            *(f"{r['coefficients'].get(a, 0):.2f}" for a in adapters),
            "",
            *(f"{r['mean'][n]:.3f} ±{(r['high'][n] - r['low'][n]) / 2:.3f}" for n in names),
            f"{r['kl']:.2f}",
        ]
        for r in answers
    ]
    widths = [max(len(line[k]) for line in [header, *body]) for k in range(len(header))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in [header, *body]]
