"""What runs in the sandbox's process: take limits, run the code, then the tests, and report.

``sandbox`` says what is defended against whom. The order here is part of it: a test is read when it is its turn, the
token that makes a report valid when all have run. And whatever the code could have replaced is put back before it is
relied on.
"""

from __future__ import annotations

import builtins
import json
import os
import sys
from types import ModuleType, TracebackType

from pareto.objectives.verifiers import confinement

CODE, TESTS = "<code>", "<tests>"
TOKEN = 64
"""Bytes of the token."""
LONGEST = 300
"""Characters of a detail."""


def main() -> None:
    """Answer the request on standard input with a report on standard output.

    The request: a header of so many bytes as the first argument says, the code, the tests, the token.
    """
    request, report = os.dup(0), os.dup(1)
    start = int(sys.argv[1])
    asked = json.loads(os.pread(request, start, 0))
    size, units = asked["code"], tuple((n, line, counts) for n, line, counts in asked["units"])
    nothing = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nothing, descriptor)
    refused = _confine(asked["memory"], asked["seconds"], unconfined=asked["unconfined"])
    space = _alone().__dict__
    # Taken hold of before the code can replace them; tuples, since frames show it these variables.
    leave, write, read, parse, execute = os._exit, os.write, os.pread, compile, exec
    anything, untraced = BaseException, (sys.settrace, sys.setprofile)
    put_back = ((builtins.__dict__.update, (*builtins.__dict__.items(),)), (globals().update, (*globals().items(),)))

    def step(source: bytes, name: str) -> BaseException | None:
        try:
            execute(parse(source, name, "exec", dont_inherit=True), space)
            return None
        except anything as e:
            return e
        finally:
            for trace in untraced:
                trace(None)
            for update, items in put_back:
                update(items)

    def tell(status: str, detail: str, passed: int = 0) -> None:
        token = read(request, TOKEN, end)
        write(report, b"\0".join([token, status.encode(), b"%d" % passed, detail.encode("utf-8", "replace")]))
        leave(0)

    end = start + size + sum(n for n, _, _ in units)
    if refused:
        tell("refused", refused)
    error = step(read(request, size, start), CODE)
    if error is not None:
        tell("fail" if isinstance(error, AssertionError) else "error", _told(error, CODE))
    sys.setrecursionlimit(1000)
    first, passed, at = "", 0, start + size
    for length, line, counts in units:
        error = step(read(request, length, at), TESTS)
        if error is None:
            passed += counts
        else:
            first = first or _told(error, TESTS, line)
        at += length
    tell("fail" if first else "pass", first, passed)


def _confine(memory: int, seconds: int, *, unconfined: bool) -> str:
    """Why the kernel would not have it; empty where it has."""
    try:
        confinement.die_with_parent()
        confinement.limit(memory)
        confinement.limit_cpu(seconds)
        if not unconfined:
            confinement.forbid()
    except (OSError, AttributeError, ValueError) as e:  # the latter two: no Linux
        return str(e)
    return ""


def _alone() -> ModuleType:
    """The module in which the code runs; nothing of this package can be imported from it."""
    solution = ModuleType("solution")
    for name in [n for n in sys.modules if n.partition(".")[0] == "pareto"]:
        del sys.modules[name]
    sys.modules["__main__"] = sys.modules["solution"] = solution
    home = os.environ["PYTHONPATH"].split(os.pathsep)
    sys.path[:] = [p for p in sys.path if p not in home]
    os.environ.clear()
    sys.argv = ["solution"]
    return solution


def _told(error: BaseException, where: str, start: int = 1) -> str:
    """One line: what was raised, and at which line of the code or the tests, of which a part starts at ``start``."""
    try:
        said = " ".join(str(error).split())
    except BaseException:  # the error is of the code's making
        said = ""
    name = type(error).__name__
    line = error.lineno if isinstance(error, SyntaxError) else _line(error.__traceback__, where)
    told = f"{name}: {said}" if said else name
    return f"{where[1:-1]}, line {start + line - 1}: {told}"[:LONGEST] if line else told[:LONGEST]


def _line(trace: TracebackType | None, where: str) -> int | None:
    found = None
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == where:
            found = trace.tb_lineno
        trace = trace.tb_next
    return found


if __name__ == "__main__":
    main()
