"""A sweep on a cluster: the same artefacts as on one machine, also when a node dies in mid-trial."""

from __future__ import annotations

import json
import signal
from collections import Counter
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from forge import outcome, until

from pareto.bench.scale.faults.nodes import Cluster, family

pytestmark = pytest.mark.slow
SMOKE = "sweeps/smoke.yaml"


def words(cluster: Cluster, root: Path) -> tuple[str | Path, ...]:
    return ("sweep", SMOKE, "--engine", "ray", "--address", cluster.address, "--root", root, "--json")


def names(root: Path) -> set[str]:
    """What was made, by its names."""
    return {str(p.relative_to(root)) for p in (root / "smoke").glob("*/*")}


def carried(root: Path) -> Counter[int]:
    events = [json.loads(line) for line in (root / "smoke" / "log.jsonl").read_text().splitlines()]
    return Counter(e["trial"] for e in events if e["event"] == "trial")


def test_a_sweep_makes_what_one_process_makes_though_a_node_is_killed_in_mid_trial(cluster, forge, finished, tmp_path):
    node = cluster.add()
    sweep = forge.start(*words(cluster, tmp_path))
    until((tmp_path / "smoke" / "frame.json").exists, 400)
    for process in family(node):
        with suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    assert sweep.wait(600).json()["trials"] == 4
    cluster.remove(node)
    assert carried(tmp_path) == {0: 1, 1: 1, 2: 1, 3: 1}
    assert names(tmp_path) == names(finished)
    assert outcome(tmp_path) == outcome(finished)
