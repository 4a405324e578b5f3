"""``pareto study``: what the answers of a run's user study say. Heavy modules come when needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.errors import ParetoError
from pareto.terminal import Json, Root, RunName, print_json, say, writable

if TYPE_CHECKING:
    from pareto.choice.user_study.agreement import Agreement
    from pareto.choice.user_study.result import Result


def study_run(
    run: RunName,
    person: Annotated[str | None, typer.Option("--person", metavar="NAME", help="Only what this person says.")] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write the answers too: a .jsonl file.")
    ] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Which weights people have, judging by their answers in the app's Duel page, and do they agree."""
    from dataclasses import asdict

    from pareto.choice.user_study.study import Study
    from pareto.config import suggest
    from pareto.store.run import Run

    writable(export, ".jsonl", "--export")
    study = Study.open(Run.open(run, root))
    people = study.people
    if person is not None and person not in people:
        known = suggest(person, people) if people else "nobody has answered yet"
        raise ParetoError(f"run '{study.run.name}': no answers of '{person}'; {known}")
    if study.torn:
        say(f"{study.torn} torn line{'s' * (study.torn > 1)} left out")
    written = study.export(export, person) if export else 0
    results = [study.result(name) for name in (people if person is None else [person])]
    pooled = study.result() if person is None else None
    agreement = study.agreement()
    if as_json:
        report: dict[str, Any] = {
            "run": study.run.name,
            "objectives": list(study.frame.objectives),
            "people": [asdict(r) for r in results],
            "pooled": asdict(pooled) if pooled else None,
            "agreement": asdict(agreement),
            "torn": study.torn,
        }
        print_json(report)
        return
    typer.echo(study_table([*results, *([pooled] if pooled else [])], agreement))
    if export:
        typer.echo(f"{written} answers: {export}")


def study_table(results: list[Result], agreement: Agreement) -> str:
    """Weights with intervals, the policy to take and what to do now, for each person and together; then agreement.

    Args:
        results: of people, and of all together (``person`` is ``None``) at the end, if wanted.
        agreement: between people.
    """
    rows = [["", *results[0].weights, "answers", "leads", "probability"]]
    for r in results:
        weights = [f"{w:.2f} ({r.low[name]:.2f}–{r.high[name]:.2f})" for name, w in r.weights.items()]
        lead = [r.best, f"{r.p_best:.0%}"] if r.duels else ["–", "–"]  # the prior prefers nobody
        rows.append([_who(r), *weights, f"{r.duels} of {r.answered}", *lead])
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]
    note = "weights per base standard deviation, with 90 % intervals; answers that say something, of all"
    return "\n".join([*lines, "", note, *(f"{_who(r)}: {r.text}" for r in results), agreement.text])


def _who(result: Result) -> str:
    return "all together" if result.person is None else result.person
