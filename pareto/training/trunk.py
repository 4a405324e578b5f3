"""Compute the layers below the adapters once for all weight settings.

When only the upper layers are adapted, a sequence's activations at the lowest adapted layer depend on no
adapter. Every weight setting trains on the same pool, so these activations are computed once per sequence
and every later step starts there: the lower layers' forward pass is paid once per run, not once per step. What is
kept of a sequence are the same bits whenever and wherever it is computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from pareto.models import Base

LIMIT_BYTES = 2 << 30
"""Activations kept at most; sequences beyond it are computed anew each time."""


class _Reached(Exception):
    """Raised by the hook at the lowest adapted layer, carrying its input."""


class Trunk:
    """The frozen layers below ``first``, and what they give for each sequence seen."""

    def __init__(self, base: Base, first: int) -> None:
        self.base, self.first = base, first
        self.backbone: Any = base.model.base_model
        self.kept: dict[bytes, Tensor] = {}
        self.bytes = 0

    def hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Input of layer ``first``.

        Args:
            ids: (n, t), padded on the right.
            mask: (n, t), 1 on tokens.

        Returns:
            (n, t, width), zero on padding.
        """
        import torch

        lengths = mask.sum(1).tolist()
        keys = [row[:n].cpu().numpy().tobytes() for row, n in zip(ids, lengths, strict=True)]
        fresh: dict[bytes, Tensor] = {}
        for i, key in enumerate(keys):
            if key in self.kept or key in fresh:
                continue
            # Alone: its last bits depend on what it is batched with, and that on what was computed before.
            fresh[key] = self._run(ids[i : i + 1, : lengths[i]], mask[i : i + 1, : lengths[i]])[0]
            if self.bytes + fresh[key].nbytes <= LIMIT_BYTES:
                self.kept[key] = fresh[key]
                self.bytes += fresh[key].nbytes
        rows = [self.kept[k] if k in self.kept else fresh[k] for k in keys]
        out = torch.zeros(*ids.shape, rows[0].size(-1), dtype=rows[0].dtype, device=ids.device)
        for r, row in enumerate(rows):
            out[r, : len(row)] = row
        return out

    def _run(self, ids: Tensor, mask: Tensor) -> Tensor:
        import torch

        def stop(_module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            raise _Reached(args[0] if args else kwargs["hidden_states"])

        hook = self.backbone.layers[self.first].register_forward_pre_hook(stop, with_kwargs=True)
        try:
            with torch.no_grad():
                self.backbone(input_ids=ids, attention_mask=mask, use_cache=False)
        except _Reached as reached:
            out: Tensor = reached.args[0]
            return out.detach()
        finally:
            hook.remove()
        raise AssertionError("the lowest adapted layer was never reached")

    @contextmanager
    def upper(self) -> Iterator[Any]:
        """The backbone with only the adapted layers in it; feed it ``hidden`` as ``inputs_embeds``."""
        layers = self.backbone.layers
        self.backbone.layers = layers[self.first :]
        try:
            yield self.backbone
        finally:
            self.backbone.layers = layers


def shareable(base: Base, first: int) -> bool:
    """Whether the upper layers alone, fed the trunk's output, give what the whole model gives.

    Tried on a real forward pass rather than looked up: an architecture that scales its embeddings or treats
    layers differently by index fails it and is trained without sharing.
    """
    import torch

    if first == 0 or not hasattr(base.model.base_model, "layers"):
        return False
    # Attention windows go by the layer's index, and show only in sequences longer than the one tried below.
    kinds = getattr(base.model.config, "layer_types", None)
    if kinds and kinds[first:] != kinds[: len(kinds) - first]:
        return False
    ids = torch.arange(4, 16, device=base.device).repeat(2, 1)
    mask = torch.ones_like(ids)
    mask[1, 9:] = 0
    trunk = Trunk(base, first)
    with torch.no_grad():
        whole = base.model.base_model(input_ids=ids, attention_mask=mask, use_cache=False).last_hidden_state
        hidden = trunk.hidden(ids, mask)
        with trunk.upper() as backbone:
            split = backbone(inputs_embeds=hidden, attention_mask=mask, use_cache=False).last_hidden_state
    error = (whole - split)[mask.bool()].abs().max() / whole.abs().max()
    return bool(error < (1e-4 if whole.dtype == torch.float32 else 1e-2))
