import random
import time
from collections import defaultdict
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.prompts.split import drop_duplicates, group_near_duplicates, prompt_id, split_prompts
from pareto.records import Prompt

FRACTIONS = (0.4, 0.2, 0.4)
# Few words make many near-duplicates.
sentences = st.lists(
    st.sampled_from(["red", "blue", "green", "cat", "dog", "bird", "runs", "sings", "sleeps", "now"]),
    min_size=1,
    max_size=9,
)
texts = st.lists(sentences.map(" ".join), min_size=1, max_size=25)
thresholds = st.sampled_from([0.3, 0.5, 0.75, 0.85, 1.0])


def prompt(text: str, source: str = "a") -> Prompt:
    return Prompt(prompt_id(source, text), text, source)


def splits(prompts: list[Prompt], threshold: float = 0.85, seed: int = 0) -> dict[str, str]:
    return {p.text: p.split for p in split_prompts(prompts, FRACTIONS, threshold, seed)}


def jaccard(a: str, b: str) -> float:
    x, y = set(a.split()), set(b.split())
    return len(x & y) / len(x | y)


def components(items: list[str], threshold: float) -> set[frozenset[int]]:
    """Brute force: every pair compared, groups merged until nothing changes."""
    groups = [{i} for i in range(len(items))]
    for i, j in combinations(range(len(items)), 2):
        if jaccard(items[i], items[j]) >= threshold:
            a = next(g for g in groups if i in g)
            b = next(g for g in groups if j in g)
            if a is not b:
                a |= b
                groups.remove(b)
    return {frozenset(g) for g in groups}


@given(texts, thresholds)
def test_groups_are_the_components_that_brute_force_finds(items: list[str], threshold: float) -> None:
    found = defaultdict(set)
    for i, label in enumerate(group_near_duplicates(items, threshold)):
        found[label].add(i)
    assert {frozenset(g) for g in found.values()} == components(items, threshold)


@given(texts, thresholds, st.integers(0, 3))
def test_near_duplicates_never_stand_in_two_splits(items: list[str], threshold: float, seed: int) -> None:
    placed = splits([prompt(t) for t in items], threshold, seed)
    for a, b in combinations(placed, 2):
        if jaccard(a, b) >= threshold:
            assert placed[a] == placed[b]


@given(texts, st.randoms())
def test_order_does_not_matter(items: list[str], rng: random.Random) -> None:
    prompts = [prompt(t) for t in items]
    shuffled = prompts[:]
    rng.shuffle(shuffled)
    assert split_prompts(prompts, FRACTIONS, 0.85) == split_prompts(shuffled, FRACTIONS, 0.85)


@given(texts, texts)
def test_further_prompts_move_none_whose_group_they_do_not_join(items: list[str], more: list[str]) -> None:
    before = splits([prompt(t) for t in items])
    after = splits([prompt(t) for t in items + more])
    every = list(dict.fromkeys(items + more))
    for group in components(every, 0.85):
        members = [every[i] for i in group]
        if set(members) <= set(items):
            assert all(before[t] == after[t] for t in members)


@given(texts)
def test_no_prompt_is_lost_or_doubled(items: list[str]) -> None:
    assert set(splits([prompt(t) for t in items])) == set(items)
    assert len(split_prompts([prompt(t) for t in items + items], FRACTIONS, 0.85)) == len(set(items))


def test_the_first_source_keeps_an_exact_duplicate() -> None:
    later, first = prompt("who are  you", "later"), prompt("Who are you?", "first")
    assert drop_duplicates([first, later]) == [first]
    assert drop_duplicates([later, first]) == [later]


@pytest.mark.parametrize(("a", "b"), [("What is 17 + 25?", "What is 17 - 25?"), ("???", "!!!"), ("C", "C++")])
def test_marks_that_change_the_meaning_make_another_prompt(a: str, b: str) -> None:
    assert len(drop_duplicates([prompt(a), prompt(b)])) == 2


@pytest.mark.parametrize(
    ("a", "b", "together"),
    [
        ("What is 17 + 25?", "What is 25 + 17?", True),
        ("What's your favourite food?", "whats your favourite FOOD", True),
        ("What is the capital of Sudan?", "What is the capital of South Sudan?", True),
        ("What is the capital of France?", "What is the capital of Spain?", False),
        (
            "What is the capital of the Central African Republic?",
            "What is the capital of the Dominican Republic?",
            False,
        ),
        ("猫はどこですか", "犬はどこですか", False),
    ],
)
def test_what_counts_as_a_near_duplicate(a: str, b: str, together: bool) -> None:
    first, second = group_near_duplicates([a, b], 0.85)
    assert (first == second) is together


def test_shares_follow_the_fractions_and_another_seed_draws_others() -> None:
    prompts = [prompt(f"word{i} thing{i} place{i}") for i in range(5000)]
    placed = splits(prompts)
    for split, share in zip(("train", "validation", "test"), FRACTIONS, strict=True):
        # Four standard deviations of a binomial with n = 5000 are below 0.03.
        assert sum(s == split for s in placed.values()) / 5000 == pytest.approx(share, abs=0.03)
    assert splits(prompts, seed=1) != placed


@pytest.mark.parametrize(("fractions", "used"), [((1, 0, 0), "train"), ((0, 1, 0), "validation"), ((0, 0, 1), "test")])
def test_a_split_without_a_share_stays_empty(fractions: tuple[float, float, float], used: str) -> None:
    prompts = [prompt(f"word{i}") for i in range(200)]
    assert {p.split for p in split_prompts(prompts, fractions, 0.85)} == {used}


def test_a_split_is_the_same_on_every_machine() -> None:
    # First bytes of sha256("0\n" + text) from coreutils: 37, 76, e4. A change would move prompts of stored runs.
    placed = splits([prompt(t) for t in ("Name a river.", "Where is Rome?", "Who wrote Hamlet?")])
    assert placed == {"Name a river.": "train", "Where is Rome?": "validation", "Who wrote Hamlet?": "test"}


def test_twenty_thousand_templated_prompts_take_seconds() -> None:
    rng = random.Random(0)
    prompts = [
        prompt(f"What is the name of the {rng.randrange(3000)} thing in place {rng.randrange(3000)} for me?")
        for _ in range(20_000)
    ]
    start = time.perf_counter()
    placed = split_prompts(prompts, FRACTIONS, 0.85)
    assert time.perf_counter() - start < 10
    assert {replace(p, split="train") for p in placed} <= set(prompts)
