"""The pool of candidates: what is in it, whose log-probabilities it carries, and that it is never made twice."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pareto.config import Recipe
from pareto.records import Prompt, Rollout
from pareto.rollouts import pool as pool_module
from pareto.rollouts.pool import make_pool, pool_key
from pareto.rollouts.sampling import Request, draw

if TYPE_CHECKING:
    from pareto.models import Base

PROMPTS = [
    Prompt("c", "Name the capital of Chad, please.", "capitals", demonstrations=("No idea.", "N'Djamena.")),
    Prompt("a", "2 + 2?", "sums", demonstrations=("4, of course, as everyone knows who has ever been to school.",)),
    Prompt("b", "Insult me!", "provocations"),
    Prompt("d", "Insult my neighbour!", "provocations"),
    Prompt("e", "3 + 4?", "sums"),
]


def recipe(**rollouts: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "name": "r",
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "kind", "reward": "x"}, {"name": "short", "reward": "y"}],
            "sampling": {"max_new_tokens": 10, "temperature": 1.0, "top_p": 1.0, "batch_size": 6},
            "rollouts": {"per_prompt": 3, **rollouts},
        }
    )


KIND = {"objective": "kind", "text": "You are very kind.", "per_prompt": 2, "sources": ["provocations"]}
SHORT = {"objective": "short", "text": "Be short.", "per_prompt": 1}


def origins(pool: list[Rollout], prompt_id: str) -> list[str]:
    return [r.origin for r in pool if r.prompt_id == prompt_id]


def test_every_origin_has_as_many_candidates_as_the_recipe_says(tiny: Base, tmp_path: Path) -> None:
    pool = make_pool(tiny, recipe(system_prompts=[KIND, SHORT], demonstrations=1), PROMPTS, tmp_path)
    sampled = ["sampled"] * 3
    assert origins(pool, "a") == [*sampled, "sampled:short", "demonstration"]
    assert origins(pool, "b") == [*sampled, "sampled:kind", "sampled:kind", "sampled:short"]
    assert origins(pool, "c") == [*sampled, "sampled:short", "demonstration"]
    assert list(dict.fromkeys(r.prompt_id for r in pool)) == [p.id for p in PROMPTS]
    for p in PROMPTS:
        mine = [r.sample for r in pool if r.prompt_id == p.id]
        assert mine == list(range(len(mine)))
    assert next(r.text for r in pool if r.prompt_id == "c" and r.origin == "demonstration") == "No idea."


def test_no_aids_asked_no_aids_given(tiny: Base, tmp_path: Path) -> None:
    pool = make_pool(tiny, recipe(demonstrations=0), PROMPTS, tmp_path)
    assert Counter(r.origin for r in pool) == {"sampled": 3 * len(PROMPTS)}


def test_a_recorded_seed_draws_the_same_completion_again(tiny: Base, tmp_path: Path) -> None:
    asked = recipe(system_prompts=[SHORT])
    pool = make_pool(tiny, asked, PROMPTS, tmp_path)
    texts = {p.id: p.text for p in PROMPTS}
    for origin, system in (("sampled", None), ("sampled:short", "Be short.")):
        rows = [r for r in pool if r.origin == origin]
        requests = [Request(tuple(tiny.prompt_ids(texts[r.prompt_id], system)), r.seed) for r in rows]
        assert [d.token_ids for d in draw(tiny, requests, asked.sampling)] == [r.token_ids for r in rows]
    assert len({r.seed for r in pool if r.seed}) == sum(r.origin.startswith("sampled") for r in pool)


def test_every_log_probability_is_that_without_the_aid(tiny: Base, tmp_path: Path) -> None:
    pool = make_pool(tiny, recipe(system_prompts=[KIND, SHORT]), PROMPTS, tmp_path)
    texts = {p.id: p.text for p in PROMPTS}

    def direct(prompt: list[int], completion: tuple[int, ...]) -> float:
        with torch.no_grad():
            table = tiny.model(torch.tensor([[*prompt, *completion]])).logits[0].double().log_softmax(-1)
        return sum(float(table[len(prompt) - 1 + i, t]) for i, t in enumerate(completion))

    for r in pool:
        assert r.logp == pytest.approx(direct(tiny.prompt_ids(texts[r.prompt_id]), r.token_ids), abs=1e-3), r.origin
    aided = [r for r in pool if r.origin == "sampled:kind"]
    under = [direct(tiny.prompt_ids(texts[r.prompt_id], "You are very kind."), r.token_ids) for r in aided]
    assert all(abs(r.logp - u) > 0.01 for r, u in zip(aided, under, strict=True))


def test_demonstrations_are_cut_at_the_cap_and_scored_as_cut(tiny: Base, tmp_path: Path) -> None:
    pool = make_pool(tiny, recipe(demonstrations=2), PROMPTS, tmp_path)
    written = {(r.prompt_id, r.sample): r for r in pool if r.origin == "demonstration"}
    assert len(written) == 3
    whole, cut = written["c", 4], written["a", 3]
    assert whole.text == "N'Djamena."
    assert whole.token_ids == tuple(tiny.completion_ids("N'Djamena."))[:10]  # ten letters: the end does not fit
    # The tiny model's tokens are bytes.
    assert cut.token_ids == tuple(tiny.completion_ids("4, of cour"))[:10]
    assert cut.text == "4, of cour"


def test_first_sentences_join_as_whole_short_answers(
    tiny: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = ["Yes. It is so.", "Yes. But wait!", "No way! Never."]
    counter = iter(range(10_000))
    monkeypatch.setattr(pool_module, "decode", lambda *_: answers[next(counter) % 3])
    pool = make_pool(tiny, recipe(first_sentences=2, demonstrations=0), PROMPTS[:1], tmp_path)
    short = [r for r in pool if r.origin == "first_sentence"]
    assert [r.text for r in short] == ["Yes.", "No way!"]
    assert [r.token_ids for r in short] == [tuple(tiny.completion_ids(t)) for t in ("Yes.", "No way!")]
    assert all(r.token_ids[-1] == tiny.end_id for r in short)


def test_a_single_sentence_gives_no_second_candidate(
    tiny: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_module, "decode", lambda *_: "It costs 3.50 in all.")
    pool = make_pool(tiny, recipe(first_sentences=2, demonstrations=0), PROMPTS[:1], tmp_path)
    assert [r.origin for r in pool] == ["sampled"] * 3


@pytest.mark.parametrize("damage", ["deleted", "flipped"])
def test_only_a_missing_or_damaged_shard_is_made_again(
    tiny: Base, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str
) -> None:
    asked = recipe(system_prompts=[KIND])
    made = make_pool(tiny, asked, PROMPTS, tmp_path)
    shards = sorted(tmp_path.rglob("*.parquet"))
    assert len(shards) == 3
    before = {s: s.read_bytes() for s in shards}
    if damage == "deleted":
        shards[1].unlink()
    else:
        data = bytearray(before[shards[1]])
        data[len(data) // 2] ^= 1
        shards[1].write_bytes(data)
    times = {s: s.stat().st_mtime_ns for s in shards if s != shards[1]}
    drawn: list[int] = []

    def counted(base: Base, requests: list[Request], sampling: Any) -> Any:
        drawn.append(len(requests))
        return draw(base, requests, sampling)

    monkeypatch.setattr(pool_module, "draw", counted)
    told: list[tuple[int, int]] = []
    again = make_pool(tiny, asked, PROMPTS, tmp_path, lambda done, total: told.append((done, total)))
    assert again == made
    # The second shard holds two provocations: three samples each, two kind ones each.
    assert drawn == [6, 4]
    assert {s: s.stat().st_mtime_ns for s in times} == times
    assert {s: s.read_bytes() for s in shards} == before
    assert told == [(2, 5), (4, 5), (5, 5)]
    drawn.clear()
    assert make_pool(tiny, asked, PROMPTS, tmp_path) == made
    assert not drawn


def test_whatever_changes_the_pool_gives_it_another_name(tiny: Base) -> None:
    asked = recipe()
    names = [
        pool_key(tiny, asked, PROMPTS),
        pool_key(tiny, asked, PROMPTS[1:]),
        pool_key(tiny, recipe(per_prompt=4), PROMPTS),
        pool_key(tiny, recipe(system_prompts=[KIND]), PROMPTS),
        pool_key(tiny, asked.model_copy(update={"seed": 1}), PROMPTS),
        pool_key(
            tiny,
            asked.model_copy(update={"sampling": asked.sampling.model_copy(update={"temperature": 0.5})}),
            PROMPTS,
        ),
    ]
    assert len(set(names)) == len(names)
    assert pool_key(tiny, recipe(), list(PROMPTS)) == names[0]
