"""``pareto app``: start the explorer. It lives beside this package, which never imports it."""

from __future__ import annotations

import importlib.util
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from pareto.errors import ParetoError
from pareto.terminal import Root, say


def app(
    run: Annotated[str | None, typer.Argument(metavar="RUN", help="The run to open; default: the latest.")] = None,
    host: Annotated[str, typer.Option("--host", help="Address to listen on; 0.0.0.0 lets others in.")] = "127.0.0.1",
    port: Annotated[int, typer.Option("--port", min=1, max=65535, help="Port to listen on.")] = 8501,
    root: Root = Path("runs"),
) -> None:
    """Explore the frontier in a browser."""
    if run is not None:
        from pareto.store.run import Run

        opened = Run.open(run, root)
        root, run = opened.path.parent, opened.path.name
    found = importlib.util.find_spec("app")
    if importlib.util.find_spec("streamlit") is None or found is None or found.origin is None:
        raise ParetoError("the explorer needs the extra 'app': pip install 'pareto[app]'")
    home = Path(found.origin).parent
    arguments = ["--server.address", host, "--server.port", str(port), "--", "--root", str(root.absolute())]
    if run is not None:
        arguments += ["--run", run]
    paths = [str(home.parent), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)}
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        except OSError as e:
            raise ParetoError(f"--host {host} --port {port}: cannot listen there: {e.strerror or e}") from None
    say(f"http://{'localhost' if host in ('127.0.0.1', '0.0.0.0') else host}:{port}  (ctrl-C ends it)")
    os.execve(
        sys.executable, [sys.executable, "-m", "streamlit", "run", str(home / "main.py"), *arguments], environment
    )
