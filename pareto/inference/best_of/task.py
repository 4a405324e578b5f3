"""Drawing the answers that are asked for, chunk by chunk, and judging them."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pareto.config import Sampling
from pareto.inference.adaptive.kl import best_of_kl
from pareto.inference.best_of.candidates import Best, Candidate
from pareto.inference.best_of.drawing import Draft, Rejection, draw_drafts
from pareto.inference.best_of.identity import policy_key, rule_key
from pareto.inference.best_of.scoring import Judge, Scored
from pareto.models import context_check
from pareto.records import Prompt
from pareto.rollouts.pool import decode
from pareto.rollouts.sampling import Request, batch_size
from pareto.store.files import to_json

if TYPE_CHECKING:
    from pareto.inference.policy import Policy


class Stopping(Protocol):
    """When enough answers are drawn."""

    def enough(self, utilities: Sequence[float], spread: float | None) -> bool:
        """Whether another answer is not worth its price.

        Args:
            utilities: of the answers so far that may be returned.
            spread: standard deviation of utility that is predicted for the prompt; ``None``: nothing is.
        """
        ...


@dataclass(frozen=True)
class Task:
    """What is asked of whom: all that an answer depends on."""

    policy: Policy
    prompt: Prompt
    judge: Judge
    sampling: Sampling
    seeds: tuple[int, ...]
    stopping: Stopping | None
    spread: float | None
    chunk: int
    rejection: Rejection | None

    def key(self) -> str:
        """Name of everything that the answer depends on."""
        told = {
            "prompt": [self.prompt.text, self.prompt.source, list(self.prompt.answers)],
            "policy": policy_key(self.policy),
            "judge": self.judge.fingerprint,
            "sampling": self.sampling.model_dump(mode="json"),
            "seeds": list(self.seeds),
            "stopping": rule_key(self.stopping) and [rule_key(self.stopping), self.spread, self.chunk],
            "rejection": rule_key(self.rejection),
        }
        return hashlib.sha256(to_json(told, sort_keys=True).encode()).hexdigest()

    def draw(self, progress: Callable[[int, int], None]) -> Best:
        """Make the answer; see ``best_of``."""
        base, n = self.policy.base, len(self.seeds)
        ids = base.prompt_ids(self.prompt.text)
        context_check(base, ids, self.sampling.max_new_tokens, base.context, "prompt")
        together = min(batch_size(base, self.sampling), self.chunk if self.stopping else n)
        drafts: list[Draft] = []
        scored = Scored.none(len(self.judge.rewards))
        done = 0

        def advance(tokens: int) -> None:
            nonlocal done
            done += tokens
            progress(done, n * self.sampling.max_new_tokens)

        while len(drafts) < n and not (drafts and self._enough(drafts, scored)):
            rows = [Request(tuple(ids), seed) for seed in self.seeds[len(drafts) : len(drafts) + together]]
            # Held for a chunk at a time: others who share the live model may go between two.
            with self.policy.bank.policy(self.policy.coefficients):
                drawn = draw_drafts(base, rows, self.sampling, self.rejection, self._promise, advance)
            scored = scored.then(self._score([d.token_ids for d in drawn]))
            drafts += drawn
        reason = f"all {n} drawn" if len(drafts) == n else f"stopped after {len(drafts)} of {n}"
        # Held against whole answers alone; of a beginning only its promise is known.
        whole = _whole(drafts)
        ranked = self.judge.rank(scored.take(whole))
        utility = self.judge.rank(scored).utility
        utility[whole] = ranked.utility
        broken = dict(zip(whole, ranked.broken, strict=True))
        candidates = [self._candidate(i, d, scored, float(utility[i]), broken.get(i)) for i, d in enumerate(drafts)]
        return Best(tuple(candidates), whole[ranked.chosen], done, best_of_kl(n), cached=False, reason=reason)

    def _score(self, token_ids: Sequence[tuple[int, ...]]) -> Scored:
        texts = [decode(self.policy.base, ids) for ids in token_ids]
        return self.judge.score(self.prompt, texts, token_ids, self.sampling.max_new_tokens)

    def _promise(self, beginnings: Sequence[tuple[int, ...]]) -> list[float]:
        """Utilities of beginnings. Priorities wait for whole answers; one that cannot be scored goes first."""
        scored = self._score(beginnings)
        utility = self.judge.rank(scored).utility.tolist()
        return [float("-inf") if failed else u for u, failed in zip(utility, scored.failures, strict=True)]

    def _enough(self, drafts: Sequence[Draft], scored: Scored) -> bool:
        """Only answers that may be returned speak for stopping."""
        if self.stopping is None:
            return False
        ranked = self.judge.rank(scored.take(_whole(drafts)))
        found = ranked.utility[ranked.keeping].tolist()
        return bool(found) and self.stopping.enough(found, self.spread)

    def _candidate(self, i: int, draft: Draft, scored: Scored, utility: float, broken: str | None) -> Candidate:
        named = zip(self.judge.frame.objectives, scored.values[i].tolist(), strict=True)
        return Candidate(
            seed=self.seeds[i],
            text=decode(self.policy.base, draft.token_ids),
            token_ids=draft.token_ids,
            logp=draft.logp,
            scores={name: value for name, value in named if not math.isnan(value)},
            utility=utility,
            broken=broken,
            failures=tuple(f"{name} {why}" for name, why in scored.failures[i].items()),
            early=draft.early,
        )


def _whole(drafts: Sequence[Draft]) -> list[int]:
    """Indices of those that were finished."""
    return [i for i, d in enumerate(drafts) if not d.early]
