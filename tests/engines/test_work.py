from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.engines.work import Ended, Work, as_text, ended_from, take_longest, work_from
from pareto.store.files import fingerprint

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_infinity=False, allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
BODIES = st.dictionaries(st.text(), PLAIN, max_size=3)


@given(body=BODIES, place=BODIES)
def test_a_work_survives_the_way_to_another_process(body: dict[str, Any], place: dict[str, Any]) -> None:
    one = Work("m:f", body, place, label="train trial-3", size=2.5)
    arrived = work_from(as_text(one))
    assert (arrived, arrived.key) == (one, one.key)
    assert "\n" not in as_text(one)


def test_the_key_is_of_what_decides_the_result() -> None:
    one = Work("m:f", {"n": 1})
    assert one.key == Work("m:f", {"n": 1}, {"run": "/x"}, label="other", size=9.0).key
    assert one.key == fingerprint({"task": "m:f", "body": {"n": 1}})
    assert len({one.key, Work("m:g", {"n": 1}).key, Work("m:f", {"n": 2}).key}) == 3


def test_an_end_survives_the_way_back() -> None:
    for ended in (Ended("k", "done", {"x": [1, None]}), Ended("k", "failed", error="e", cause="user", seconds=0.1)):
        assert ended_from(as_text(ended)) == ended


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0]), min_size=1, max_size=8))
def test_the_longest_goes_first_and_of_equals_the_one_that_came_first(sizes: list[float]) -> None:
    works = [Work("m:f", {"n": n}, size=size) for n, size in enumerate(sizes)]
    waiting = {work.key: work for work in works}
    taken = [take_longest(waiting) for _ in works]
    # Python's sort is stable.
    assert taken == sorted(works, key=lambda work: -work.size)


def test_a_body_that_is_no_plain_data_has_no_key() -> None:
    with pytest.raises(TypeError):
        _ = Work("m:f", {"n": object()}).key
