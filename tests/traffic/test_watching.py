"""Features of served prompts, made beside the server: what reaches the log, and what alarms make of it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from forge import until
from hypothesis import given
from hypothesis import strategies as st
from traffic_on_disk import empty_run, served

from pareto.errors import ParetoError
from pareto.records import Prompt
from pareto.store.run import Run
from pareto.store.tables import write_prompts
from pareto.traffic.log import TrafficLog
from pareto.traffic.usual import FILE, Features, usual_prompts
from pareto.traffic.watching import BATCH, LONGEST, PADDED, Watching, in_turns

PROMPTS = [Prompt(f"p{k}", "say " * (1 + k % 7), "kind", split="train" if k < 30 else "test") for k in range(50)]


class Encoder:
    """A feature is a text's length, and its share of the letter a."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []
        self.way = threading.Event()
        self.way.set()

    def __call__(self, texts: Sequence[str]) -> Features:
        self.asked.append(list(texts))
        self.way.wait(10)
        return np.array([[len(t) / 64, t.count("a") / len(t)] for t in texts], dtype=np.float32)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    made = empty_run(tmp_path)
    write_prompts(made.path / "prompts.parquet", PROMPTS)
    return made


def test_each_prompt_has_its_own_features_whoever_it_waited_with(run: Run) -> None:
    embed = Encoder()
    texts = [f"{k} " + "a" * k for k in range(40)]
    with TrafficLog.open(run, create=True) as log:
        embed.way.clear()
        made = Watching(run, log, 1.0, embed)
        for k, text in enumerate(texts):
            log.add(served(f"r{k}", time=1000.0 + k))
            assert made.offer(f"r{k}", text)
        embed.way.set()
        made.close()
        frame = log.frame()
        assert frame.featured.tolist() == list(range(40))
        np.testing.assert_allclose(frame.features, embed(texts).astype(np.float16), rtol=1e-6)
        assert max(map(len, embed.asked[:-1])) == BATCH  # but for the last, by which the test asks
        assert made.counted.done == 40
        assert {s.prompt for s in log.served()} == {None}


def test_the_runs_own_prompts_are_encoded_at_once_and_only_where_they_are_missing(run: Run) -> None:
    embed = Encoder()
    with TrafficLog.open(run, create=True) as log:
        made = Watching(run, log, 1.0, embed)
        until(lambda: (run.path / FILE).exists())
        made.close()
        assert sum(map(len, embed.asked)) == len(PROMPTS)
        there = usual_prompts(run, pytest.fail)
        assert (there.training == embed([p.text for p in PROMPTS if p.split == "train"]).astype(np.float16)).all()
        again = Encoder()
        Watching(run, log, 1.0, again).close()
        assert again.asked == []


@given(st.lists(st.text("ab", min_size=1, max_size=3 * PADDED // 2), min_size=1, max_size=40))
def test_short_texts_never_wait_for_a_long_one(texts: list[str]) -> None:
    embed = Encoder()
    together = in_turns(texts, embed)
    for turn in embed.asked:
        assert len(turn) <= BATCH
        assert len(turn) == 1 or len(turn) * max(map(len, turn)) <= PADDED
    assert (together == embed(texts)).all()


def test_where_nothing_is_watched_nothing_is_encoded(run: Run) -> None:
    with TrafficLog.open(run, create=True) as log:
        made = Watching(run, log, 0.0, pytest.fail)
        assert not made.offer("r0", "Hello?")
        made.close()
        assert not (run.path / FILE).exists()


@pytest.mark.parametrize("known", [False, True])
def test_without_an_encoder_that_is_said_once(run: Run, known: bool) -> None:
    notes: list[str] = []
    if known:
        usual_prompts(run, Encoder())

    def missing(texts: Sequence[str]) -> Features:
        raise ParetoError("the sentence encoder is not installed: pip install it")

    with TrafficLog.open(run, create=True) as log:
        made = Watching(run, log, 1.0, missing, note=notes.append)
        for k in range(3):
            log.add(served(f"r{k}"))
            made.offer(f"r{k}", "Hello?")
        made.close()
        assert notes == ["drift of prompts is not watched: the sentence encoder is not installed: pip install it"]
        assert not made.offer("r4", "Hello?")
        assert len(log.frame().featured) == made.counted.done == 0


def test_a_run_without_prompts_is_served_all_the_same(tmp_path: Path) -> None:
    notes: list[str] = []
    run = empty_run(tmp_path)
    with TrafficLog.open(run, create=True) as log:
        Watching(run, log, 1.0, Encoder(), note=notes.append).close()
    (note,) = notes
    assert note.startswith("drift of prompts is not watched: ")
    assert "prompts.parquet" in note


def test_closing_does_not_wait_until_all_prompts_of_the_run_are_encoded(run: Run) -> None:
    embed = Encoder()
    embed.way.clear()
    with TrafficLog.open(run, create=True) as log:
        made = Watching(run, log, 1.0, embed, note=pytest.fail)
        until(lambda: len(embed.asked) == 1)
        made.close(0.05)
        embed.way.set()
        made.close()
        assert len(embed.asked) == 1
        assert not (run.path / FILE).exists()


def test_what_cannot_be_encoded_as_it_is_costs_nobody_else(run: Run) -> None:
    """JSON can smuggle in half a surrogate pair, at which tokenizers break."""
    embed = Encoder()
    with TrafficLog.open(run, create=True) as log:
        made = Watching(run, log, 1.0, embed)
        made.offer("r0", "half \ud83d of it")
        made.offer("r1", "x" * (LONGEST + 5))
        made.close()
    assert [t for texts in embed.asked for t in texts][-2:] == ["half ? of it", "x" * LONGEST]


def test_features_of_a_deleted_user_are_gone_from_the_file_and_later_ones_are_not_kept(run: Run) -> None:
    embed = Encoder()
    marked = np.linspace(0.123, 77, 8).astype(np.float16)

    def marking(texts: Sequence[str]) -> Features:
        return np.repeat(marked[None].astype(np.float32), len(texts), axis=0)

    def bytes_of() -> bytes:
        return b"".join(p.read_bytes() for p in run.path.glob("traffic.sqlite*"))

    usual_prompts(run, embed)
    with TrafficLog.open(run, create=True) as log:
        made = Watching(run, log, 1.0, marking)
        for user in ("ann", "bob"):
            log.add(served(user, user=log.user_key(user), time=2000.0))
            made.offer(user, "Hello?")
        until(lambda: made.counted.done == 2)
        log.flush()
        assert bytes_of().count(marked.tobytes()) >= 2
        log.delete_user("ann")
        made.offer("ann", "It waited while she was deleted.")
        until(lambda: made.counted.done == 3)
        frame = log.frame()
        assert (frame.id, frame.featured.tolist()) == (["bob"], [0])
        log.expire(3000.0)
        made.close()
        assert len(log.frame().featured) == 0
        assert marked.tobytes() not in bytes_of()
