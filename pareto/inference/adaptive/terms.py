"""What is asked of a rule that spends answers."""

from __future__ import annotations

from dataclasses import dataclass

from pareto.errors import ParetoError


@dataclass(frozen=True)
class Terms:
    """What may be drawn, and what must be kept."""

    cap: int = 16
    """Answers to one prompt at most."""
    against: int = 8
    """Fixed number of answers that is saved from."""
    share: float = 0.98
    """Of its gain over one answer that must be kept, in (0, 1]."""
    least: int = 2
    """Answers before the first look at whether to stop."""
    chunk: int = 1
    """Answers drawn between two looks."""
    seed: int = 0
    """Of halves, orders and bootstrap."""

    def __post_init__(self) -> None:
        if min(self.cap, self.against, self.least, self.chunk) < 1:
            raise ParetoError("adaptive answers: cap, against, least and chunk must be 1 or more")
        if not 0 < self.share <= 1:
            raise ParetoError(f"adaptive answers: a share of {self.share:g} of the gain; wanted above 0 and at most 1")

    @property
    def aim(self) -> float:
        """The share wanted of prompts that a rule is fitted to.

        A rule that barely keeps ``share`` there falls short elsewhere half of the time.
        """
        return (1 + self.share) / 2
