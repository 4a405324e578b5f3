"""How reward models are learnt and rounds are run: the section ``rounds`` of a recipe."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from pareto.config.section import Section
from pareto.words import Aggregation, Choosing

Head = Literal["linear", "mlp", "encoder", "lora"]
"""What a member is: a linear or small MLP head on the base model's frozen features, a linear head on a sentence
encoder's, or a LoRA adapter with a head on the base model."""
Pooling = Literal["middle", "last"]
"""``last``: the end of the turn after the last layer, all that ``AutoModelForSequenceClassification`` feeds its head;
``middle`` tells more, but a head on it cannot leave as such a model."""


class Ensemble(Section):
    """One objective's reward models, learnt from comparisons."""

    members: int = Field(5, ge=1, le=32)
    head: Head | tuple[Head, ...] = "linear"
    """Of all members, or one for each in turn."""
    pooling: Pooling = "middle"
    """Which features of the base model linear and MLP heads read; those on ``last`` can be exported."""
    steps: int = Field(300, ge=1)
    """Optimiser steps; all heads on the same features are trained together."""
    learning_rate: float | None = Field(None, gt=0)
    """``None``: what suits the kind of head."""
    weight_decay: float | None = Field(None, ge=0)
    """``None``: chosen among a few on comparisons that are held out for it."""
    bootstrap: bool = True
    """Each member sees its own resampling of the training prompts."""
    held_out: float = Field(0.25, gt=0, lt=0.9)
    """Share of the prompts whose comparisons calibrate and test the ensemble instead of training it."""
    aggregate: Aggregation = "lcb"
    """What serves as the reward."""
    k: float = Field(1.0, ge=0)
    """``lcb``: standard deviations below the mean; ``uwo``: weight of the variance."""
    review_rate: float = Field(0.1, gt=0, lt=1)
    """Share of completions that people can afford to review: sets the threshold of the spread."""


class Judge(Section):
    """An AI annotator."""

    url: str | None = None
    """Base of an OpenAI-compatible interface, such as http://localhost:8000/v1; ``None``: the recipe's own model."""
    model: str | None = None
    """Name of the model there."""
    key_variable: str = "OPENAI_API_KEY"
    """Environment variable that holds the key."""
    timeout: float = Field(30.0, gt=0)
    """Seconds until a call is given up."""
    retries: int = Field(2, ge=0)
    """Of a call that failed or whose answer cannot be read."""
    price_in: float = Field(0.0, ge=0)
    """Of a million tokens of the question, in the currency of your bill."""
    price_out: float = Field(0.0, ge=0)
    """Of a million tokens of the answer."""

    @model_validator(mode="after")
    def _named(self) -> Judge:
        if self.url is not None and self.model is None:
            raise ValueError("a judge with a url needs the name of its model")
        return self


class Labels(Section):
    """Who labels how many comparisons, and which."""

    annotator: Literal["gold", "judge", "person"] = "gold"
    """``gold``: the objectives' own rewards answer, wrongly where ``noise`` says so; ``judge``: an AI; ``person``:
    people answer with `pareto label` or in the app, and the rounds wait for them."""
    budget: int = Field(150, ge=4)
    """Comparisons labelled per objective and round."""
    choose: Choosing = "random"
    """Which of the candidates."""
    noise: float = Field(0.0, ge=0, le=0.5)
    """``gold`` only: chance of a wrong answer."""
    rewards: dict[str, str] = Field(default_factory=dict)
    """``gold`` only: objective → another reward that answers in its place, for study: what the labels then get wrong
    shows as a gap between proxy and gold."""
    judge: Judge = Judge()
    criteria: dict[str, str] = Field(default_factory=dict)
    """Objective → what it means, for people and judges: "Which answer is more helpful?" """


class Rounds(Section):
    """Iterative RLHF: roll out, label, refit the reward models, train, measure; again."""

    count: int = Field(3, ge=1)
    labels: Labels = Labels()
    ensemble: Ensemble = Ensemble()
    start: Literal["base", "last"] = "base"
    """Each round trains from the base model again, or goes on with the last round's adapters."""
    half_life: float | None = Field(None, gt=0)
    """After so many rounds a label counts half; ``None``: all count alike."""
    policies: int = Field(4, ge=1)
    """Of the current front that are rolled out for labelling, spread over it; the base always is."""
    prompts: int = Field(64, ge=2)
    """Training prompts that each of them answers, twice."""
    stop_early: bool = True
    """End when the front's gain in hypervolume lies within its interval, or the gap between proxy and gold widens."""
