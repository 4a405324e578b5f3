import numpy as np
import pytest
import torch

from pareto.objectives.ensemble.features import BaseFeatures, EncoderFeatures

PROMPTS = ["Name a river.", "2 + 2?", "Why is the sky blue?"]
ANSWERS = ["The Nile.", "4", "Because light of short waves is scattered more."]


def hidden(base, prompt, answer):
    """Hidden states (layers + 1, tokens, width) of one conversation by itself, and where the answer begins."""
    ids = base.tokenizer.apply_chat_template(
        [{"role": "system", "content": ""}, {"role": "user", "content": prompt}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=False,
    )
    whole = [*ids, *base.tokenizer(answer, add_special_tokens=False)["input_ids"], base.tokenizer.eos_token_id]
    with torch.no_grad():
        states = base.model(torch.tensor([whole]), output_hidden_states=True).hidden_states
    return torch.stack([h[0] for h in states]), len(ids)


def test_last_is_the_end_of_the_turn_after_the_last_layer(tiny):
    found = BaseFeatures(tiny, "last")(PROMPTS, ANSWERS)
    expected = [hidden(tiny, p, a)[0][-1, -1].numpy() for p, a in zip(PROMPTS, ANSWERS, strict=True)]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_middle_is_the_end_of_the_turn_and_the_answers_mean(tiny):
    # Both layers of the tiny model are two thirds, rounded up.
    found = BaseFeatures(tiny, "middle")(PROMPTS, ANSWERS)
    for row, prompt, answer in zip(found, PROMPTS, ANSWERS, strict=True):
        states, start = hidden(tiny, prompt, answer)
        np.testing.assert_allclose(row, torch.cat([states[-1, -1], states[-1, start:].mean(0)]), atol=1e-5)


@pytest.mark.real_model
def test_middle_leaves_the_upper_third_of_the_layers_out_and_in_place(real):
    found = BaseFeatures(real, "middle")(PROMPTS[:1], ANSWERS[:1])
    states, start = hidden(real, PROMPTS[0], ANSWERS[0])
    normed = real.model.model.norm(states[20]).float()
    np.testing.assert_allclose(found[0], torch.cat([normed[-1], normed[start:].mean(0)]), atol=0.05, rtol=0.02)
    assert len(real.model.model.layers) == 30


def test_a_conversation_beyond_the_context_keeps_its_end(tiny):
    long = "Why? " * 200
    found = BaseFeatures(tiny, "middle")([long, PROMPTS[0]], ["So.", ANSWERS[0]])
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found[1], BaseFeatures(tiny, "middle")(PROMPTS[:1], ANSWERS[:1])[0], atol=1e-5)


def test_the_encoder_sees_the_answer_and_how_it_differs_from_the_prompt():
    from pareto.objectives.encoder import load_encoder

    encoder = load_encoder()
    p, c = encoder.embed([PROMPTS[0]])[0], encoder.embed([ANSWERS[0]])[0]
    found = EncoderFeatures(encoder)(PROMPTS[:1], ANSWERS[:1])[0]
    np.testing.assert_allclose(found, np.concatenate([c, p * c, abs(p - c)]), atol=1e-5)


def test_what_makes_other_features_has_another_key(tiny):
    from dataclasses import replace

    keys = {
        BaseFeatures(b, pooling).key for b in (tiny, replace(tiny, system="Be kind.")) for pooling in ("last", "middle")
    }
    assert len(keys) == 4
