"""``pareto process``: process reward models. Arguments only; heavy modules are imported inside the commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pareto.errors import ParetoError
from pareto.terminal import Json, bars, print_json, printable, quiet, say, writable

if TYPE_CHECKING:
    from pareto.config import Model
    from pareto.objectives.process.model import ProcessModel

process_app = typer.Typer(
    help="Process rewards: is each step of a solution right?", no_args_is_help=True, rich_markup_mode=None
)
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="What `pareto process train` made.")]
Solutions = Annotated[
    Path,
    typer.Argument(metavar="SOLUTIONS", help="A .jsonl or .parquet file with prompt, completion and perhaps labels."),
]
LabelledBy = Annotated[
    str,
    typer.Option(
        "--labels",
        metavar="WHO",
        help="verified: each step's own arithmetic; sparse:K: that of every K-th step; given: the file's.",
    ),
]


@process_app.command("train")
def train(
    solutions: Solutions,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The model's folder.")],
    labels: LabelledBy = "verified",
    recipe: Annotated[Path | None, typer.Option("--recipe", help="Take the model of this recipe.")] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="BASE", help="Base model; default: the recipe's, or smollm2-135m-instruct."),
    ] = None,
    head: Annotated[
        Literal["linear", "mlp", "lora"], typer.Option("--head", help="On the frozen base, or LoRA in it.")
    ] = "mlp",
    reads: Annotated[
        Literal["surprise", "last", "middle"],
        typer.Option("--reads", help="What a head reads: how likely the base finds a step, or its hidden states."),
    ] = "surprise",
    how: Annotated[
        Literal["last", "min", "prod", "mean"], typer.Option("--how", help="How steps become one reward.")
    ] = "min",
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Optimiser steps; default: by the kind of head.")
    ] = None,
    learning_rate: Annotated[
        float | None, typer.Option("--learning-rate", help="Highest; default: by the kind of head.")
    ] = None,
    held_out: Annotated[
        float, typer.Option("--held-out", help="Share of the prompts that it is only measured on.")
    ] = 0.25,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the head and of what is held out.")] = 0,
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Where features are kept; default: the user's cache.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train a model, or go on with one that was interrupted; then say how well it finds the first wrong step."""
    if learning_rate is not None and not learning_rate > 0:
        raise ParetoError(f"--learning-rate {learning_rate:g}: it must be more than 0")
    if not 0 < held_out < 0.9:
        raise ParetoError(f"--held-out {held_out:g}: it must lie between 0 and 0.9")
    quiet()
    from pareto.store.cache import cache_root
    from pareto.training.process.solutions import labelled, labeller, read_solutions
    from pareto.training.process.train import Settings, train_process

    by = labeller(labels)
    found = labelled(read_solutions(solutions), by)
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        say(f"note: {printable(line)}")

    with bars(as_json) as progress:
        made = train_process(
            found,
            Settings(head, reads, steps, learning_rate, held_out, how),
            _model(recipe, model),
            out,
            cache=cache or cache_root() / "features",
            seed=seed,
            progress=progress,
            note=note,
        )
    if as_json:
        print_json({**_described(made), "notes": notes, "report": made.info["report"]})
    else:
        typer.echo(
            f"process reward model in {out}, {made.info['labels']} labelled steps\n\n{_text(made.info['report'])}"
        )


