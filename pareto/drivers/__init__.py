"""Drivers: who proposes the next weights.

The study is the only state. A driver reads it at each `Driver.ask` and keeps nothing that it could not
read again, so a killed process that starts anew, or a second worker, goes on with the same sequence.
Callers hold a lock on the study around `Driver.ask`.
"""

from pareto.drivers.budget import Driver, make
from pareto.drivers.trials import proposal, tell

__all__ = ["Driver", "make", "proposal", "tell"]
