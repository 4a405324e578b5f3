"""Thousands of connections from a process of their own: some say nothing, some a byte a second, some break off."""

from __future__ import annotations

import asyncio
import json
import random
import select
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

from pareto.bench.processes import with_this_source
from pareto.errors import ParetoError
from pareto.inference.server.connections import files

SLOW, LEAVING = 0.2, 0.1
"""Shares of the connections that send a byte a second, and that break off after half a request; the others are idle."""
BYTE = 1.0
"""Seconds from byte to byte."""
LEAVES = 10.0
"""Seconds in which at the latest one breaks off."""
AT_ONCE = 200
"""Connections that are being made at a time."""
SPARE = 64
"""Files that this process has open for other things."""
THERE = b"there\n"
"""Said once all have been made."""
PATIENCE = 60.0
"""Seconds in which all have to be there."""
HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n"
Kind = Literal["idle", "slow head", "slow body", "leaving"]


@contextmanager
def besieged(host: str, port: int, connections: int) -> Iterator[Counter[str]]:
    """Inside, so many connections to a server are open; whichever ends is made again.

    Yields:
        After the block: how many were ``made``, ``closed`` by the server, ``failed``, and how often each status of
        HTTP was heard.

    Raises:
        ParetoError: this system does not let a process have so many, or the server does not take them.
    """
    # Not multiprocessing: it runs the caller's main module once more.
    command = [sys.executable, "-m", __name__, host, str(port), str(connections)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=with_this_source())
    seen: Counter[str] = Counter()
    assert process.stdout is not None
    try:
        if not select.select([process.stdout], [], [], PATIENCE)[0] or process.stdout.readline() != THERE:
            raise ParetoError(f"{connections} connections: the server did not take them within {PATIENCE:g} s")
        yield seen
    finally:
        try:
            seen.update(json.loads(process.communicate(timeout=PATIENCE)[0] or "{}"))
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def check_connections(connections: int) -> None:
    """Refuse more than a process can have.

    Raises:
        ParetoError: see ``besieged``.
    """
    most = files() - SPARE
    if connections > most:
        raise ParetoError(f"{connections} connections: this system lets a process have {most} (ulimit -Hn)")


async def _all(host: str, port: int, connections: int) -> Counter[str]:
    """Have them all until standard input ends."""
    seen: Counter[str] = Counter()
    door = asyncio.Semaphore(AT_ONCE)
    work = [asyncio.create_task(_keep(host, port, _kind(k / connections), door, seen)) for k in range(connections)]
    over = asyncio.create_task(asyncio.to_thread(sys.stdin.buffer.read))
    while seen["made"] < connections and not over.done():
        await asyncio.sleep(0.1)
    sys.stdout.buffer.write(THERE)
    sys.stdout.flush()
    await over
    for task in work:
        task.cancel()
    await asyncio.gather(*work, return_exceptions=True)
    return seen


def _kind(share: float) -> Kind:
    if share < SLOW:
        return "slow head" if share < SLOW / 2 else "slow body"
    return "leaving" if share < SLOW + LEAVING else "idle"


async def _keep(host: str, port: int, kind: Kind, door: asyncio.Semaphore, seen: Counter[str]) -> None:
    """Have a connection of a kind at all times."""
    while True:
        try:
            async with door:
                reader, writer = await asyncio.open_connection(host, port)
        except OSError:
            seen["failed"] += 1
            await asyncio.sleep(BYTE)
            continue
        seen["made"] += 1
        try:
            await _act(kind, reader, writer, seen)
        except OSError:
            seen["closed"] += 1
        finally:
            writer.transport.abort()


async def _act(kind: Kind, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: Counter[str]) -> None:
    """Do what its kind does, until it is over."""
    if kind == "leaving":
        writer.write(HEAD + b"{")
        await asyncio.sleep(random.uniform(0, LEAVES))
        return
    if kind == "slow body":
        writer.write(HEAD)
    heard = asyncio.create_task(reader.read(1 << 16))
    sending = b"" if kind == "idle" else HEAD if kind == "slow head" else b" " * 100
    try:
        for byte in sending:
            writer.write(bytes([byte]))
            await asyncio.wait([heard], timeout=BYTE)
            if heard.done():
                break
        said = await heard
    finally:
        heard.cancel()
        with suppress(asyncio.CancelledError, OSError):
            await heard
    seen["closed" if not said else said[9:12].decode("latin-1")] += 1


if __name__ == "__main__":
    files()
    print(json.dumps(asyncio.run(_all(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))))
