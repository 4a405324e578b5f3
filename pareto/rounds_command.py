"""``pareto rounds``: iterative RLHF. Arguments and what is printed; heavy modules come when needed."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pareto.engine_options import Address, Kind, Workers, engine_asked
from pareto.errors import ParetoError
from pareto.terminal import Json, Root, print_json, quiet, say, watching
from pareto.words import Choosing

if TYPE_CHECKING:
    from pareto.config import Recipe


def rounds(
    recipe: Annotated[Path, typer.Argument(help="A recipe, such as sweeps/assistant.yaml.")],
    count: Annotated[
        int | None, typer.Option("--rounds", min=1, help="How many, those that are done included.")
    ] = None,
    annotator: Annotated[
        Literal["gold", "judge", "person"] | None, typer.Option("--annotator", help="Who labels.")
    ] = None,
    budget: Annotated[
        int | None, typer.Option("--budget", min=4, help="Comparisons labelled per objective and round.")
    ] = None,
    choose: Annotated[Choosing | None, typer.Option("--choose", help="Which comparisons are labelled.")] = None,
    noise: Annotated[
        float | None, typer.Option("--noise", min=0, max=0.5, help="Of the gold annotator: chance of a wrong answer.")
    ] = None,
    feedback: Annotated[
        list[str] | None,
        typer.Option(
            "--feedback", metavar="NAME=FILE", help="Labelled comparisons for an objective that join the labels."
        ),
    ] = None,
    traffic: Annotated[
        list[str] | None,
        typer.Option(
            "--traffic",
            metavar="[NAME=]RUN",
            help="A served run, whose feedback joins the labels; NAME: the objective where feedback names none.",
        ),
    ] = None,
    storage: Annotated[
        str | None,
        typer.Option("--storage", metavar="URL", help="postgresql://… for the studies; default: SQLite in the runs."),
    ] = None,
    engine: Kind = None,
    workers: Workers = None,
    address: Address = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Roll out, label, refit the reward models, train, measure; again. Options overrule the recipe's `rounds`."""
    from pareto.recipe_file import read_recipe

    parsed = overruled(
        read_recipe(recipe),
        {"count": count},
        {"annotator": annotator, "budget": budget, "choose": choose, "noise": noise},
    )
    given = [feedback_of(parsed, said) for said in feedback or ()]
    wanted = engine_asked(parsed.engine, engine, workers, address, None)
    if wanted.share:
        raise ParetoError(f"{recipe}: engine.share: rounds need a folder of runs that all workers see; leave it out")
    quiet()
    # The rounds keep what they take in; no other copy of what people asked stays behind.
    with TemporaryDirectory(prefix="pareto-traffic-") as folder:
        for said in traffic or ():
            given += traffic_of(parsed, said, root, Path(folder))
        from pareto.engines.choose import opened
        from pareto.rounds.loop import run_rounds

        with watching(parsed.names, as_json) as watch, opened(wanted, watch.note) as carrying:
            result = run_rounds(parsed, root, storage, watch, given, carrying)
    if as_json:
        print_json(result)
    else:
        typer.echo(outcome_text(result, root))


def overruled(recipe: Recipe, rounds: dict[str, Any], labels: dict[str, Any]) -> Recipe:
    """The recipe with what the command line says of its section ``rounds``; ``None``: says nothing.

    Raises:
        ParetoError: a number that is none.
    """
    said = {k: v for k, v in rounds.items() if v is not None}
    of_labels = {k: v for k, v in labels.items() if v is not None}
    for name, value in of_labels.items():
        if value != value:
            raise ParetoError(f"--{name} {value}: a number is wanted")
    section = recipe.rounds.model_copy(update=said | {"labels": recipe.rounds.labels.model_copy(update=of_labels)})
    return recipe.model_copy(update={"rounds": section})


def feedback_of(recipe: Recipe, said: str) -> tuple[str, Path]:
    """Objective and file of ``--feedback NAME=FILE``.

    Raises:
        ParetoError: no such objective or no such file.
    """
    name, _, file = said.partition("=")
    if name not in recipe.names or not file:
        raise ParetoError(f"--feedback {said}: give NAME=FILE with one of the objectives {', '.join(recipe.names)}")
    if not Path(file).exists():
        raise ParetoError(f"--feedback {said}: no file {file}")
    return name, Path(file)


def traffic_of(recipe: Recipe, said: str, root: Path, folder: Path) -> list[tuple[str, Path]]:
    """Objectives and files of ``--traffic [NAME=]RUN``: what people said of a served run's answers.

    Args:
        recipe: of the rounds.
        said: the run, and by which objective feedback was meant that names none.
        root: folder of runs.
        folder: where the files are written.

    Raises:
        ParetoError: no such run, none of its traffic logged, or nothing in it that can be compared by one of the
            recipe's objectives.
    """
    from pareto.store.run import Run
    from pareto.traffic.labels import labels, write_labels
    from pareto.traffic.log import TrafficLog

    name, _, rest = said.partition("=")
    objective, run = (name, rest) if rest and name in recipe.names else (None, said)
    opened = Run.open(run, root)
    with TrafficLog.open(opened) as log:
        found = labels(log, opened, objective)
    for line in found.problems:
        say(f"{opened.name}: {line}")
    given = []
    for name in recipe.names:
        rows = [row for row in found.rows if row["objective"] == name]
        if rows:
            # Labels tell the file's name; two runs may have the same one.
            file = Path(mkdtemp(dir=folder, prefix=f"{name}-")) / f"traffic-{opened.name}.jsonl"
            write_labels(rows, file)
            given.append((name, file))
    if not given:
        by = ", ".join(sorted({row["objective"] for row in found.rows}))
        raise ParetoError(f"--traffic {said}: its feedback is by {by}; this recipe has {', '.join(recipe.names)}")
    return given


def outcome_text(result: dict[str, Any], root: Path) -> str:
    """The table of the rounds that are done, and how to go on.

    Args:
        result: from ``run_rounds``.
        root: folder of runs.
    """
    from pareto.rounds.report import REPORT, text

    records = result["rounds"]
    parts = []
    if records:
        parts += [text(records), f"pictures: {root / (result['name'] + '-rounds') / REPORT}"]
    if result["waiting"]:
        parts.append(
            f"{result['waiting']} questions wait for people: answer them with `pareto label {result['name']}-rounds` "
            "or on the app's page Label, then give the same command again"
        )
    return "\n".join(parts)
