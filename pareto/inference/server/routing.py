"""Who answers a user: the run that is served, or for a share of the users a candidate over the same base model."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pareto.config import Model
from pareto.errors import ParetoError
from pareto.frontier import read_frame
from pareto.inference.server.judging import Judging
from pareto.inference.server.places import Breaking, Place, Places
from pareto.models import load
from pareto.soups.bank import Bank
from pareto.soups.members import added
from pareto.store.files import folder_ok
from pareto.store.run import Run
from pareto.training.adapters import shared_a

if TYPE_CHECKING:
    from pareto.models import Base

DType = Literal["auto", "float32", "bfloat16", "float16"]
Arm = Literal["main", "candidate"]
CANDIDATE = "candidate:"
"""Before the names that a candidate's adapters have in the bank."""


@dataclass(frozen=True)
class Arms:
    """One live model, and the frontiers that are served from it."""

    base: Base
    bank: Bank
    """All adapters of both runs."""
    places: Mapping[str, Places]
    """Arm → its frontier; a candidate's models have the main run's name."""
    judging: Mapping[str, Judging]
    """Arm → the rewards that judge its answers: the main run's for both, or nothing could be compared."""
    share: float
    """Of the users that the candidate gets."""
    stretch: float
    """What a candidate's coefficients are in the bank, whose updates are in the main run's scale."""

    @classmethod
    def of(
        cls,
        run: Run,
        candidate: Run | None = None,
        share: float = 0.1,
        *,
        breaking: Breaking = "move",
        dtype: DType = "auto",
    ) -> Arms:
        """Load the base model once and the adapters of all that is served.

        Args:
            run: the main one.
            candidate: of the same base model and the same objectives.
            share: of the users that get the candidate, 0 to 1.
            breaking: see ``Places.open``.
            dtype: of the model. ``auto``: the recipe's, and where that leaves it open float32 on a CPU: in float32 an
                answer is the same alone and in company.

        Raises:
            ParetoError: an adapter is missing or damaged, the candidate has another base or other objectives, a share
                that is none; see ``Places.open`` and ``Judging.of``.
        """
        if not 0 <= share <= 1:
            raise ParetoError(f"beta share {share:g}: wanted a share of the users, from 0 to 1")
        # What is quick to refuse comes before the model is loaded.
        if candidate is not None:
            _check_same(run, candidate)
        places: dict[str, Places] = {"main": Places.open(run, breaking)}
        if candidate is not None:
            places["candidate"] = Places.open(candidate, breaking, run.name)
        judging = Judging.of(run)
        lora = run.recipe.training.lora
        base = load(_in(run.recipe.model, dtype))
        bank = Bank(base, lora, shared_a(base, lora, run.recipe.seed))
        _join(bank, run, places["main"], "")
        stretch = 1.0
        if candidate is not None:
            theirs = candidate.recipe.training.lora
            stretch = (theirs.alpha / theirs.rank) / bank.scale
            try:
                _join(bank, candidate, places["candidate"], CANDIDATE)
            except ParetoError as e:
                raise ParetoError(f"candidate '{candidate.name}': {e}") from None
        return cls(base, bank, places, dict.fromkeys(places, judging), share, stretch)

    def arm(self, user: str) -> Arm:
        """Who answers a user: always the same arm, by a hash of the id.

        Args:
            user: the id; of a request without one its own.
        """
        if "candidate" not in self.places:
            return "main"
        drawn = int.from_bytes(hashlib.sha256(user.encode(errors="replace")).digest()[:8])
        return "candidate" if drawn < self.share * 2**64 else "main"

    def bank_coefficients(self, arm: str, place: Place) -> tuple[tuple[str, float], ...]:
        """A place's coefficients as the bank takes them: sorted by name, without zeros."""
        if arm == "main":
            return tuple(sorted(place.coefficients.items()))
        return tuple(sorted((CANDIDATE + name, self.stretch * value) for name, value in place.coefficients.items()))


def _in(model: Model, dtype: DType) -> Model:
    import torch

    wanted = model.dtype if dtype == "auto" else dtype
    on_cpu = model.device == "cpu" or (model.device == "auto" and not torch.cuda.is_available())
    return model.model_copy(update={"dtype": "float32" if wanted == "auto" and on_cpu else wanted})


def _join(bank: Bank, run: Run, places: Places, prefix: str) -> None:
    """Put all adapters of a run into the bank, those of policies that are gone from its members too."""
    known = places.known
    wanted = known.adapters | {name: key for p in known.points.values() for name, key in p.adapters.items()}
    for name, key in wanted.items():
        # A hash names the folder; anything else might lead out of the run.
        if not key.isalnum():
            raise ParetoError(f"run '{run.name}': {key!r} is no adapter's name")
        if not folder_ok(run.adapters / key):
            hint = "add it to the bank again" if name in added(run) else "the same sweep again makes it again"
            raise ParetoError(f"{run.adapters / key}: adapter '{name}' is missing or damaged; {hint}")
        bank.add(prefix + name, run.adapters / key)


def _check_same(run: Run, candidate: Run) -> None:
    """Refuse a candidate that cannot stand beside a run."""
    ours, theirs = read_frame(run), read_frame(candidate)
    if dict(zip(ours.objectives, ours.signs, strict=True)) != dict(zip(theirs.objectives, theirs.signs, strict=True)):
        raise ParetoError(
            f"candidate '{candidate.name}': its objectives are {', '.join(theirs.objectives)}; those of "
            f"'{run.name}' are {', '.join(ours.objectives)}, and the same names and directions are wanted"
        )
    if run.recipe.model.system != candidate.recipe.model.system:
        raise ParetoError(f"candidate '{candidate.name}': has another system prompt (model.system) than '{run.name}'")
