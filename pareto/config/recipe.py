"""A sweep's recipe and its sections."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from pareto.config.engine import Engine
from pareto.config.priorities import Level
from pareto.config.rounds import Rounds
from pareto.config.section import Misfit, Name, Section, suggest
from pareto.config.sft import Sft


class Model(Section):
    """The base model."""

    base: str
    """A hub id, a local folder, a ``.gguf`` file, or a packaged name (``smollm2-135m-instruct``, ``tiny-random``)."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """``auto``: bfloat16 where the hardware computes in it, else float32."""
    device: str = "auto"
    """``auto``: a GPU where there is one, else the CPU."""
    system: str = ""
    """System prompt of every conversation; the template's own default is left out."""
    trust_remote_code: bool = False
    sft: Sft | None = None
    """Fine-tune it first; ``None``: as it is."""


class Take(Section):
    """How many prompts of a source go into each split, at most."""

    train: int = Field(ge=0)
    validation: int = Field(ge=0)
    test: int = Field(ge=0)


class Source(Section):
    """One set of prompts: exactly one of ``packaged``, ``file``, ``dataset``."""

    packaged: Literal["people", "capitals", "sums", "provocations", "arithmetic"] | None = None
    file: Path | None = None
    """JSONL or Parquet with a ``prompt`` column and, if wanted, ``answers`` and ``demonstrations`` (lists of text)."""
    dataset: str | None = None
    """A ``datasets`` id or a folder that ``datasets.load_dataset`` reads."""
    subset: str = "train"
    """The dataset's own split to read."""
    column: str = "prompt"
    take: Take | None = None
    """Without it, every prompt is used."""

    @model_validator(mode="after")
    def _one_origin(self) -> Source:
        if sum(x is not None for x in (self.packaged, self.file, self.dataset)) != 1:
            raise ValueError("a source needs exactly one of: packaged, file, dataset")
        return self


class Prompts(Section):
    """Where prompts come from and how they are split."""

    sources: tuple[Source, ...] = Field(min_length=1)
    fractions: tuple[float, float, float] = (0.5, 0.2, 0.3)
    """Shares of train, validation and test before ``take`` cuts them; they sum to 1."""
    near_duplicates: float = Field(0.85, gt=0, le=1)
    """Prompts whose word sets overlap at least this much (Jaccard) go into the same split."""
    max_tokens: int = Field(128, ge=4)
    """Longer prompts, in tokens with the template, are an error."""

    @field_validator("fractions")
    @classmethod
    def _sum_to_one(cls, v: tuple[float, float, float]) -> tuple[float, float, float]:
        if min(v) < 0 or abs(sum(v) - 1) > 1e-9:
            raise ValueError(f"fractions must be non-negative and sum to 1, these sum to {sum(v):g}")
        return v


class Objective(Section):
    """A quantity to maximise (or minimise), measured by one reward on (prompt, completion)."""

    name: Name
    reward: str
    """A name of the catalogue, ``module:function`` with TRL's reward signature, ``model:<folder or hub id>`` of an
    ``AutoModelForSequenceClassification``, ``ensemble:<folder>`` that `pareto reward train` made, or
    ``process:<folder>`` that `pareto process train` made; in `pareto rounds` also ``labels``: only those who label
    know it."""
    direction: Literal["maximize", "minimize"] | None = None
    """Without it, as the catalogue's scorer declares it; ``maximize`` for any other reward."""
    range: tuple[float, float] | None = None
    """Declared range; a value outside is an error of the reward and is masked."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed to the reward by keyword."""


class SystemPrompt(Section):
    """A part of the pool sampled under an objective's own system prompt, trained without it."""

    objective: Name
    text: str
    per_prompt: int = Field(ge=1)
    sources: tuple[str, ...] = ()
    """Only for prompts of these sources; empty: for all."""


class Sampling(Section):
    """How completions are drawn."""

    max_new_tokens: int = Field(40, ge=1)
    """The cap on a completion's length."""
    temperature: float = Field(0.8, gt=0)
    top_p: float = Field(0.95, gt=0, le=1)
    top_k: int = Field(50, ge=1)
    batch_size: int | Literal["auto"] = "auto"


class Rollouts(Section):
    """The pool of candidates that every weight setting shares."""

    per_prompt: int = Field(6, ge=2)
    system_prompts: tuple[SystemPrompt, ...] = ()
    demonstrations: int = Field(1, ge=0)
    """Written demonstrations per prompt that join its candidates, at most."""
    first_sentences: int = Field(0, ge=0)
    """First sentences of sampled answers per prompt that join its candidates, ended there: whole short answers."""


class Lora(Section):
    """The adapters: one frozen A shared by all, one trained B each."""

    rank: int = Field(16, ge=1)
    alpha: float = Field(32, gt=0)
    target_modules: tuple[str, ...] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    layers: int | None = Field(None, ge=1)
    """Adapt only the last this many layers; the activations below them are then computed once for all settings."""


