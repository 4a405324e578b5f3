"""Join a cluster as its driver, and leave it: whatever the cluster does, this process does not hang."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

from pareto.errors import ParetoError

os.environ |= {
    # Nothing is told to Ray's makers.
    "RAY_USAGE_STATS_ENABLED": "0",
    # The core's own lines go to the terminal of whoever started us, also while it waits for a head that is gone.
    "RAY_BACKEND_LOG_LEVEL": os.environ.get("RAY_BACKEND_LOG_LEVEL", "fatal"),
    # Without a head this very process would be ended after a minute, without a word; the table of nodes says it.
    "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",
    # Workers run in the environment of their node, which the check of versions looks at, not in one that is made anew.
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    # A work without GPUs sees none: Ray's coming default, which it else announces at each start.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
}

import ray
import ray._private.worker as ray_worker

REACH, JOIN, LEAVE = 5.0, 15.0, 5.0
"""Seconds in which the port must answer, the cluster must take us in, and it must let us go."""
T = TypeVar("T")


@contextmanager
def joined(address: str) -> Iterator[None]:
    """Be a driver of the cluster at ``HOST:PORT``, or at ``auto``: the one that this machine belongs to.

    Raises:
        ParetoError: nothing answers there, or what does is no cluster that this machine and this Python belong to.
    """
    join(address)
    try:
        yield
    finally:
        leave()


def join(address: str) -> None:
    """See ``joined``."""
    if ray.is_initialized():
        raise RuntimeError("this process is a driver already")
    if address != "auto":
        _reach(address)
    # What happens in the cluster would be printed on stdout, where a command's result goes; log_to_driver is not asked.
    ray_worker.print_to_stdstream = lambda *args, **kwargs: None
    try:
        with _mute():
            in_time(JOIN, lambda: ray.init(address=address, log_to_driver=False, logging_level=logging.CRITICAL))
    except TimeoutError:
        raise ParetoError(
            f"{address} takes connections, but no Ray cluster answered within {JOIN:g} s; "
            "the address is the one that `ray start --head` printed"
        ) from None
    # Whatever Ray raises: the head is gone again, this machine is no node, another Python, another Ray.
    except Exception as e:
        said = " ".join(str(e).split()).rstrip(".;")[:300]
        raise ParetoError(
            f"--address {address}: Ray does not take us in: {said}; a driver runs on one of its nodes "
            "(`ray start --address HOST:PORT --num-cpus 0` makes this machine one) with the same Python and Ray"
        ) from None


def leave() -> None:
    """Be a driver no more; actors and tasks of this process end."""
    with suppress(TimeoutError):
        in_time(LEAVE, ray.shutdown)


def in_time(seconds: float, action: Callable[[], T]) -> T:
    """Call something that may never return.

    Raises:
        TimeoutError: it did not in time; it is left behind in a thread that does not keep the process alive.
    """
    told: list[Any] = []

    def act() -> None:
        try:
            told.extend([action(), None])
        except BaseException as e:
            told.extend([None, e])

    thread = threading.Thread(target=act, daemon=True)
    thread.start()
    thread.join(seconds)
    if len(told) < 2:
        raise TimeoutError
    value, error = told
    if error is not None:
        raise error
    return value  # type: ignore[no-any-return]


def _reach(address: str) -> None:
    """Ray itself would try for minutes."""
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535 or "/" in host:
        raise ParetoError(f"--address {address}: must be HOST:PORT of the cluster's head, such as 10.0.0.1:6379")
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=REACH).close()
    except (OSError, UnicodeError) as e:
        why = e.strerror if isinstance(e, OSError) and e.strerror else "no answer"
        raise ParetoError(f"no Ray cluster at {address}: {why}; `ray start --head` starts one") from None


@contextmanager
def _mute() -> Iterator[None]:
    """Until its settings are read the core writes to stderr itself, past Python."""
    sys.stderr.flush()
    kept = os.dup(2)
    try:
        with open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
