"""A forward for ``SFTTrainer`` that takes half the time of TRL's own in the vocabulary, measured on a CPU.

TRL goes over it in tiles and computes it twice, to save memory that an answer of a few dozen tokens does not need.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy
from trl.trainer.utils import FusedCausalLMOutput

from pareto.models import Base


def forward(base: Base) -> Callable[..., FusedCausalLMOutput]:
    """What the base's model is to do with a batch: log-probabilities of the labels; entropies are left zero."""

    def scored_forward(
        self: Any, input_ids: Tensor, attention_mask: Tensor, labels: Tensor, **_: Any
    ) -> FusedCausalLMOutput:
        hidden = self.base_model(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
        scored = labels[:, 1:] != -100
        logits = base.logits(hidden.last_hidden_state[:, :-1][scored])
        targets = labels[:, 1:][scored]
        loss = cross_entropy(logits, targets, reduction="none")

        def spread(values: Tensor) -> Tensor:
            return values.new_zeros(scored.shape).masked_scatter(scored, values)

        return FusedCausalLMOutput(
            log_probs=spread(-loss),
            entropy=spread(loss.detach() * 0),
            is_top1=spread(logits.detach().argmax(1) == targets),
            label_mask=scored,
        )

    return scored_forward
