"""A run's user study: what to ask next, what was answered, and what follows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from pareto.choice.user_study import duels as store
from pareto.choice.user_study.agreement import Agreement, agreement
from pareto.choice.user_study.duels import Answer, Duel, check_person
from pareto.choice.user_study.pairs import QUESTIONS, information
from pareto.choice.user_study.posterior import Floats, infer
from pareto.choice.user_study.result import Result, evidence, summarise
from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import read_frame, select
from pareto.records import Point, Prompt
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_prompts, read_rollouts, read_scores

Rows = NDArray[np.intp]
OVERLAP = 5
"""Every so manyth question of a person is one that somebody else has answered, so that agreement can be measured."""


@dataclass(frozen=True)
class Pairing:
    """A question: two completions of the same prompt, from the same seed, as they are to be shown."""

    run: str
    left_point_id: str
    right_point_id: str
    prompt: Prompt
    swapped: bool
    """Whether chance put the point that comes second in the order of ids on the left."""
    reason: str
    """Why this one."""
    left_completion: str
    right_completion: str
    left_seed: int
    right_seed: int
    difference: tuple[float, ...]
    """Left minus right, (m,), see ``Duel``."""

    def duel(self, answer: Answer, person: str = "me", milliseconds: int = 0) -> Duel:
        """The record of an answer, to be kept with ``Study.record``."""
        return Duel(
            run=self.run,
            prompt_id=self.prompt.id,
            prompt=self.prompt.text,
            left=self.left_point_id,
            right=self.right_point_id,
            left_completion=self.left_completion,
            right_completion=self.right_completion,
            left_seed=self.left_seed,
            right_seed=self.right_seed,
            difference=self.difference,
            swapped=self.swapped,
            answer=answer,
            person=person,
            milliseconds=milliseconds,
        )


@dataclass(frozen=True)
class Study:
    """The user study of one run; several people and processes may use it at once."""

    run: Run
    frame: Frame
    points: list[Point]
    """That are compared and may be recommended, as measured on validation."""

    @classmethod
    def open(cls, run: Run, points: Sequence[str] | None = None) -> Study:
        """Open the study, a new one or one with answers.

        Args:
            run: with measured points.
            points: ids of those that are compared, such as those that keep the priorities; ``None``: the front on
                validation and the experts.

        Raises:
            ParetoError: an unknown id, or fewer than two points.
        """
        frame = read_frame(run)
        measured = {
            p.id: p for p in load_points(run) if p.split == "validation" and np.isfinite([*p.mean.values()]).all()
        }
        if points is None:
            points = sorted(
                {*select(run, list(measured.values()), frame)} | {p.id for p in measured.values() if p.kind == "expert"}
            )
        for name in points:
            if name not in measured:
                raise ParetoError(
                    f"run '{run.name}' has no point '{name}' with all its objectives measured on validation; "
                    f"{suggest(name, sorted(measured))}"
                )
        if len(set(points)) < 2:
            raise ParetoError(f"run '{run.name}': {len(set(points))} point to compare; a user study needs at least two")
        return cls(run, frame, [measured[name] for name in sorted(set(points))])

    @property
    def ids(self) -> list[str]:
        """Of the points, sorted."""
        return [p.id for p in self.points]

    @cached_property
    def values(self) -> Floats:
        """Of the points: means on validation, to maximise, in base standard deviations, (n, m)."""
        return self.frame.normalise([[p.mean[name] for name in self.frame.objectives] for p in self.points])

    @property
    def duels(self) -> list[Duel]:
        """All answers that were not taken back."""
        return store.read(self.run)[0]

    @property
    def torn(self) -> int:
        """How many lines of the file could not be read."""
        return store.read(self.run)[1]

    @property
    def people(self) -> list[str]:
        """Who answered, in the order of first answers."""
        return store.people(self.duels)

    def next(self, person: str = "me", seed: int | None = None) -> Pairing:
        """The next question for a person.

        Args:
            person: who is asked.
            seed: of what is left to chance; ``None``: a new one.

        Raises:
            ParetoError: no name, or nothing is left that differs.
        """
        person, rng = check_person(person), np.random.default_rng(seed)
        duels = self.duels
        own = [duel for duel in duels if duel.person == person]
        posterior = infer(*evidence(own, len(self.frame.objectives)))
        repeated = self._of_others(duels, own) if len(own) % OVERLAP == OVERLAP - 1 else []
        if repeated:
            scores = information([duel.difference for duel in repeated], posterior, rng)
            return self._shown(repeated[int(scores.argmax())], rng)
        rows, first, second = self._questions(own, rng)
        differences = self._scored[first, rows] - self._scored[second, rows]
        scores = information(differences, posterior, rng)
        k = int(scores.argmax())
        reason = f"of {len(scores)} questions the one that tells most about the weights, {scores[k]:.2f} bits"
        return self._pairing(int(rows[k]), int(first[k]), int(second[k]), reason, rng)

    def live(self, pairing: Pairing, left: str, right: str, left_seed: int, right_seed: int) -> Pairing:
        """The same question with other completions, which nobody has scored: their points' means stand for them."""
        of = dict(zip(self.ids, self.values, strict=True))
        difference = of[pairing.left_point_id] - of[pairing.right_point_id]
        return replace(
            pairing,
            left_completion=left,
            right_completion=right,
            left_seed=left_seed,
            right_seed=right_seed,
            difference=tuple(difference.tolist()),
        )

    def record(self, duel: Duel) -> None:
        """Keep an answer. Raises ParetoError for one that is none, see ``duels.append``, and on a full disk."""
        store.append(self.run, duel)

    def undo(self, person: str = "me") -> Duel | None:
        """Take a person's last answer back; which one, or ``None`` where there is none."""
        own = [duel for duel in self.duels if duel.person == person]
        if not own:
            return None
        store.take_back(self.run, own[-1])
        return own[-1]

    def result(self, person: str | None = None) -> Result:
        """What one person's answers say, or everybody's together."""
        duels = [duel for duel in self.duels if person in (None, duel.person)]
        return summarise(duels, self.ids, self.values, self.frame.objectives, person)

    def agreement(self) -> Agreement:
        """How far people agree."""
        return agreement(self.duels)

    def export(self, path: str | Path, person: str | None = None) -> int:
        """Write the answers of one person or of all as JSONL, without those taken back; how many."""
        duels = [duel for duel in self.duels if person in (None, duel.person)]
        store.export(Path(path), duels)
        return len(duels)

    @cached_property
    def _prompts(self) -> dict[str, Prompt]:
        return {p.id: p for p in read_prompts(self.run.path / "prompts.parquet")}

    @cached_property
    def _rows(self) -> list[str]:
        """Prompt of each measured completion; all points answer the same prompts with the same seeds."""
        return read_scores(self.run.scores / f"{self.points[0].scores}.parquet").prompt_ids

    @cached_property
    def _scored(self) -> Floats:
        """Of every completion of every point, in base standard deviations, (n, rows, m); 0 where not scored."""
        tables = [read_scores(self.run.scores / f"{p.scores}.parquet").columns for p in self.points]
        raw = np.array([np.stack([t[name] for name in self.frame.objectives], axis=1) for t in tables])
        return np.nan_to_num(self.frame.normalise(raw))

    def _questions(self, own: Sequence[Duel], rng: np.random.Generator) -> tuple[Rows, Rows, Rows]:
        """Rows and both points of new questions on the prompts that the person has seen least."""
        seen = Counter(duel.prompt_id for duel in own)
        fewest = min(seen[prompt] for prompt in self._rows)
        rows = np.flatnonzero([seen[prompt] == fewest for prompt in self._rows])
        first, second = np.triu_indices(len(self.points), 1)
        order = rng.permutation(len(rows) * len(first))
        row, pair = rows[order // len(first)], order % len(first)
        first, second = first[pair], second[pair]
        # Where nothing measured differs, the texts mostly are the same, and no answer could tell anything.
        new = (self._scored[first, row] != self._scored[second, row]).any(axis=1)
        asked = {(duel.prompt_id, *sorted([duel.left, duel.right])) for duel in own}
        kept = [
            k
            for k in np.flatnonzero(new)[: QUESTIONS + len(asked)]
            if (self._rows[row[k]], self.ids[first[k]], self.ids[second[k]]) not in asked
        ][:QUESTIONS]
        if not kept:
            raise ParetoError(f"run '{self.run.name}': no question is left in which two of its points differ")
        return row[kept], first[kept], second[kept]

    def _pairing(self, row: int, first: int, second: int, reason: str, rng: np.random.Generator) -> Pairing:
        swapped = bool(rng.random() < 0.5)
        left, right = (second, first) if swapped else (first, second)
        said = {k: read_rollouts(self.run.rollouts / f"{self.points[k].scores}.parquet")[row] for k in (left, right)}
        return Pairing(
            run=self.run.name,
            left_point_id=self.ids[left],
            right_point_id=self.ids[right],
            prompt=self._prompts[self._rows[row]],
            swapped=swapped,
            reason=reason,
            left_completion=said[left].text,
            right_completion=said[right].text,
            left_seed=said[left].seed,
            right_seed=said[right].seed,
            difference=tuple((self._scored[left, row] - self._scored[right, row]).tolist()),
        )

    def _of_others(self, duels: Sequence[Duel], own: Sequence[Duel]) -> list[Duel]:
        """One duel of each question that somebody else answered and this person has not seen."""
        mine = {duel.question for duel in own}
        ids = {*self.ids}
        found = {
            d.question: d
            for d in duels
            if d.answer != "skip" and {d.left, d.right} <= ids and d.prompt_id in self._prompts
        }
        return [duel for question, duel in found.items() if question not in mine]

    def _shown(self, duel: Duel, rng: np.random.Generator) -> Pairing:
        """Another person's question, its sides thrown anew."""
        turn = bool(rng.random() < 0.5)
        as_asked = [
            (duel.left, duel.left_completion, duel.left_seed),
            (duel.right, duel.right_completion, duel.right_seed),
        ]
        left, right = reversed(as_asked) if turn else as_asked
        return Pairing(
            run=duel.run,
            left_point_id=left[0],
            right_point_id=right[0],
            prompt=self._prompts[duel.prompt_id],
            swapped=duel.swapped != turn,
            reason="another person has answered it too: so agreement can be measured",
            left_completion=left[1],
            right_completion=right[1],
            left_seed=left[2],
            right_seed=right[2],
            difference=tuple(-x if turn else x for x in duel.difference),
        )
