"""Do people who were asked the same agree?"""

from __future__ import annotations

from collections.abc import Sequence

from pareto.choice.user_study.duels import Duel
from pareto.preferences.agreement import Agreement
from pareto.preferences.agreement import agreement as agreement_of

__all__ = ["Agreement", "agreement"]


def agreement(duels: Sequence[Duel]) -> Agreement:
    """Agreement on the same two completions of a prompt, whichever way round; of several answers of a person, the last.

    Skipped questions are not answered ones.
    """
    return agreement_of((duel.question, duel.person, duel.verdict) for duel in duels)
