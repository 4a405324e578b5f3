"""How many answers a prompt is worth."""

from __future__ import annotations

import pytest

from pareto.errors import ParetoError
from pareto.inference.best_of.classes import Adaptive, answers_for, class_of, parse_best_of


def test_a_class_follows_from_words_and_length() -> None:
    assert class_of("Name a river.") == "simple"
    assert class_of("Please write me a friendly note to my new neighbour.") == "ordinary"
    assert class_of("Which dose of paracetamol?") == "critical"
    assert class_of("word " * 60) == "critical"
    for asked in ("How much aspirin is safe?", "Which doses?", "My chest hurts, what now?", "Mix bleach and ammonia?"):
        assert class_of(asked) == "critical"
    assert class_of("A courtesy letter, please.") == "simple"
    assert class_of("Lawn or painting, dosa or taxi?") == "simple"


def test_a_number_is_for_every_prompt_and_classes_fill_up() -> None:
    assert answers_for("Name a river.", parse_best_of("8")) == 8
    by_class = parse_best_of("simple=2,critical=16")
    assert by_class == {"simple": 2, "ordinary": 4, "critical": 16}
    assert answers_for("Name a river.", by_class) == 2
    assert answers_for("Name a river.", by_class, lambda prompt: "critical") == 16


def test_auto_is_by_difficulty_with_a_mean() -> None:
    assert parse_best_of("auto") == Adaptive(4)
    assert parse_best_of("auto=8") == Adaptive(8)
    assert Adaptive(8).cap == 32
    assert Adaptive(1000).cap == 1024


@pytest.mark.parametrize(
    "text",
    ["auto=0", "auto=", "auto=x", "0", "-1", "1025", "many", "", "1.5", "8 8", "simple=0", "simple=1.5", "9" * 5000],
)
def test_another_number_is_refused(text: str) -> None:
    with pytest.raises(ParetoError, match=r"--best-of .*: wanted a whole number of answers from 1 to 1024") as refused:
        parse_best_of(text)
    assert "\n" not in str(refused.value)


def test_an_unknown_class_is_refused() -> None:
    with pytest.raises(ParetoError, match=r"--best-of: unknown class 'simpel'; did you mean 'simple'\?"):
        parse_best_of("simpel=1")
