from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pareto.config import Recipe
from pareto.store.run import Run

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def recipe() -> Recipe:
    return Recipe.model_validate(
        {
            "name": "trip",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"file": "prompts.jsonl"}]},
            "objectives": [{"name": "kind", "reward": "a:b"}, {"name": "short", "reward": "a:c"}],
        }
    )


@pytest.fixture
def run(tmp_path: Path, recipe: Recipe) -> Run:
    return Run.create(tmp_path / "runs", recipe)


@pytest.fixture
def start() -> Iterator[Start]:
    """Start Python code in a process of its own, with arguments; what still lives at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def start(code: str, *arguments: object) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", code, *map(str, arguments)]
        started.append(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
