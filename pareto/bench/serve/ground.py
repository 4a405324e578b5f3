"""What the parts share: a run whose whole frontier may be asked for, and requests with weights of their own."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from pareto.choice.standing import keep
from pareto.errors import ParetoError
from pareto.store.run import Run
from pareto.store.tables import read_prompts

UNREAD = ("rollouts", "leases")
"""Folders of a run that no server reads."""


@contextmanager
def free(run: Run) -> Iterator[Run]:
    """A copy of a run without priorities: under them, many weights would be moved to a few policies."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / run.path.name
        shutil.copytree(run.path, path, ignore=shutil.ignore_patterns(*UNREAD, "traffic.sqlite*", "export"))
        for name in UNREAD:
            (path / name).mkdir()
        copied = Run.open(path)
        keep(copied, ())
        yield copied


def prompts_of(run: Run, count: int) -> list[str]:
    """So many of the run's test prompts, over and over where there are fewer.

    Raises:
        ParetoError: it has none.
    """
    texts = [p.text for p in read_prompts(run.path / "prompts.parquet") if p.split == "test"]
    if not texts:
        raise ParetoError(f"run '{run.name}' has no test prompts to ask")
    return [texts[i % len(texts)] for i in range(count)]


def bodies(run: Run, prompts: Sequence[str], max_tokens: int, seed: int) -> list[dict[str, Any]]:
    """A greedy request for each prompt, each with its own weights, spread evenly over the simplex."""
    rng = np.random.default_rng(seed)
    names = run.recipe.names
    made = []
    for prompt in prompts:
        weights = rng.dirichlet(np.ones(len(names))).round(6)
        weights[0] += 1 - weights.sum()
        made.append(
            {
                "model": run.path.name,
                "messages": [{"role": "user", "content": prompt}],
                "max_tokens": max_tokens,
                "temperature": 0,
                "pareto": {"weights": dict(zip(names, weights.tolist(), strict=True))},
            }
        )
    return made