@process_app.command("label")
def label(
    solutions: Solutions,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The same with labels, .jsonl.")],
    by: Annotated[
        str,
        typer.Option(
            "--by",
            metavar="WHO",
            help="verified; sparse:K; judge: that of the recipe's rounds.labels; rollouts:N: share of N continuations "
            "from each step that end in an accepted answer; search:N: the first step from which none does.",
        ),
    ],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="With the judge; or with the model and sampling of roll-outs.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="BASE", help="Base model that continues; default: the recipe's."),
    ] = None,
    sample: Annotated[
        int, typer.Option("--sample", min=0, metavar="N", help="Also write N of them for people to check.")
    ] = 0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of roll-outs and of the sample.")] = 0,
    as_json: Json = False,
) -> None:
    """Have the steps of solutions labelled; `train --labels given` reads what it writes."""
    writable(out, ".jsonl", "--out")
    quiet()
    from pareto.recipe_file import read_recipe
    from pareto.training.process.labelling import label_file, who_labels, write_sample
    from pareto.training.process.solutions import read_solutions

    found = read_solutions(solutions)
    people = out.with_name(f"{out.stem}.people.jsonl")
    if out.exists():
        raise ParetoError(f"{out} is there already; give another --out, so that no label is lost")
    if sample and people.exists():
        raise ParetoError(f"{people} is there already, perhaps with people's labels; give another --out")
    read = read_recipe(recipe) if recipe else None
    labeller, settings = who_labels(by, found, read, _model(recipe, model), seed)
    with bars(as_json) as progress:
        labels = label_file(found, labeller, settings, out, lambda done, total: progress("label", done, total))
    failures: list[str] = getattr(labeller, "failures", [])
    for why in dict.fromkeys(failures):
        say(f"note: no labels: {printable(why)}")
    checked = write_sample(found, sample, seed, people) if sample else 0
    told = [x.right for of in labels for x in of]
    count = {"solutions": len(found), "steps": len(told), "labelled": sum(r is not None for r in told)}
    if as_json:
        print_json({"out": str(out), "by": labeller.name, **count, "failed": len(failures), "sample": checked})
        return
    typer.echo(f"{out}: {count['labelled']} of {count['steps']} steps of {len(found)} solutions labelled")
    if checked:
        typer.echo(f"{people}: {checked} for people; set each label to true, false or null, then: pareto process agree")


@process_app.command("agree")
def agree(
    labelled: Annotated[Path, typer.Argument(metavar="LABELLED", help="What `pareto process label` wrote.")],
    people: Annotated[Path, typer.Argument(metavar="PEOPLE", help="Some of them with people's labels.")],
    as_json: Json = False,
) -> None:
    """How far labels agree with those of people, over the steps that both labelled."""
    from dataclasses import asdict

    from pareto.training.process.judged import human_checked
    from pareto.training.process.solutions import read_solutions

    theirs = {(s.prompt, s.completion): s.labels or () for s in read_solutions(people)}
    found = [s for s in read_solutions(labelled) if (s.prompt, s.completion) in theirs]
    if not found:
        raise ParetoError(f"{people}: none of its solutions is in {labelled}")
    result = human_checked(
        {k: s.labels or () for k, s in enumerate(found)},
        {k: theirs[s.prompt, s.completion] for k, s in enumerate(found)},
    )
    if as_json:
        print_json({**asdict(result), "text": result.text})
    else:
        typer.echo(result.text)


@process_app.command("eval")
def evaluate(
    folder: Folder,
    solutions: Solutions,
    labels: LabelledBy = "verified",
    as_json: Json = False,
) -> None:
    """The same report on other solutions; those of prompts that it learnt from are left out."""
    quiet()
    from pareto.objectives.ensemble.checks import prompt_hash
    from pareto.objectives.process.model import ProcessModel
    from pareto.training.process.metrics import process_report
    from pareto.training.process.solutions import labelled, labeller, read_solutions

    by = labeller(labels)
    model = ProcessModel.open(folder)
    found = labelled(read_solutions(solutions), by)
    seen = set(model.info["seen"])
    left = [s for s in found if prompt_hash(s.prompt) not in seen]
    told = f"{len(found) - len(left)} of {len(found)} solutions are of prompts that the model was trained on"
    if not left:
        raise ParetoError(f"{solutions}: {told}: nothing to judge it by; give solutions of other prompts")
    notes = [f"{told}; left out"] if len(left) < len(found) else []
    if not any(label.right is not None for s in left for label in s.measured_by):
        raise ParetoError(f"{solutions}: no step has a label to judge the model by; try --labels given")
    if not as_json:
        for line in notes:
            say(f"note: {line}")
    with bars(as_json) as progress, _fitting(solutions):
        steps = model.score(
            [s.prompt for s in left], [s.completion for s in left], lambda d, t: progress("score", d, t)
        )
    report = process_report(
        steps,
        [s.measured_by for s in left],
        [len(s.completion) for s in left],
        training=model.info["first_errors"],
        threshold=model.threshold,
        how=model.how,
    )
    if as_json:
        print_json({**_described(model), "notes": notes, "report": report})
    else:
        typer.echo(_text(report))


