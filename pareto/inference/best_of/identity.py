"""What an answer depends on, as text to be hashed: the rewards' code, the policy's numbers, the way of drawing.

Only what is the same bit for bit may share a name, since whatever shares one shares its kept answer.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from pareto import __version__, models
from pareto.config import Objective
from pareto.objectives.ensemble.reward import EnsembleReward
from pareto.objectives.load import Reward
from pareto.store.files import fingerprint, sha256_file

if TYPE_CHECKING:
    from pareto.inference.policy import Policy
    from pareto.soups.bank import Bank
    from pareto.training.adapters import State

_HASHES: WeakKeyDictionary[Bank, dict[str, tuple[State, str]]] = WeakKeyDictionary()
"""Bank → adapter → its B and the hash of its factors: an adapter of 10 MB takes 10 ms to hash."""


def source_of(objectives: Sequence[Objective], rewards: Sequence[Reward], home: Path) -> str:
    """Hash of what rewards are: the recipe's words, and the content of the files that these name.

    Code that a ``module:function`` imports from elsewhere is not seen.

    Args:
        objectives: the recipe's.
        rewards: loaded from them.
        home: where their folders are looked for before the current directory is.

    Returns:
        Empty where a reward's content cannot be known, such as a hub id's.
    """
    contents = [_content(o, r, home) for o, r in zip(objectives, rewards, strict=True)]
    if None in contents:
        return ""
    told = [[o.model_dump(mode="json"), content] for o, content in zip(objectives, contents, strict=True)]
    return fingerprint([__version__, told])


def _content(objective: Objective, reward: Reward, home: Path) -> str | None:
    kind, _, rest = objective.reward.partition(":")
    if not rest:
        return ""  # of the catalogue: the version names it
    if isinstance(reward.function, EnsembleReward):
        return reward.function.ensemble.fingerprint
    for folder in (home / rest, Path(rest)):
        if folder.is_dir():
            return models.fingerprint(folder)
    file = inspect.getsourcefile(sys.modules[kind]) if kind in sys.modules else None
    return sha256_file(file) if file else None


def policy_key(policy: Policy) -> dict[str, Any]:
    """What a policy's completions depend on, but for prompt, seed and sampling."""
    import torch

    base = policy.base
    return {
        "base": base.fingerprint,
        "system": base.system,
        "arithmetic": [str(base.model.dtype), base.device.type, torch.__version__],
        "scale": policy.bank.scale,
        "adapters": {
            name: [value, _adapter_hash(policy.bank, name)]
            for name, value in sorted(policy.coefficients.items())
            if value
        },
    }


def rule_key(rule: object | None) -> dict[str, Any] | None:
    """A rule's kind and its fields, which must be plain data.

    Raises:
        TypeError: it is no dataclass, so that two that differ cannot be told apart.
    """
    if rule is None:
        return None
    if not is_dataclass(rule) or isinstance(rule, type):
        raise TypeError(f"{type(rule).__name__} is no dataclass: what it decides cannot be named")
    return {"rule": type(rule).__qualname__, **asdict(rule)}


def _adapter_hash(bank: Bank, name: str) -> str:
    kept = _HASHES.setdefault(bank, {})
    b = bank.adapters[name]
    if name not in kept or kept[name][0] is not b:
        digest = hashlib.sha256()
        for state in (bank.own.get(name, bank.a), b):
            for key in sorted(state):
                digest.update(f"{key}:{state[key].dtype}:{tuple(state[key].shape)}\n".encode())
                digest.update(_bytes(state[key]))
        kept[name] = (b, digest.hexdigest()[:16])
    return kept[name][1]


def _bytes(tensor: Any) -> bytes:
    import torch

    flat = tensor.detach().cpu().contiguous().view(torch.uint8)
    return bytes(flat.numpy().data)
