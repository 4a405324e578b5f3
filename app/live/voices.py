"""What answers: policies side by side in one batch, and what their answers score. Belongs to one thread."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from time import monotonic
from typing import Literal

from pareto.config import Objective
from pareto.errors import ParetoError
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


@dataclass(eq=False)
class Job:
    """One prompt, answered by several policies. What it speaks for never changes; the worker fills in the rest."""

    prompt: Prompt
    voices: tuple[Voice, ...]
    seed: int
    length: int
    """Tokens of an answer at most."""
    spoken: list[Spoken] = field(default_factory=list)
    """One per voice."""
    state: State = "waiting"
    error: str | None = None
    """One line, where it failed; what was said until then is kept."""
    stop: threading.Event = field(default_factory=threading.Event)
    seen: float = field(default_factory=monotonic)

    def __post_init__(self) -> None:
        self.spoken = [Spoken() for _ in self.voices]

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
        known = [self._remembered.get(self._key(job, voice)) for voice in job.voices]
        job.spoken = [old or new for old, new in zip(known, job.spoken, strict=True)]
        fresh = [i for i, old in enumerate(known) if old is None]
        if not fresh:
            return
        sampling = self.recipe.sampling.model_copy(update={"max_new_tokens": job.length})
        with self.bank.rows([job.voices[i].coefficients for i in fresh]) as carried:
            decoder = Decoder(self.base, [Request(ids, job.seed)] * len(fresh), sampling, carried)
            while decoder.alive and not job.unwanted:
                rows = [job.spoken[fresh[r]] for r in decoder.rows]
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
        """Score what was said, by the run's rewards and the base model's log-probabilities.

        Raises:
            ParetoError: a reward cannot be loaded, or fails on every answer.
        """
        new = [i for i, spoken in enumerate(job.spoken) if not spoken.scores]
        said = [
            Rollout(job.prompt.id, 0, "sampled", job.seed, s.text, tuple(s.tokens), s.logp)
            for s in (job.spoken[i] for i in new)
        ]
        names = [*self.recipe.names, *(f"gold:{n}" for n in self._gold)]
        values = score_rollouts(self.recipe, self.rewards, [job.prompt], said).values
        ids = self.base.prompt_ids(job.prompt.text)
        with self.bank.policy({}):
            base = log_probabilities(self.base, [(ids, r.token_ids) for r in said])
        for i, rollout, row, at_base in zip(new, said, values, base, strict=True):
            scores = dict(zip(names, row.tolist(), strict=True))
            if "fluency" in self.recipe.gold:
                scores["gold:fluency"] = at_base / len(rollout.token_ids)
            # By definition, and not by two roundings: the base does not differ from itself.
            same = not any(job.voices[i].coefficients.values())
            scores["gold:kl"] = 0.0 if same else (rollout.logp - at_base) / len(rollout.token_ids)
            job.spoken[i].scores = scores
            self._remembered[self._key(job, job.voices[i])] = job.spoken[i]
            if len(self._remembered) > KEPT:
                self._remembered.popitem(last=False)

    @property
    def _gold(self) -> list[str]:
        return [n for n in self.recipe.gold if n not in COMPUTED]

    def _key(self, job: Job, voice: Voice) -> tuple[object, ...]:
        mix = tuple(sorted((name, self._joined[name], v) for name, v in voice.coefficients.items() if v))
        return job.prompt, job.seed, job.length, mix

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
