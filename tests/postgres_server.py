"""A throw-away PostgreSQL server that a test can stop, kill and start again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pytest


class Server:
    """A server of its own, stopped and removed on leaving.

    Over TCP a role named ``locked`` must give its password (``scram-sha-256``); all others are trusted.
    """

    url: str
    """Address of its database ``postgres``, superuser ``postgres``, no password."""

    def __init__(self, *settings: str):
        self._binaries = _binaries()
        # Not pytest's own temporary folder: the server refuses to run as root, and only root may read that one.
        self._home = Path(tempfile.mkdtemp(prefix="pg-"))
        self._data, self._log = self._home / "data", self._home / "log"
        self._owner: dict[str, Any] = {}
        if os.geteuid() == 0:
            shutil.chown(self._home, "postgres", "postgres")
            self._owner = {"user": "postgres", "group": "postgres", "extra_groups": []}
        self._call("initdb", "-D", str(self._data), "-U", "postgres", "--auth=trust", "--no-sync", "-E", "UTF8",
                   "--locale=C")  # fmt: skip
        access = self._data / "pg_hba.conf"
        access.write_text("host all locked 127.0.0.1/32 scram-sha-256\n" + access.read_text())
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            port = s.getsockname()[1]
        places = ("listen_addresses=127.0.0.1", f"unix_socket_directories={self._home}", *settings)
        self._options = f"-p {port} " + " ".join(f"-c {setting}" for setting in places)
        self.url = f"postgresql://postgres@127.0.0.1:{port}/postgres"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if (self._data / "postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._home)

    def start(self) -> None:
        """Returns when it takes connections."""
        self._call("pg_ctl", "-D", str(self._data), "-l", str(self._log), "-o", self._options, "-w", "start")

    def stop(self, mode: Literal["smart", "fast", "immediate"]) -> None:
        """``immediate`` is a crash: the next start recovers what was committed."""
        self._call("pg_ctl", "-D", str(self._data), "-m", mode, "-w", "stop")

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [self._binaries / program, *arguments],
            cwd=self._home,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self._owner,
        )
        if done.returncode:
            told = done.stdout.decode() + (self._log.read_text() if self._log.exists() else "")
            pytest.fail(f"{program} failed:\n{told}", pytrace=False)


def _binaries() -> Path:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("pg_ctl")
    found = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in reversed(found):
        if (folder / "initdb").exists():
            return folder
    pytest.fail("these tests need a PostgreSQL server: apt-get install postgresql", pytrace=False)
