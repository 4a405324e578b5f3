"""Fixtures that several folders of tests share."""

from __future__ import annotations

import gc
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from forge import Forge
from hypothesis import settings

if TYPE_CHECKING:
    from pareto.models import Base
    from pareto.store.run import Run
    from pareto.training.adapters import State

# Examples are not timed: machines are shared. CI tries the same few examples every time, everybody else new ones.
CI = "CI" in os.environ
settings.register_profile("pareto", deadline=None, derandomize=CI, max_examples=40 if CI else 100)
settings.load_profile("pareto")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: one that is begun last would keep a single process at work."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A throw-away PostgreSQL server: address of its database ``postgres``, superuser ``postgres``, no password.

    Over TCP a role named ``locked`` must give its password (``scram-sha-256``); all others are trusted.
    """
    from pareto.bench.scale.faults.database import Server

    with Server("fsync=off", "full_page_writes=off", "synchronous_commit=off") as server:
        yield server.url


@pytest.fixture
def postgres_database(postgres_url: str) -> str:
    """Address of an empty database of its own on the throw-away server."""
    import psycopg

    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(postgres_url, autocommit=True) as session:
        session.execute(f"create database {name}")
    return postgres_url.rpartition("/")[0] + f"/{name}"


@pytest.fixture(scope="session")
def tiny() -> Base:
    """The base ``tiny-random`` in float32, loaded once; whoever changes it puts it back."""
    import trl.trainer.dpo_trainer  # noqa: F401 (before what stays is put aside)

    from pareto.config import Model
    from pareto.models import load

    base = load(Model(base="tiny-random", dtype="float32", device="cpu"))
    # Trainers collect garbage at their end: they need not look through a million objects that stay.
    gc.collect()
    gc.freeze()
    return base


@pytest.fixture(scope="session")
def real() -> Base:
    """The packaged 135M model, loaded once; for tests marked ``real_model``."""
    import torch

    from pareto.config import Model
    from pareto.models import load

    # On a machine that others use too, threads that wait for each other took a hundred times as long as one.
    torch.set_num_threads(1)
    return load(Model(base="smollm2-135m-instruct"))


@pytest.fixture(scope="session")
def forge() -> Iterator[Forge]:
    """Starts real ``pareto`` processes in milliseconds."""
    with Forge() as forge:
        yield forge


@pytest.fixture(scope="session")
def finished(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root of runs with the finished smoke sweep in it; whoever changes it works on a copy."""
    root = tmp_path_factory.mktemp("finished")
    told = forge.run("sweep", "sweeps/smoke.yaml", "--root", root, "--json")
    assert told.code == 0, told.err
    return root


@pytest.fixture
def forged_run(tiny: Base, tmp_path: Path) -> tuple[Run, dict[str, State]]:
    """A run as a sweep leaves it, but with random adapters, and the B of each: a base, two experts and a soup."""
    import torch

    from pareto.config import Recipe
    from pareto.records import Point
    from pareto.store.files import folder
    from pareto.store.points import save_point
    from pareto.store.run import Run
    from pareto.training.adapters import shared_a, write_adapter

    recipe = Recipe.model_validate(
        {
            "name": "forged",
            "seed": 4,
            "model": {"base": "tiny-random", "dtype": "float32", "device": "cpu"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "kind", "reward": "harmless"}, {"name": "short", "reward": "concise"}],
            "sampling": {"max_new_tokens": 12, "temperature": 1.0, "top_p": 1.0},
            "training": {"lora": {"rank": 4, "alpha": 6}},
        }
    )
    run = Run.create(tmp_path / "runs", recipe)
    lora = recipe.training.lora
    a = shared_a(tiny, lora, recipe.seed)
    generator = torch.Generator().manual_seed(0)
    b: dict[str, State] = {}
    for name, key in (("expert-kind", "a" * 16), ("expert-short", "b" * 16)):
        b[name] = {
            k: torch.randn(tiny.model.get_submodule(k).out_features, 4, generator=generator) / 10 for k in sorted(a)
        }
        with folder(run.adapters / key) as made:
            write_adapter(made, tiny, lora, a, b[name], {})
    numbers = {"kind": 0.5, "short": 0.25}

    def save(name: str, kind: Any, weights: dict[str, float] | None, coefficients: dict[str, float]) -> None:
        adapters = {n: {"expert-kind": "a", "expert-short": "b"}[n] * 16 for n in coefficients}
        for split in ("validation", "test"):
            at: Any = split
            n = dict.fromkeys(numbers, 9)
            save_point(
                run, Point(name, kind, at, weights, coefficients, adapters, numbers, numbers, n, {}, 0.1, "scores")
            )

    save("base", "base", None, {})
    save("expert-kind", "expert", {"kind": 1.0, "short": 0.0}, {"expert-kind": 1.0})
    save("expert-short", "expert", {"kind": 0.0, "short": 1.0}, {"expert-short": 1.0})
    save("soup-0", "soup", {"kind": 0.7, "short": 0.3}, {"expert-kind": 0.5, "expert-short": -0.25})
    return run, b
