"""``pareto cluster``: look at a Ray cluster before a sweep. Arguments and what is printed."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pareto.errors import ParetoError
from pareto.terminal import Json, Root, check_text, print_json, printable, say

if TYPE_CHECKING:
    from pareto.engines.on_ray.cluster import ClusterReport, NodeReport

cluster_app = typer.Typer(help="Many machines: a Ray cluster.", no_args_is_help=True, rich_markup_mode=None)


@cluster_app.callback()
def _group() -> None:
    """One command so far; it keeps its name."""


@cluster_app.command("check")
def check(
    address: Annotated[
        str,
        typer.Option("--address", metavar="HOST:PORT", help="The cluster's head; auto: the one this machine is in."),
    ] = "auto",
    share: Annotated[
        str | None,
        typer.Option("--share", metavar="URL", help="Where artefacts travel, such as s3://…; default: the root."),
    ] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Whether a sweep can run there: nodes, GPUs, versions, the shared folder, seconds to a first work."""
    check_text(address, str(root), share or "")
    from pareto.engines.on_ray.cluster import check as check_cluster

    report = check_cluster(address, share.rstrip("/") if share else _folder(root))
    problems = [problem for node in report.nodes for problem in node.problems]
    if as_json:
        print_json({**asdict(report), "problems": problems})
    else:
        typer.echo(printable(_text(report)))
    for line in [*problems, *(warning for node in report.nodes for warning in node.warnings)]:
        say(printable(line))
    if problems:
        raise typer.Exit(1)


def _folder(root: Path) -> str:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as e:
        raise ParetoError(f"--root {root}: {e.strerror}") from None
    return root.resolve().as_uri()


def _text(report: ClusterReport) -> str:
    header = ["node", "CPUs", "GPUs", "versions", "shared folder", "first work"]
    body = [_row(node, report.versions) for node in report.nodes]
    widths = [max(len(line[k]) for line in [header, *body]) for k in range(len(header))]
    lines = ["  ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) for line in [header, *body]]
    ours = ", ".join(f"{name} {version}" for name, version in report.versions.items())
    return "\n".join([line.rstrip() for line in lines] + ["", f"here: {ours}", f"shared folder: {report.folder}"])


def _row(node: NodeReport, ours: dict[str, str]) -> list[str]:
    software = "?" if not node.versions else "as here" if node.versions == ours else "differ"
    folder = "?" if not node.versions else "shared" if node.shares else "no"
    first = "?" if node.first_seconds is None else f"{node.first_seconds:.1f} s"
    return [node.name, f"{node.cpus:g}", f"{node.gpus:g} {node.gpu_kind}".strip(), software, folder, first]
