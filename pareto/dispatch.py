"""Work for a run's engine, and what came of it: what was made before is not made again."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from pareto.engines.engine import Engine
from pareto.engines.inline import Inline
from pareto.engines.watched import Watched
from pareto.engines.work import Beat, Ended, Work
from pareto.errors import ParetoError
from pareto.store.exchange import Exchange
from pareto.store.results import Result, read_result, result_name

LOOK = 0.5
"""Seconds between two looks at what is under way."""


class Dispatch:
    """One run's work on one engine."""

    def __init__(
        self,
        engine: Engine,
        exchange: Exchange,
        watch: Callable[[str, int, int], None],
        crew: Callable[[str], None],
        heard: Callable[[Mapping[str, Any], bool], None],
    ) -> None:
        """Begin.

        Args:
            engine: carries the work.
            exchange: between the run's folder here and those of the workers.
            watch: told of each work under way: its label, how much is done, and of how much.
            crew: told who works, in a line.
            heard: given what each work told, and whether it was done just now.
        """
        self.engine, self.exchange = engine, exchange
        self._watch, self._crew, self._heard = watch, crew, heard
        self._labels: dict[str, str] = {}
        if isinstance(engine, Inline):  # which says nothing else while it works
            engine.on_beat = self._beat

    def made(self, work: Work) -> Result | None:
        """What came of it in an earlier attempt, whoever made that."""
        found = read_result(self.exchange.run, work.key)
        if found is None and self.exchange.has(result_name(work.key)):
            found = self._fetched(work.key)
        if found is not None:
            self._heard(found.told, False)
        return found

    def submit(self, work: Work) -> None:
        """Give it to the engine."""
        self._labels[work.key] = work.label
        needs = list(work.place.get("needs", ()))
        self.exchange.push(needs)
        self.engine.submit(replace(work, place={**work.place, **self.exchange.place(needs)}))

    def wait(self) -> list[tuple[Ended, Result | None]]:
        """What has ended by now, with what it made where it is done; after ``LOOK`` seconds perhaps nothing."""
        ended = [(e, self._fetched(e.key) if e.outcome == "done" else None) for e in self.engine.wait(LOOK)]
        for _, result in ended:
            if result is not None:
                self._heard(result.told, True)
        for key, beat in self.engine.beats().items():
            self._beat(key, beat)
        for e, _ in ended:
            self._watch(self._labels.pop(e.key, ""), 1, 1)
        self._crew(crew_line(self.engine))
        return ended

    def _beat(self, key: str, beat: Beat) -> None:
        self._watch(self._labels.get(key, ""), beat.done, beat.total)

    def all(self, works: Sequence[Work], advance: Callable[[int], None] = lambda done: None) -> list[dict[str, Any]]:
        """Have them all done, as many at a time as there are slots; what each told, in order.

        Args:
            works: that need nothing of each other.
            advance: called with how many are done.

        Raises:
            ParetoError: one of them cannot be done; the others under way are stopped.
        """
        told: dict[str, dict[str, Any]] = {}
        asked = {work.key: work for work in works}
        waiting: dict[str, Work] = {}
        for key, work in asked.items():
            if (result := self.made(work)) is not None:
                told[key] = result.told
            else:
                waiting[key] = work
        advance(len(told))
        under_way: set[str] = set()
        try:
            for key, found in self._carried(waiting, under_way):
                told[key] = found.told
                advance(len(told))
        finally:
            for key in under_way:
                self.engine.cancel(key)
        return [told[work.key] for work in works]

    def _carried(self, waiting: dict[str, Work], under_way: set[str]) -> Iterator[tuple[str, Result]]:
        queue = sorted(waiting.values(), key=lambda work: -work.size)
        while queue or under_way:
            while queue and self.engine.capacity() > 0:
                work = queue.pop(0)
                under_way.add(work.key)
                if work.key not in self._labels:  # else it was begun before it was asked for
                    self.submit(work)
            for ended, result in self.wait():
                if ended.key not in under_way:  # begun for later
                    continue
                under_way.remove(ended.key)
                if result is None:
                    raise RuntimeError(ended.error) if ended.cause == "bug" else ParetoError(ended.error)
                yield ended.key, result

    def _fetched(self, key: str) -> Result:
        """A result and what it names, brought here.

        Raises:
            ParetoError: it is not there, or not whole, although its worker says that it is done.
        """
        self.exchange.pull([result_name(key)])
        found = read_result(self.exchange.run, key, check=False)
        if found is not None:
            self.exchange.pull(found.files)
            found = read_result(self.exchange.run, key)
        if found is None:
            raise ParetoError(
                f"{self.exchange.run}: a worker says that it has made {result_name(key)}, and it is not here: workers "
                "and this process do not see the same folder; see `pareto cluster check`"
            )
        return found


def crew_line(engine: Engine) -> str:
    """Who works, for people; empty where that is this process alone."""
    if isinstance(engine, Inline):
        return ""
    nodes = [node for node in engine.nodes() if node.alive]
    slots, busy = sum(node.slots for node in nodes), sum(node.busy for node in nodes)
    line = f"{len(nodes)} {'node' if len(nodes) == 1 else 'nodes'}, {busy} of {slots} slots at work"
    if isinstance(engine, Watched) and engine.retries:
        line += f"; {engine.retries} begun anew, {engine.wasted_seconds:.0f} s wasted"
    return line
