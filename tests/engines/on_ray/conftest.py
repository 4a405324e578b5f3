from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from pareto.bench.scale.faults.nodes import Cluster

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    assert sys.platform == "linux"
    with closing(Cluster(folders=[ROOT, ROOT / "tests"])) as cluster:
        yield cluster
