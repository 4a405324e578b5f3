"""The schema of recipes (``sweeps/*.yaml``). Imports no torch."""

from pareto.config.engine import Engine
from pareto.config.priorities import Level, Rule
from pareto.config.recipe import (
    Driver,
    Evaluation,
    Lora,
    Model,
    Objective,
    Prompts,
    Recipe,
    Rollouts,
    Sampling,
    Soups,
    Source,
    Take,
    Training,
)
from pareto.config.rounds import Ensemble, Head, Judge, Labels, Pooling, Rounds
from pareto.config.section import Misfit, Name, Section, suggest
from pareto.config.sft import Sft
from pareto.words import Aggregation, Choosing

__all__ = [
    "Aggregation",
    "Choosing",
    "Driver",
    "Engine",
    "Ensemble",
    "Evaluation",
    "Head",
    "Judge",
    "Labels",
    "Level",
    "Lora",
    "Misfit",
    "Model",
    "Name",
    "Objective",
    "Pooling",
    "Prompts",
    "Recipe",
    "Rollouts",
    "Rounds",
    "Rule",
    "Sampling",
    "Section",
    "Sft",
    "Soups",
    "Source",
    "Take",
    "Training",
    "suggest",
]
