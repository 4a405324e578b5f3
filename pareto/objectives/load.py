"""From a recipe's objective to a reward that can be called."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pareto.config import Objective, suggest
from pareto.errors import ParetoError
from pareto.objectives import catalogue
from pareto.objectives.catalogue import INFINITY, RewardFunction

PASSED = ("prompts", "completions", "completion_ids", "answers", "source", "max_new_tokens")
"""What every caller passes to a reward, so no option may bear these names."""


@dataclass(frozen=True)
class Reward:
    """An objective's reward, ready to be called."""

    name: str
    """The objective's name."""
    sign: Literal[1, -1]
    """1 where more is better, −1 where less is better: ``sign * value`` is to be maximised."""
    range: tuple[float, float]
    """Declared least and greatest value; ±infinity where nothing is declared."""
    function: RewardFunction
    """TRL's signature, options bound, values in the objective's own units (not signed). A GRPO trainer takes it as it
    is; its weight must carry the sign, and its data set the columns ``answers``, ``source``, ``max_new_tokens``."""


def load_reward(objective: Objective, home: Path | None = None) -> Reward:
    """Load an objective's reward: a catalogue name, ``module:function``, ``model:<folder or hub id>``,
    ``process:<folder>``, or ``ensemble:<folder>``, whose function is an ``EnsembleReward``.

    Direction and range are the recipe's where it declares them, else the scorer's own.

    Args:
        objective: the recipe's.
        home: where the folder of an ensemble or of a process reward model is looked for before the current directory
            is: the run's folder.

    Raises:
        ParetoError: an unknown name, module, function, option or label; a model that cannot be loaded or whose head
            is untrained.
    """
    direction: str = "maximize"
    bounds = (-INFINITY, INFINITY)
    kind, _, rest = objective.reward.partition(":")
    try:
        if not rest:
            entry = catalogue.entry(objective.reward)
            direction, bounds = entry.direction, entry.range
            function: Any = catalogue.function(objective.reward)
            _check_options(objective, _keywords(function))
            options = objective.options
        elif kind == "model":
            from pareto.objectives.reward_model import RewardModel

            _check_options(objective, {"label"})
            model = RewardModel(rest, **objective.options)
            function, bounds, options = model, model.range, {}
        elif kind == "ensemble":
            from pareto.objectives.ensemble.reward import EnsembleReward

            _check_options(objective, {"aggregate", "k"})
            function, options = EnsembleReward(objective.name, _folder(rest, home), **objective.options), {}
        elif kind == "process":
            from pareto.objectives.process.reward import ProcessReward

            _check_options(objective, {"how"})
            process = ProcessReward(_folder(rest, home), **objective.options)
            function, bounds, options = process, process.range, {}
        else:
            function = _import(objective.reward)
            _check_signature(function, objective)
            options = objective.options
    except ParetoError as e:
        raise ParetoError(f"objective '{objective.name}': {e}") from e
    return Reward(
        name=objective.name,
        sign=1 if (objective.direction or direction) == "maximize" else -1,
        range=objective.range or bounds,
        function=function if kind == "ensemble" else _bind(objective.name, function, options),
    )


def _folder(name: str, home: Path | None) -> Path:
    beside = Path(name) if home is None else home / name
    return beside if beside.is_dir() else Path(name)


def _bind(name: str, function: Callable[..., Any], options: dict[str, Any]) -> RewardFunction:
    def reward(*, prompts: object, completions: object, **columns: object) -> list[float | None]:
        return function(prompts=prompts, completions=completions, **columns, **options)  # type: ignore[no-any-return]

    reward.__name__ = reward.__qualname__ = name  # TRL logs a reward under its __name__
    return reward


def _import(spec: str) -> Callable[..., Any]:
    module_name, _, function_name = spec.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:  # as `python -m` does; it stays, for what the module imports later
        sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as e:
        if e.name and (module_name == e.name or module_name.startswith(e.name + ".")):
            raise ParetoError(
                f"reward '{spec}': no module '{module_name}' in the current directory or the environment"
            ) from e
        raise ParetoError(f"reward '{spec}': module '{module_name}' needs '{e.name}', which is not installed") from e
    except Exception as e:
        raise ParetoError(f"reward '{spec}': importing '{module_name}' raised {type(e).__name__}: {e}") from e
    if not hasattr(module, function_name):
        public = [n for n, v in vars(module).items() if callable(v) and not n.startswith("_")]
        hint = f"; {suggest(function_name, public)}" if public else ""
        raise ParetoError(f"reward '{spec}': module '{module_name}' has no function '{function_name}'{hint}")
    function = getattr(module, function_name)
    if not callable(function):
        raise ParetoError(f"reward '{spec}': '{function_name}' is a {type(function).__name__}, not a function")
    if inspect.iscoroutinefunction(function):
        raise ParetoError(f"reward '{spec}': '{function_name}' is async; give a plain function")
    return function  # type: ignore[no-any-return]


def _check_signature(function: Callable[..., Any], objective: Objective) -> None:
    parameters = inspect.signature(function).parameters.values()
    if not any(p.kind is p.VAR_KEYWORD for p in parameters):
        raise ParetoError(
            f"reward '{objective.reward}' must take f(prompts, completions, completion_ids, **columns), as TRL's "
            "rewards do: '**columns' is missing"
        )
    # Any other option may be meant for the function's **columns.
    _check_options(objective, set(objective.options) - set(PASSED))


def _keywords(function: Callable[..., Any]) -> set[str]:
    parameters = inspect.signature(function).parameters.values()
    return {p.name for p in parameters if p.kind is p.KEYWORD_ONLY} - set(PASSED)


def _check_options(objective: Objective, known: Collection[str]) -> None:
    for option in objective.options:
        if option not in known:
            hint = suggest(option, sorted(known)) if known else "it takes none"
            raise ParetoError(f"reward '{objective.reward}' has no option '{option}'; {hint}")
