"""How much ``pareto bench soup`` measures, what it measures on, and how it takes time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import numpy as np

from pareto.bench.soup_parts.ways import Peft, Way, endless, make_adapters
from pareto.config import Lora, Sampling
from pareto.models import Base
from pareto.prompts.packaged import packaged_prompts
from pareto.rollouts.sampling import Request
from pareto.soups.bank import Bank
from pareto.training.adapters import layer_of

Row = dict[str, Any]
"""One line of the result; ``part`` says of which part and ``way`` of which way."""
Say = Callable[[str], None]
Kind = Literal["cat", "linear", "svd"]
"""Of ``add_weighted_adapter``."""


@dataclass(frozen=True)
class Size:
    """How much is measured."""

    rank: int
    """Of every adapter."""
    switches: int
    """Pairs per way of changing λ."""
    generations: int
    """Pairs per way of generating."""
    prompts: int
    new_tokens: int
    """Per completion."""
    experts: int
    grids: tuple[tuple[int, int, int], ...]
    """(λ, prompts each, pairs); the last one gives the figures."""
    adapters: tuple[int, ...]
    """Numbers of adapters."""
    rows: int
    """In the batch that a GPU is given in both of our ways."""


class Timed:
    """A base model with its adapters in our bank and in PEFT, and what is asked of them."""

    def __init__(self, base: Base, layers: int | None, size: Size, folder: Path, seed: int) -> None:
        """Make and load the adapters.

        Args:
            base: nothing merged into it.
            layers: how many are adapted, the last ones; ``None``: all.
            size: how much is measured.
            folder: where the adapters are written.
            seed: of the adapters, λ and completions.
        """
        self.size, self.device = size, base.device
        self.lora = Lora(rank=size.rank, alpha=2 * size.rank, layers=layers)
        self.ids = [tuple(base.prompt_ids(p.text)) for p in packaged_prompts("capitals")]
        self.adapters = make_adapters(base, self.lora, max(size.experts, *size.adapters), folder, seed)
        self.names = list(self.adapters.folders)[: size.experts]
        self.base = endless(base)
        self.peft = Peft(self.base)
        self.bank = Bank(self.base, self.lora, self.adapters.a)
        for name in self.names:
            self.peft.add(name, self.adapters.folders[name])
            self.bank.add(name, self.adapters.folders[name])
        self.random = np.random.default_rng(seed)
        self.sampling = Sampling(max_new_tokens=size.new_tokens)

    @property
    def layers(self) -> list[int]:
        """Which layers are adapted."""
        return sorted({layer_of(module) for module in self.adapters.a})

    def soup(self, names: Iterable[str] | None = None) -> dict[str, float]:
        """A λ from the box that a frontier map searches, no coefficient near zero."""
        return {name: float(self.random.uniform(0.1, 1.5)) for name in names or self.names}

    def requests(self, prompts: int) -> list[Request]:
        """One completion for each of the first prompts."""
        return [Request(self.ids[k % len(self.ids)], k) for k in range(prompts)]

    def seconds(self, work: Callable[..., object], *arguments: Any) -> float:
        """Wall-clock seconds of a call, the GPU's included."""
        self._wait()
        began = time.perf_counter()
        work(*arguments)
        self._wait()
        return time.perf_counter() - began

    def _wait(self) -> None:
        import torch

        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def switches(self, ours: Way, theirs: Way, count: int, names: Iterable[str] | None = None) -> tuple[float, float]:
        """Median seconds of changing λ, in turn; a first pair only warms up, unless one is all that is wanted.

        Ours is cleared in the end.
        """
        pairs = []
        for _ in range(count + (count > 1)):
            soup = self.soup(names)
            pairs.append((self.seconds(ours.switch, soup), self.seconds(theirs.switch, soup)))
        ours.clear()
        kept = pairs[-count:]
        return median(a for a, _ in kept), median(b for _, b in kept)
