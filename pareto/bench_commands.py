"""``pareto bench``: the measurements that the README quotes. Arguments only; heavy modules come when needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from pareto.engine_options import Address, Kind, Workers, engine_asked
from pareto.errors import ParetoError
from pareto.terminal import Json, Root, RunName, print_json, quiet, say, writable

bench_app = typer.Typer(help="The measurements that the README quotes.", no_args_is_help=True, rich_markup_mode=None)
Out = Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Keep the raw numbers: a .json file.")]
Plot = Annotated[Path | None, typer.Option("--plot", metavar="FILE", help="Draw them: a .png file.")]


@bench_app.command("sweep")
def bench_sweep(
    recipe: Annotated[Path, typer.Option("--recipe", help="What is swept; method dpo.")] = Path("sweeps/bench.yaml"),
    as_json: Json = False,
) -> None:
    """A sweep of weight settings against the plain TRL way, on the same comparisons."""
    quiet()
    from pareto.bench.sweep import bench_sweep as run_bench
    from pareto.tables import bench_table

    result = run_bench(recipe, say)
    if as_json:
        print_json(result)
    else:
        typer.echo(bench_table(result))


@bench_app.command("soup")
def bench_soup(
    model: Annotated[str, typer.Option("--model", help="The base model, as a recipe names it.")] = (
        "smollm2-135m-instruct"
    ),
    quick: Annotated[bool, typer.Option("--quick", help="Only show that everything runs.")] = False,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What a soup costs, against PEFT's own ways and the base model."""
    writable(out, ".json", "--out")
    quiet()
    from pareto.bench.soup import FULL, QUICK
    from pareto.bench.soup import bench_soup as run_bench
    from pareto.tables import soup_table

    _told(run_bench(model, say, QUICK if quick else FULL), out, as_json, soup_table)


