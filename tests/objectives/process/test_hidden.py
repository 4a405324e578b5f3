from __future__ import annotations

import numpy as np
import pytest
import torch

from pareto.models import Base
from pareto.objectives.process.hidden import StepFeatures, TooLong, encode


def test_each_step_begins_and_ends_at_its_own_tokens(tiny: Base) -> None:
    text = "über 12 + 7 = 19\n\n19 − 4 = 15\n\nend"
    row = encode(tiny, "How?", text)
    shown = [tiny.tokenizer.decode(row.ids[a : b + 1]) for a, b in zip(row.starts, row.ends, strict=True)]
    assert shown == ["über 12 + 7 = 19", "19 − 4 = 15", "end"]
    assert tiny.tokenizer.decode(row.ids[: row.starts[0]]) == tiny.tokenizer.decode(tiny.prompt_ids("How?"))


@pytest.mark.real_model
def test_so_they_do_where_tokens_are_words(real: Base) -> None:
    text = "First we add: 12 + 7 = 19\nThen we subtract: 19 - 4 = 15\nAnswer: 15"
    row = encode(real, "How?", text)
    shown = [real.tokenizer.decode(row.ids[a : b + 1]) for a, b in zip(row.starts, row.ends, strict=True)]
    assert shown == text.splitlines()


def test_what_does_not_fit_is_refused(tiny: Base) -> None:
    with pytest.raises(TooLong, match="tokens long and the context is 512"):
        encode(tiny, "How?", "x" * 512)


@pytest.mark.parametrize("reads", ["surprise", "last", "middle"])
def test_features_do_not_depend_on_the_company(tiny: Base, reads) -> None:
    features = StepFeatures(tiny, reads)
    rows = [encode(tiny, "How?", t) for t in ("a = b\nc", "", "a much longer one\nof\nthree steps")]
    together = features(rows)
    assert [f.shape for f in together] == [(2, features.width), (0, features.width), (3, features.width)]
    for row, found in zip(rows, together, strict=True):
        np.testing.assert_allclose(features([row])[0], found, atol=1e-4)


def test_surprise_is_the_log_probability_of_the_steps_tokens(tiny: Base) -> None:
    row = encode(tiny, "How?", "abcdef\nxyz")
    with torch.inference_mode():
        logp = tiny.model(input_ids=torch.tensor([row.ids])).logits[0].float().log_softmax(-1)
    (found,) = StepFeatures(tiny, "surprise")([row])
    for (a, b), numbers in zip(zip(row.starts, row.ends, strict=True), found, strict=True):
        said = np.array([logp[t - 1, row.ids[t]].item() for t in range(a, b + 1)])
        short = said - np.array([logp[t - 1].max().item() for t in range(a, b + 1)])
        ordered = np.sort(said)
        by_hand = [ordered[0], ordered[1], said.mean(), said[-1], said[-4:].min()]
        np.testing.assert_allclose(numbers, [*by_hand, short.min(), short.mean(), short[-4:].min()], atol=1e-4)


def test_the_last_hidden_state_is_that_of_the_steps_last_token(tiny: Base) -> None:
    row = encode(tiny, "How?", "abc\nxyz")
    with torch.inference_mode():
        hidden = tiny.model.base_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0]
    (found,) = StepFeatures(tiny, "last")([row])
    np.testing.assert_allclose(found, hidden[list(row.ends)].float().numpy(), atol=1e-5)
