"""The process in which math-verify compares two answers: it may hang or run out of memory without hurting anybody.

Its connection, by descriptor, is the first argument: in comes ``[accepted, said, seconds]``, out goes
``[status, detail]``, both JSON. It ends when the other side closes the connection.
"""

from __future__ import annotations

import contextlib
import json
import logging
import re
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

from pareto.objectives.verifiers import confinement

MEMORY = 2 << 30
"""Address space, in bytes."""
_FUNCTIONS = re.compile(r"(?<![\\a-zA-Z])(sin|cos|tan|log|ln|exp|pi|sqrt)(?![a-zA-Z])")


def main() -> None:
    """Answer until nobody asks any more."""
    from math_verify import LatexExtractionConfig, parse, verify

    # It warns that its own time limits are off; they are signals that a thread could not use.
    logging.disable(logging.CRITICAL)
    connection = Connection(int(sys.argv[1]))
    confinement.limit(MEMORY)
    with contextlib.suppress(OSError):  # what math-verify reads is text, so the filter is a second wall here
        confinement.forbid()

    def read(text: str) -> Any:
        return parse(f"${_latex(text)}$", [LatexExtractionConfig()], fallback_mode="no_fallback", parsing_timeout=None)

    connection.send_bytes(b"ready")
    while True:
        try:
            accepted, said, seconds = json.loads(connection.recv_bytes())
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_REAL, seconds + 1)  # ends this process should the other have died
        try:
            gold, answer = read(accepted), read(said)
            if gold:
                right = bool(answer) and verify(gold, answer, timeout_seconds=None, raise_on_error=True)
                verdict = ("pass" if right else "fail", "")
            else:
                verdict = ("error", f"the accepted answer '{accepted}' is no mathematics that can be read")
        except Exception as e:
            verdict = ("error", f"{type(e).__name__}: {' '.join(str(e).split())}")
        signal.setitimer(signal.ITIMER_REAL, 0)
        connection.send_bytes(json.dumps(verdict).encode())


def _latex(text: str) -> str:
    """What people write without LaTeX, in it."""
    text = re.sub(r"sqrt\(([^()]*)\)", r"sqrt{\1}", text.replace("**", "^"))
    return _FUNCTIONS.sub(r"\\\1", text)


if __name__ == "__main__":
    main()
