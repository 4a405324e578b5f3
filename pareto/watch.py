"""What a long job says of itself while it runs: a live screen on a terminal, nothing in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from pareto.records import Point


class Watcher(Protocol):
    """Told of the progress of a sweep."""

    def phase(self, name: str, total: int) -> None:
        """A phase begins."""

    def advance(self, name: str, done: int) -> None:
        """So much of the phase is done."""

    def inner(self, name: str, done: int, total: int) -> None:
        """Progress of a piece of work inside a phase; there may be several at a time."""

    def crew(self, text: str) -> None:
        """Who works now, in a line."""

    def trial(self, point: Point) -> None:
        """A point was measured."""

    def hypervolume(self, value: float) -> None:
        """The hypervolume on validation so far, in units of the base policy's standard deviations."""

    def note(self, text: str) -> None:
        """Something that the user should see."""


class Clock:
    """Times the phases of a job and passes their progress on."""

    def __init__(self, watch: Watcher, log: Callable[..., None]) -> None:
        self.watch, self.log = watch, log
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int = 1) -> Iterator[Callable[[int], None]]:
        """Time a phase and show its progress; what runs in ``inner`` meanwhile is counted there."""
        began = time.monotonic()
        counted = sum(self.seconds.values())
        self.watch.phase(name, total)
        yield lambda done: self.watch.advance(name, done)
        self.watch.advance(name, total)
        # What workers of other processes did meanwhile may be more than the time that went by.
        spent = max(0.0, time.monotonic() - began - (sum(self.seconds.values()) - counted))
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        self.log("phase", name=name, seconds=round(spent, 2))

    @contextmanager
    def inner(self, verb: str, name: str) -> Iterator[Callable[[int, int], None]]:
        """Time work inside a phase, by its verb, and show its progress."""
        began = time.monotonic()
        yield lambda done, total: self.watch.inner(f"{verb} {name}", done, total)
        self.seconds[verb] = self.seconds.get(verb, 0.0) + time.monotonic() - began


class Silent:
    """Says nothing but notes, which go to ``say``."""

    def __init__(self, say: Any = None) -> None:
        self.say = say

    def phase(self, name: str, total: int) -> None:
        """Nothing."""

    def advance(self, name: str, done: int) -> None:
        """Nothing."""

    def inner(self, name: str, done: int, total: int) -> None:
        """Nothing."""

    def crew(self, text: str) -> None:
        """Nothing."""

    def trial(self, point: Point) -> None:
        """Nothing."""

    def hypervolume(self, value: float) -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Pass it on."""
        if self.say:
            self.say(text)


class Screen:
    """One live screen: phases with their remaining time, trials with their objectives, the hypervolume.

    Where the output is no terminal, one line per phase and per trial.
    """

    def __init__(self, names: Sequence[str]) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self.names = list(names)
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description:34}"),
            BarColumn(24),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=self.console,
        )
        self.tasks: dict[str, Any] = {}
        self.began: dict[str, float] = {}
        self.points: list[Point] = []
        self.history: list[float] = []
        self.working = ""
        self.live = Live(get_renderable=self._render, console=self.console, refresh_per_second=4, transient=False)

    def __enter__(self) -> Screen:
        if self.console.is_terminal:
            self.live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.console.is_terminal:
            self.live.stop()

    def phase(self, name: str, total: int) -> None:
        """A new bar."""
        self._drop_inner()
        self.tasks[name] = self.bars.add_task(name, total=total)
        self.began[name] = time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{name} …", highlight=False)

    def advance(self, name: str, done: int) -> None:
        """Move the bar."""
        task = self.tasks[name]
        self.bars.update(task, completed=done)
        if self.bars.tasks[self.bars.task_ids.index(task)].finished:
            self._drop_inner()

    def inner(self, name: str, done: int, total: int) -> None:
        """One more bar beneath, for as long as it runs."""
        label = f"  {name}"
        if done >= total:
            if label in self.tasks:
                self.bars.remove_task(self.tasks.pop(label))
            return
        if label not in self.tasks:
            self.tasks[label] = self.bars.add_task(label, total=total)
        self.bars.update(self.tasks[label], completed=done, total=total)

    def crew(self, text: str) -> None:
        """The line beneath the bars."""
        self.working = text

    def trial(self, point: Point) -> None:
        """A row of the table."""
        self.points = [p for p in self.points if p.id != point.id] + [point]
        if not self.console.is_terminal:
            self.console.print(f"  {point.id:18} {self._values(point)}", highlight=False, soft_wrap=True)

    def hypervolume(self, value: float) -> None:
        """One more value of the curve."""
        self.history.append(value)

    def note(self, text: str) -> None:
        """A line above the screen."""
        self.console.print(text, style="yellow", markup=False, highlight=False, soft_wrap=True)

    def _drop_inner(self) -> None:
        for label in [n for n in self.tasks if n.startswith("  ")]:
            self.bars.remove_task(self.tasks.pop(label))

    def _values(self, point: Point) -> str:
        values = "  ".join(f"{n} {point.mean[n]:.3f}" for n in self.names)
        return f"{values}  kl {point.kl:.3f}"

    def _render(self) -> Any:
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        table.add_column("point (validation)")
        for name in [*self.names, "kl"]:
            table.add_column(name, justify="right")
        for p in self.points[-16:]:
            table.add_row(p.id, *(f"{p.mean[n]:.3f} ±{p.se[n]:.3f}" for n in self.names), f"{p.kl:.3f}")
        parts: list[Any] = [self.bars]
        if self.working:
            parts.append(Text(self.working, style="dim"))
        if self.points:
            parts += [Text(""), table]
        if self.history:
            curve = spark(self.history)
            parts.append(Text(f"\nhypervolume {self.history[-1]:.3f}  {curve}"))
        return Group(*parts)


def spark(values: Sequence[float]) -> str:
    """A curve of one line of blocks."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join("▁▂▃▄▅▆▇█"[round(7 * (v - low) / span)] for v in values)
