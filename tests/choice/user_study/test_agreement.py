"""What counts as the same question in a user study, and what is said of agreement."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pareto.choice.user_study.agreement import agreement
from pareto.choice.user_study.duels import Duel

ASKED = Duel(
    run="r",
    prompt_id="p",
    prompt="?",
    left="a",
    right="b",
    left_completion="yes",
    right_completion="no",
    left_seed=1,
    right_seed=1,
    difference=(1.0, -1.0),
    swapped=False,
    answer="left",
    person="ann",
)
TURNED = replace(
    ASKED, left="b", right="a", left_completion="no", right_completion="yes", difference=(-1.0, 1.0), swapped=True
)


def test_the_same_choice_with_sides_swapped_agrees() -> None:
    both = agreement([ASKED, replace(TURNED, answer="right", person="bob")])
    assert (both.questions, both.people, both.share) == (1, 2, 1.0)
    assert agreement([ASKED, replace(TURNED, answer="left", person="bob")]).share == 0.0


def test_a_share_counts_pairs_of_answers() -> None:
    three = [ASKED, replace(ASKED, person="bob"), replace(ASKED, person="cy", answer="tie")]
    assert agreement(three).share == pytest.approx(1 / 3)


def test_of_one_person_the_last_answer_counts_and_skipping_is_no_answer() -> None:
    changed = [ASKED, replace(ASKED, answer="tie"), replace(ASKED, person="bob", answer="tie")]
    assert agreement(changed).share == 1.0
    assert agreement([ASKED, replace(ASKED, person="bob", answer="skip")]).questions == 0


@pytest.mark.parametrize("duels", [[], [ASKED], [ASKED, ASKED], [ASKED, replace(ASKED, prompt_id="q", person="bob")]])
def test_without_overlap_it_says_so(duels: list[Duel]) -> None:
    assert agreement(duels).text.startswith("no overlap yet")


def test_the_line_says_what_it_rests_on() -> None:
    text = agreement(
        [
            ASKED,
            replace(ASKED, person="bob"),
            replace(ASKED, prompt_id="q", answer="tie"),
            replace(ASKED, prompt_id="q", answer="tie", person="bob"),
        ]
    ).text
    assert (
        text == "100% of answers agree, Krippendorff's alpha 1.00 (2 questions answered by 2 people or more, 2 people)"
    )
