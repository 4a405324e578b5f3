"""What engines are made to do in tests; worker processes import it as ``engines.tasks``."""

from __future__ import annotations

import math
import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from pareto.engines import Progress, Work
from pareto.errors import ParetoError

LOADED: list[int] = []
"""Stands for a model that a process loads once."""


def work(function: str, /, size: float = 1.0, place: Any = None, **body: Any) -> Work:
    """A work of a function of this file."""
    return Work(f"engines.tasks:{function}", body, place or {}, label=function, size=size)


def double(body: Any, place: Any, progress: Progress) -> Any:
    return {"double": 2 * body["n"], "pid": os.getpid()}


def same(body: Any, place: Any, progress: Progress) -> Any:
    return {"body": body, "place": place}


def sign(body: Any, place: Any, progress: Progress) -> Any:
    """Append a name to a file, in the order in which works run."""
    with open(place["file"], "a") as f:
        f.write(body["name"] + "\n")
    return {}


def wait_for(body: Any, place: Any, progress: Progress) -> Any:
    """Say that it began, report until a file is there."""
    Path(place["began"]).write_text(str(os.getpid()))
    count = 0
    while not Path(place["go"]).exists():
        count += 1
        progress(count, 100_000)
        time.sleep(0.01)
    return {"pid": os.getpid()}


def report(body: Any, place: Any, progress: Progress) -> Any:
    for k in range(body["times"]):
        progress(k + 1, body["times"])
        time.sleep(body["pause"])
    return {}


def load(body: Any, place: Any, progress: Progress) -> Any:
    if not LOADED:
        LOADED.append(body["n"])
    return {"first": LOADED[0]}


def talk(body: Any, place: Any, progress: Progress) -> Any:
    print("{}" * 1000)
    print("to stderr", file=sys.stderr)
    os.write(1, b"raw\n")
    return {"read": sys.stdin.read() if not sys.stdin.isatty() else ""}


def refuse(body: Any, place: Any, progress: Progress) -> Any:
    raise ParetoError("prompts.jsonl:3: no prompt; there must be one")


def err(body: Any, place: Any, progress: Progress) -> Any:
    raise ZeroDivisionError("two\nlines")


def exit(body: Any, place: Any, progress: Progress) -> Any:
    sys.exit(3)


def interrupt(body: Any, place: Any, progress: Progress) -> Any:
    raise KeyboardInterrupt


class OutOfMemoryError(RuntimeError):
    """As torch names its own."""


def exhaust(body: Any, place: Any, progress: Progress) -> Any:
    raise {
        "python": MemoryError(),
        "gpu": OutOfMemoryError("CUDA out of memory"),
        "cpu": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    }[body["where"]]


def die(body: Any, place: Any, progress: Progress) -> Any:
    os.kill(os.getpid(), signal.SIGKILL)


def vanish(body: Any, place: Any, progress: Progress) -> Any:
    os._exit(body["code"])


def shut(body: Any, place: Any, progress: Progress) -> Any:
    """Close whatever it finds open, and live on."""
    os.closerange(3, 256)
    time.sleep(100)


def fork(body: Any, place: Any, progress: Progress) -> Any:
    """Return in both processes."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    else:
        progress(1, 1)
    return {"pid": os.getpid()}


def leave_child(body: Any, place: Any, progress: Progress) -> Any:
    """Start a process that lives on, then do as told."""
    child = os.fork()
    if not child:
        time.sleep(100)
        os._exit(0)
    Path(place["child"]).write_text(str(child))
    if body["then"] == "die":
        os._exit(1)
    return {}


def leave_thread(body: Any, place: Any, progress: Progress) -> Any:
    """A thread that goes on reporting after the end."""

    def go_on() -> None:
        for _ in range(300):
            progress(1, 1)
            time.sleep(0.01)

    threading.Thread(target=go_on, daemon=True).start()
    return {}


def give(body: Any, place: Any, progress: Progress) -> Any:
    """Something that is not plain data, or looks odd as such."""
    return {
        "nan": {"x": math.nan, "y": (1, 2)},
        "infinity": {"x": math.inf},
        "object": {"x": object()},
        "list": [1],
        "none": None,
        "surrogate": {"x": "\ud800 \u2028 \n"},
        "large": {"x": "y" * 3_000_000},
    }[body["what"]]


def fail_to_say(body: Any, place: Any, progress: Progress) -> Any:
    class Mute(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    raise Mute


def threads(body: Any, place: Any, progress: Progress) -> Any:
    return {"OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}


def hang(body: Any, place: Any, progress: Progress) -> Any:
    """Hold the interpreter's lock in native code for good."""
    import re

    Path(place["began"]).write_text(str(os.getpid()))
    re.match(r"(a+)+$", "a" * 60 + "b")
