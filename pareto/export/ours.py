"""What our policy says to a run's prompts: the side of a verification that is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from pareto.config import Sampling
from pareto.rollouts.sampling import stream

if TYPE_CHECKING:
    from pareto.inference.policy import Policy

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Talk:
    """A prompt and our greedy answer to it."""

    messages: tuple[dict[str, str], ...]
    text: str
    """The conversation as the chat template writes it, up to where the answer begins."""
    ids: tuple[int, ...]
    """Its tokens."""
    answer: tuple[int, ...]
    """Tokens of the greedy answer, with the end-of-turn token where it ended."""


def talk(policy: Policy, prompt: str, tokens: int) -> Talk:
    """Answer greedily, with at most ``tokens`` tokens."""
    base = policy.base
    messages = ({"role": "system", "content": base.system}, {"role": "user", "content": prompt})
    text = base.tokenizer.apply_chat_template(list(messages), add_generation_prompt=True, tokenize=False)
    ids = base.prompt_ids(prompt)
    # Of the single likeliest token the draw is certain.
    greedy = Sampling(max_new_tokens=tokens, temperature=1.0, top_p=1.0, top_k=1)
    with policy.bank.policy(policy.coefficients):
        return Talk(messages, str(text), tuple(ids), tuple(stream(base, ids, 0, greedy)))


def logits(policy: Policy, said: Talk) -> Floats:
    """(answer, vocabulary): the scores from which each token of the answer was taken."""
    import torch

    with policy.bank.policy(policy.coefficients), torch.inference_mode():
        hidden = policy.base.model.base_model(
            input_ids=torch.tensor([[*said.ids, *said.answer]]), use_cache=False
        ).last_hidden_state[0, len(said.ids) - 1 : -1]
        return policy.base.logits(hidden).numpy()


def fitting(policy: Policy, prompts: Sequence[str], tokens: int) -> list[str]:
    """The prompts that leave room for an answer, without those in which a runtime would see special tokens."""
    base = policy.base
    return [p for p in prompts if not base.has_special(p) and len(base.prompt_ids(p)) + tokens <= base.context]