@bench_app.command("methods")
def bench_methods(
    recipe: Annotated[Path, typer.Option("--recipe", help="The common ground; method dpo, driver adaptive.")] = Path(
        "sweeps/methods.yaml"
    ),
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,…", help="One run per seed.")] = "0,1,2",
    methods: Annotated[
        str | None, typer.Option("--methods", metavar="NAME,…", help="Only these, such as map,morlhf; default: all.")
    ] = None,
    engine: Kind = None,
    workers: Workers = None,
    address: Address = None,
    out: Out = None,
    plot: Plot = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Our map against the published methods from the same pool, on held-out prompts."""
    writable(out, ".json", "--out")
    writable(plot, ".png", "--plot")
    numbers = _numbers(seeds, "--seeds")
    quiet()
    from pareto.bench.methods.bench import METHODS
    from pareto.bench.methods.bench import bench_methods as run_bench
    from pareto.bench.methods.report import methods_picture, methods_table
    from pareto.engines.choose import opened
    from pareto.recipe_file import read_recipe

    chosen = METHODS if methods is None else tuple(_names(methods))
    wanted = engine_asked(read_recipe(recipe).engine, engine, workers, address, None)
    with opened(wanted, say) as carrying:
        result = run_bench(recipe, chosen, numbers, root, say, carrying)
    _told(result, out, as_json, methods_table, plot, methods_picture)


@bench_app.command("priorities")
def bench_priorities(
    fronts: Annotated[int, typer.Option("--fronts", min=4, help="Simulated fronts of 40 policies.")] = 1000,
    prompts: Annotated[str, typer.Option("--prompts", metavar="N,…", help="Evaluation prompts.")] = "100,200,400",
    seed: Annotated[int, typer.Option("--seed")] = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """How often a policy that breaks a priority is chosen: on the confidence bound, and on the mean."""
    writable(out, ".json", "--out")
    if not all(n.strip().isdigit() and int(n) > 1 for n in prompts.split(",")):
        raise ParetoError(f"--prompts {prompts}: whole numbers above 1 with commas between them, such as 100,200,400")
    from pareto.bench.priorities import run

    _told(run(fronts, list(map(int, prompts.split(","))), seed), out, as_json)


@bench_app.command("user-study")
def bench_user_study(
    users: Annotated[int, typer.Option("--users", min=2, help="Simulated people.")] = 50,
    duels: Annotated[int, typer.Option("--duels", min=5, help="Questions to each.")] = 30,
    seed: Annotated[int, typer.Option("--seed")] = 0,
    out: Out = None,
    as_json: Json = False,
) -> None:
    """What informative questions gain over random pairs, on people whose weights are known."""
    writable(out, ".json", "--out")
    from pareto.bench.user_study import run

    _told(run(users, duels, seed, say), out, as_json)


@bench_app.command("rewards")
def bench_rewards(
    recipe: Annotated[Path, typer.Option("--recipe", help="The ground: model, prompts, gold.")] = Path(
        "sweeps/rewards.yaml"
    ),
    parts: Annotated[str, typer.Option("--parts", metavar="NAME,…", help="What is measured.")] = (
        "best-of,dpo,cost,trust,labels,refit"
    ),
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,…", help="Of labels and members.")] = "0,1,2",
    out: Out = None,
    plot: Plot = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Reward-model ensembles against a single one: over-optimisation, cost, calibration, labels."""
    writable(out, ".json", "--out")
    writable(plot, ".png", "--plot")
    found = _numbers(seeds, "--seeds")
    quiet()
    from pareto.bench.rewards.bench import bench_rewards as run_bench
    from pareto.bench.rewards.picture import rewards_picture
    from pareto.tables import figures_table

    result = run_bench(recipe, _names(parts), found, root, say)
    _told(result, out, as_json, figures_table, plot, rewards_picture)


@bench_app.command("inference")
def bench_inference(
    recipe: Annotated[Path, typer.Option("--recipe", help="People's questions, and what chooses.")] = Path(
        "sweeps/rewards.yaml"
    ),
    mixed: Annotated[
        Path, typer.Option("--mixed", metavar="FILE", help="A recipe with prompts of several types.")
    ] = Path("sweeps/assistant.yaml"),
    arithmetic: Annotated[
        Path, typer.Option("--arithmetic", metavar="FILE", help="The recipe whose steps are checked.")
    ] = Path("sweeps/arithmetic.yaml"),
    run: Annotated[str, typer.Option("--run", metavar="RUN", help="A sweep with prompts of three types or more.")] = (
        "assistant"
    ),
    utility: Annotated[
        str, typer.Option("--utility", metavar="TYPE:NAME=W,…;…", help="What is wanted there of each type of prompt.")
    ] = "provocations:harmless=1;people:helpful=1;capitals:concise=1;sums:honest=.5,concise=.5",
    parts: Annotated[str, typer.Option("--parts", metavar="NAME,…", help="What is measured.")] = (
        "batched,best-of,adaptive,cache,arithmetic,auto"
    ),
    seeds: Annotated[str, typer.Option("--seeds", metavar="N,…", help="Of the ensemble's labels.")] = "0,1,2",
    quick: Annotated[bool, typer.Option("--quick", help="Only show that everything runs, on a tiny model.")] = False,
    out: Out = None,
    plot: Plot = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Best-of-N, adaptive N, the cache, process supervision and learned weights: what they gain and cost."""
    writable(out, ".json", "--out")
    writable(plot, ".png", "--plot")
    found = _numbers(seeds, "--seeds")
    quiet()
    from pareto.bench.inference.bench import bench_inference as run_bench
    from pareto.bench.inference.picture import inference_picture
    from pareto.bench.inference.sizes import FULL, QUICK
    from pareto.tables import figures_table

    sizes = QUICK if quick else FULL
    result = run_bench(recipe, mixed, arithmetic, _names(parts), run, utility, found, root, say, sizes)
    _told(result, out, as_json, figures_table, plot, inference_picture)


@bench_app.command("serve")
def bench_serve(
    run: RunName,
    parts: Annotated[str, typer.Option("--parts", metavar="NAME,…", help="What is measured.")] = (
        "mixed,fuzz,load,crowd,drift"
    ),
    clients: Annotated[int, typer.Option("--clients", min=1, help="That ask at the same time.")] = 32,
    seconds: Annotated[
        float, typer.Option("--seconds", min=10, help="Of load; a tenth for each phase of the crowd.")
    ] = 600,
    cases: Annotated[int, typer.Option("--cases", min=1, help="Made up from the OpenAPI page.")] = 2000,
    repetitions: Annotated[int, typer.Option("--repetitions", min=1, help="Of the simulation of drift.")] = 200,
    out: Out = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """The server: batches of many preferences, made-up and hostile requests, memory under load, drift."""
    writable(out, ".json", "--out")
    quiet()
    from pareto.bench.serve.bench import bench_serve as run_bench
    from pareto.store.run import Run
    from pareto.tables import figures_table

    result = run_bench(
        Run.open(run, root),
        _names(parts),
        clients=clients,
        seconds=seconds,
        cases=cases,
        repetitions=repetitions,
        say=say,
    )
    _told(result, out, as_json, figures_table)


@bench_app.command("explorer")
def bench_explorer(
    run: RunName,
    repeats: Annotated[int, typer.Option("--repeats", min=3, help="Of every measurement.")] = 20,
    out: Out = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """How quickly the explorer answers, in a real browser with the run's own model."""
    writable(out, ".json", "--out")
    from pareto.bench.explorer import bench_explorer as run_bench
    from pareto.store.run import Run

    _told(run_bench(Run.open(run, root), repeats, say), out, as_json)


@bench_app.command("scale")
def bench_scale(
    parts: Annotated[str, typer.Option("--parts", metavar="NAME,…", help="What is measured.")] = (
        "simulation,faults,recovery"
    ),
    storage: Annotated[
        str | None,
        typer.Option(
            "--storage", metavar="URL", help="A PostgreSQL database whose speed is measured; default: a new one."
        ),
    ] = None,
    minutes: Annotated[float, typer.Option("--minutes", min=0.01, help="Median duration of a trial.")] = 3.0,
    sigma: Annotated[float, typer.Option("--sigma", min=0, help="Of its logarithm; 0: all take as long.")] = 0.5,
    schedules: Annotated[int, typer.Option("--schedules", min=1, help="Of random faults.")] = 50,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first; of simulations and of schedules.")] = 0,
    quick: Annotated[bool, typer.Option("--quick", help="Only show that simulations run.")] = False,
    out: Out = None,
    plot: Plot = None,
    as_json: Json = False,
) -> None:
    """Sweeps on 8 to 4,096 simulated workers, and real ones whose workers, nodes, drivers and database are killed."""
    writable(out, ".json", "--out")
    writable(plot, ".png", "--plot")
    if plot and "simulation" not in _names(parts):
        raise ParetoError("--plot: draws the part `simulation`")
    quiet()
    from pareto.bench.scale.bench import bench_scale as run_bench
    from pareto.bench.scale.cluster import Trials
    from pareto.bench.scale.picture import scale_picture
    from pareto.bench.scale.simulation import FULL, QUICK
    from pareto.tables import scale_tables

    sizes = QUICK if quick else FULL
    result = run_bench(_names(parts), storage, Trials(60 * minutes, sigma), seed, schedules, say, sizes)
    _told(result, out, as_json, scale_tables, plot, scale_picture)


def _names(said: str) -> list[str]:
    """Of ``NAME,…``, each once."""
    return list(dict.fromkeys(name.strip() for name in said.split(",")))


def _numbers(text: str, option: str) -> list[int]:
    """Whole numbers from a list with commas, each once.

    Raises:
        ParetoError: something else.
    """
    if not all(s.strip().isdigit() for s in text.split(",")):
        raise ParetoError(f"{option} {text}: whole numbers with commas between them are wanted, such as 0,1,2")
    return list(dict.fromkeys(map(int, text.split(","))))


def _told(
    result: dict[str, Any],
    out: Path | None,
    as_json: bool,
    table: Callable[[dict[str, Any]], str] | None = None,
    plot: Path | None = None,
    picture: Callable[[dict[str, Any], Path], None] | None = None,
) -> None:
    """Keep a result, draw it, and print it, as a table of its rows where it has none of its own."""
    from pareto.store.files import write_json
    from pareto.tables import rows_table

    if out:
        write_json(out, result)
    if plot and picture:
        picture(result, plot)
    if as_json:
        print_json(result)
    else:
        typer.echo((table or rows_table)(result))
