"""Explore's line on the priorities of a mix that nobody has measured, which a server decides by the same rules."""

from __future__ import annotations

import pytest
from exploring import shown
from streamlit.testing.v1 import AppTest

from pareto.soups.outlook import Outlook
from pareto.store.run import Run


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("vowels>=0@mean", "✓ Keeps the priorities in force, as far as predicted"),
        ("vowels>=0.99@mean", "at least 0.99 wanted."),
        ("vowels>={mean!r}@0.95", "wanted, but not surely."),
        ("vowels~0.00001@mean", "✗ Priorities: vowels"),
    ],
)
def test_a_mix_is_held_against_the_priorities_by_its_prediction(app: AppTest, run: Run, rule: str, says: str) -> None:
    mean = Outlook.of(run).at({"vowels": 0.3, "digits": 0.7})["mean"]["vowels"] - 1e-6
    app.session_state["at_rules"] = rule.format(mean=mean)
    app.slider("w_vowels").set_value(3)
    app.slider("w_digits").set_value(7).run()
    assert says in shown(app)
