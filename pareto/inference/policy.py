"""A run's base model with the policy of a point, or of any weights, merged into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from pareto.choice.standing import standing
from pareto.config import Recipe
from pareto.errors import ParetoError
from pareto.models import context_check, load
from pareto.records import Point
from pareto.rollouts.sampling import stream
from pareto.simplex import parse_numbers, parse_weights
from pareto.soups.bank import Bank
from pareto.soups.members import soup_point
from pareto.soups.weights import soup_of
from pareto.store.files import folder_ok
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.training.adapters import State, shared_a

if TYPE_CHECKING:
    from pareto.models import Base


@dataclass
class Policy:
    """A live model at one place of the frontier."""

    recipe: Recipe
    base: Base
    bank: Bank
    coefficients: dict[str, float]

    def answer(self, prompt: str, *, seed: int = 0, max_new_tokens: int | None = None) -> Iterator[str]:
        """The answer's text, piece by piece as it comes.

        Raises:
            ParetoError: the prompt is longer than the context.
        """
        sampling = self.recipe.sampling
        if max_new_tokens:
            sampling = sampling.model_copy(update={"max_new_tokens": max_new_tokens})
        ids = self.base.prompt_ids(prompt)
        context_check(self.base, ids, sampling.max_new_tokens, self.base.context, "prompt")
        tokens: list[int] = []
        shown = ""
        drawn = stream(self.base, ids, seed, sampling)
        while True:
            # Held while the model computes and never while the caller reads, who may stop reading or go on in
            # another thread. Merging again costs nothing unless somebody else took the model in between.
            with self.bank.policy(self.coefficients):
                token = next(drawn, None)
            if token is None:
                return
            tokens.append(token)
            text = str(self.base.tokenizer.decode(tokens, skip_special_tokens=True))
            if not text.endswith("\ufffd"):  # half of a character: wait for the rest
                yield text[len(shown) :]
                shown = text

    def update(self) -> tuple[State, State]:
        """(A, B) of this policy's adapter; of a higher rank where an adapter in it has an A of its own."""
        return self.bank.update(self.coefficients)


def open_policy(run: Run, point: Point) -> Policy:
    """Load a run's base and the adapters that make a point (``weights_point`` makes one from weights).

    Raises:
        ParetoError: an adapter is missing, damaged, of another base, or not of this run.
    """
    recipe = run.recipe
    base = load(recipe.model)
    lora = recipe.training.lora
    bank = Bank(base, lora, shared_a(base, lora, recipe.seed))
    return moved(Policy(recipe, base, bank, {}), run, point)


def moved(policy: Policy, run: Run, point: Point) -> Policy:
    """The same live model at another point of its run, whose adapters join its bank. Raises as ``open_policy``."""
    for name, key in point.adapters.items():
        if name in policy.bank.names:
            continue
        # A hash names the folder; anything else might lead out of the run.
        if not key.isalnum():
            raise ParetoError(f"point '{point.id}' of run '{run.name}': {key!r} is no adapter's name")
        if not folder_ok(run.adapters / key):
            raise ParetoError(f"{run.adapters / key}: missing or damaged; the same sweep again makes it again")
        policy.bank.add(name, run.adapters / key)
    return replace(policy, coefficients=point.coefficients)


AUTO = "auto"
"""In the place of weights: those that were learned for each prompt, see ``AutoWeights``."""


def asked_point(run: Run, weights: str | None, coefficients: str | None) -> Point:
    """The soup asked for as on a command line, by exactly one of these; as measured where the run has measured it.

    Raises:
        ParetoError: what is written cannot be read, or is ``auto``, or see ``weights_point`` and ``soup_point``.
    """
    if weights == AUTO:
        raise ParetoError(
            f"weights auto: they depend on the prompt, and here is none; see pareto weights show {run.name} PROMPT"
        )
    if weights is not None:
        return measured_as(run, weights_point(run, parse_weights(weights, run.recipe.names)))
    numbers = parse_numbers(coefficients or "", "coefficients", "expert-helpful=1.2,other=-.3")
    return measured_as(run, soup_point(run, numbers))


def measured_as(run: Run, point: Point) -> Point:
    """The run's own point with the same coefficients, on test where it is measured there; else the point as given."""
    same = [p for p in load_points(run) if p.kind != "base" and p.coefficients == point.coefficients]
    return min(same, key=lambda p: (p.split != "test", p.id), default=point)


def weights_point(run: Run, weights: tuple[float, ...]) -> Point:
    """The soup that serves these weights, unmeasured: what the run's map says, else one of its experts by rule.

    Returns:
        Its id tells which: ``map`` or ``soup``.

    Raises:
        ParetoError: the map is damaged or of other adapters; or there is none, and an expert that the weights need is
            not trained yet.
    """
    from pareto.soups.frontier_map import FILE, FrontierMap

    recipe = run.recipe
    named = dict(zip(recipe.names, weights, strict=True))
    if (run.path / FILE).is_file():
        found = replace(FrontierMap.load(run), priorities=standing(run)).at(named)
        return replace(soup_point(run, found["coefficients"]), id="map", weights=named)
    experts = {p.id.removeprefix("expert-"): p for p in load_points(run) if p.kind == "expert"}
    for name, weight in named.items():
        if weight > 0 and name not in experts:
            raise ParetoError(f"run '{run.name}' has no expert for '{name}' yet; go on with the sweep")
    coefficients = soup_of(named, {n: p.id for n, p in experts.items()}, recipe.soups.scale)
    return replace(soup_point(run, coefficients), weights=named)
