"""A throw-away PostgreSQL server that can be stopped, killed and started again."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from pareto.errors import ParetoError


class Server:
    """A server of its own, stopped and removed on leaving.

    Over TCP a role named ``locked`` must give its password (``scram-sha-256``); all others are trusted.

    Args:
        settings: ``name=value`` of the server's, such as ``fsync=off``.

    Raises:
        ParetoError: there is no PostgreSQL on this machine, or it does not start.
    """

    url: str
    """Address of its database ``postgres``, superuser ``postgres``, no password."""

    def __init__(self, *settings: str) -> None:
        self._binaries = _binaries()
        # The server refuses to run as root, and must be able to read its folder.
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

    def database(self, name: str) -> str:
        """Make an empty one; its address."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as session:
            session.execute(psycopg.sql.SQL("create database {}").format(psycopg.sql.Identifier(name)))
        return self.url.removesuffix("postgres") + name

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
            raise ParetoError(f"{program} failed: {told}")


@contextmanager
def database(url: str | None, say: Callable[[str], None]) -> Iterator[str | None]:
    """The address of a database, of a throw-away server's where none is given; None, and why, where there is none."""
    with ExitStack() as stack:
        if url is None:
            try:
                url = stack.enter_context(Server()).url
            except ParetoError as e:
                say(str(e))
        yield url


def _binaries() -> Path:
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
    on_path = shutil.which("pg_ctl")
    found = [*debian, *([Path(on_path).resolve().parent] if on_path else [])]
    for folder in reversed(found):
        if (folder / "initdb").exists():
            return folder
    raise ParetoError("no PostgreSQL server on this machine: make postgresql")