class Training(Section):
    """How one adapter is trained."""

    method: Literal["dpo", "grpo", "rloo"] = "dpo"
    steps: int = Field(32, ge=1)
    start: Literal["base", "soup"] = "soup"
    """Where a weight setting starts after the corners."""
    steps_from_soup: int = Field(8, ge=1)
    batch_size: int = Field(8, ge=1)
    """Comparisons per step (DPO), completions per step (GRPO, RLOO)."""
    learning_rate: float = Field(4e-4, gt=0)
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the steps."""
    beta: float = Field(0.1, ge=0)
    """Strength of the pull to the base model."""
    sft_weight: float = Field(1.0, ge=0)
    """DPO only: weight of the negative log-likelihood of the chosen completion."""
    num_generations: int = Field(4, ge=2)
    """GRPO and RLOO only: completions per prompt and step."""
    pairs_per_prompt: int = Field(2, ge=1)
    min_margin: float = Field(0.05, ge=0)
    """Comparisons closer than this (base standard deviations) are left out."""
    comparisons: int = Field(96, ge=1)
    """Kept at most, those of largest margin: where most candidates are alike, the rest is noise."""
    scalarisation: Literal["weighted_sum", "chebyshev"] = "weighted_sum"
    rho: float = Field(0.05, ge=0)
    """Augmentation of the Chebyshev scalarisation."""
    lora: Lora = Lora()


class Driver(Section):
    """Who proposes the next weights."""

    family: Literal["lattice", "optuna", "pymoo", "adaptive"] = "lattice"
    method: str = "das-dennis"
    """``das-dennis`` or ``energy``; an Optuna sampler's class name; a pymoo algorithm's class name; for ``adaptive``,
    what it starts from: ``experts`` (without a method) or ``backbone``."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Passed on under the library's own names."""
    trials: int = Field(8, ge=1)
    """Trained weight settings in all, the corners included."""
    search: dict[Literal["beta", "learning_rate", "rank"], tuple[float, float]] = Field(default_factory=dict)
    """Optuna only: ranges of hyper-parameters searched beside the weights (log scale)."""

    @model_validator(mode="before")
    @classmethod
    def _own_method(cls, data: Any) -> Any:
        adaptive = isinstance(data, Mapping) and data.get("family") == "adaptive"
        return {"method": "experts", **data} if adaptive else data


class Soups(Section):
    """Mixtures evaluated beside the trained adapters."""

    count: int = Field(4, ge=0)
    """How many preferences are tried as soups of the experts."""
    scale: float = Field(1.0, gt=0)
    """Largest coefficient of a soup after rescaling the weights; 1 keeps the full update of the strongest."""


class Evaluation(Section):
    """How a point is measured."""

    samples_per_prompt: int = Field(2, ge=1)
    kl_prompts: int = Field(32, ge=1)
    """KL and fluency are measured on the first sample of this many prompts at most: another pass of the base model
    over all completions would cost as much as drawing them, and their spread over prompts is small."""
    margin: float = Field(1.0, gt=0)
    """The reference point lies this many base standard deviations below the base policy's mean."""
    bootstrap: int = Field(1000, ge=100)
    """Resamplings of the prompts."""
    confidence: float = Field(0.95, gt=0.5, lt=1)


class Recipe(Section):
    """A whole sweep."""

    name: Name
    seed: int = 0
    model: Model
    prompts: Prompts
    objectives: tuple[Objective, ...] = Field(min_length=2)
    """In order of priority, the highest first."""
    gold: tuple[Name, ...] = ("fluency", "sentiment", "reading_ease", "distinct_2")
    sampling: Sampling = Sampling()
    rollouts: Rollouts = Rollouts()
    training: Training = Training()
    driver: Driver = Driver()
    soups: Soups = Soups()
    evaluation: Evaluation = Evaluation()
    priorities: tuple[Level, ...] = ()
    """Levels in order: a policy that breaks one is out of reach, and a trial infeasible for Optuna's samplers."""
    engine: Engine = Engine()
    """Who carries the work; another one makes the same."""
    rounds: Rounds = Rounds()
    """Only for `pareto rounds`; a sweep does not look at it."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the objectives in the recipe's order, shape (m,)."""
        return tuple(o.name for o in self.objectives)

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        names = self.names
        for k, name in enumerate(names):
            if name in names[:k]:
                raise Misfit(f"two objectives are named '{name}'", "objectives", k, "name")
        for k, level in enumerate(self.priorities):
            for name in level.objectives:
                _check_known(name, names, "priorities", k)
        for k, prompt in enumerate(self.rollouts.system_prompts):
            _check_known(prompt.objective, names, "rollouts", "system_prompts", k)
        if self.training.batch_size % self.engine.together:
            raise Misfit(
                f"batch_size {self.training.batch_size} cannot be shared out among {self.engine.together} processes "
                "(engine.processes, engine.gpus); use a multiple",
                "training",
                "batch_size",
            )
        if self.driver.search and self.driver.family != "optuna":
            raise ValueError("driver.search needs family: optuna")
        return self


def _check_known(name: str, names: tuple[str, ...], *at: int | str) -> None:
    if name not in names:
        raise Misfit(f"unknown objective '{name}'; {suggest(name, names)}", *at, "objective")
