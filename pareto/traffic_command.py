"""``pareto traffic``: what was served and what people said of it. Arguments and what is printed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.errors import ParetoError
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


@traffic_app.command("alarms")
def alarms(
    run: RunName,
    since: Annotated[
        datetime | None,
        typer.Option(
            "--since", formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M"], help="Watch from then, by this machine's clock."
        ),
    ] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Whether prompts, rewards or reward models' doubts have drifted, and by which requests; ends with 1 if so.

    An alarm stays; once it is dealt with, watch from a later time.
    """
    from pareto.traffic.alarms import Settings
    from pareto.traffic.alarms import alarms as alarms_of
    from pareto.traffic.report import text, told

    with _log(run, root) as (opened, log):
        found = alarms_of(log, opened, Settings(since=_moment(since)), look="")
        said = told(log, found)
    if as_json:
        print_json({"run": opened.name, "alarms": said})
    else:
        typer.echo(printable(text(opened.name, said)))
    if any(alarm.state == "raised" for alarm in found):
        raise typer.Exit(1)


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
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, where --days is less than 1.")] = False,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Delete what is older than so many days; `pareto serve --retention-days` does so by itself."""
    before = _since(days)
    with _log(run, root) as (opened, log):
        if days < 1 and not yes:
            most = f"all but the last {days:g} days" if days else "all"
            _confirm(f"Delete {most} of {opened.name}'s traffic?")
        gone = log.expire(before)
    _deleted(opened, gone, as_json)


def _confirm(question: str) -> None:
    """Raises ParetoError where nobody can be asked; ends the command where the answer is no."""
    if not sys.stdin.isatty():
        raise ParetoError(f"{question} Nobody can be asked here; --yes does it")
    typer.confirm(question, abort=True, err=True)


def _deleted(opened: Run, gone: Any, as_json: bool) -> None:
    if as_json:
        print_json({"run": opened.name, "deleted": asdict(gone)})
    else:
        typer.echo(
            f"{opened.name}: deleted {gone.requests} requests, the scores of {gone.scores} and what people said of "
            f"answers, {gone.feedback} times"
        )


def _since(days: float | None) -> float:
    from pareto.traffic.retention import DAY

    return 0.0 if days is None else time.time() - days * DAY


def _moment(since: datetime | None) -> float:
    try:
        return 0.0 if since is None else since.timestamp()
    except (ValueError, OverflowError):  # at the ends of the calendar a time zone leaves it
        raise ParetoError(f"--since {since}: wanted a day on which there were servers") from None


@contextmanager
def _log(run: str, root: Path) -> Iterator[tuple[Run, TrafficLog]]:
    from pareto.store.run import Run
    from pareto.traffic.log import TrafficLog

    opened = Run.open(run, root)
    with TrafficLog.open(opened) as log:
        yield opened, log
