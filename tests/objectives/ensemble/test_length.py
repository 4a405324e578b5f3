import numpy as np
import pytest

from pareto.objectives.ensemble.length import length_bias
from pareto.records import Pair


def words(n: int) -> str:
    return " ".join("w" + str(i) for i in range(n))


def pairs_of(lengths: list[tuple[int, int]], targets: list[float] | None = None) -> list[Pair]:
    targets = targets or [1.0] * len(lengths)
    rows = zip(lengths, targets, strict=True)
    return [Pair(f"prompt {i}", words(a) + " a", words(b) + " b", t) for i, ((a, b), t) in enumerate(rows)]


def test_a_model_that_pays_by_the_word_is_found_out() -> None:
    rng = np.random.default_rng(0)
    lengths = [(int(a), int(b)) for a, b in rng.integers(5, 60, (200, 2)) if abs(a - b) > 6]
    pairs = pairs_of(lengths)
    paid = np.array(lengths, dtype=float).T
    found = length_bias(pairs, *paid)
    assert found["correlation"] == pytest.approx(1)
    assert found["longer_by_model"] == 1
    assert found["longer_by_labels"] == pytest.approx(np.mean([a > b for a, b in lengths]))
    assert (found["accuracy_longer"], found["accuracy_shorter"]) == (1, 0)
    assert found["matched"]["pairs"] == 0
    assert np.isnan(found["matched"]["accuracy"]["value"])
    turned = length_bias(pairs, *-paid)
    assert (turned["correlation"], turned["longer_by_model"]) == (pytest.approx(-1), 0)


def test_what_prompts_ask_for_is_no_bias() -> None:
    # Long answers to some prompts score higher, but of two answers to one prompt neither does.
    pairs = [Pair("short", words(3), words(5)), Pair("long", words(50), words(55))]
    found = length_bias(pairs, np.array([1.0, 7.0]), np.array([1.0, 7.0]))
    assert np.isnan(found["correlation"])
    found = length_bias(pairs, np.array([1.0, 7.5]), np.array([1.5, 7.0]))
    assert abs(found["correlation"]) < 0.9


def test_a_completion_in_many_pairs_counts_once() -> None:
    texts, scores = [words(n) for n in (2, 4, 9)], [0.0, 1.0, 0.5]
    wanted = np.corrcoef([2, 4, 9], scores)[0, 1]
    rows = [(0, 1), (0, 2), (1, 2), (0, 1)]
    pairs = [Pair("p", texts[a], texts[b]) for a, b in rows]
    found = length_bias(pairs, np.array([scores[a] for a, _ in rows]), np.array([scores[b] for _, b in rows]))
    assert found["correlation"] == pytest.approx(wanted)


def test_pairs_of_equal_length_tell_what_is_left_without_it() -> None:
    lengths = [(30, 10), (30, 10), (20, 19), (19, 20), (20, 20), (20, 20)]
    pairs = pairs_of(lengths, [1, 1, 1, 1, 1, 0.5])
    found = length_bias(pairs, np.array([2.0, 2.0, 1.0, -1.0, 1.0, -1.0]), np.zeros(6))
    assert found["matched"]["pairs"] == 3
    assert found["matched"]["accuracy"]["value"] == pytest.approx(2 / 3)
    assert found["longer_by_labels"] == pytest.approx(3 / 4)
