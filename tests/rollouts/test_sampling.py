"""Drawing completions, against transformers' own generation, its logits warpers and plain log-softmax."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import transformers
from scipy.stats import chisquare
from transformers import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from pareto.config import Sampling
from pareto.rollouts.sampling import Drawn, Request, choose, draw, log_probabilities, stream

if TYPE_CHECKING:
    from pareto.models import Base

PLAIN = Sampling(max_new_tokens=12, temperature=1.0, top_p=1.0, top_k=1000)


def prompts(base: Base) -> list[tuple[int, ...]]:
    """Of different lengths, so that batches are padded."""
    return [tuple(base.prompt_ids(text)) for text in ("Hi", "Name a river.", "What is 12 + 30? Be short.", "Why?")]


def direct_logp(base: Base, prompt: Sequence[int], completion: Sequence[int]) -> float:
    """Sum of log p of the completion, one sequence at a time, no padding and no cache, in float64."""
    with torch.no_grad():
        logits = base.model(torch.tensor([[*prompt, *completion]])).logits[0].double()
    table = logits.log_softmax(-1)
    return sum(float(table[len(prompt) - 1 + i, token]) for i, token in enumerate(completion))


def test_a_row_does_not_depend_on_its_batch(tiny: Base) -> None:
    requests = [Request(ids, seed) for seed in range(6) for ids in prompts(tiny)]
    together = draw(tiny, requests, PLAIN)
    alone = [draw(tiny, [r], PLAIN)[0] for r in requests]
    backwards = draw(tiny, requests[::-1], PLAIN.model_copy(update={"batch_size": 5}))[::-1]
    for a, b, c in zip(together, alone, backwards, strict=True):
        assert a.token_ids == b.token_ids == c.token_ids
        assert a.logp == pytest.approx(b.logp, abs=1e-3)
        assert a.logp == pytest.approx(c.logp, abs=1e-3)
    assert len({d.token_ids for d in together}) == len(together)


@pytest.mark.parametrize("sampling", [{"temperature": 1e-4}, {"top_k": 1}, {"top_p": 1e-6}])
def test_the_likeliest_token_each_time_is_greedy_generation(tiny: Base, sampling: dict[str, float]) -> None:
    asked = prompts(tiny)
    drawn = draw(tiny, [Request(ids, 7) for ids in asked], PLAIN.model_copy(update=sampling))
    for ids, d in zip(asked, drawn, strict=True):
        with torch.no_grad():
            greedy = tiny.model.generate(
                torch.tensor([ids]), attention_mask=torch.ones(1, len(ids)), do_sample=False, max_new_tokens=12
            )
        assert d.token_ids == tuple(greedy[0, len(ids) :].tolist())


def test_log_probabilities_are_those_of_the_full_forward_at_temperature_one(tiny: Base) -> None:
    sampling = Sampling(max_new_tokens=12, temperature=0.5, top_p=0.9, top_k=20)
    requests = [Request(ids, seed) for seed in range(3) for ids in prompts(tiny)]
    drawn = draw(tiny, requests, sampling)
    expected = [direct_logp(tiny, r.ids, d.token_ids) for r, d in zip(requests, drawn, strict=True)]
    assert [d.logp for d in drawn] == pytest.approx(expected, abs=1e-3)
    pairs = [(r.ids, d.token_ids[: 1 + i]) for i, (r, d) in enumerate(zip(requests, drawn, strict=True))]
    pairs += [(r.ids, d.token_ids) for r, d in zip(requests, drawn, strict=True)]  # more than one batch of 16
    assert log_probabilities(tiny, pairs) == pytest.approx([direct_logp(tiny, *p) for p in pairs], abs=1e-3)


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("Gemma2", {"final_logit_softcapping": 2.0, "head_dim": 8}),
        ("Cohere", {"logit_scale": 0.3}),
        ("Granite", {"logits_scaling": 4.0}),
        ("GPT2", {"n_positions": 512}),
    ],
)
def test_scaled_logits_and_absolute_positions_are_scored_as_they_speak(
    tiny: Base, name: str, own: dict[str, float]
) -> None:
    small = {"vocab_size": 259, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1}
    config = getattr(transformers, f"{name}Config")(
        **small, **heads, eos_token_id=2, initializer_range=0.5, tie_word_embeddings=True, **own
    )
    torch.manual_seed(0)
    base = replace(tiny, model=transformers.AutoModelForCausalLM.from_config(config).eval())
    requests = [Request(ids, seed) for seed in range(3) for ids in prompts(base)]
    drawn = draw(base, requests, PLAIN)
    expected = [direct_logp(base, r.ids, d.token_ids) for r, d in zip(requests, drawn, strict=True)]
    assert [d.logp for d in drawn] == pytest.approx(expected, abs=1e-3)
    pairs = [(r.ids, d.token_ids) for r, d in zip(requests, drawn, strict=True)]
    assert log_probabilities(base, pairs) == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(temperature=1.0, top_p=1.0, top_k=1000),
        Sampling(temperature=0.7, top_p=1.0, top_k=1000),
        Sampling(temperature=1.5, top_p=1.0, top_k=12),
        Sampling(temperature=1.0, top_p=0.6, top_k=1000),
        Sampling(temperature=0.8, top_p=0.7, top_k=25),
    ],
)
def test_frequencies_are_those_of_transformers_warpers(tiny: Base, sampling: Sampling) -> None:
    ids = tuple(tiny.prompt_ids("Hi"))
    n = 4000
    with torch.no_grad():
        logits = tiny.model(torch.tensor([ids])).logits[:, -1].float()
    warped = logits
    for warper in (
        TemperatureLogitsWarper(sampling.temperature),
        TopKLogitsWarper(sampling.top_k),
        TopPLogitsWarper(sampling.top_p),
    ):
        warped = warper(torch.tensor([ids]), warped)
    p = warped.softmax(-1)[0].double().numpy()
    one = sampling.model_copy(update={"max_new_tokens": 1, "batch_size": n})
    counts = Counter(d.token_ids[0] for d in draw(tiny, [Request(ids, seed) for seed in range(n)], one))
    seen = np.array([counts[t] for t in range(len(p))])
    assert seen[p == 0].sum() == 0
    # Tokens that are expected less than five times are counted together.
    common = p * n >= 5
    observed = np.append(seen[common], seen[~common].sum())
    expected = np.append(p[common], p[~common].sum()) * n
    kept = expected > 0
    assert chisquare(observed[kept], expected[kept] * n / expected[kept].sum()).pvalue > 1e-3


def shared_tokens(left: list[Drawn], right: list[Drawn]) -> float:
    """Share of first tokens that agree."""
    return float(np.mean([a.token_ids[0] == b.token_ids[0] for a, b in zip(left, right, strict=True)]))


def test_two_nearly_equal_policies_take_the_same_luck(tiny: Base) -> None:
    ids = prompts(tiny)
    one = PLAIN.model_copy(update={"max_new_tokens": 1})
    requests = [Request(ids[i % len(ids)], i) for i in range(400)]
    others = [Request(ids[i % len(ids)], 1000 + i) for i in range(400)]
    before, unpaired = draw(tiny, requests, one), draw(tiny, others, one)
    weight = tiny.model.get_submodule("model.layers.1.mlp.down_proj").weight
    kept = weight.detach().clone()
    noise = torch.randn(weight.shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weight.add_(noise, alpha=0.001 * float(kept.std()))
    try:
        after = draw(tiny, requests, one)
    finally:
        with torch.no_grad():
            weight.copy_(kept)
    assert shared_tokens(before, after) > 0.9
    assert shared_tokens(before, unpaired) < 0.1


def test_rows_end_at_the_end_token_or_at_the_cap(tiny: Base) -> None:
    requests = [Request(ids, seed) for seed in range(30) for ids in prompts(tiny)]
    drawn = draw(tiny, requests, PLAIN.model_copy(update={"max_new_tokens": 60}))
    ended = [d for d in drawn if len(d.token_ids) < 60]
    assert 3 < len(ended) < len(drawn)
    assert all(d.token_ids[-1] == tiny.end_id for d in ended)
    assert all(tiny.end_id not in d.token_ids[:-1] for d in drawn)
    assert max(len(d.token_ids) for d in drawn) == 60


def test_rows_that_have_ended_are_not_computed_further(tiny: Base) -> None:
    widths: list[int] = []
    hook = tiny.model.register_forward_pre_hook(
        lambda _module, _args, kwargs: widths.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    ids = prompts(tiny)[0]
    try:
        drawn = draw(tiny, [Request(ids, seed) for seed in range(100)], PLAIN.model_copy(update={"max_new_tokens": 60}))
    finally:
        hook.remove()
    # The prefill of the one prompt, then at each step the rows that were not yet at their end.
    alive = [
        sum(len(d.token_ids) > step and d.token_ids[step - 1] != tiny.end_id for d in drawn) for step in range(1, 60)
    ]
    assert widths == [1, *alive]
    assert alive[-1] < 100


def test_progress_counts_every_completion_once(tiny: Base) -> None:
    told: list[int] = []
    requests = [Request(ids, 0) for ids in prompts(tiny) for _ in range(3)]
    draw(tiny, requests, PLAIN.model_copy(update={"batch_size": 5}), told.append)
    assert told == [5, 5, 2]
    assert draw(tiny, [], PLAIN) == []


def test_a_stream_gives_the_tokens_of_draw(tiny: Base) -> None:
    sampling = PLAIN.model_copy(update={"max_new_tokens": 60})
    for seed in range(5):
        for ids in prompts(tiny)[:2]:
            assert tuple(stream(tiny, ids, seed, sampling)) == draw(tiny, [Request(ids, seed)], sampling)[0].token_ids


def test_the_last_representable_luck_is_still_a_likely_token() -> None:
    logits = torch.tensor([[3.0, 2.0, 1.0, -50.0]])
    tokens, _ = choose(logits, np.array([np.nextafter(1.0, 0.0)]), Sampling(temperature=1.0, top_p=0.9, top_k=4))
    assert tokens.item() == 1  # the first two hold 0.91: the third is left out
