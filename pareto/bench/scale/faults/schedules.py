"""Random schedules of faults over a fast sweep, and what its history says afterwards.

Real processes are killed and stopped, a real PostgreSQL crashes, a real disk is full. The same seed gives the same
schedule; at which instruction a fault strikes is chance.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

from pareto.bench.scale.faults.database import Server
from pareto.bench.scale.faults.disturbed import Disturbed, Fault
from pareto.bench.scale.faults.fast import Order

FAULTS: tuple[Fault, ...] = get_args(Fault)
DISK = 4
"""Mebibytes of the disk that becomes full."""


@dataclass(frozen=True)
class Survived:
    """How a sweep ended after a schedule."""

    seed: int
    faults: list[str]
    """That struck, in order."""
    lost: list[str]
    """See ``History.lost``."""
    twice: list[str]
    """See ``History.twice``."""
    left: int
    """See ``Disturbed.left``."""
    seconds: float


def survive(seeds: Sequence[int], say: Callable[[str], None], faults: int = 3) -> list[Survived]:
    """Try schedules, on a PostgreSQL of their own.

    Args:
        seeds: of the schedules.
        say: told of each.
        faults: of each schedule.

    Raises:
        ParetoError: a sweep does not come to its end; there is no PostgreSQL.
    """
    found = []
    with Server() as server:
        for seed in seeds:
            found.append(_survive(seed, server, faults))
            say(f"schedule {seed}: {', '.join(found[-1].faults)}; {found[-1].seconds:.0f} s")
    return found


def _survive(seed: int, server: Server, faults: int) -> Survived:
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, small_disk(Path(folder) / "disk") as small:
        known = [fault for fault in FAULTS if small or fault != "full disk"]
        order = Order(folder, server.database(f"faults-{uuid.uuid4().hex[:12]}"), trials=5 + faults)
        moments = sorted(chance.sample(range(order.trials), faults))
        schedule = [(moment, chance.uniform(0, 0.5), chance.choice(known)) for moment in moments]
        with Disturbed(Path(folder) / "disk", order) as sweep:
            for moment, later, fault in schedule:
                if not sweep.reach(moment, later):
                    break
                sweep.suffer(fault, chance, server)
            sweep.end()
            return Survived(
                seed,
                sweep.suffered,
                sweep.history.lost(),
                sweep.history.twice(),
                sweep.left(),
                time.monotonic() - sweep.began,
            )


@contextmanager
def small_disk(path: Path) -> Iterator[bool]:
    """A folder, inside on a disk of its own of ``DISK`` mebibytes where this process may mount one."""
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}m", "tmpfs", str(path)]
    try:
        small = sys.platform == "linux" and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        small = False
    try:
        yield small
    finally:
        if small:
            # What was killed may not be gone yet.
            subprocess.run(["umount", "--lazy", str(path)], check=True)
