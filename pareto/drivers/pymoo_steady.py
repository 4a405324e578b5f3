"""A pymoo algorithm without generations: one child at a time, of parents selected from the values known by then.

Each trial remembers which values its algorithm was told since the trial before, so that a replay tells the same at the
same places, whatever order the workers end in.

Simulated (`pareto bench scale`: 64 workers, log-normal times of σ 0.5, NSGA3): over as many trials the two find within
4 % of the same hypervolume, a barrier more in the end of short sweeps (320 trials: 1 to 4 %), steady state more on the
way of long ones (640 trials: 3 %). A barrier takes 2 to 2.8 times as long, its slots idle for more than half of the
time. With one worker there is nothing to gain.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, final

import numpy as np
from optuna.trial import FrozenTrial, TrialState

from pareto import simplex
from pareto.drivers import pymoo_member
from pareto.drivers.trials import Candidate, Key, by_index, key
from pareto.errors import ParetoError

SEEN = "pareto:seen"
"""In a trial's memory: places in the sequence of the trials whose values were new to the algorithm."""
TRIES = 100
"""Children that repeat a trial before the algorithm counts as exhausted."""


@dataclass
class _Replay:
    """What the algorithm made and was told so far."""

    algorithm: Any
    """pymoo's."""
    made: list[Candidate] = field(default_factory=list)
    """In the order of the sequence; the last one may not be in the study yet."""
    keys: set[Key] = field(default_factory=set)
    """Of what was made and of the experts."""
    told: set[int] = field(default_factory=set)
    """Places of the trials whose values it knows."""


@final
class Steadily:
    """Proposes without ever waiting.

    Args:
        algorithm: makes the algorithm anew, one child a generation.
        first: well-spread sticks to begin with, (k, m - 1), k > ``size``.
        m: number of objectives.
        size: of the population: so many members are asked first, and more of them until half as many have values.
        seed: of the algorithm.
        name: ``pymoo/NSGA3``.
    """

    def __init__(
        self, algorithm: Callable[[], Any], first: simplex.Array, m: int, size: int, seed: int, name: str
    ) -> None:
        self._algorithm, self._first, self._name = algorithm, first, name
        self._m, self._size, self._seed = m, size, seed
        self._at = self._begun()

    def propose(self, trials: Sequence[FrozenTrial]) -> Candidate | None:
        """The next child of what is known by now; None when every child repeats a trial."""
        own = by_index(
            [t for t in trials if t.user_attrs["proposed_by"] == self._name and t.user_attrs["index"] >= self._m]
        )
        valued = {index for index, trial in own.items() if trial.values is not None}
        if not self._still(own, valued):
            self._at = self._begun()
        for index in sorted(own)[len(self._at.made) :]:
            remembered = own[index].system_attrs.get(SEEN)
            made = None if remembered is None else self._make(own, remembered)
            if made is None:
                raise ParetoError(
                    f"trial {own[index].number} was proposed without `steady`; go on with the run's own driver.options,"
                    " or start a new run"
                )
            pymoo_member.own(own, made)
        if len(self._at.made) > len(own):
            return self._at.made[-1]
        return self._make(own, sorted(valued - self._at.told) if self._breeds(len(valued)) else [])

    def exhausted(self, trials: Sequence[FrozenTrial]) -> bool:
        """Whether every child repeats a trial, and no running trial may change that."""
        return all(t.state != TrialState.RUNNING for t in trials) and self.propose(trials) is None

    def _breeds(self, valued: int) -> bool:
        """Whether enough was asked, and is known, to have children."""
        return len(self._at.made) >= self._size and valued >= max(2, self._size // 2)

    def _make(self, own: Mapping[int, FrozenTrial], new: Sequence[int]) -> Candidate | None:
        """The next of the sequence, after the algorithm was told the values of these trials."""
        at = self._at
        if new:
            from pymoo.core.population import Population

            members = Population.new(X=np.array([at.made[index - self._m].sticks for index in new]))
            pymoo_member.tell(
                at.algorithm, members, np.array([pymoo_member.cost(own[index], self._m) for index in new])
            )
            at.told |= set(new)
        for x in self._children():
            found = pymoo_member.candidate(self._m + len(at.made), x, self._name, {SEEN: list(new)})
            if key(found) not in at.keys:
                at.keys.add(key(found))
                at.made.append(found)
                return found
        self._at = self._begun()  # what it was told here stands in no trial
        return None

    def _children(self) -> Iterator[simplex.Array]:
        """Sticks, each (m - 1,), until they are worth no further try."""
        at = self._at
        if not at.told:
            yield from self._first[len(at.made) : len(at.made) + 1]
            return
        for _ in range(TRIES):
            child = at.algorithm.ask()
            if child is None:
                return
            yield child[0].X

    def _begun(self) -> _Replay:
        algorithm = pymoo_member.begun(self._algorithm(), self._m, self._seed)
        algorithm.ask()  # its first generation, of which `first` takes the place
        corners = [simplex.to_sticks(corner) for corner in simplex.corners(self._m)]
        return _Replay(algorithm, keys={key(pymoo_member.candidate(k, x, self._name)) for k, x in enumerate(corners)})

    def _still(self, own: Mapping[int, FrozenTrial], valued: set[int]) -> bool:
        """Whether the study holds what was made, but perhaps the last, with the same values known then."""
        made = self._at.made
        if any(c.index in own and own[c.index].system_attrs.get(SEEN) != c.memory[SEEN] for c in made):
            return False
        if len(made) > len(own):
            return len(made) == len(own) + 1 and (self._at.told == valued or not self._breeds(len(valued)))
        return self._at.told <= valued
