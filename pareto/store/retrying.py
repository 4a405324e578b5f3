"""A study's database that goes away for a while: what is worth another try, and how to try without doing it twice.

Safe to repeat as they are: every read, and setting an attribute to what it is set to already. An answer that is lost
leaves open whether the write before it was made, so these two need a look first (``StudyStore.ask`` and ``tell`` do
it): asking, where the trial may be in the study with nobody who knows of it; telling, where the trial may be finished
and the study refuses to hear of it again.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import sqlalchemy.exc

from pareto.errors import ParetoError

Answer = TypeVar("Answer")

PATIENCE = 120.0
"""Seconds for which a database that does not answer is tried again."""
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0
"""Seconds between two tries: doubled from the one to the other, and anything from half of it to all of it."""

# PostgreSQL's classes of errors that pass: connection, rollback (deadlock, serialization); then single ones: too many
# connections, a lock not to be had, the server shuts down, crashed, starts, or ended the session.
_PASSING = re.compile(r"08...|40...|53300|55P03|57P0[1235]|25P0[34]")
# A refused connection carries no code, whatever the reason: these will be refused again.
_FOR_GOOD = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry|does not exist|permission denied"
)

_AWAKING = re.compile(r"the database system is (starting up|shutting down|in recovery mode|not yet accepting)")


class Interrupted(Exception):
    """The database broke off: nobody knows whether it has committed what it was told."""


def transient(error: BaseException) -> bool:
    """Whether the database, and not what was asked of it, is the reason of an error, and may be well again soon."""
    return any(_passes(e) for e in _chain(error))


def awaking(error: BaseException) -> bool:
    """Whether a server answered that it is about to be there: an address that is wrong says no such thing."""
    return any(_AWAKING.search(str(e)) is not None for e in _chain(error))


def retrying(
    action: Callable[[], Answer],
    say: Callable[[str], object],
    patience: float = PATIENCE,
    found: Callable[[], Answer | None] = lambda: None,
) -> Answer:
    """Do something with the study's database, again and again while the database does not answer.

    Args:
        action: to be done; see this module for what is safe to repeat.
        say: told in one line when the first try fails, and when the database is back.
        patience: seconds, from the first failure.
        found: called before each repetition: what an earlier try has brought about whose answer was lost; ``None`` for
            nothing.

    Returns:
        What ``action`` returns, or ``found``.

    Raises:
        ParetoError: when the database does not answer for so long.
        Exception: any other error of ``action``, at once.
    """
    began, pause, first = 0.0, FIRST_PAUSE, True
    while True:
        try:
            answer = None if first else found()
            answer = action() if answer is None else answer
        except Exception as e:
            if not transient(e):
                raise
            now = time.monotonic()
            if first:
                began, first = now, False
                say(f"the study's database does not answer ({_reason(e)}); trying again for up to {patience:g} s")
            if now - began >= patience:
                raise ParetoError(
                    f"the study's database did not answer for {patience:g} s ({_reason(e)}); "
                    "nothing is lost: when it is back, start the same command again"
                ) from None
            time.sleep(min(pause * random.uniform(0.5, 1.0), patience - (now - began)))
            pause = min(2 * pause, LONGEST_PAUSE)
        else:
            if not first:
                say(f"the study's database answers again after {time.monotonic() - began:.1f} s")
            return answer


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what it was raised for; Optuna and the store put their own in front of the database's."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        # The store raises its one line `from None`: only there is the context the cause.
        seen = seen.__cause__ or (seen.__context__ if isinstance(seen, ParetoError) else None)


def _passes(error: BaseException) -> bool:
    if isinstance(error, Interrupted):
        return True
    if isinstance(error, sqlalchemy.exc.DBAPIError):
        if error.connection_invalidated:
            return True
        return error.orig is not None and _passes(error.orig)
    kinds = {(kind.__module__.partition(".")[0], kind.__name__) for kind in type(error).__mro__}
    if ("sqlite3", "OperationalError") in kinds:
        return "is locked" in str(error)
    code = getattr(error, "sqlstate", None)
    if code is not None:
        return ("psycopg", "Error") in kinds and _PASSING.fullmatch(code) is not None
    lost = {("psycopg", "OperationalError"), ("psycopg", "InterfaceError")} & kinds
    return bool(lost) and _FOR_GOOD.search(str(error)) is None


def _reason(error: BaseException) -> str:
    """The database's own words, in one line."""
    last = list(_chain(error))[-1]
    lines = str(getattr(last, "orig", None) or last).strip().splitlines()
    return lines[0].rstrip(".") if lines else type(last).__name__
