"""TIES, DARE and magnitude pruning of several adapters into a new one, by PEFT's own ``add_weighted_adapter``.

Only PEFT's ``…_svd`` methods are offered: they work on the updates ΔW and bring the result back to a rank. Those
without ``_svd`` treat A and B apart, and products of averaged factors are no average of products.

TIES: Yadav et al., "TIES-Merging: Resolving Interference When Merging Models", NeurIPS 2023. DARE: Yu et al.,
"Language Models are Super Mario", ICML 2024.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pareto.config import suggest
from pareto.errors import ParetoError
from pareto.soups.compress import Loss
from pareto.training.adapters import State

if TYPE_CHECKING:
    from torch import Tensor

METHODS = ("ties_svd", "dare_ties_svd", "dare_linear_svd", "magnitude_prune_svd")
"""PEFT's names of what is offered."""


def combine(
    adapters: Mapping[str, tuple[State, State]],
    coefficients: Mapping[str, float],
    scale: float,
    *,
    method: str,
    density: float,
    rank: int,
    seed: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[State, State, list[Loss]]:
    """One new adapter from several.

    Args:
        adapters: name → (A, B); their modules and ranks may differ.
        coefficients: name → λ, PEFT's ``weights``; at least two that are not zero.
        scale: s in ΔW = s·B·A, of all of them and of the result.
        method: one of ``METHODS``, PEFT's ``combination_type``.
        density: share of each update's values that is kept, in (0, 1].
        rank: of the result, at most.
        seed: of DARE's random pruning.
        progress: told the number of modules done, and of all.

    Returns:
        A with orthonormal rows, B, and what each module lost when its combination was cut to the rank.

    Raises:
        ParetoError: an unknown method, a density outside (0, 1], a coefficient that is not finite, or fewer than two
            adapters: with one, PEFT would silently leave the method away.
    """
    import torch

    if method not in METHODS:
        raise ParetoError(f"no method '{method}'; {suggest(method, list(METHODS))}")
    if not 0 < density <= 1:
        raise ParetoError(f"density {density:g}: must be above 0 and at most 1")
    for name, value in coefficients.items():
        if not math.isfinite(value):
            raise ParetoError(f"coefficients: {name}={value:g} is not a finite number")
    used = {name: value for name, value in coefficients.items() if value != 0}
    if len(used) < 2:
        raise ParetoError(f"{method} needs at least two adapters with a coefficient other than 0")
    modules = list(dict.fromkeys(module for name in used for module in adapters[name][0]))
    out_a: State = {}
    out_b: State = {}
    losses = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for done, module in enumerate(modules, 1):
            pairs = [(adapters[name][0].get(module), adapters[name][1].get(module)) for name in used]
            u_s, vh = _combined(pairs, list(used.values()), scale, method, density)
            values = u_s.double().norm(dim=0)  # the singular values: U has orthonormal columns
            kept = min(rank, len(values))
            out_a[module], out_b[module] = vh[:kept].contiguous(), (u_s[:, :kept] / scale).contiguous()
            before = int((values > values.max() * 1e-6).sum())
            losses.append(Loss(module, max(before, kept), kept, float(values.norm()), float(values[kept:].norm())))
            progress(done, len(modules))
    return out_a, out_b, losses


def _combined(
    pairs: list[tuple[Tensor | None, Tensor | None]], weights: list[float], scale: float, method: str, density: float
) -> tuple[Tensor, Tensor]:
    """PEFT's combination of one module's updates at full rank: (U·S (out, k), Vᵀ (k, in)).

    A module at a time, in a model of one layer: that is all the memory it takes. An adapter that lacks the module
    takes part with an update of zeros, which none of the methods counts.
    """
    import torch
    from peft import LoraConfig
    from peft.tuners.lora import LoraModel

    a, b = next((a, b) for a, b in pairs if a is not None and b is not None)
    rows, columns = b.size(0), a.size(1)
    model: Any = None
    for number, (a_k, b_k) in enumerate(pairs):
        rank = 1 if a_k is None else a_k.size(0)
        config = LoraConfig(r=rank, lora_alpha=scale * rank, target_modules=["module"])  # type: ignore[arg-type]
        if model is None:
            layer = torch.nn.Linear(columns, rows, bias=False)
            model = LoraModel(torch.nn.ModuleDict({"module": layer}), {"0": config}, "0")
        else:
            model.peft_config[str(number)] = config
            model.inject_adapter(model.model, str(number))
        tuned = model.model["module"]
        if a_k is None or b_k is None:
            tuned.lora_B[str(number)].weight.data.zero_()
        else:
            tuned.lora_A[str(number)].weight.data.copy_(a_k)
            tuned.lora_B[str(number)].weight.data.copy_(b_k)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The density")  # of 1: nothing is pruned, which is what was asked
        model.add_weighted_adapter(
            [str(number) for number in range(len(pairs))],
            weights,
            "combined",
            combination_type=method,
            svd_rank=min(rows, columns),
            svd_full_matrices=False,
            density=density,
        )
    tuned = model.model["module"]
    return tuned.lora_B["combined"].weight.data, tuned.lora_A["combined"].weight.data
