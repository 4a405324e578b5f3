from __future__ import annotations

import json
import re
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import fsspec
import pytest
from typer.testing import CliRunner

from pareto.bench.scale.faults.nodes import Cluster
from pareto.cluster_command import cluster_app
from pareto.engines.on_ray import cluster as looking
from pareto.engines.on_ray import versions
from pareto.engines.on_ray.cluster import check
from pareto.errors import ParetoError

pytestmark = pytest.mark.slow


def run(*arguments: str) -> Any:
    return CliRunner().invoke(cluster_app, ["check", *arguments])


def test_a_good_cluster_has_no_problems(cluster: Cluster, tmp_path: Path) -> None:
    root = tmp_path / "runs"
    ended = run("--address", cluster.address, "--root", str(root), "--json")
    assert ended.exit_code == 0, ended.output
    told = json.loads(ended.stdout)
    assert (told["problems"], told["folder"]) == ([], f"file://{root}")
    assert sorted((node["cpus"], node["gpus"]) for node in told["nodes"]) == [(0, 0), (1, 0), (1, 0)]
    for node in told["nodes"]:
        assert node["shares"]
        assert node["versions"] == told["versions"]
        assert 0 < node["first_seconds"] < 30
        assert node["skew_seconds"] == 0
    assert list(root.iterdir()) == []


def test_the_table_shows_every_node_and_each_problem_is_a_line(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Our clock and our optuna alone are others, so that theirs differ.
    moved = type("moved", (), {"time": staticmethod(lambda: time.time() - 100), "monotonic": time.monotonic})
    monkeypatch.setattr(looking, "time", moved)
    ours = versions.versions() | {"optuna": "4.9.9"}
    monkeypatch.setattr(looking.versions, "versions", lambda: ours)
    ended = run("--address", cluster.address, "--share", "memory://pareto-check")
    assert ended.exit_code == 1
    header, *rows = ended.stdout.split("\n\n")[0].splitlines()
    assert re.split("  +", header) == ["node", "CPUs", "GPUs", "versions", "shared folder", "first work"]
    assert sorted(re.split("  +", row)[1:5] for row in rows) == [
        ["0", "0", "differ", "no"],
        ["1", "0", "differ", "no"],
        ["1", "0", "differ", "no"],
    ]
    lines = [re.sub("^node [^ :]+", "node N", line) for line in ended.stderr.splitlines()]
    assert lines.count(f"node N is refused: optuna {version('optuna')} there, 4.9.9 here") == 3
    assert lines.count("node N: memory://pareto-check is not shared: what the node wrote is not here") == 3
    assert sum("is not shared: what this machine wrote is not there (FileNotFoundError" in line for line in lines) == 3
    # A node that took its time may be less ahead, as far as can be seen.
    clock = re.compile(r"node N: its clock is at least (100|[89]\d) s ahead; nothing depends on clocks")
    assert sum(bool(clock.fullmatch(line)) for line in lines) == 3
    assert len(lines) == 12
    assert fsspec.filesystem("memory").find("/pareto-check") == []


def test_a_folder_that_cannot_be_written_here_is_one_line(tmp_path: Path) -> None:
    for folder in (f"file://{tmp_path}/missing", "nosuch://x", f"file://{tmp_path}/\0"):
        with pytest.raises(ParetoError, match=r"^[^\n]*: cannot be written from here: [^\n]*$"):
            check("127.0.0.1:1", folder)


def test_nothing_is_left_where_there_is_no_cluster() -> None:
    with pytest.raises(ParetoError, match=r"no Ray cluster at 127.0.0.1:1: Connection refused"):
        check("127.0.0.1:1", "memory://left")
    assert fsspec.filesystem("memory").find("/left") == []
