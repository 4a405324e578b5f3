"""A full disk in one clear line, whoever met it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pareto.errors import ParetoError


@contextmanager
def full_disk_told(path: Path) -> Iterator[None]:
    """Turn a full disk that the store, the log or a trainer's scratch folder met into one clear line."""
    try:
        yield
    except Exception as e:
        if not isinstance(e, ParetoError) and disk_is_full(e):
            raise ParetoError(f"disk is full: {path}; make room and give the same command again") from e
        raise


def disk_is_full(error: BaseException | None) -> bool:
    """Whether a full disk is behind an error; SQLite, Rust writers and the store tell it in their message."""
    while error is not None:
        if "disk is full" in str(error) or os.strerror(errno.ENOSPC) in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False
