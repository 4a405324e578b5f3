"""The pool: several candidate completions per prompt, made once and shared by every weight setting.

What joins a prompt's candidates: samples of the base policy; samples under an objective's own system
prompt; first sentences of samples, as whole short answers; written demonstrations. Whatever its
origin, a candidate carries its log-probability under the base policy *without* any of these aids:
that is the reference of preference training.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pareto.config import Recipe
from pareto.records import Prompt, Rollout
from pareto.rollouts.sampling import Request, batch_size, draw, log_probabilities
from pareto.store.files import fingerprint
from pareto.store.tables import read_rollouts, table_ok, write_rollouts

if TYPE_CHECKING:
    from pareto.models import Base

FIRST_SENTENCE = re.compile(r"^.{2,}?[.!?](?=\s|$)", re.DOTALL)


def row_seed(*parts: str | int) -> int:
    """The seed of one row's random numbers, from what the row is."""
    text = "\x1f".join(str(p) for p in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def pool_key(base: Base, recipe: Recipe, prompts: Sequence[Prompt]) -> str:
    """Hash of everything that the pool depends on."""
    return fingerprint(
        {
            "base": base.fingerprint,
            "system": base.system,
            "prompts": [[p.id, list(p.demonstrations)] for p in prompts],
            "sampling": recipe.sampling.model_dump(mode="json"),
            "rollouts": recipe.rollouts.model_dump(mode="json"),
            "seed": recipe.seed,
        }
    )


def scores_key(base: Base, recipe: Recipe, prompts: Sequence[Prompt]) -> str:
    """Hash of the pool and of the objectives that score it."""
    objectives = [o.model_dump(mode="json") for o in recipe.objectives]
    return fingerprint({"pool": pool_key(base, recipe, prompts), "objectives": objectives})


def make_pool(
    base: Base,
    recipe: Recipe,
    prompts: Sequence[Prompt],
    folder: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
    size: int | None = None,
) -> list[Rollout]:
    """Sample, or read back, the candidates of every prompt.

    Made in shards that are kept as they come, so that a killed run goes on where it stopped.

    Args:
        base: the live base model, nothing merged into it.
        recipe: its ``rollouts``, ``sampling`` and ``seed`` decide what is made.
        prompts: the training prompts.
        folder: where pools are kept.
        progress: called with (prompts done, prompts in all).
        size: prompts in a shard; default: ``shard_size``.

    Returns:
        The candidates in the order of the prompts, samples first.
    """
    size = size or shard_size(base, recipe)
    pool: dict[str, list[Rollout]] = {}
    for index in range(-(-len(prompts) // size)):
        name = make_shard(base, recipe, prompts, folder, index, size)
        for rollout in read_rollouts(folder.parent / name):
            pool.setdefault(rollout.prompt_id, []).append(rollout)
        progress(min((index + 1) * size, len(prompts)), len(prompts))
    return [rollout for p in prompts for rollout in pool[p.id]]


def shard_size(base: Base, recipe: Recipe) -> int:
    """Prompts in a shard: enough that every decoding batch of this hardware is full."""
    return max(1, batch_size(base, recipe.sampling) // recipe.rollouts.per_prompt)


def make_shard(
    base: Base,
    recipe: Recipe,
    prompts: Sequence[Prompt],
    folder: Path,
    index: int,
    size: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> str:
    """Make one shard of a pool, unless it is there.

    Args: as ``make_pool``; ``index``: of the shard, from 0; ``progress``: called with (prompts done, prompts in all).

    Returns:
        Its name, ``rollouts/<key>/<index>.parquet`` where ``folder`` is ``rollouts``.
    """
    own = folder / pool_key(base, recipe, prompts)
    own.mkdir(parents=True, exist_ok=True)
    # In an order that keeps lengths alike.
    ordered = sorted(prompts, key=lambda p: (len(p.text), p.id))[index * size : (index + 1) * size]
    path = own / f"{index:04d}.parquet"
    if not table_ok(path):
        write_rollouts(path, _make_shard(base, recipe, ordered))
    progress(len(ordered), len(ordered))
    return path.relative_to(folder.parent).as_posix()


def _make_shard(base: Base, recipe: Recipe, prompts: Sequence[Prompt]) -> list[Rollout]:
    ids = {p.id: tuple(base.prompt_ids(p.text)) for p in prompts}
    made = _sampled(base, recipe, prompts, ids)
    made += _under_system_prompts(base, recipe, prompts)
    made += _first_sentences(base, recipe, made)
    made += _demonstrations(base, recipe, prompts)
    unknown = [i for i, r in enumerate(made) if r[1] != "sampled"]
    logps = log_probabilities(base, [(ids[made[i][0]], made[i][4]) for i in unknown])
    known = dict(zip(unknown, logps, strict=True))
    made_rollouts: list[Rollout] = []
    count: dict[str, int] = {}
    for i, (prompt_id, origin, seed, text, tokens, logp) in enumerate(made):
        sample = count[prompt_id] = count.get(prompt_id, -1) + 1
        made_rollouts.append(Rollout(prompt_id, sample, origin, seed, text, tokens, known.get(i, logp)))
    return made_rollouts


Candidate = tuple[str, str, int, str, tuple[int, ...], float]
"""Prompt id, origin, seed, text, tokens, log-probability under the policy that it was drawn from."""


def _draw(base: Base, recipe: Recipe, origin: str, rows: Sequence[tuple[str, tuple[int, ...], int]]) -> list[Candidate]:
    drawn = draw(base, [Request(ids, seed) for _, ids, seed in rows], recipe.sampling)
    return [
        (prompt_id, origin, seed, decode(base, d.token_ids), d.token_ids, d.logp)
        for (prompt_id, _, seed), d in zip(rows, drawn, strict=True)
    ]


def decode(base: Base, token_ids: Sequence[int]) -> str:
    """The completion's text, special tokens left out."""
    return str(base.tokenizer.decode(list(token_ids), skip_special_tokens=True)).strip()


def _sampled(base: Base, recipe: Recipe, prompts: Sequence[Prompt], ids: dict[str, tuple[int, ...]]) -> list[Candidate]:
    rows = [
        (p.id, ids[p.id], row_seed(recipe.seed, "pool", p.id, k))
        for p in prompts
        for k in range(recipe.rollouts.per_prompt)
    ]
    return _draw(base, recipe, "sampled", rows)


def _under_system_prompts(base: Base, recipe: Recipe, prompts: Sequence[Prompt]) -> list[Candidate]:
    made: list[Candidate] = []
    for system in recipe.rollouts.system_prompts:
        rows = [
            (
                p.id,
                tuple(base.prompt_ids(p.text, system.text)),
                row_seed(recipe.seed, "pool", system.objective, p.id, k),
            )
            for p in prompts
            if not system.sources or p.source in system.sources
            for k in range(system.per_prompt)
        ]
        made += _draw(base, recipe, f"sampled:{system.objective}", rows)
    return made


def _first_sentences(base: Base, recipe: Recipe, made: Sequence[Candidate]) -> list[Candidate]:
    out: list[Candidate] = []
    seen: dict[str, set[str]] = {}
    for prompt_id, origin, _, text, _, _ in made:
        match = FIRST_SENTENCE.match(text)
        taken = seen.setdefault(prompt_id, set())
        if origin != "sampled" or len(taken) >= recipe.rollouts.first_sentences or match is None:
            continue
        sentence = match.group().strip()
        if sentence != text and sentence not in taken:
            taken.add(sentence)
            out.append((prompt_id, "first_sentence", 0, sentence, tuple(base.completion_ids(sentence)), 0.0))
    return out


def _demonstrations(base: Base, recipe: Recipe, prompts: Sequence[Prompt]) -> list[Candidate]:
    cap = recipe.sampling.max_new_tokens
    out: list[Candidate] = []
    for p in prompts:
        for text in p.demonstrations[: recipe.rollouts.demonstrations]:
            ids = tuple(base.completion_ids(text))
            # What is cut off is not trained on, so it must not be scored either.
            out.append((p.id, "demonstration", 0, text if len(ids) <= cap else decode(base, ids[:cap]), ids[:cap], 0.0))
    return out
