from __future__ import annotations

import math
import os

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pareto.errors import ParetoError
from pareto.records import Prompt, Rollout
from pareto.store.tables import (
    read_prompts,
    read_rollouts,
    read_scores,
    table_ok,
    write_prompts,
    write_rollouts,
    write_scores,
)

text = st.text(max_size=20)
prompts = st.builds(
    Prompt,
    id=text,
    text=text,
    source=text,
    answers=st.lists(text, max_size=3).map(tuple),
    demonstrations=st.lists(text, max_size=3).map(tuple),
    split=st.sampled_from(["train", "validation", "test"]),
)
rollouts = st.builds(
    Rollout,
    prompt_id=text,
    sample=st.integers(0, 100),
    origin=text,
    seed=st.integers(0, 2**63 - 1),
    text=text,
    token_ids=st.lists(st.integers(0, 2**31 - 1), max_size=5).map(tuple),
    logp=st.floats(allow_nan=False),
)
POOL = [Rollout(f"p{i}", i % 3, "sampled", i, f"text {i}", tuple(range(i)), -float(i)) for i in range(60)]


@settings(max_examples=25)
@given(wanted=st.lists(prompts, max_size=5))
def test_prompts_come_back_as_written(tmp_path_factory, wanted):
    path = tmp_path_factory.mktemp("t") / "x.parquet"
    write_prompts(path, wanted)
    assert read_prompts(path) == wanted
    assert table_ok(path)


@settings(max_examples=25)
@given(wanted=st.lists(rollouts, max_size=5))
def test_rollouts_come_back_as_written(tmp_path_factory, wanted):
    path = tmp_path_factory.mktemp("t") / "x.parquet"
    write_rollouts(path, wanted)
    assert read_rollouts(path) == wanted


def test_a_missing_logp_is_null_in_the_file_and_nan_in_memory(tmp_path):
    write_rollouts(tmp_path / "x.parquet", [Rollout("p", 0, "sampled", 1, "t", (1,), math.nan)])
    assert pq.read_table(tmp_path / "x.parquet")["logp"].to_pylist() == [None]
    assert math.isnan(read_rollouts(tmp_path / "x.parquet")[0].logp)


def test_scores_come_back_and_masked_ones_are_null_to_other_readers(tmp_path):
    path = tmp_path / "x.parquet"
    honest = np.array([1.0, np.nan, -1.0])
    write_scores(path, ["a", "a", "b"], [0, 1, 0], {"honest": honest, "short": np.arange(3)})
    prompt_ids, samples, columns = read_scores(path)
    assert prompt_ids == ["a", "a", "b"]
    assert samples.tolist() == [0, 1, 0]
    assert list(columns) == ["honest", "short"]
    np.testing.assert_array_equal(columns["honest"], honest)
    np.testing.assert_array_equal(columns["short"], [0.0, 1.0, 2.0])
    table = pq.read_table(path)
    assert table.column_names == ["prompt_id", "sample", "honest", "short"]
    assert table["honest"].to_pylist() == [1.0, None, -1.0]


def test_an_objective_may_be_called_as_a_key_column_is(tmp_path):
    write_scores(tmp_path / "x.parquet", ["a"], [3], {"sample": [0.5], "prompt_id": [0.25]})
    scores = read_scores(tmp_path / "x.parquet")
    assert scores.samples.tolist() == [3]
    assert {k: v.tolist() for k, v in scores.columns.items()} == {"sample": [0.5], "prompt_id": [0.25]}


def test_every_changed_byte_is_found(tmp_path):
    path = tmp_path / "x.parquet"
    write_rollouts(path, POOL)
    whole = path.read_bytes()
    for at in range(0, len(whole), 7):
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert not table_ok(path), at
    for size in (0, 4, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert not table_ok(path), size
    with pytest.raises(ParetoError, match="damaged"):
        read_rollouts(path)
    path.write_bytes(whole)
    assert table_ok(path)


def test_text_that_looks_like_a_seal_does_no_harm(tmp_path):
    fake = Rollout("p", 0, "sampled", 1, "pareto-seal:" + "0" * 64, (1,), 0.0)
    write_rollouts(tmp_path / "x.parquet", [fake])
    assert table_ok(tmp_path / "x.parquet")
    assert read_rollouts(tmp_path / "x.parquet") == [fake]


def test_a_missing_file(tmp_path):
    assert not table_ok(tmp_path / "x.parquet")
    with pytest.raises(ParetoError, match="cannot be read: No such file"):
        read_scores(tmp_path / "x.parquet")


def test_a_rewrite_leaves_one_file(tmp_path):
    write_rollouts(tmp_path / "x.parquet", POOL)
    write_rollouts(tmp_path / "x.parquet", POOL[:1])
    assert read_rollouts(tmp_path / "x.parquet") == POOL[:1]
    assert os.listdir(tmp_path) == ["x.parquet"]
