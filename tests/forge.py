"""Real ``pareto`` processes that start in milliseconds.

An interpreter needs seconds to import torch, TRL and PEFT. ``Forge`` starts one that imports them once and then forks
a child for every command, so a test can start dozens of processes and kill them. Run as a script this file is that
interpreter; it reads one JSON order per line and answers each with one line.
"""

from __future__ import annotations

import gc
import importlib
import itertools
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
from safetensors.numpy import load_file

from pareto.frontier import frontier
from pareto.recipe_file import read_recipe
from pareto.store.run import Run

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    code: int
    """Exit code, or minus the signal that ended it."""
    out: str
    err: str
    cpu: float
    """Seconds of processor time that it took."""

    def json(self) -> Any:
        assert self.code == 0, self.err
        return json.loads(self.out)

    def line(self) -> str:
        """What it said of bad input: one line, exit code 2, no traceback."""
        assert self.code == 2, (self.code, self.out, self.err)
        assert self.err.count("\n") == 1, self.err
        assert self.err.startswith("pareto: ")
        return self.err.removeprefix("pareto: ").rstrip("\n")


@dataclass(frozen=True)
class Command:
    """A ``pareto`` process under way."""

    pid: int
    _forge: Forge
    _said: Path

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def cpu(self) -> float:
        """Seconds of processor time up to now, in steps of a hundredth."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def ended(self) -> bool:
        return self._forge.order(ended=self.pid) is not None

    def wait(self, seconds: float = 300) -> Ended:
        """How it ended; one that does not end is killed and fails the test."""
        until(self.ended, seconds, late=lambda: self.send(signal.SIGKILL))
        code, cpu = self._forge.order(ended=self.pid)
        return Ended(code, (self._said / "out").read_text(), (self._said / "err").read_text(), cpu)


def until(true: Callable[[], bool], seconds: float = 120, late: Callable[[], object] = lambda: None) -> None:
    """Wait until something is true; after so many seconds call ``late`` and fail."""
    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            late()
            raise AssertionError(f"it did not come about within {seconds:g} seconds")
        time.sleep(0.01)


class Forge:
    """A context manager; ``start`` and ``run`` take the words after ``pareto`` on a command line."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory()
        # Each runs on one thread: processes share the cores, and equal results ask for equal arithmetic.
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        command = [sys.executable, __file__]
        self._server = subprocess.Popen(
            command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._turn = threading.Lock()
        self._count = itertools.count()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.communicate()
        self._folder.cleanup()

    def order(self, **what: Any) -> Any:
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        with self._turn:  # tests may use threads
            print(json.dumps(what), file=self._server.stdin, flush=True)
            return json.loads(self._server.stdout.readline())

    def start(self, *words: str | Path, cwd: Path = ROOT, stdin: str = "", **environment: str) -> Command:
        said = Path(self._folder.name, str(next(self._count)))
        said.mkdir()
        (said / "in").write_text(stdin)
        pid = self.order(words=[str(w) for w in words], cwd=str(cwd), env=environment, said=str(said))
        return Command(pid, self, said)

    def run(self, *words: str | Path, cwd: Path = ROOT, stdin: str = "", **environment: str) -> Ended:
        return self.start(*words, cwd=cwd, stdin=stdin, **environment).wait()


def smoke_recipe(folder: Path, **sections: Any) -> Path:
    """A recipe file with the smoke sweep's content, sections updated by the given keys, other values replaced."""
    tree = read_recipe(ROOT / "sweeps" / "smoke.yaml").model_dump(mode="json")
    for name, value in sections.items():
        tree[name] = tree[name] | value if isinstance(value, dict) else value
    path = folder / f"{tree['name']}.yaml"
    path.write_text(json.dumps(tree))  # JSON is YAML
    return path


class Outcome(dict[str, Any]):
    """What a finished sweep is compared by: the whole document of its front and every adapter's numbers.

    Equal but for rounding: some processors add in another order in another process.
    """

    def __eq__(self, other: object) -> bool:
        return near(dict(self), dict(other) if isinstance(other, Outcome) else other)

    __hash__ = None  # type: ignore[assignment]


def outcome(root: Path) -> Outcome:
    """That of the smoke sweep in a folder of runs."""
    run = Run.open("smoke", root)
    kept = {p.parent.name: load_file(p) for p in run.adapters.glob("*/adapter_model.safetensors")}
    return Outcome({"front": frontier(run).document(), "adapters": kept})


def near(a: Any, b: Any) -> bool:
    """Whether plain data is equal but for rounding."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(near(value, b[key]) for key, value in a.items())
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(near, a, b))
    if isinstance(a, float | np.ndarray):
        return bool(np.allclose(a, b, rtol=1e-4, atol=1e-5, equal_nan=True))
    return bool(a == b)


def finished_work(root: Path) -> dict[str, tuple[int, int]]:
    """Each artefact that is whole → its file's number and time, which change when it is made again."""
    run = root / "smoke"
    kinds = ("rollouts/*.parquet", "rollouts/*/*.parquet", "scores/*.parquet", "adapters/*/adapter_model.safetensors")
    found = [path for kind in kinds for path in run.glob(kind) if not path.parent.name.startswith(".")]
    return {str(p.relative_to(root)): (p.stat().st_ino, p.stat().st_mtime_ns) for p in found if p.name[0] != "."}


def _serve() -> None:
    _import_what_takes_long()
    # A real process's interrupt, also where the tests run in the background and the shell has it ignored.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ended: dict[int, tuple[int, float]] = {}
    for line in sys.stdin:
        order = json.loads(line)
        if "ended" in order:
            while order["ended"] not in ended:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
                if pid == 0:
                    break
                ended[pid] = (os.waitstatus_to_exitcode(status), usage.ru_utime + usage.ru_stime)
            print(json.dumps(ended.get(order["ended"])), flush=True)
        else:
            pid = os.fork()
            if pid == 0:
                _child(**order)
            print(pid, flush=True)


HEAVY = """alembic.command alembic.migration datasets mako.template optuna peft
    psycopg pygments.lexers pymoo.util.ref_dirs rich.live sqlalchemy.dialects.sqlite
    sqlalchemy.dialects.postgresql.psycopg transformers.models.llama.modeling_llama trl.trainer.dpo_trainer
    pareto.cli pareto.export.adapter pareto.front.plot pareto.inference.policy pareto.rounds.loop pareto.sweep
    pareto.training.dpo pareto.training.rewards.train"""


def _import_what_takes_long() -> None:
    """Imports only: no child could use the threads of a computation that ran here."""
    for name in HEAVY.split():
        importlib.import_module(name)
    # Trainers collect garbage at their end: no child need look through a million objects that stay.
    gc.collect()
    gc.freeze()


def _child(words: list[str], cwd: str, env: dict[str, str], said: str) -> None:
    code = 1
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, (name, flags) in enumerate(
            [("in", os.O_RDONLY), ("out", os.O_CREAT | os.O_WRONLY), ("err", os.O_CREAT | os.O_WRONLY)]
        ):
            file = os.open(Path(said, name), flags)
            os.dup2(file, number)
            os.close(file)
        sys.stdin = open(0, closefd=False)  # noqa: SIM115 (the parent's has read ahead)
        os.chdir(cwd)
        os.environ.update(env)
        sys.argv = ["pareto", *words]
        from pareto.cli import main

        main()
        code = 0
    except SystemExit as e:
        code = e.code if isinstance(e.code, int) else int(e.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    _serve()
