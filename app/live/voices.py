"""What answers: policies side by side in one batch, and what their answers score. Belongs to one thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Literal

from app.live.choosing import Choice, choose
from app.live.steps import Verdict, verdicts
from pareto.config import Objective
from pareto.errors import ParetoError
from pareto.inference.best_of.candidates import Best
from pareto.inference.best_of.engine import row_seeds
from pareto.measure import COMPUTED, score_rollouts
from pareto.models import context_check, load
from pareto.objectives.load import Reward, load_reward
from pareto.records import Prompt, Rollout
from pareto.rollouts.pool import decode
from pareto.rollouts.sampling import Decoder, Request, log_probabilities
from pareto.soups.bank import Bank
from pareto.soups.members import members
from pareto.store.files import folder_ok
from pareto.store.run import Run
from pareto.training.adapters import shared_a

State = Literal["waiting", "running", "measuring", "done", "stopped", "failed"]
PATIENCE = 20.0
"""Seconds without a look after which nobody is there any more; a hidden tab looks about once a second."""
KEPT = 64
"""Answers that are remembered."""


@dataclass(frozen=True)
class Voice:
    """One policy that answers."""

    title: str
    """Its part in the comparison."""
    label: str
    """The mix, for people."""
    coefficients: Mapping[str, float]
    """Adapter → λ; empty: the base model."""


@dataclass
class Spoken:
    """What one voice has said so far."""

    text: str = ""
    tokens: list[int] = field(default_factory=list)
    logp: float = 0.0
    """Under its own policy at temperature 1, nats."""
    ended: bool = False
    scores: dict[str, float] = field(default_factory=dict)
    """Objectives, ``gold:<measure>`` and ``gold:kl`` (nats per token) of this answer; NaN where one does not apply."""
    steps: tuple[Verdict, ...] = ()
    """Of its steps, where one of them can be checked."""


@dataclass(eq=False)
class Job:
    """One prompt, answered by several policies. What it speaks for never changes; the worker fills in the rest."""

    prompt: Prompt
    voices: tuple[Voice, ...]
    seed: int
    length: int
    """Tokens of an answer at most."""
    choice: Choice | None = None
    """How the first voice's answer is chosen among several; ``None``: it has one."""
    spoken: list[Spoken] = field(default_factory=list)
    """One per voice."""
    drafts: list[Spoken] = field(default_factory=list)
    """All answers of the first voice; until the best is known, it says the first of them."""
    best: Best | None = None
    """How they were judged."""
    state: State = "waiting"
    error: str | None = None
    """One line, where it failed; what was said until then is kept."""
    stop: threading.Event = field(default_factory=threading.Event)
    seen: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.take([Spoken() for _ in (*self.seeds, *self.voices[1:])])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of the first voice's answers; the other voices share the first."""
        return row_seeds(self.seed, self.choice.n if self.choice else 1)

    def lines(self) -> list[tuple[Voice, int, Spoken]]:
        """Everything that is said, voice, seed and words: the first voice's answers, then the other voices'."""
        first, *others = self.voices
        own = [(first, seed, draft) for seed, draft in zip(self.seeds, self.drafts, strict=True)]
        return own + [(v, self.seed, s) for v, s in zip(others, self.spoken[1:], strict=True)]

    def take(self, said: Sequence[Spoken]) -> None:
        """Let these be what is said, in the order of ``lines``."""
        n = len(self.seeds)
        self.drafts, self.spoken = list(said[:n]), [said[0], *said[n:]]

    @property
    def busy(self) -> bool:
        """Whether more will come."""
        return self.state in ("waiting", "running", "measuring")

    def look(self) -> None:
        """Say that somebody is still there."""
        self.seen = monotonic()

    @property
    def unwanted(self) -> bool:
        """Whether it was stopped, or nobody looks any more."""
        return self.stop.is_set() or monotonic() - self.seen > PATIENCE


