"""``pareto label``: people answer the questions that wait, one key each. Heavy modules come when needed."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.errors import ParetoError
from pareto.terminal import Json, Root, print_json, printable, say, writable

if TYPE_CHECKING:
    from rich.console import Console

    from pareto.preferences.annotation.shown import Pressed, Shown
    from pareto.rounds.source import Source
    from pareto.store.run import Run

KEYS: Mapping[str, Pressed] = {"a": "left", "b": "right", "t": "tie", "s": "skip"}
WIDE = 100
"""Columns of a terminal from which both completions stand side by side."""


def label(
    run: Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or that of rounds, or its folder.")],
    person: Annotated[str, typer.Option("--person", metavar="NAME", help="Who answers.")] = "me",
    objective: Annotated[
        str | None, typer.Option("--objective", metavar="NAME", help="Only by this objective; default: all that wait.")
    ] = None,
    take: Annotated[
        str | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Take in labels: JSONL, Parquet or a data set with prompt, chosen, rejected.",
        ),
    ] = None,
    export: Annotated[
        Path | None, typer.Option("--export", metavar="FILE", help="Write all labels: a .jsonl file that TRL reads.")
    ] = None,
    status: Annotated[bool, typer.Option("--status", help="Only say what waits and who has labelled what.")] = False,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Label what waits: which of two answers is better? Every answer is kept at once."""
    from pareto.choice.user_study.duels import check_person
    from pareto.rounds.source import Source

    writable(export, ".jsonl", "--export")
    _check_replaceable(export)
    source = Source.find(run, root)
    person = check_person(person)
    _check_objective(source, objective)
    if take is not None:
        _import(source, take, objective)
    if export is not None:
        from pareto.preferences.annotation.files import export_labels

        say(f"{export_labels(source.queue, export, objective)} labels: {export}")
    if take is None and export is None and not status and not as_json:
        if source.run is not None and not source.queue.waiting(objective=objective):
            _ask_about(source, source.run, objective)
        _session(source, person, objective)
    if as_json:
        print_json(standing(source))
    else:
        typer.echo(status_text(standing(source)))


def _check_replaceable(export: Path | None) -> None:
    """An export replaces an export and nothing else."""
    if export is None or not export.exists():
        return
    try:
        with open(export, encoding="utf-8") as file:
            row = json.loads(file.readline() or "{}")
    except (OSError, ValueError):
        row = None
    if not isinstance(row, dict) or (row and not {"chosen", "who", "time"} <= row.keys()):
        raise ParetoError(f"--export {export}: is there and is no export of labels; take another name or move it away")


def standing(source: Source) -> dict[str, Any]:
    """What ``--status`` tells, as plain data."""
    from pareto.preferences.annotation.position_bias import position_bias

    queue = source.queue
    labels = queue.labels
    questions, waiting = queue.questions, queue.waiting()
    judges = dict.fromkeys(x.annotator for x in labels if x.who == "judge")
    objectives = {
        name: {
            "questions": sum(q.objective == name for q in questions),
            "waiting": sum(q.objective == name for q in waiting),
            "labels": sum(x.objective == name for x in labels),
            "contradictions": len(queue.contradictions(name)),
            "agreement": asdict(queue.agreement(name)) | {"text": queue.agreement(name).text},
        }
        for name in source.objectives
    }
    biases = {name: position_bias([x for x in labels if x.annotator == name]) for name in judges}
    return {
        "run": source.name,
        "waiting": len(waiting),
        "objectives": objectives,
        "spent": queue.spent(),
        "judges": {n: asdict(b) | {"flagged": b.flagged, "text": b.text} for n, b in biases.items()},
        "last_failure": queue.failures[-1].reason if queue.failures else None,
        "torn": queue.torn,
    }


def status_text(found: Mapping[str, Any]) -> str:
    """The same for people."""
    lines = [f"{found['run']}: {found['waiting']} questions wait"]
    for name, o in found["objectives"].items():
        if not o["questions"] + o["labels"]:
            continue
        line = f"{name}: {o['waiting']} of {o['questions']} wait, {o['labels']} labels"
        line += f", contradictions: {o['contradictions']} (all kept)" if o["contradictions"] else ""
        lines.append(line)
        lines += [f"  people: {o['agreement']['text']}"] if o["agreement"]["questions"] else []
        for row in found["spent"]["rows"]:
            if row["objective"] == name:
                lines.append(f"  round {row['round']}, {row['annotator']}: {row['labels']} labels{_extra(row)}")
    lines += [f"{name}: {bias['text']}" for name, bias in found["judges"].items()]
    spent = found["spent"]
    lines += [f"cost: {spent['cost']:.4g}"] if spent["cost"] else []
    lines += [f"failed: {spent['failed']} calls, the last: {found['last_failure']}"] if spent["failed"] else []
    lines += [f"torn lines left out: {found['torn']}"] if found["torn"] else []
    return printable("\n".join(lines))


