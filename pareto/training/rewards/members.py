"""Train an ensemble's members, those that share features together, and keep what is finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pareto.config import Ensemble as Settings
from pareto.config import Head, Model
from pareto.errors import ParetoError
from pareto.objectives.ensemble.classifier import Foreign
from pareto.objectives.ensemble.feature_cache import FeatureCache
from pareto.objectives.ensemble.features import frozen_base
from pareto.objectives.ensemble.heads import Heads
from pareto.objectives.ensemble.members import feature_cache
from pareto.records import Pair
from pareto.store.files import discard, folder, folder_ok
from pareto.training.rewards.heads import Comparisons, train_heads

Told = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass
class Made:
    """Members, not yet calibrated."""

    path: Path
    """Where finished LoRA members lie, as they will in the ensemble's folder."""
    members: list[dict[str, Any]] = field(default_factory=list)
    """As ``ensemble.json`` lists them."""
    heads: dict[str, Heads] = field(default_factory=dict)
    """By kind, in the order of ``members``."""
    caches: dict[str, FeatureCache] = field(default_factory=dict)
    """By kind, the features of those heads."""
    dropped: list[dict[str, Any]] = field(default_factory=list)
    """``member``, ``why``."""

    def drop(self, at: Mapping[int, str], note: Callable[[str], None]) -> list[int]:
        """Leave out members at some places, for a reason each; what stays: the old places of the rest."""
        stay = [i for i in range(len(self.members)) if i not in at]
        for i, why in at.items():
            self.dropped.append({"member": self.members[i]["name"], "why": why})
            note(f"{self.members[i]['name']} dropped: {why}")
        for kind in list(self.heads):
            places = [i for i, m in enumerate(self.members) if m["kind"] == kind]
            rows = [row for row, i in enumerate(places) if i not in at]
            self.heads[kind] = self.heads[kind].take(rows)
            if not rows:
                del self.heads[kind], self.caches[kind]
        self.members = [self.members[i] for i in stay]
        return stay


def make_members(
    pairs: Sequence[Pair],
    settings: Settings,
    model: Model,
    foreign: Sequence[str],
    seed: int,
    cache: Path,
    path: Path,
    told: Told,
    note: Callable[[str], None],
) -> Made:
    """Train ``settings.members`` members and add the foreign ones; those that failed are dropped.

    Args:
        pairs: the training comparisons.
        settings: the recipe's.
        model: the base model.
        foreign: folders or hub ids.
        seed: of the members.
        cache: folder of the features.
        path: folder in which finished LoRA members are kept.
        told: see there.
        note: called with one line for each that is dropped.

    Raises:
        ParetoError: a foreign model cannot be loaded.
    """
    made = Made(path)
    kinds = (settings.head,) if isinstance(settings.head, str) else settings.head
    for i in range(settings.members):
        # Far from the seeds of members of other ensembles.
        own = int(np.random.SeedSequence([seed, i]).generate_state(1)[0])
        kind = kinds[i % len(kinds)]
        made.members.append({"name": f"member {i} ({kind})", "kind": kind, "seed": own})
    failed: dict[int, str] = {}
    for kind in dict.fromkeys(kinds[: settings.members]):
        places = [i for i, m in enumerate(made.members) if m["kind"] == kind]
        if kind == "lora":
            failed |= _lora(made, places, pairs, settings, model, told, note)
        else:
            features = feature_cache(kind, model, settings.pooling, cache)
            failed |= _heads(made, kind, places, pairs, settings, features, told)
    for source in foreign:
        revision = Foreign(source).revision
        made.members.append({"name": f"'{source}'", "kind": "foreign", "source": source, "revision": revision})
    made.drop(failed, note)
    return made


def _heads(
    made: Made,
    kind: Head,
    places: Sequence[int],
    pairs: Sequence[Pair],
    settings: Settings,
    cache: FeatureCache,
    told: Told,
) -> dict[int, str]:
    """Train the heads on one kind of features; which failed and why."""
    rows = list(dict.fromkeys([(p.prompt, p.chosen) for p in pairs] + [(p.prompt, p.rejected) for p in pairs]))
    number = {row: i for i, row in enumerate(rows)}
    features = cache([r[0] for r in rows], [r[1] for r in rows], lambda done, total: told("features", done, total))
    data = Comparisons(
        features,
        np.array([number[p.prompt, p.chosen] for p in pairs]),
        np.array([number[p.prompt, p.rejected] for p in pairs]),
        np.array([p.target for p in pairs]),
        np.array([p.weight for p in pairs]),
        np.unique([p.prompt for p in pairs], return_inverse=True)[1],
    )
    seeds = [made.members[i]["seed"] for i in places]
    heads, decay = train_heads(
        "mlp" if kind == "mlp" else "linear",
        data,
        seeds,
        settings,
        lambda done, total: told(f"{kind} heads", done, total),
    )
    made.heads[kind], made.caches[kind] = heads, cache
    for i in places:
        made.members[i]["weight_decay"] = decay
    finite = [all(np.isfinite(t[row]).all() for t in heads.tensors.values()) for row in range(len(places))]
    why = "its loss is NaN or infinite"
    return {i: why for i, fine in zip(places, finite, strict=True) if not fine}


def _lora(
    made: Made,
    places: Sequence[int],
    pairs: Sequence[Pair],
    settings: Settings,
    model: Model,
    told: Told,
    note: Callable[[str], None],
) -> dict[int, str]:
    """Train the LoRA members that are not finished; which failed and why."""
    from pareto.training.rewards.lora import Failed, train_lora

    settled = [p for p in pairs if p.target != 0.5]
    if len(settled) < len(pairs):
        note(f"{len(pairs) - len(settled)} ties left out for LoRA members: TRL's RewardTrainer knows none")
    failed: dict[int, str] = {}
    for i in places:
        made.members[i]["file"] = f"members/{i}"
        out = made.path / "members" / str(i)
        if folder_ok(out):
            continue
        discard(out)
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            with folder(out) as inside:
                progress = lambda done, total, i=i: told(f"LoRA member {i}", done, total)  # noqa: E731
                train_lora(frozen_base(model), settled, made.members[i]["seed"], settings, inside, progress)
        except Failed as e:
            failed[i] = str(e)
    return failed


def need_enough(objective: str, made: Made, of: int) -> None:
    """Refuse an ensemble of several that became one, and a single model that became none.

    Raises:
        ParetoError: fewer members are left.
    """
    if len(made.members) < min(of, 2):
        reasons = "; ".join(f"{d['member']}: {d['why']}" for d in made.dropped)
        raise ParetoError(
            f"objective '{objective}': {len(made.members)} of {of} members are left ({reasons}); more comparisons of "
            "it, another head or more members may help"
        )
