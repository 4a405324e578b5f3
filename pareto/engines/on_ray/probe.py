"""What a node says of itself. Sent to nodes as it is here, so that one with another pareto, or none, can answer too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pareto.engines.on_ray.versions import source, versions


def look(folder: str, known: str, own: str) -> dict[str, Any]:
    """Look at a node, on it.

    Args:
        folder: an address that fsspec knows, of a folder that is there.
        known: name of a file in it that the driver wrote; its content is its name.
        own: name of a file to write there in the same way.

    Returns:
        ``versions`` and ``source``: see there; ``time``: seconds by its clock; ``read`` and ``write``: what went wrong
        in reading the driver's file and in writing the own one, empty where nothing did.
    """
    import time

    def read() -> str:
        import fsspec

        with fsspec.open(f"{folder}/{known}", "r") as f:
            return "" if f.read() == known else "it has another content"

    def write() -> str:
        import fsspec

        with fsspec.open(f"{folder}/{own}", "w", auto_mkdir=False) as f:
            f.write(own)
        return ""

    now = time.time()
    return {"versions": versions(), "source": source(), "time": now, "read": _tried(read), "write": _tried(write)}


def nothing() -> None:
    """The shortest work."""


def _tried(action: Callable[[], str]) -> str:
    try:
        return action()
    # Whatever a file system raises, or that it is not installed.
    except Exception as e:
        return " ".join(f"{type(e).__name__}: {e}".split())
