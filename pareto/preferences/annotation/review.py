"""Completions that an ensemble is not sure of, for people to look at; and when there are too many of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from pareto.errors import ParetoError
from pareto.objectives.ensemble.scores import EnsembleScores
from pareto.preferences.annotation.journal import Journal
from pareto.preferences.annotation.questions import make
from pareto.records import Prompt, Question
from pareto.store.files import fingerprint

Verdict = Literal["fine", "bad", "label"]
"""The score can be trusted; it cannot; or the completion was put to the annotators as a question."""
LEVEL = 0.01
"""The trigger fires when chance alone would show as much less often than this."""


@dataclass(frozen=True)
class Flagged:
    """A scored completion whose members disagree."""

    objective: str
    prompt_id: str
    prompt: str
    completion: str
    scores: tuple[float, ...]
    """What each member gave, in nats."""
    spread: float
    """Their standard deviation."""
    threshold: float
    """Above which a completion is flagged."""
    other: str = ""
    """Another completion of the same prompt, to be compared with; empty where there is none."""
    answers: tuple[str, ...] = ()
    """Accepted answers of the prompt."""
    source: str = ""
    """Of the prompt."""
    round: int = 0
    """In which it was scored."""

    @property
    def id(self) -> str:
        """Hash of what was scored: the same completion is flagged once."""
        return fingerprint([self.objective, self.prompt_id, self.completion])

    @property
    def text(self) -> str:
        """Its scores in words."""
        listed = ", ".join(f"{score:.1f}" for score in self.scores)
        return f"members say {listed}: uncertain (spread {self.spread:.2f}, threshold {self.threshold:.2f})"


@dataclass(frozen=True)
class Settled:
    """That somebody looked at a flagged completion."""

    settles: str
    """Its id."""
    by: str
    verdict: Verdict
    time: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="milliseconds"))
    """UTC."""


class ReviewQueue:
    """The review queue in a folder: one journal, ``review.jsonl``; several people and processes may use it at once."""

    def __init__(self, folder: str | Path) -> None:
        """``folder``: made at the first write."""
        self.folder = Path(folder)
        self._journal: Journal[Flagged | Settled] = Journal(self.folder / "review.jsonl", _line)

    def flag(self, items: Sequence[Flagged]) -> int:
        """Add completions, each once; how many were new. Raises ParetoError on a full disk."""
        with self._journal.lock():
            standing = {item.id for item in self.items}
            new = {item.id: item for item in items if item.id not in standing}
            self._journal.add(asdict(item) for item in new.values())
        return len(new)

    @property
    def items(self) -> list[Flagged]:
        """All that were flagged, in that order."""
        return [said for said in self._journal.read()[0] if isinstance(said, Flagged)]

    @property
    def settled(self) -> dict[str, Settled]:
        """Id → the last verdict."""
        return {said.settles: said for said in self._journal.read()[0] if isinstance(said, Settled)}

    @property
    def waiting(self) -> list[Flagged]:
        """Those that nobody has settled, the most uncertain first."""
        settled = self.settled
        return sorted((item for item in self.items if item.id not in settled), key=lambda item: -item.spread)

    @property
    def torn(self) -> int:
        """How many lines could not be read."""
        return self._journal.read()[1]

    def settle(self, id: str, by: str, verdict: Verdict) -> Flagged:
        """Keep what a person says of a flagged completion.

        Raises:
            ParetoError: no such completion or verdict, or a full disk.
        """
        if verdict not in get_args(Verdict):
            raise ParetoError(f"verdict '{verdict}': one of {', '.join(get_args(Verdict))}")
        with self._journal.lock():
            found = {item.id: item for item in self.items}
            if id not in found:
                raise ParetoError(f"review: nothing is flagged under '{id}'")
            self._journal.add([asdict(Settled(id, by, verdict))])
        return found[id]


def flagged(
    objective: str, prompts: Sequence[Prompt], completions: Sequence[str], scores: EnsembleScores, threshold: float
) -> list[Flagged]:
    """Those of n scored completions whose spread is above the threshold, each once, the most uncertain first.

    Args:
        objective: that the ensemble scores.
        prompts: of each completion, (n,).
        completions: (n,).
        scores: of all.
        threshold: of the spread, in nats.
    """
    found: dict[str, Flagged] = {}
    for k in np.argsort(-scores.spread, kind="stable"):
        if not scores.spread[k] > threshold:
            break
        prompt, text = prompts[k], completions[k]
        others = [j for j, p in enumerate(prompts) if p.id == prompt.id and completions[j] not in ("", text)]
        # The surest of the others says most about the one in doubt.
        surest = min(others, key=lambda j: scores.spread[j], default=None)
        item = Flagged(
            objective,
            prompt.id,
            prompt.text,
            text,
            tuple(scores.members[k].tolist()),
            float(scores.spread[k]),
            threshold,
            "" if surest is None else completions[surest],
            prompt.answers,
            prompt.source,
        )
        found.setdefault(item.id, item)
    return [*found.values()]


def questions(items: Sequence[Flagged], round: int | None = None) -> list[Question]:
    """Flagged completions against another one of the same prompt; those without another are left out.

    Args:
        items: such as ``ReviewQueue.waiting``.
        round: that wants them answered; ``None``: in which they were scored.
    """
    return [
        make(
            item.objective,
            Prompt(item.prompt_id, item.prompt, item.source, item.answers),
            (item.completion, item.other),
            item.round if round is None else round,
            item.text,
        )
        for item in items
        if item.other and item.other != item.completion
    ]


@dataclass(frozen=True)
class Trigger:
    """Whether recent completions are more often uncertain than those on which the threshold was set."""

    fires: bool
    share: float
    """Of recent completions above the threshold, in [0, 1]; NaN without any."""
    expected: float
    """Of the completions on which it was set."""
    p_value: float
    """Exact one-sided binomial test."""
    n: int
    prompts: tuple[str, ...]
    """Of the completions above the threshold, the most uncertain first, each once."""

    @property
    def text(self) -> str:
        """One line for people."""
        if not self.n:
            return "nothing was scored yet"
        found = f"{self.share:.0%} of {self.n} completions are uncertain, {self.expected:.0%} were expected"
        if not self.fires:
            return f"{found}: no more than chance explains (p = {self.p_value:.2g})"
        return f"{found} (p = {self.p_value:.2g}): retrain, with labels on {len(self.prompts)} prompts"


def trigger(spreads: ArrayLike, threshold: float, rate: float, prompts: Sequence[str]) -> Trigger:
    """Compare disagreement on recent traffic with what validation showed.

    Args:
        spreads: of recent completions, (n,), in nats.
        threshold: above which a completion is uncertain.
        rate: share of the validation completions above it, in (0, 1).
        prompts: of each completion, (n,): ids or texts.

    Returns:
        It fires when the share is larger than ``rate`` beyond chance. The test takes completions as independent: with
        several of one prompt it fires a little early.
    """
    from scipy.stats import binomtest

    found = np.asarray(spreads, dtype=float)
    above = found > threshold
    n = len(found)
    p_value = float(binomtest(int(above.sum()), n, rate, alternative="greater").pvalue) if n else 1.0
    order = [k for k in np.argsort(-found, kind="stable") if above[k]]
    return Trigger(
        fires=p_value < LEVEL,
        share=float(above.mean()) if n else float("nan"),
        expected=rate,
        p_value=p_value,
        n=n,
        prompts=tuple(dict.fromkeys(prompts[k] for k in order)),
    )


def _line(found: dict[str, Any]) -> Flagged | Settled:
    if "settles" in found:
        return Settled(**found)
    scores, answers = tuple(map(float, found["scores"])), tuple(map(str, found["answers"]))
    item = Flagged(**{**found, "scores": scores, "answers": answers})
    if not isinstance(item.spread, (int, float)):
        raise TypeError
    return item
