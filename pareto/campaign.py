"""A run under way, as the process that leads it sees it: it has neither the model nor the prompts, workers have.

What it asks them for comes back as artefacts, from which points, front and normalisation follow here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

from pareto.choice.choose import reachable
from pareto.dispatch import Dispatch
from pareto.engines.engine import Engine
from pareto.engines.inline import Inline
from pareto.engines.work import Work
from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.frontier import Frontier, frontier, per_prompt, point_of, read_frame, select
from pareto.preferences.annotation.review import Flagged, ReviewQueue
from pareto.records import Kind, Point, Rollout, Split
from pareto.store.exchange import Exchange
from pareto.store.files import folder_ok, write_json
from pareto.store.points import load_points, save_point
from pareto.store.run import Run
from pareto.store.tables import read_rollouts
from pareto.watch import Clock, Watcher

SHOP = "pareto.workshop"
RUN_FILES = ("run.json", "recipe.json")
"""What every task needs."""


@dataclass(frozen=True)
class Policy:
    """A soup that is to be measured."""

    name: str
    """The point's id."""
    kind: Kind
    weights: Mapping[str, float] | None
    coefficients: Mapping[str, float]
    """Adapter's name → λ; empty: the base."""
    trial: int | None = None


class Campaign:
    """What the leading process does with a run."""

    frame: Frame
    """The normalisation, once the run has one."""

    def __init__(
        self,
        run: Run,
        watch: Watcher,
        engine: Engine | None = None,
        share: str | None = None,
        processes: int = 1,
    ) -> None:
        """Begin.

        Args:
            run: the run.
            watch: told of phases and progress.
            engine: carries the work; default: this process.
            share: where artefacts travel, see ``Exchange``; default: everybody sees the run's folder.
            processes: of one training.
        """
        self.processes = processes
        self.run, self.recipe, self.watch = run, run.recipe, watch
        self.clock = Clock(watch, run.log)
        self.engine = Inline() if engine is None else engine
        self.dispatch = Dispatch(
            self.engine, Exchange(run.path, share, run.recipe_hash), watch.inner, watch.crew, self._heard
        )
        self.keys: dict[str, str] = {}
        """Adapter's name → its key."""
        self._scores = ""
        """Key of the pool's scores."""

    @classmethod
    def open(
        cls, run: Run, watch: Watcher, engine: Engine | None = None, share: str | None = None, processes: int = 1
    ) -> Self:
        """A run whose base is measured, with every adapter that was trained in it under its point's id.

        Takes what the class takes.

        Raises:
            ParetoError: the run is not that far yet, or an adapter is missing or damaged.
        """
        campaign = cls(run, watch, engine, share, processes)
        campaign.frame = read_frame(run)
        for point in load_points(run):
            for name, key in point.adapters.items():
                if point.id == name:
                    campaign.join(name, key)
        return campaign

    def join(self, name: str, key: str) -> None:
        """Give an adapter of the run's folder a name.

        Raises:
            ParetoError: it is missing or damaged.
        """
        if self.keys.get(name) == key:
            return
        if not folder_ok(self.run.adapters / key):
            raise ParetoError(f"{self.run.adapters / key}: missing or damaged; the same sweep again makes it again")
        self.keys[name] = key

    # -- what everything stands on -------------------------------------------------------------------------------

    @cached_property
    def ground(self) -> dict[str, Any]:
        """What there is to know of model and prompts, see ``workshop.prepare``."""
        work = self.work("prepare", {}, "load model and prompts")
        sft = self.recipe.model.sft
        if sft is not None and self.dispatch.made(work) is None:
            with self.clock.phase("fine-tune"):
                self.dispatch.all([self.work("teach", {}, "fine-tune")])
        with self.clock.phase("load model and prompts"):
            return self.dispatch.all([work])[0]

    def pool(self) -> None:
        """Have the pool made and scored, on which trials stand."""
        ground = self.ground
        shards = [
            self.work("shard", {**self._base, "shard": i, "size": ground["shard"]}, f"roll out, shard {i + 1}")
            for i in range(ground["shards"])
        ]
        with self.clock.phase("roll out", len(shards)) as advance:
            self.dispatch.all(shards, advance)
        body = {**self._base, "size": ground["shard"]}
        with self.clock.phase("score the pool"):
            (told,) = self.dispatch.all([self.work("score_pool", body, "score the pool", needs=self._pool_files())])
        self._scores = str(told["scores"])

    def measured_base(self) -> Point:
        """The base policy's point on validation."""
        with self.clock.phase("measure the base"):
            return self.measure([Policy("base", "base", None, {})], "validation")[0]

    def new_frame(self, base: Point) -> Frame:
        """The normalisation and the reference point that the base policy gives."""
        signs = tuple(self.ground["signs"])
        return Frame.from_base(self.recipe.names, signs, per_prompt(self.run, base), self.recipe.evaluation.margin)

    # -- measuring -----------------------------------------------------------------------------------------------

    def measure(
        self,
        policies: Sequence[Policy],
        split: Split,
        advance: Callable[[int], None] = lambda done: None,
        *,
        together: bool = False,
    ) -> list[Point]:
        """Measure policies on a split, or read back what was measured, and save their points, in order.

        Args:
            policies: of adapters that have joined.
            split: whose prompts are answered.
            advance: called with how many pieces of work are done.
            together: those that one worker measures are measured in one batch; else one after the other.

        Raises:
            ParetoError: one of them cannot be measured.
        """
        groups = self._shared_out(policies) if together else [[policy] for policy in policies]
        works = [self.tables([p.coefficients for p in group], split, _label(group)) for group in groups]
        told = self.dispatch.all(works, advance)
        scores = [key for found in told for key in found["scores"]]
        return [self.keep(p, split, key) for p, key in zip(policies, scores, strict=True)]

    def tables(self, soups: Sequence[Mapping[str, float]], split: Split, label: str) -> Work:
        """The work of measuring soups, adapter's name → λ."""
        return self._of_soups("tables", soups, {"split": split}, f"measure {label}")

    def answers(
        self,
        policies: Sequence[Policy],
        prompts: Sequence[str],
        samples: int,
        stream: str,
        advance: Callable[[int], None] = lambda done: None,
    ) -> list[Rollout]:
        """Have policies answer training prompts.

        Args:
            policies: of adapters that have joined.
            prompts: ids.
            samples: of each prompt by each policy.
            stream: names the random numbers, which all policies share.
            advance: called with how many pieces of work are done.

        Returns:
            The first policy's completions first; the origin of each is the policy's name.

        Raises:
            ParetoError: one of them cannot answer.
        """
        groups = self._shared_out(policies)
        body = {"prompts": list(prompts), "samples": samples, "stream": stream}
        works = [
            self._of_soups("answers", [p.coefficients for p in group], body, f"ask {_label(group)}") for group in groups
        ]
        told = self.dispatch.all(works, advance)
        return [
            replace(rollout, origin=group[int(rollout.origin)].name)
            for group, found in zip(groups, told, strict=True)
            for rollout in read_rollouts(self.run.path / found["rollouts"])
        ]

    def _of_soups(self, task: str, soups: Sequence[Mapping[str, float]], body: Mapping[str, Any], label: str) -> Work:
        by_key = [{self.keys[name]: round(value, 12) for name, value in soup.items()} for soup in soups]
        used = sorted({key for soup in by_key for key in soup})
        return self.work(
            task, {**self._base, "soups": by_key, **body}, label, needs=[f"adapters/{key}" for key in used]
        )

    def _shared_out(self, policies: Sequence[Policy]) -> list[Sequence[Policy]]:
        """As many groups as there are free slots; what one worker does together takes less than one by one."""
        size = max(1, -(-len(policies) // max(1, self.engine.capacity())))
        return [policies[i : i + size] for i in range(0, len(policies), size)]

    def keep(self, policy: Policy, split: Split, scores: str) -> Point:
        """Save the point of a policy that was measured."""
        point = point_of(
            self.run,
            policy.name,
            policy.kind,
            policy.weights,
            policy.coefficients,
            self.keys,
            split,
            scores,
            policy.trial,
        )
        save_point(self.run, point)
        return point

    def normalised(self, point: Point) -> list[float]:
        """A point's objective vector, (m,), in base standard deviations, to be maximised."""
        return self.frame.normalise([point.mean[n] for n in self.recipe.names]).tolist()  # type: ignore[no-any-return]

    def normalised_se(self, point: Point) -> list[float]:
        """The standard errors of ``normalised``, (m,)."""
        return [point.se[n] / s for n, s in zip(self.recipe.names, self.frame.scale, strict=True)]

    def report(self) -> Frontier:
        """Measure on test what is selected on validation, with the base and the experts; write the run's front.

        Selected is what nothing dominates, and what nothing dominates among the policies that keep the priorities.
        """
        chosen = set(select(self.run, load_points(self.run), self.frame)) | reachable(self.run)
        validation = [p for p in load_points(self.run) if p.split == "validation"]
        wanted = [p for p in validation if p.kind in ("base", "expert") or p.id in chosen]
        with self.clock.phase("measure on test", len(wanted)) as advance:
            self.measure([Policy(p.id, p.kind, p.weights, p.coefficients, p.trial) for p in wanted], "test", advance)
        with self.clock.phase("analyse the front"):
            found = frontier(self.run)
            write_json(self.run.path / "front.json", found.document())
        return found

    # -- work ----------------------------------------------------------------------------------------------------

    def work(
        self, task: str, body: Mapping[str, Any], label: str, *, needs: Sequence[str] = (), size: float = 1.0
    ) -> Work:
        """A piece of work on this run; ``needs``: artefacts, by their names in the run's folder."""
        return Work(
            f"{SHOP}:{task}",
            {"recipe": self.run.recipe_hash, **body},
            {"needs": [*RUN_FILES, *needs]},
            label,
            size,
        )

    def trial(
        self, weights: Sequence[float], settings: Mapping[str, float], start: Mapping[str, float], name: str
    ) -> Work:
        """The work of training an adapter and measuring it; ``start``: the soup that training starts from, by name."""
        keys = {self.keys[k]: round(v, 12) for k, v in start.items()}
        body = {"weights": list(weights), "settings": dict(settings), "start": keys, "size": self.ground["shard"]}
        frame = {"frame": self.frame.to_json()}
        needs = [*self._pool_files(), f"scores/{self._scores}.parquet", *(f"adapters/{key}" for key in keys)]
        training = self.recipe.training
        steps = training.steps_from_soup if start else training.steps
        work = self.work("trial", {**self._base, **body, **frame}, f"train {name}", needs=needs, size=float(steps))
        return replace(work, place={**work.place, "processes": self.processes})

    def _heard(self, told: Mapping[str, Any], fresh: bool) -> None:
        """Pass on what a worker says of rewards that failed and completions that are doubted, and count its time."""
        if doubted := told.get("doubted"):  # each is flagged once, however often it is told
            ReviewQueue(self.run.path / "review").flag([_flagged(d) for d in doubted])
        if not fresh:
            return
        for failure in told.get("failed", ()):
            objective, row, reason = failure["objective"], failure["row"], failure["reason"]
            self.watch.note(f"reward {objective} {reason} (row {row}); the row is masked")
            self.run.log("reward failed", objective=objective, row=row, reason=reason)
        for name, seconds in told.get("seconds", {}).items():
            self.clock.seconds[name] = self.clock.seconds.get(name, 0.0) + seconds

    @property
    def _base(self) -> dict[str, Any]:
        return {"base": self.ground["base"]}

    def _pool_files(self) -> list[str]:
        pool = self.ground["pool"]
        return [f"rollouts/{pool}/{i:04d}.parquet" for i in range(self.ground["shards"])]


def release(engine: Engine | None) -> None:
    """Let go of the live model, where this process did the work."""
    if engine is None or isinstance(engine, Inline):
        from pareto.workshop import release

        release()


def _label(group: Sequence[Policy]) -> str:
    return group[0].name if len(group) == 1 else f"{group[0].name} to {group[-1].name}"


def _flagged(told: Mapping[str, Any]) -> Flagged:
    """From plain data, where tuples are lists."""
    values: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in told.items()}
    return Flagged(**values)
