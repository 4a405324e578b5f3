"""A base that can be written as GGUF, and a run over it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from merging_runs import make_base, make_run

from pareto.config import Model
from pareto.models import load
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.models import Base


@pytest.fixture(scope="session")
def merging(tmp_path_factory: pytest.TempPathFactory) -> Base:
    """A random Llama with merges in its tokenizer, loaded once; whoever changes it puts it back."""
    folder = make_base(tmp_path_factory.mktemp("bases") / "merging")
    return load(Model(base=str(folder), dtype="float32", device="cpu"))


@pytest.fixture
def run(merging: Base, tmp_path: Path) -> Run:
    """A run over that base, without priorities."""
    return make_run(tmp_path / "runs", merging)
