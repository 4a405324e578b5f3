import pytest

from pareto.errors import ParetoError
from pareto.objectives.reward_model import RewardModel

PROMPTS = ["what is the capital of france", "hello", "a b c"]
REPLIES = ["paris", "hello a b c " * 20, "london is the capital"]


def oracle(folder, prompt, reply):
    """Logits of one pair, by hand."""
    import torch
    from transformers import BertForSequenceClassification, BertTokenizerFast

    model, tokenizer = BertForSequenceClassification.from_pretrained(folder), BertTokenizerFast.from_pretrained(folder)
    with torch.no_grad():
        return model(**tokenizer(prompt, reply, truncation=True, max_length=32, return_tensors="pt")).logits[0]


def test_a_single_label_scores_by_its_logit(classifier):
    folder = classifier(["reward"])
    model = RewardModel(str(folder))
    expected = [oracle(folder, p, c)[0].item() for p, c in zip(PROMPTS, REPLIES, strict=True)]
    assert model(prompts=PROMPTS, completions=REPLIES) == pytest.approx(expected, abs=1e-5)
    assert len(set(expected)) == 3
    assert model.range == (float("-inf"), float("inf"))


@pytest.mark.parametrize("label", ["kind", 1])
def test_a_label_scores_by_its_probability(classifier, label):
    folder = classifier(["rude", "kind", "other"])
    model = RewardModel(str(folder), label)
    expected = [oracle(folder, p, c).softmax(-1)[1].item() for p, c in zip(PROMPTS, REPLIES, strict=True)]
    assert model(prompts=PROMPTS, completions=REPLIES) == pytest.approx(expected, abs=1e-5)
    assert model.range == (0, 1)


def test_labels_that_do_not_exclude_each_other_have_probabilities_of_their_own(classifier):
    folder = classifier(["rude", "kind"], problem_type="multi_label_classification")
    expected = oracle(folder, PROMPTS[0], REPLIES[0]).sigmoid()[0].item()
    scores = RewardModel(str(folder), "rude")(prompts=PROMPTS[:1], completions=REPLIES[:1])
    assert scores == pytest.approx([expected], abs=1e-5)


def test_an_untrained_head_is_refused(classifier):
    with pytest.raises(ParetoError, match=r"has no trained classifier\.bias \(2 weights would be random\)"):
        RewardModel(str(classifier(["rude", "kind"], head=False)), "kind")


def test_labels_that_do_not_fit_are_refused_with_the_known_ones(classifier):
    many, single = str(classifier(["rude", "kind"])), str(classifier(["reward"]))
    with pytest.raises(ParetoError, match=r"needs the option 'label'; its labels are 0 \(rude\), 1 \(kind\)"):
        RewardModel(many)
    with pytest.raises(ParetoError, match=r"no label 'polite'; its labels are 0 \(rude\), 1 \(kind\)"):
        RewardModel(many, "polite")
    with pytest.raises(ParetoError, match="single label"):
        RewardModel(single, "reward")


def test_a_folder_without_a_model_is_one_line(tmp_path):
    with pytest.raises(ParetoError, match="cannot be loaded") as caught:
        RewardModel(str(tmp_path))
    assert "\n" not in str(caught.value)
