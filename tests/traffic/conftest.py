"""A log that is closed whatever happens."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from traffic_on_disk import begun

from pareto.traffic.log import TrafficLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[TrafficLog]:
    with begun(tmp_path) as log:
        yield log
