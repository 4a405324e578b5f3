"""The engine that a recipe, or a command's options, ask for."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pareto import config
from pareto.engines.engine import Engine
from pareto.engines.inline import Inline


@contextmanager
def opened(asked: config.Engine, note: Callable[[str], None]) -> Iterator[Engine]:
    """Inside, the engine carries work; afterwards nothing of it runs any more.

    Args:
        asked: kind and size.
        note: told in a line of each piece of work that is begun anew.

    Raises:
        ParetoError: a cluster that does not answer or does not fit.
    """
    if asked.kind == "local" and asked.workers == 1:
        yield Inline()
        return
    from pareto.engines.watched import Watched

    engine: Engine
    if asked.kind == "local":
        from pareto.engines.local import Local

        engine = Local(asked.workers)
    else:
        from pareto.engines.on_ray.engine import RayEngine

        engine = RayEngine.connect(asked.address, cpus_per_work=asked.cpus, gpus_per_work=asked.gpus, say=note)
    watched = Watched(
        engine,
        asked.patience,
        retries=asked.retries,
        on_retry=lambda work, why: note(f"{work.label}: {why}; begun anew"),
    )
    try:
        yield watched
    finally:
        watched.close()
