"""What a worker does for a run: each task makes artefacts that are named by hashes, and a result that names them.

A task is a function of plain data, so any process of any machine may carry it, twice if need be: who comes second finds
what is there. The live model stays loaded from one task to the next.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import wraps
from pathlib import Path
from typing import Any

from pareto.config import Evaluation
from pareto.engines.watched import SHARE
from pareto.engines.work import Progress, Work
from pareto.errors import ParetoError
from pareto.measure import requests, rollouts
from pareto.ranks import CHECKPOINT, asked, checkpoints, train_in
from pareto.rollouts.pool import make_shard, shard_size
from pareto.store.exchange import Exchange
from pareto.store.files import folder_ok
from pareto.store.results import save_result
from pareto.store.run import Run
from pareto.store.tables import write_prompts, write_rollouts
from pareto.training.checkpoint import Checkpoint
from pareto.training.sft import fine_tune
from pareto.training.train import train
from pareto.watch import Silent
from pareto.workbench import Workbench, untaught

Task = Callable[[Mapping[str, Any], Mapping[str, Any], Progress], dict[str, Any]]


@dataclass(frozen=True)
class Made:
    """What a task made."""

    told: dict[str, Any]
    """Plain data for the process that leads the run."""
    files: list[str]
    """Artefacts, whole, by their names in the run's folder."""


@dataclass
class _Kept:
    """The bench of the last task, for the next one of the same run."""

    run: Path | None = None
    bench: Workbench | None = None


_KEPT = _Kept()


def release() -> None:
    """Let go of the live model."""
    _KEPT.run = _KEPT.bench = None


