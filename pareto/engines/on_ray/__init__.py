"""Works on a Ray cluster; the only place that imports Ray, which is an extra."""

import importlib.util

from pareto.errors import ParetoError

if importlib.util.find_spec("ray") is None:
    raise ParetoError("a cluster needs Ray, which is not installed: pip install 'pareto[ray]'")

from pareto.engines.on_ray.engine import RayEngine

__all__ = ["RayEngine"]
