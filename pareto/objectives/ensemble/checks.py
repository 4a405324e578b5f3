"""What is refused: a reward model that loads silently wrong is found out only once a policy was trained on it."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.errors import ParetoError
from pareto.objectives.ensemble.features import template_hash
from pareto.records import Pair

FAR = 50.0
"""Members whose scores are so many times larger or smaller than the others' are on another scale."""
HELD_OUT = 3
"""Prompts held out at least: two to calibrate on, one to report on."""
ON_BASE = {"linear", "mlp", "lora"}
"""Kinds of members that read the base model."""


def check_pairs(objective: str, pairs: Sequence[Pair], members: int, held_out: float) -> None:
    """Refuse comparisons that nothing, or not so many members, can be learnt from.

    Raises:
        ParetoError: it names how many prompts are needed.
    """
    for i, pair in enumerate(pairs):
        if pair.chosen == pair.rejected:
            raise ParetoError(f"objective '{objective}': comparison {i}: chosen and rejected are the same text")
        if not (0 < pair.weight < math.inf and 0 <= pair.target <= 1):
            raise ParetoError(
                f"objective '{objective}': comparison {i}: weight {pair.weight:g} and target {pair.target:g} should be "
                "more than 0, and from 0 to 1"
            )
    prompts = len({p.prompt for p in pairs if p.target != 0.5})
    needed = prompts_needed(members, held_out)
    if prompts < needed:
        raise ParetoError(
            f"objective '{objective}': {counted(len(pairs), 'comparison')} of {counted(prompts, 'prompt')}, ties "
            f"aside, are too few: {counted(members, 'member')}, {held_out:.0%} held out, need at least {needed} "
            "prompts; label more, or take fewer members"
        )


def prompts_needed(members: int, held_out: float) -> int:
    """Prompts that comparisons must come from, ties aside, to teach, calibrate and test so many members."""
    return math.ceil(max(HELD_OUT / held_out, max(members, 2) / (1 - held_out)))


def check_folder(path: Path) -> None:
    """Make a folder, or refuse it before the work that is to go there is done.

    Raises:
        ParetoError: it cannot be made, or nothing can be written to it.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as e:
        why = "it is a file" if path.is_file() else e.strerror
        raise ParetoError(f"{path}: no folder that can be written to: {why}; name another") from None


def prompt_hash(prompt: str) -> str:
    """By which an ensemble knows a prompt again, 12 hex digits."""
    return hashlib.sha256(prompt.encode()).hexdigest()[:12]


def unseen(pairs: Sequence[Pair], seen: Collection[str], what: str) -> tuple[list[Pair], str | None]:
    """Comparisons by which an ensemble can be judged: those of prompts that it did not learn from or get calibrated on.

    Args:
        pairs: comparisons.
        seen: ``prompt_hash`` of those prompts.
        what: the comparisons are, for messages.

    Returns:
        What is left, and a line on what is left out, if anything is.

    Raises:
        ParetoError: nothing is left.
    """
    left = [p for p in pairs if prompt_hash(p.prompt) not in seen]
    if len(left) == len(pairs):
        return left, None
    line = (
        f"{what}: {len(pairs) - len(left)} of {counted(len(pairs), 'comparison')} are of prompts that the ensemble was "
        "trained or calibrated on"
    )
    if not left:
        raise ParetoError(f"{line}: nothing to judge it by; give comparisons of other prompts")
    return left, f"{line}; left out"


def counted(n: int, thing: str) -> str:
    """A number of things, in words: "1 member", "2 members"."""
    return f"{n} {thing}" if n == 1 else f"{n} {thing}s"


def check_base(path: Path, info: Mapping[str, Any]) -> None:
    """Refuse an ensemble whose base model is not what its members were trained with.

    Raises:
        ParetoError: another chat template, or other weights or another tokenizer.
    """
    if not ON_BASE & {m["kind"] for m in info["members"]}:
        return
    from pareto.model_sources import resolve
    from pareto.models import fingerprint as model_fingerprint

    base = resolve(info["model"]["base"])
    if template_hash(base) != info["template"]:
        raise ParetoError(
            f"{path}: its members were trained with another chat template than {info['model']['base']} has now; "
            "put the template back or train anew"
        )
    if model_fingerprint(base) != info["base_fingerprint"]:
        raise ParetoError(
            f"{path}: its members were trained on another state of {info['model']['base']} (weights, configuration or "
            "tokenizer differ); put it back or train anew"
        )


def check_members(names: Sequence[str], raw: NDArray[np.float64]) -> None:
    """Refuse members that say nothing, or the same as another.

    Args:
        names: of the k members, for the message.
        raw: scores (n, k) of the calibration completions.

    Raises:
        ParetoError: a member's scores are all the same; two members' scores are.
    """
    deviation = raw.std(axis=0)
    for name, d, column in zip(names, deviation, raw.T, strict=True):
        if d <= 1e-9 * max(1.0, float(np.abs(column).max())):
            raise ParetoError(f"{name} scores everything the same: its head is untrained")
    for i in range(len(names)):
        for j in range(i + 1, len(names)):
            if np.abs(raw[:, i] - raw[:, j]).max() <= 1e-6 * deviation[i]:
                raise ParetoError(
                    f"{names[i]} and {names[j]} are identical: they would only seem to agree; train with another seed "
                    "or with `bootstrap`"
                )


def below_chance(margins: NDArray[np.float64], targets: NDArray[np.float64]) -> list[bool]:
    """Which of k members prefer the wrong one of two so often that it is no accident (Wilson interval, 95 %).

    Args:
        margins: (n, k) on calibration pairs.
        targets: (n,); ties do not count.
    """
    from scipy.stats import binomtest

    known = targets != 0.5
    right = (margins[known] > 0) == (targets[known, None] > 0.5)
    n = int(known.sum())
    return [bool(binomtest(int(r), n).proportion_ci(method="wilson").high < 0.5) for r in right.sum(axis=0)]


def check_scale(names: Sequence[str], scale: Sequence[float], foreign: Sequence[bool]) -> None:
    """Refuse a foreign member on another scale than the rest; the trained ones got theirs from the same likelihood.

    Args:
        names: of the k members.
        scale: (k,), raw units per nat.
        foreign: (k,)

    Raises:
        ParetoError: one is ``FAR`` times larger or smaller than the median.
    """
    middle = float(np.median(scale))
    for name, s, theirs in zip(names, scale, foreign, strict=True):
        if theirs and not 1 / FAR <= s / middle <= FAR:
            raise ParetoError(
                f"{name} is mis-scaled: {s:.3g} of its units make one nat, the members' median is {middle:.3g}; "
                "rescale its output or leave it out"
            )
