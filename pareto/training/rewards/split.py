"""Which comparisons train an ensemble, which calibrate it, and which it is measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pareto.objectives.ensemble.checks import HELD_OUT
from pareto.records import Pair


def split(pairs: Sequence[Pair], held_out: float, seed: int) -> tuple[list[Pair], list[Pair], list[Pair]]:
    """Divide comparisons by prompt.

    Prompts are ordered by a hash, so that most stay where they were when others join them. Those of which there are
    ties only train: they could neither calibrate nor test.

    Args:
        pairs: of enough prompts, see ``check_pairs``.
        held_out: share of the prompts that do not train; half of them, rounded up, calibrate.
        seed: of the order.

    Returns:
        Training, calibration and test comparisons, each in the order of ``pairs``.
    """
    settled = {p.prompt for p in pairs if p.target != 0.5}
    ordered = sorted(settled, key=lambda prompt: hashlib.sha256(f"{seed}:{prompt}".encode()).digest())
    out = max(HELD_OUT, round(held_out * len(ordered)))
    half = (out + 1) // 2
    place = dict.fromkeys(ordered[:half], 1) | dict.fromkeys(ordered[half:out], 2)
    parts: tuple[list[Pair], list[Pair], list[Pair]] = ([], [], [])
    for pair in pairs:
        parts[place.get(pair.prompt, 0)].append(pair)
    return parts