def _extra(row: Mapping[str, Any]) -> str:
    parts = [f"ties: {row['ties']}"] if row["ties"] else []
    parts += [f"skipped: {row['skipped']}"] if row["skipped"] else []
    return f" ({', '.join(parts)})" if parts else ""


def _check_objective(source: Source, objective: str | None) -> None:
    from pareto.config import suggest

    if objective is not None and objective not in source.objectives:
        raise ParetoError(
            f"'{source.name}' has no objective '{objective}'; {suggest(objective, list(source.objectives))}"
        )


def _import(source: Source, take: str, objective: str | None) -> None:
    from pareto.preferences.annotation.files import import_labels

    if objective is None:
        raise ParetoError(f"--import {take}: by which objective? --objective {'|'.join(source.objectives)}")
    done = import_labels(source.queue, take, objective)
    for problem in done.problems:
        say(printable(problem))
    say(f"{take}: {done.new} new labels of {done.found} comparisons")


def _ask_about(source: Source, run: Run, objective: str | None) -> None:
    """A plain run asks nothing by itself."""
    from pareto.preferences.annotation.questions import from_run

    if objective is None and len(source.objectives) > 1:
        raise ParetoError(f"nothing waits; by which objective? --objective {'|'.join(source.objectives)}")
    name = objective or source.objectives[0]
    # Other ones each time.
    new = source.queue.ask(from_run(run, name, seed=len(source.queue.questions)))
    say(f"{new} questions made from the run's measured answers")


# -- the session -----------------------------------------------------------------------------------------------------


def _session(source: Source, person: str, objective: str | None) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    again: Shown | None = None
    while (shown := again or source.queue.next(person, objective)) is not None:
        again = None
        _show(console, source, shown, objective)
        start = time.monotonic()
        key = _key()
        while key not in (*KEYS, "u", "q"):
            say("a: the first, b: the second, t: tie, s: skip, u: take my last answer back, q: quit")
            key = _key()
        if key == "q":
            return
        if key == "u":
            again = _take_back(source, person)
            again = again or shown
            continue
        milliseconds = round((time.monotonic() - start) * 1000)
        source.queue.record(shown.label(KEYS[key], person, milliseconds))
    say("nothing waits")


def _take_back(source: Source, person: str) -> Shown | None:
    """Undo the last answer and show its question again, on the same sides."""
    from pareto.preferences.annotation.shown import Shown

    taken = source.queue.undo(person)
    if taken is None:
        say("there is nothing to take back")
        return None
    say("your last answer is taken back")
    asked = (q for q in source.queue.questions if (q.key, q.round) == (taken.key, taken.round))
    return next((Shown(q, taken.swapped, repeated=False) for q in asked), None)


def _show(console: Console, source: Source, shown: Shown, objective: str | None) -> None:
    from rich.panel import Panel
    from rich.rule import Rule
    from rich.table import Table
    from rich.text import Text

    asked = [q for q in source.queue.questions if objective in (None, q.objective)]
    at = len(asked) - len(source.queue.waiting(objective=objective)) + (not shown.repeated)
    progress = "another person has answered it too" if shown.repeated else f"{at} of {len(asked)}"
    console.print()
    console.print(Rule(Text(f"{shown.question.objective} · {progress}")))
    console.print(Text(printable(shown.question.prompt), style="bold"))
    sides = [
        Panel(Text(printable(text)), title=title, title_align="left")
        for title, text in (("A", shown.left), ("B", shown.right))
    ]
    if console.width >= WIDE:
        table = Table.grid(expand=True, padding=(0, 1))
        table.add_column(ratio=1)
        table.add_column(ratio=1)
        table.add_row(*sides)
        console.print(table)
    else:
        console.print(*sides, sep="\n")
    asking = printable(source.criterion(shown.question.objective))
    console.print(Text(f"{asking}  [a] [b] [t]ie [s]kip [u]ndo [q]uit"))


def _key() -> str:
    """One key without Enter in a terminal; else the first letter of a line, ``q`` at the end of the input."""
    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        return line.strip()[:1].lower() if line else "q"
    import os
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    try:
        tty.setcbreak(number)
        pressed = os.read(number, 32)  # all of an arrow key's bytes, so that none counts as a letter
    finally:
        termios.tcsetattr(number, termios.TCSADRAIN, before)
    if pressed in (b"", b"\x04"):  # the terminal is gone, or ctrl-D
        return "q"
    return pressed.decode(errors="replace").lower() if len(pressed) == 1 else ""