@process_app.command("score")
def score(folder: Folder, solutions: Solutions, as_json: Json = False) -> None:
    """How likely each step of each solution is to be right."""
    quiet()
    from pareto.objectives.process.aggregate import aggregate_steps
    from pareto.objectives.process.arithmetic import check_step
    from pareto.objectives.process.model import ProcessModel
    from pareto.objectives.process.steps import split_steps
    from pareto.training.process.solutions import read_solutions

    model = ProcessModel.open(folder)
    found = read_solutions(solutions)
    with bars(as_json) as progress, _fitting(solutions):
        scored = model.score(
            [s.prompt for s in found], [s.completion for s in found], lambda d, t: progress("score", d, t)
        )
    rows: list[dict[str, Any]] = [
        {
            "prompt": s.prompt,
            "reward": aggregate_steps(steps, model.how),
            "first_error": model.first_error(steps),
            "steps": [
                {"start": step.start, "end": step.end, "text": step.text, "right": p, "verified": check_step(step.text)}
                for step, p in zip(split_steps(s.completion), steps, strict=True)
            ],
        }
        for s, steps in zip(found, scored, strict=True)
    ]
    if as_json:
        print_json({**_described(model), "solutions": rows})
        return
    for row in rows:
        typer.echo(f"{row['reward']:.2f}  {_short(row['prompt'])}")
        for k, step in enumerate(row["steps"]):
            mark = "  ← first wrong step" if k == row["first_error"] else ""
            typer.echo(f"      {step['right']:.2f}  {_short(step['text'])}{mark}")


def _model(recipe: Path | None, base: str | None) -> Model:
    from pareto.recipe_file import read_recipe
    from pareto.training.rewards.options import asked_model

    return asked_model(read_recipe(recipe) if recipe else None, base)


def _described(model: ProcessModel) -> dict[str, Any]:
    return {
        "model": str(model.path),
        "base": model.info["model"]["base"],
        "head": model.info["settings"]["kind"],
        "threshold": model.threshold,
        "how": model.how,
    }


def _text(report: dict[str, Any]) -> str:
    """A report for a terminal."""
    first, place = report["first_error"], report["position_only"]

    def n(x: float | None) -> str:
        return "–" if x is None or x != x else f"{x:.3f}"

    rows = [
        ("solutions, labelled steps (wrong)", f"{report['solutions']}, {report['steps']} ({report['wrong_steps']})"),
        ("F1 of the first error", f"{n(first['f1'])} ({n(first['low'])} to {n(first['high'])})"),
        ("  found in wrong solutions, none seen in right ones", f"{n(first['wrong'])}, {n(first['right'])}"),
        ("  baseline: everything is right", n(report["always_right"]["f1"])),
        (f"  baseline: step {place['place'] + 1} or nothing, at random", n(place["f1"])),
        ("accuracy over steps", n(report["step_accuracy"])),
        ("area under the curve for wrong steps", n(report["step_auc"])),
        ("  for solutions with one", n(report["solution_auc"])),
        ("correlation of reward and number of steps, right solutions", n(report["length"]["steps"])),
    ]
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name.ljust(width)}  {value}" for name, value in rows)


def _short(text: str, most: int = 72) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"


@contextmanager
def _fitting(source: Path) -> Iterator[None]:
    """Tell of a solution that the model cannot read in one line."""
    try:
        yield
    except ValueError as e:
        raise ParetoError(f"{source}: {e}; take it out") from None
