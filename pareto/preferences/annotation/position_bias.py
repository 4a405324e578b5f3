"""Does a judge prefer what it reads first?"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pareto.records import Label

_BOTH = re.compile("(A|B|TIE), (A|B|TIE)")
LEVEL = 0.01
"""A bias is flagged when chance alone would show as much less often than this."""


@dataclass(frozen=True)
class PositionBias:
    """Over all questions that a judge answered in both orders."""

    questions: int
    calls: int
    """With a winner: not a tie."""
    share: float
    """Of those calls, in which the answer that was read first won, in [0, 1]; NaN without any. ½ without bias."""
    turned: int
    """Questions on which the verdict turned with the order; their labels are ties."""
    p_value: float
    """Exact two-sided binomial test: of the questions on which the same place won in both orders, is it the first as
    often as the second? (The two calls of a question are not independent; such questions are: McNemar 1947.)"""

    @property
    def flagged(self) -> bool:
        """Whether chance does not explain it."""
        return self.p_value < LEVEL

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.calls:
            return f"no call with a winner yet ({self.questions} questions)"
        which = "first" if self.share > 0.5 else "second"
        verdict = f"POSITION BIAS towards the {which} (p = {self.p_value:.2g})" if self.flagged else "no bias shown"
        share = f"the answer read first won {self.share:.0%} of {self.calls} calls"
        return f"{verdict}: {share}, and {self.turned} of {self.questions} verdicts turned with the order"


def position_bias(labels: Sequence[Label]) -> PositionBias:
    """Measure it on a judge's labels, whose notes hold the letters of both calls: ``first`` on top, then ``second``."""
    from scipy.stats import binomtest

    said = [label.note.split(", ") for label in labels if label.who == "judge" and _BOTH.fullmatch(label.note)]
    letters = Counter(letter for both in said for letter in both)
    twice = Counter(both[0] for both in said if both[0] == both[1] and both[0] != "TIE")
    calls = letters["A"] + letters["B"]
    return PositionBias(
        questions=len(said),
        calls=calls,
        share=letters["A"] / calls if calls else float("nan"),
        turned=twice.total(),
        p_value=float(binomtest(twice["A"], twice.total()).pvalue) if twice else 1.0,
    )
