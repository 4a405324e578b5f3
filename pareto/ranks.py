"""One training in several processes, each with a part of every batch: PyTorch's distributed data parallelism.

transformers' trainers do so by themselves, through accelerate, where the environment says of whom there are how many;
each process has a GPU of its own where there is one. Run as ``python -m pareto.ranks RUN BODY``, once per process.
"""

from __future__ import annotations

import json
import os
import re
import selectors
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import IO, Any

from pareto.engines.work import Progress
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.store.files import to_json
from pareto.store.run import Run
from pareto.training.adapters import State
from pareto.training.checkpoint import Checkpoint
from pareto.training.train import Job, train
from pareto.watch import Silent
from pareto.workbench import Workbench

CHECKPOINT = 8
"""Optimiser steps from one checkpoint of a training to the next."""
TRIES = 3
"""Of a training whose processes are killed."""
_STEP = re.compile(r"step (\d+) of (\d+)\n")
NEVER = 1 << 31
"""Steps that no training has."""


def checkpoints(run: Path) -> Path:
    """Where a run's checkpoints are."""
    return run / "checkpoints"


def asked(bench: Workbench, body: Mapping[str, Any]) -> tuple[Job, State | None]:
    """The training that a trial's body asks for, and the B that it starts from; nothing is merged into the model."""
    bench.shard, bench.frame = body["size"], Frame.from_json(body["frame"])
    start: dict[str, float] = dict(body["start"])
    for key in start:
        bench.join(key, key)
    b = bench.bank.mixture(start) if start else None
    bench.bank.merge({})
    return Job(tuple(body["weights"]), body["settings"], start), b


def train_in(processes: int, run: Path, body: Mapping[str, Any], progress: Progress, batch_share: float = 1.0) -> None:
    """Train a trial's adapter, or go on with that; it then lies in the run's folder.

    Args:
        processes: among which every batch is shared out; where one of them is killed, all begin anew, from the last
            checkpoint, ``TRIES`` times in all.
        run: the run's folder.
        body: of the trial.
        progress: told of optimiser steps.
        batch_share: see ``train``, of each process's part.

    Raises:
        ParetoError: what the user can put right.
        MemoryError: of a GPU there was too little.
        RuntimeError: a process ended in another way.
    """
    with tempfile.NamedTemporaryFile("w", suffix=".json") as order:
        order.write(to_json({"body": dict(body), "batch_share": batch_share}))
        order.flush()
        words = [sys.executable, "-m", "pareto.ranks", str(run), order.name]
        if not any(_trained(words, processes, progress) for _ in range(TRIES)):
            raise ParetoError(
                f"a process of the training was killed, {TRIES} times: perhaps {processes} models are more than the "
                "memory holds"
            )


def _trained(words: Sequence[str], processes: int, progress: Progress) -> bool:
    """Run them all; False where one of them was killed."""
    environment = _environment(processes)
    with ExitStack() as stack:
        said = [stack.enter_context(tempfile.TemporaryFile("w+")) for _ in range(processes)]
        started = [
            stack.enter_context(
                subprocess.Popen(
                    words,
                    env={**environment, "RANK": str(rank), "LOCAL_RANK": str(rank)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE if rank == 0 else subprocess.DEVNULL,
                    stderr=said[rank],
                    text=True,
                )
            )
            for rank in range(processes)
        ]
        try:
            _follow(started, progress)
            codes = [process.poll() for process in started]
        finally:
            for process in started:
                process.kill()
        if any(code is not None and code < 0 for code in codes):
            return False
        errors = [_error(file) for code, file in zip(codes, said, strict=True) if code]
        if errors:  # what one says that the user can put right is why the others broke off
            raise next((e for e in errors if isinstance(e, ParetoError)), errors[0])
        return True


def _environment(processes: int) -> dict[str, str]:
    """As torchrun makes it, but for the number of each."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    threads = max(1, int(os.environ.get("OMP_NUM_THREADS", os.cpu_count() or 1)) // processes)
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(entry or os.getcwd() for entry in sys.path),
        "OMP_NUM_THREADS": str(threads),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "WORLD_SIZE": str(processes),
    }


def _follow(started: Sequence[subprocess.Popen[str]], progress: Progress) -> None:
    """Pass on the first one's progress until all have ended, or one of them badly: the others would wait for it."""
    out = started[0].stdout
    assert out is not None
    with selectors.DefaultSelector() as selector:
        selector.register(out, selectors.EVENT_READ)
        while any(process.poll() is None for process in started):
            if any(process.returncode for process in started):
                return
            if selector.get_map() and selector.select(0.2):
                line = out.readline()
                if told := _STEP.fullmatch(line):
                    progress(int(told[1]), int(told[2]))
                elif not line:
                    selector.unregister(out)
            elif not selector.get_map():
                with suppress(subprocess.TimeoutExpired):
                    started[-1].wait(0.2)


def _error(file: IO[str]) -> Exception:
    file.seek(0)
    lines = file.read().strip().splitlines() or ["it said nothing"]
    told = next((line for line in reversed(lines) if line.startswith("pareto: ")), None)
    if told:
        return ParetoError(told.removeprefix("pareto: "))
    kind = MemoryError if "OutOfMemoryError" in lines[-1] else RuntimeError
    return kind(lines[-1])


def main() -> None:
    """Be one of the processes."""
    run, order, rank = Path(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), int(os.environ["RANK"])
    out, sys.stdout = sys.stdout, sys.stderr  # what libraries print is no progress

    def progress(done: int, total: int) -> None:
        print(f"step {done} of {total}", file=out, flush=True)

    try:
        with tempfile.TemporaryDirectory() as scratch:
            _train(run, order, rank, Path(scratch), progress)
    except ParetoError as e:
        sys.exit(f"pareto: {e}")


def _train(run: Path, order: Mapping[str, Any], rank: int, scratch: Path, progress: Progress) -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    opened = Run.open(run)
    bench = Workbench(opened, opened.recipe, Silent())
    job, b = asked(bench, order["body"])
    adapters, kept, every = opened.adapters, checkpoints(run), CHECKPOINT
    if rank:
        # All go on from the same checkpoint, and the first one alone writes: no other one is a step ahead of it.
        adapters, every = scratch / "adapters", NEVER
        if kept.exists():
            shutil.copytree(kept, scratch / "checkpoints")
        kept, progress = scratch / "checkpoints", lambda done, total: None
    train(
        bench.ground,
        job,
        b,
        adapters,
        progress,
        checkpoint=Checkpoint(kept, every),
        batch_share=order["batch_share"],
        processes=int(os.environ["WORLD_SIZE"]),
    )


if __name__ == "__main__":
    main()
