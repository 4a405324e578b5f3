"""``pareto traffic``: what was served and what people said of it. Arguments and what is printed."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.terminal import Json, Root, RunName, check_text, print_json, printable, say, writable

if TYPE_CHECKING:
    from pareto.store.run import Run
    from pareto.traffic.log import TrafficLog

traffic_app = typer.Typer(
    help="Served requests, what rewards and people say of them, and what rounds learn from it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Days = Annotated[float | None, typer.Option("--days", min=0, help="Only of so many last days; default: all.")]


@traffic_app.command("show")
def show(run: RunName, days: Days = None, root: Root = Path("runs"), as_json: Json = False) -> None:
    """What was served: requests, times, rewards, feedback."""
    from pareto.traffic.summary import summary, text

    with _log(run, root) as (opened, log):
        found = {"run": opened.name, **summary(log, _since(days))}
    if as_json:
        print_json(found)
    else:
        typer.echo(printable(text(found)))


@traffic_app.command("labels")
def labels(
    run: RunName,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="A .jsonl file; one that is there is replaced.")],
    objective: Annotated[
        str | None,
        typer.Option("--objective", metavar="NAME", help="By which feedback was meant that names no objective."),
    ] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Write feedback as comparisons for `pareto rounds --feedback`, `pareto reward train` and TRL.

    Pairs as they are; thumbs where the same prompt has an answer with a thumb up and another with a thumb down.
    """
    from pareto.traffic.labels import labels as labels_of
    from pareto.traffic.labels import write_labels

    writable(out, ".jsonl", "--out")
    with _log(run, root) as (opened, log):
        found = labels_of(log, opened, objective)
    write_labels(found.rows, out)
    if as_json:
        print_json({"run": opened.name, "out": str(out), "comparisons": len(found.rows), "left_out": found.left_out})
        return
    for line in found.problems:
        say(line)
    typer.echo(f"{len(found.rows)} comparisons written to {out}")


@traffic_app.command("compare")
def compare(run: RunName, days: Days = None, root: Root = Path("runs"), as_json: Json = False) -> None:
    """Whether the candidate of `pareto serve --candidate` serves people better: feedback, rewards, doubts."""
    from pareto.frontier import read_frame
    from pareto.traffic.arms import compare as compare_arms

    with _log(run, root) as (opened, log):
        signs = read_frame(opened)
        minimised = {name for name, sign in zip(signs.objectives, signs.signs, strict=True) if sign < 0}
        found = compare_arms(log.frame(_since(days), features=False), log.feedback(), minimised)
    if as_json:
        print_json({"run": opened.name, **found.to_json()})
    else:
        typer.echo(f"{opened.name}, {found.text}")


@traffic_app.command("delete")
def delete(
    run: RunName,
    user: Annotated[str, typer.Option("--user", metavar="ID", help="As the requests gave it.")],
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Delete all that a user asked and said. Files written by `labels`, and rounds that read them, keep theirs."""
    check_text(user)
    with _log(run, root) as (opened, log):
        gone = log.delete_user(user)
    _deleted(opened, gone, as_json)


@traffic_app.command("expire")
def expire(
    run: RunName,
    days: Annotated[float, typer.Option("--days", min=0, help="Older requests go, with all that belongs to them.")],
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Delete what is older than so many days; `pareto serve --retention-days` does so by itself."""
    before = _since(days)
    with _log(run, root) as (opened, log):
        gone = log.expire(before)
    _deleted(opened, gone, as_json)


def _deleted(opened: Run, gone: Any, as_json: bool) -> None:
    if as_json:
        print_json({"run": opened.name, "deleted": asdict(gone)})
    else:
        typer.echo(
            f"{opened.name}: deleted {gone.requests} requests, the scores of {gone.scores} and {gone.feedback} feedback"
        )


def _since(days: float | None) -> float:
    from pareto.traffic.retention import DAY

    return 0.0 if days is None else time.time() - days * DAY


@contextmanager
def _log(run: str, root: Path) -> Iterator[tuple[Run, TrafficLog]]:
    from pareto.store.run import Run
    from pareto.traffic.log import TrafficLog

    opened = Run.open(run, root)
    with TrafficLog.open(opened) as log:
        yield opened, log