def _task(make: Callable[[Workbench, Mapping[str, Any], Mapping[str, Any], Progress], Made]) -> Task:
    """A task from what it makes: its inputs are fetched first, and what it made is handed over, the result last."""

    @wraps(make)
    def task(body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
        exchange = Exchange.on_node(place)
        exchange.pull(place.get("needs", ()))
        bench = _bench(exchange.run)
        if body.get("base", bench.base.fingerprint) != bench.base.fingerprint:
            raise ParetoError(
                f"the base model '{bench.recipe.model.base}' is not the one that run '{bench.run.name}' began with; "
                "restore it, or sweep under another `name:`"
            )
        made = make(bench, body, place, progress)
        told = made.told | bench.said()
        exchange.push(made.files)
        # Half the batch makes the same.
        key = Work(f"{__name__}:{make.__name__}", {k: v for k, v in body.items() if k != SHARE}).key
        result = save_result(exchange.run, key, told, made.files)
        exchange.push([result])
        return told

    return task


def teach(body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> dict[str, Any]:
    """Fine-tune the model first, where the recipe says so and nobody has done it on this machine.

    Raises:
        ParetoError: see ``fine_tune``.
    """
    exchange = Exchange.on_node(place)
    exchange.pull(place.get("needs", ()))
    model = Run.open(exchange.run).recipe.model
    if untaught(model):
        fine_tune(model, progress)
    exchange.push([save_result(exchange.run, Work(f"{__name__}:teach", body).key, {}, [])])
    return {}


@_task
def prepare(bench: Workbench, body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> Made:
    """Read model and prompts; tell what the leading process must know of them, which has neither.

    Returns:
        ``base``, the model's fingerprint; ``signs`` of the objectives; ``prompts``: split → how many; ``shards`` of the
        pool; ``shard``: prompts in one; ``pool``, its key.
    """
    write_prompts(bench.run.path / "prompts.parquet", bench.all_prompts)
    size = shard_size(bench.base, bench.recipe)
    train_prompts = len(bench.prompts["train"])
    told = {
        "base": bench.base.fingerprint,
        "signs": [float(r.sign) for r in bench.rewards],
        "prompts": {split: len(prompts) for split, prompts in bench.prompts.items()},
        "shard": size,
        "shards": -(-train_prompts // size),
        "pool": bench.pool_key,
    }
    return Made(told, ["prompts.parquet"])


@_task
def shard(bench: Workbench, body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> Made:
    """Sample one shard of the pool of candidates: ``body["shard"]``, of ``body["size"]`` prompts each."""
    name = make_shard(
        bench.base, bench.recipe, bench.prompts["train"], bench.run.rollouts, body["shard"], body["size"], progress
    )
    return Made({}, [name])


@_task
def score_pool(bench: Workbench, body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> Made:
    """Score the pool.

    Returns:
        ``scores``, the table's key.
    """
    bench.shard = body["size"]
    key, _ = bench.pool_scores
    return Made({"scores": key}, [f"scores/{key}.parquet"])


@_task
def trial(bench: Workbench, body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> Made:
    """Train the adapter of one weight setting and measure it on validation.

    Returns:
        ``adapter`` and ``scores``, their keys; ``seconds`` of both.
    """
    job, b = asked(bench, body)
    ground = bench.ground
    key, exchange = job.key(ground), Exchange.on_node(place)
    _fetch_checkpoint(exchange, key, job.steps(bench.recipe.training))
    began = time.monotonic()
    processes = place.get("processes", 1)
    if processes > 1 and not folder_ok(bench.run.adapters / key):
        train_in(processes, bench.run.path, body, _part(progress, 0, 50), body.get(SHARE, 1.0))
    adapter = train(
        ground,
        job,
        b,
        bench.run.adapters,
        _part(progress, 0, 50),
        checkpoint=Checkpoint(
            checkpoints(bench.run.path),
            CHECKPOINT,
            kept=lambda path: exchange.push([f"checkpoints/{key}/{path.name}"]),
        ),
        batch_share=body.get(SHARE, 1.0),
    ).name
    trained = time.monotonic()
    bench.join(adapter, adapter)
    (scores,) = _measured(bench, [{adapter: 1.0}], "validation", _part(progress, 50, 100))
    seconds = {"train": trained - began, "measure": time.monotonic() - trained}
    files = [f"adapters/{adapter}", f"rollouts/{scores}.parquet", f"scores/{scores}.parquet"]
    return Made({"adapter": adapter, "scores": scores, "seconds": seconds}, files)


@_task
def tables(bench: Workbench, body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> Made:
    """Measure soups, adapter's key → λ, together on one split.

    Returns:
        ``scores``, a table's key per soup; ``seconds``.
    """
    for soup in body["soups"]:
        for key in soup:
            bench.join(key, key)
    began = time.monotonic()
    keys = _measured(bench, body["soups"], body["split"], progress)
    files = [name for key in dict.fromkeys(keys) for name in (f"rollouts/{key}.parquet", f"scores/{key}.parquet")]
    return Made({"scores": keys, "seconds": {"measure": time.monotonic() - began}}, files)


@_task
def answers(bench: Workbench, body: Mapping[str, Any], place: Mapping[str, Any], progress: Progress) -> Made:
    """Have soups, adapter's key → λ, answer training prompts, all with the same random numbers.

    Args:
        bench: of the run.
        body: ``soups``; ``prompts``, ids; ``samples`` of each; ``stream`` of random numbers.
        place: see ``Work``.
        progress: told of completions.

    Returns:
        ``rollouts``, the table's name, in which the origin is the soup's number.
    """
    soups = body["soups"]
    for key in {key for soup in soups for key in soup}:
        bench.join(key, key)
    by_id = {p.id: p for p in bench.prompts["train"]}
    sampled = Evaluation(samples_per_prompt=body["samples"])
    wanted = requests(
        bench.base,
        bench.recipe.model_copy(update={"evaluation": sampled}),
        [by_id[i] for i in body["prompts"]],
        body["stream"],
    )
    drawn = bench.bank.draw(
        [request for _ in soups for _, _, request in wanted],
        [soup for soup in soups for _ in wanted],
        bench.recipe.sampling,
        progress=_counted(progress, len(soups) * len(wanted)),
    )
    bench.bank.merge({})
    found = [
        replace(rollout, origin=str(i))
        for i in range(len(soups))
        for rollout in rollouts(bench.base, wanted, drawn[i * len(wanted) : (i + 1) * len(wanted)])
    ]
    name = f"rollouts/{Work(f'{__name__}:answers', body).key}.parquet"
    write_rollouts(bench.run.path / name, found)
    return Made({"rollouts": name}, [name])


def _bench(run: Path) -> Workbench:
    """The live model of a run, loaded anew only where another run was carried last."""
    if _KEPT.run != run or _KEPT.bench is None:
        release()
        opened = Run.open(run)
        _KEPT.bench = Workbench(opened, opened.recipe, Silent())
        _KEPT.run = run
    return _KEPT.bench


def _fetch_checkpoint(exchange: Exchange, key: str, steps: int) -> None:
    """Bring the newest checkpoint of an adapter that another node left on the share."""
    for step in range(steps - steps % CHECKPOINT, 0, -CHECKPOINT):
        name = f"checkpoints/{key}/{step:06d}"
        if exchange.has(name):
            with suppress(ParetoError):  # then the training begins anew
                exchange.pull([name])
            return


def _measured(bench: Workbench, soups: list[dict[str, float]], split: Any, progress: Progress) -> list[str]:
    return bench.meter.tables(soups, split, _counted(progress, bench.rows(split) * len(soups)))


def _counted(progress: Progress, total: int) -> Callable[[int], None]:
    """Progress of who tells how many more are done."""
    done = 0

    def more(count: int) -> None:
        nonlocal done
        done += count
        progress(done, total)

    return more


def _part(progress: Progress, first: int, last: int) -> Progress:
    """Progress of a part of the work, which reaches from one percentage of the whole to another."""
    return lambda done, total: progress(first + (last - first) * done // max(1, total), 100)
