"""What the commands share: options of the same name and meaning, and how they speak."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.errors import ParetoError

if TYPE_CHECKING:
    from pareto.watch import Watcher

Json = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Root = Annotated[Path, typer.Option("--root", help="Folder that holds the runs.")]
RunName = Annotated[str, typer.Argument(metavar="RUN", help="A run's name, or its folder.")]


def quiet() -> None:
    """Keep the libraries' progress bars and advice off the screen; warnings about our input stay."""
    import logging
    import os
    import warnings

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
    warnings.filterwarnings("ignore", category=FutureWarning)
    os.environ.setdefault("PYTHONWARNINGS", "ignore::FutureWarning")  # of worker processes
    logging.getLogger("optuna").setLevel(logging.WARNING)


def printable(text: str) -> str:
    """Model output on a terminal: no control characters but line breaks and tabs."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")


@contextmanager
def bars(silent: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A progress bar for each thing that is being done, with the time that is left."""
    from rich.console import Console
    from rich.progress import Progress, TaskID

    console = Console(stderr=True)
    tasks: dict[str, TaskID] = {}
    with Progress(console=console, transient=True, disable=silent or not console.is_terminal) as bar:

        def progress(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=None)
            bar.update(tasks[what], completed=done, total=total)

        yield progress


@contextmanager
def watching(names: Sequence[str], silent: bool) -> Iterator[Watcher]:
    """What shows a long job: one live screen, or notes alone; ``names``: of the objectives."""
    from pareto.watch import Screen, Silent

    if silent:
        yield Silent(say)
    else:
        with Screen(names) as screen:
            yield screen


def check_text(*texts: str) -> None:
    """Refuse text from the command line that is not UTF-8."""
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError as e:
            raise ParetoError(f"{text!a}: character {e.start + 1} is not UTF-8 text") from None


def say(text: str) -> None:
    """One line of what is going on, kept apart from results."""
    typer.echo(text, err=True)


def print_json(value: dict[str, Any]) -> None:
    """A command's result as one JSON object; NaN becomes null."""
    from pareto.store.files import to_json

    typer.echo(to_json(value))


def writable(path: Path | None, suffix: str, option: str) -> None:
    """Refuse a file that could not be written before the work for it is done."""
    if path and path.suffix != suffix:
        raise ParetoError(f"{option} {path}: the file must end in {suffix}")
    if path and not path.parent.is_dir():
        raise ParetoError(f"{option} {path}: no folder {path.parent}")