class Voices:
    """The base model of a run with its bank."""

    def __init__(self, run: Run) -> None:
        """Load the base model.

        Raises:
            ParetoError: see ``pareto.models.load``.
        """
        self.run, self.recipe = run, run.recipe
        self.base = load(self.recipe.model)
        lora = self.recipe.training.lora
        self.bank = Bank(self.base, lora, shared_a(self.base, lora, self.recipe.seed))
        self._joined: dict[str, str] = {}
        self._remembered: OrderedDict[object, Spoken] = OrderedDict()

    @cached_property
    def rewards(self) -> list[Reward]:
        """Of the objectives, then of the gold measures that need one."""
        gold = [Objective(name=n, reward=n) for n in self._gold]
        return [load_reward(o, self.run.path) for o in (*self.recipe.objectives, *gold)]

    def speak(self, job: Job) -> None:
        """Answer a job's prompt, all voices in one batch, until they end or nobody wants to hear more.

        The base and the pinned policy answer a prompt once: at the same seed they would say the same again.

        Raises:
            ParetoError: the prompt is too long; an adapter is missing or damaged.
        """
        ids = tuple(self.base.prompt_ids(job.prompt.text))
        context_check(self.base, list(ids), job.length, self.base.context, "prompt")
        self._join({name for voice in job.voices for name in voice.coefficients})
        lines = job.lines()
        job.take([self._remembered.get(self._key(job, voice, seed), spoken) for voice, seed, spoken in lines])
        fresh = [line for line in job.lines() if not line[2].ended]
        if not fresh:
            return
        sampling = self.recipe.sampling.model_copy(update={"max_new_tokens": job.length})
        with self.bank.rows([voice.coefficients for voice, _, _ in fresh]) as carried:
            decoder = Decoder(self.base, [Request(ids, seed) for _, seed, _ in fresh], sampling, carried)
            while decoder.alive and not job.unwanted:
                rows = [fresh[r][2] for r in decoder.rows]
                chosen, logps = decoder.step()
                for spoken, token, logp in zip(rows, chosen, logps, strict=True):
                    spoken.tokens.append(token)
                    spoken.logp += logp
                    spoken.ended = token == self.base.end_id or len(spoken.tokens) == job.length
                    text = decode(self.base, spoken.tokens)
                    if spoken.ended or not text.endswith("\ufffd"):  # half of a character: wait for the rest
                        spoken.text = text
                decoder.drop_ended(chosen)

    def measure(self, job: Job) -> None:
        """Choose among the first voice's answers, and score what the voices say.

        By the run's rewards, the base model's log-probabilities, and step by step where steps can be checked.

        Raises:
            ParetoError: a reward cannot be loaded, or fails on every answer.
        """
        if job.choice:
            objectives = self.rewards[: len(self.recipe.objectives)]
            job.best = choose(self.run, objectives, job.choice, job)
            job.spoken = [job.drafts[job.best.chosen], *job.spoken[1:]]
        self._score(job, [i for i, spoken in enumerate(job.spoken) if not spoken.scores])
        for voice, seed, spoken in job.lines():
            self._remembered[self._key(job, voice, seed)] = spoken
        while len(self._remembered) > KEPT:
            self._remembered.popitem(last=False)

    def _score(self, job: Job, new: Sequence[int]) -> None:
        """Of some voices."""
        said = [
            Rollout(job.prompt.id, 0, "sampled", job.seed, s.text, tuple(s.tokens), s.logp)
            for s in (job.spoken[i] for i in new)
        ]
        names = [*self.recipe.names, *(f"gold:{n}" for n in self._gold)]
        values = score_rollouts(self.recipe, self.rewards, [job.prompt], said).values
        steps = verdicts(job.prompt.text, [r.text for r in said], self.rewards)
        ids = self.base.prompt_ids(job.prompt.text)
        with self.bank.policy({}):
            base = log_probabilities(self.base, [(ids, r.token_ids) for r in said])
        for i, rollout, row, at_base, checked in zip(new, said, values, base, steps, strict=True):
            scores = dict(zip(names, row.tolist(), strict=True))
            if "fluency" in self.recipe.gold:
                scores["gold:fluency"] = at_base / len(rollout.token_ids)
            # By definition, and not by two roundings: the base does not differ from itself.
            same = not any(job.voices[i].coefficients.values())
            scores["gold:kl"] = 0.0 if same else (rollout.logp - at_base) / len(rollout.token_ids)
            job.spoken[i].steps, job.spoken[i].scores = checked, scores

    @property
    def _gold(self) -> list[str]:
        return [n for n in self.recipe.gold if n not in COMPUTED]

    def _key(self, job: Job, voice: Voice, seed: int) -> tuple[object, ...]:
        mix = tuple(sorted((name, self._joined[name], v) for name, v in voice.coefficients.items() if v))
        return job.prompt, seed, job.length, mix

    def _join(self, names: set[str]) -> None:
        """Put adapters into the bank that are not there yet: a sweep that goes on trains others."""
        here = members(self.run) if names - self._joined.keys() else self._joined
        for name in sorted(names - self._joined.keys()):
            if name not in here:
                raise ParetoError(f"run '{self.run.name}' has no adapter '{name}' any more")
            folder = self.run.adapters / here[name]
            if not folder_ok(folder):
                raise ParetoError(f"{folder}: missing or damaged; the same sweep again makes it again")
            self.bank.add(name, folder)
            self._joined[name] = here[name]
