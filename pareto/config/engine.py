"""Who carries the work of a run: the section ``engine`` of a recipe. It says nothing of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from pareto.config.section import Section
from pareto.words import EngineKind


class Engine(Section):
    """Worker processes of this machine, or a Ray cluster. ``engine: ray`` stands for ``engine: {kind: ray}``."""

    kind: EngineKind = "local"
    workers: int = Field(1, ge=1)
    """Local only: worker processes; 1: this process does the work itself."""
    address: str = "auto"
    """Ray only: of the cluster's head, ``HOST:6379``; ``auto``: the one that this machine belongs to."""
    cpus: float = Field(1.0, gt=0)
    """Ray only: CPUs of one worker."""
    gpus: float = Field(0.0, ge=0)
    """Ray only: GPUs of one worker; a fraction shares one, a whole number has one training use them all."""
    processes: int = Field(1, ge=1)
    """Of one training, each with a part of every batch; with several GPUs at least as many as those."""
    share: str | None = None
    """Where artefacts travel, as fsspec names it (``s3://bucket/prefix``); ``None``: all see the run's folder."""
    patience: float = Field(900.0, gt=0)
    """Seconds without progress after which a piece of work is begun anew somewhere else."""
    retries: int = Field(2, ge=0)
    """Times that a piece of work is begun anew; then it has failed."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.gpus > 1 and self.gpus != int(self.gpus):
            raise ValueError(f"gpus: {self.gpus:g}: must be a part of one, or a whole number")
        return self

    @property
    def together(self) -> int:
        """Processes of one training."""
        return max(self.processes, int(self.gpus))

    @model_validator(mode="before")
    @classmethod
    def _by_its_kind(cls, data: Any) -> Any:
        return data if isinstance(data, Mapping) else {"kind": data}
