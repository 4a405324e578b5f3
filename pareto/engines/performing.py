"""Do a work in this process, whatever its task does."""

from __future__ import annotations

import importlib
import json
import time
import traceback
from collections.abc import Mapping
from typing import Any, cast

from pareto.engines.work import Cause, Ended, Progress, Task, Work
from pareto.errors import ParetoError
from pareto.store.files import to_json

LONGEST = 500
"""Characters of an error's line."""


def perform(work: Work, progress: Progress, node: str) -> Ended:
    """Run the task of a work, as ``work_from`` gives it.

    Returns:
        Done or failed, whatever the task raises, ``SystemExit`` included.

    Raises:
        KeyboardInterrupt: whoever calls knows whether a person interrupted, or the task raised it.
    """
    began = time.monotonic()
    try:
        told = _plain(work.task, _task(work.task)(work.body, work.place, progress))
    except KeyboardInterrupt:
        raise
    except BaseException as e:
        return failed(work, e, node, time.monotonic() - began)
    return Ended(work.key, "done", told, node=node, seconds=time.monotonic() - began)


def failed(work: Work, error: BaseException, node: str, seconds: float) -> Ended:
    """The end of a work whose task raised an exception."""
    message = _message(error)
    cause = _cause(error, message)
    said = message if cause == "user" else f"{type(error).__name__}: {message}".removesuffix(": ")
    trace = "".join(traceback.format_exception(error)) if cause == "bug" else ""
    return Ended(work.key, "failed", {}, " ".join(said.split())[:LONGEST], cause, node, seconds, trace)


def _task(name: str) -> Task:
    module, _, function = name.partition(":")
    return cast(Task, getattr(importlib.import_module(module), function))


def _plain(task: str, told: Any) -> dict[str, Any]:
    if not isinstance(told, Mapping):
        raise TypeError(f"{task} returned no mapping but {type(told).__name__}")
    try:
        return cast(dict[str, Any], json.loads(to_json(dict(told))))
    except (TypeError, ValueError) as e:
        raise type(e)(f"{task} returned what is not plain data: {e}") from None


def _message(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:  # an exception of somebody's own
        return ""


def _cause(error: BaseException, message: str) -> Cause:
    if isinstance(error, ParetoError):
        return "user"
    # torch's own class, known by name as nothing heavy is imported here; on a CPU it raises a RuntimeError.
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"MemoryError", "OutOfMemoryError"} or "DefaultCPUAllocator" in message:
        return "memory"
    return "bug"
