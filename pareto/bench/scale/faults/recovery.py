"""How long a sweep takes to go on after a driver or a node was killed in its middle."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, get_args

import psutil

from pareto.bench.scale.faults.disturbed import Disturbed
from pareto.bench.scale.faults.fast import Order, Step
from pareto.bench.scale.faults.nodes import Cluster, family
from pareto.store.files import read_json

SOURCE = Path(__file__).parents[4]
"""Where nodes find this very package."""
LONG = 2000
"""Steps of a training that is still under way after five kills."""


@dataclass(frozen=True)
class Recovered:
    """How a sweep went on."""

    killed: str
    """What, and when."""
    seconds: float
    """From the kill to the next thing that was done for the sweep."""
    first_trial: float | None = None
    """Seconds from the start of the sweep's first driver to its first training; of drivers."""
    behind: int = 0
    """Steps from the last checkpoint back to where the training went on; with 0 less than ``EVERY`` steps are lost."""
    lost: tuple[str, ...] = ()
    """See ``History.lost``; this and the next two are told of the last kill in a sweep."""
    twice: tuple[str, ...] = ()
    """See ``History.twice``."""
    left: int = 0
    """See ``Disturbed.left``."""


@contextmanager
def cluster(nodes: int) -> Iterator[Cluster | None]:
    """Nodes on this machine; None where Ray is not installed."""
    if find_spec("ray") is None:
        yield None
        return
    with closing(Cluster(nodes, [SOURCE])) as made:
        yield made


def driver_deaths(
    made: Cluster | None, say: Callable[[str], None], steps: Sequence[Step] = get_args(Step)
) -> list[Recovered]:
    """Kill a driver at each of its steps and while it recovers; each time in a sweep of its own, which then ends.

    Args:
        made: who does the work; None: two processes of this machine.
        say: told of each.
        steps: at which it dies.

    Raises:
        ParetoError: a sweep does not come to its end.
    """
    found = []
    for step in steps:
        found.append(_driver_died(made, step, in_recovery=False))
        say(f"{found[-1].killed}: {found[-1].seconds:.1f} s")
    found.append(_driver_died(made, "submit", in_recovery=True))
    say(f"{found[-1].killed}: {found[-1].seconds:.1f} s")
    return found


def _driver_died(made: Cluster | None, step: Step, *, in_recovery: bool) -> Recovered:
    with tempfile.TemporaryDirectory() as folder:
        order, began = _on(made, Order(folder, die_at=step, die_after=3)), time.time()
        with Disturbed(Path(folder) / "runs", order) as sweep:
            sweep.until(sweep.killed)
            if in_recovery:
                sweep.start(die_at="ask", die_after=0)
                sweep.until(sweep.killed)
            killed, before = time.time(), {line["pid"] for line in sweep.history.lines()}
            sweep.start(die_at=None)
            sweep.end()
            first = min(line["at"] for line in sweep.history.lines() if line["pid"] not in before)
            name = f"driver ({order.kind}) at {'ask, in recovery' if in_recovery else step}"
            return _at_the_end(sweep, Recovered(name, first - killed, sweep.history.lines("begun")[0]["at"] - began))


def worker_deaths(made: Cluster | None, times: int, say: Callable[[str], None], steps: int = LONG) -> list[Recovered]:
    """Kill what trains in the middle of it, again and again, in one sweep that then ends.

    Args:
        made: whose node, with every process of it, is killed and replaced; a slot stands idle. None: a worker process
            of this machine.
        times: at most, as long as something is being trained.
        say: told of each.
        steps: of each of the trainings.

    Raises:
        ParetoError: the sweep does not come to its end.
    """
    found: list[Recovered] = []
    with tempfile.TemporaryDirectory() as folder:
        order = _on(made, Order(folder, trials=3, steps=steps, patience=30.0, workers=3))
        with Disturbed(Path(folder) / "runs", order) as sweep:
            sweep.until(lambda: len(sweep.history.lines("begun")) >= order.trials)
            while len(found) < times:
                time.sleep(0.5)  # so that there are checkpoints
                ended = {line["key"] for line in sweep.history.lines("ended")}
                training = [line for line in sweep.history.lines("begun") if line["key"] not in ended]
                if not training:
                    break
                found.append(_worker_died(sweep, training[0]["key"], made))
                say(f"{found[-1].killed}: {found[-1].seconds:.1f} s")
            sweep.end()
            return [*found[:-1], _at_the_end(sweep, found[-1])]


def _on(made: Cluster | None, order: Order) -> Order:
    return replace(order, kind="ray", address=made.address, workers=len(made.nodes())) if made else order


def _at_the_end(sweep: Disturbed, last: Recovered) -> Recovered:
    """With what is found at the sweep's end."""
    return replace(last, lost=tuple(sweep.history.lost()), twice=tuple(sweep.history.twice()), left=sweep.left())


def _worker_died(sweep: Disturbed, key: str, made: Cluster | None) -> Recovered:
    def begun() -> list[dict[str, Any]]:
        return [line for line in sweep.history.lines("begun") if line["key"] == key]

    before = begun()
    node = made and next(n for n in made.nodes() if before[-1]["pid"] in {p.pid for p in family(n)})
    for process in family(node) if node else [psutil.Process(before[-1]["pid"])]:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    killed = time.time()
    checkpoint = int(read_json(sweep.history.run / "checkpoints" / f"{key}.json")["step"])
    sweep.until(lambda: len(begun()) > len(before))
    again = begun()[-1]
    if made:
        made.remove(node)
        made.add()
    return Recovered(
        "node (ray)" if made else "worker (local)",
        again["at"] - killed,
        behind=max(0, checkpoint - again["step"]),
    )
