"""Engines: who carries the work.

A ``Work`` is a frozen specification, named by its hash; a task does it and leaves its result as artefacts of the same
name. An engine knows nothing of sweeps and keeps nothing: truth is the study and the artefacts, and what an engine
loses is submitted again.
"""

from pareto.engines.engine import Engine
from pareto.engines.inline import Inline
from pareto.engines.local import Local
from pareto.engines.watched import Watched
from pareto.engines.work import Beat, Ended, Node, Progress, Work

__all__ = ["Beat", "Ended", "Engine", "Inline", "Local", "Node", "Progress", "Watched", "Work"]
