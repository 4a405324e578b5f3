"""What a cluster is made to do in tests; nodes import it as ``engines.on_ray.tasks``."""

from __future__ import annotations

import os
from typing import Any

from pareto.engines import Progress


def surroundings(body: Any, place: Any, progress: Progress) -> Any:
    return {name: os.environ.get(name) for name in ("OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")}
