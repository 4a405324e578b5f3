"""Words that recipes and commands share. Imports nothing, so that `pareto --help` need not read the schema."""

from __future__ import annotations

from typing import Literal

Aggregation = Literal["mean", "min", "lcb", "uwo"]
"""How an ensemble's members become one reward."""
Choosing = Literal["random", "disagreement", "infogain"]
"""How the completions to be labelled are chosen."""
EngineKind = Literal["local", "ray"]
"""Who carries the work: processes of this machine, or a Ray cluster."""
