"""Options of the commands that have work carried, and the engine that they ask for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.words import EngineKind

if TYPE_CHECKING:
    from pareto import config

Kind = Annotated[
    EngineKind | None,
    typer.Option("--engine", help="Who carries the work: processes of this machine, or a Ray cluster."),
]
Workers = Annotated[
    int | None,
    typer.Option("--workers", min=1, metavar="N", help="Worker processes of this machine; 1: this process itself."),
]
Address = Annotated[
    str | None, typer.Option("--address", metavar="HOST:PORT", help="Of the Ray cluster; default: this machine's.")
]
Share = Annotated[
    str | None,
    typer.Option(
        "--share", metavar="URL", help="Where artefacts travel, such as s3://bucket/prefix; default: the run's folder."
    ),
]


def engine_asked(
    section: config.Engine, kind: str | None, workers: int | None, address: str | None, share: str | None
) -> config.Engine:
    """A recipe's section ``engine`` with what a command's options say instead."""
    asked: dict[str, Any] = {"kind": kind, "workers": workers, "address": address, "share": share}
    return section.model_copy(update={name: value for name, value in asked.items() if value is not None})
