"""Continue a solution from one of its steps, and see whether it ends well."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pareto.config import Sampling
from pareto.store.files import fingerprint

if TYPE_CHECKING:
    from pareto.models import Base


class RollOuts:
    """What ``MonteCarlo`` asks, answered by a model."""

    def __init__(self, base: Base, solved: Callable[[str, str], bool], sampling: Sampling, seed: int = 0) -> None:
        """Make it.

        Args:
            base: the policy that continues, with whatever adapter is merged into it.
            solved: of a prompt and a whole completion, whether its answer is right.
            sampling: temperature above 0, or all continuations are one.
            seed: of the draws; equal prefixes get equal continuations.
        """
        self._base, self._solved, self._sampling, self._seed = base, solved, sampling, seed

    def __call__(self, prompt: str, prefix: str, n: int) -> list[bool]:
        """Whether each of n continuations ends in the right answer."""
        from pareto.rollouts.sampling import Request, draw

        base = self._base
        begun = base.tokenizer(prefix, add_special_tokens=False)["input_ids"]
        ids = (*base.prompt_ids(prompt), *begun)
        first = int(fingerprint([self._seed, prompt, prefix])[:12], 16)
        drawn = draw(base, [Request(ids, first + k) for k in range(n)], self._sampling)
        # Decoded together: a token may be a part of a character.
        whole = base.tokenizer.batch_decode([[*begun, *d.token_ids] for d in drawn], skip_special_tokens=True)
        return [self._solved(prompt, text) for text in whole]
