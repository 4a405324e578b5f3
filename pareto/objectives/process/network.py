"""The token-level head, on features or on a base model with LoRA in it, as transformers' ``Trainer`` takes a model."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

Kind = Literal["linear", "mlp", "lora"]
HIDDEN = 64
"""Units of an MLP's hidden layer."""
RANK = 8


class Unlabelled(ValueError):
    """A batch that nothing can be learnt from."""


class StepNetwork(nn.Module):
    """One logit per step: that it is right."""

    def __init__(self, kind: Kind, width: int, backbone: nn.Module | None = None) -> None:
        """Make it, untrained.

        Args:
            kind: of the head; ``lora``: a linear one, above a backbone that learns with it.
            width: of a feature, or of a hidden state.
            backbone: of ``lora``: the base model without its vocabulary; LoRA goes into it.
        """
        super().__init__()
        self.head = (
            nn.Sequential(nn.Linear(width, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, 1))
            if kind == "mlp"
            else nn.Linear(width, 1)
        )
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.backbone = backbone
        if backbone is not None:
            from peft import LoraConfig, inject_adapter_in_model

            config = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.0, target_modules=_linear(backbone))
            inject_adapter_in_model(config, backbone)

    def standardise(self, features: Tensor) -> None:
        """Let the head see what it is trained on (n, width) with mean 0 and standard deviation 1."""
        deviation = features.std(0, correction=0)
        self.mean, self.deviation = features.mean(0), torch.where(deviation > 0, deviation, 1.0)

    def forward(
        self,
        features: Tensor | None = None,
        targets: Tensor | None = None,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        row: Tensor | None = None,
        column: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Logits of n steps; with targets, their mean loss and the logits of the labelled ones only.

        Args:
            features: (n, width), without a backbone.
            targets: (n,) chance that a step is right; NaN where nobody said.
            input_ids: (b, t), with a backbone.
            attention_mask: (b, t)
            row: (n,) of a step's last token.
            column: (n,)

        Raises:
            Unlabelled: all of ``targets`` are NaN.
        """
        if self.backbone is not None:
            hidden = self.backbone(input_ids=input_ids, attention_mask=attention_mask, use_cache=False)
            features = hidden.last_hidden_state[row, column].float()
        assert features is not None
        if targets is not None:
            labelled = ~targets.isnan()
            if not labelled.any():
                raise Unlabelled("a batch in which no step has a label")
            # Taken out before the head, so that what has no label cannot touch a single bit of what is learnt.
            features, targets = features[labelled], targets[labelled]
        logits: Tensor = self.head((features - self.mean) / self.deviation)[:, 0]
        if targets is None:
            return {"logits": logits}
        return {"loss": binary_cross_entropy_with_logits(logits, targets.to(logits.dtype)), "logits": logits}

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]
        """What is learnt; the base model is kept elsewhere."""
        whole: dict[str, Any] = super().state_dict(*args, **kwargs)
        return {name: t for name, t in whole.items() if not name.startswith("backbone.") or ".lora_" in name}

    def load_learnt(self, learnt: dict[str, Tensor]) -> None:
        """Take what ``state_dict`` gave.

        Raises:
            ValueError: tensors are missing, or too many, or of another shape.
        """
        if set(learnt) != set(self.state_dict()):
            raise ValueError("its tensors are not those of this kind of head on this model")
        try:
            self.load_state_dict(learnt, strict=False)
        except RuntimeError as e:
            raise ValueError(str(e).splitlines()[-1].strip()) from None


def _linear(backbone: nn.Module) -> list[str]:
    return [name for name, module in backbone.named_modules() if isinstance(module, nn.Linear)]
