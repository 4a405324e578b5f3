"""From a policy to a point, against the model's own forward pass and sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from pareto.config import Recipe
from pareto.frontier import point_of
from pareto.measure import Meter
from pareto.objectives.load import Reward
from pareto.records import Prompt
from pareto.soups.bank import Bank
from pareto.store.points import load_points, save_point
from pareto.store.run import Run
from pareto.store.tables import read_rollouts, read_scores
from pareto.training.adapters import shared_a

TEXTS = ["What is two and two?", "Say something rude.", "Name a river.", "Sing.", "Why?"]
SAMPLES = 3


def reward(name, function, low=-1e9, high=1e9):
    def of(*, prompts, completions, completion_ids, **columns):
        return [function(p, ids) for p, ids in zip(prompts, completion_ids, strict=True)]

    return Reward(name, 1, (low, high), of)


RESIDUE = reward("residue", lambda prompt, ids: float(sum(ids) % 7))
# Applies to questions only.
PARITY = reward("parity", lambda prompt, ids: float(sum(ids) % 2) if prompt.endswith("?") else None)


@pytest.fixture
def meter(tiny, tmp_path):
    recipe = Recipe.model_validate(
        {
            "name": "m",
            "seed": 3,
            "model": {"base": "tiny-random"},
            "prompts": {"sources": [{"packaged": "sums"}]},
            "objectives": [{"name": "residue", "reward": "concise"}, {"name": "parity", "reward": "concise"}],
            "gold": ["fluency", "kl", "distinct_2"],
            "sampling": {"max_new_tokens": 6, "temperature": 1.0, "top_p": 1.0, "top_k": 20},
            "training": {"lora": {"rank": 2, "alpha": 4}},
            "evaluation": {"samples_per_prompt": SAMPLES},
        }
    )
    a = shared_a(tiny, recipe.training.lora, recipe.seed)
    bank = Bank(tiny, recipe.training.lora, a)
    random = torch.Generator().manual_seed(0)
    for name in ("x", "y"):
        bank.adapters[name] = {k: 0.3 * torch.randn(bank.modules[k].out_features, 2, generator=random) for k in a}
    prompts = {s: [Prompt(f"{s}{i}", t, "here", split=s) for i, t in enumerate(TEXTS)] for s in ("validation", "test")}
    made = Meter(Run.create(tmp_path, recipe), recipe, tiny, bank, [RESIDUE, PARITY], prompts)
    made.keys |= {"x": "hash-of-x", "y": "hash-of-y"}
    yield made
    bank.merge({})


def logp(base, prompt_ids, token_ids) -> float:
    """Sum of log p of a completion, from the logits of one plain forward pass."""
    ids = torch.tensor([[*prompt_ids, *token_ids]])
    with torch.no_grad():
        logits = base.model(ids).logits[0, len(prompt_ids) - 1 : -1].double().log_softmax(-1)
    return float(logits.gather(1, torch.tensor(token_ids)[:, None]).sum())


def measured(meter, name, kind, weights, coefficients, split, trial=None, progress=lambda done: None):
    """The point of a soup, as a campaign makes it."""
    scores = meter.table(coefficients, split, progress)
    point = point_of(meter.run, name, kind, weights, coefficients, meter.keys, split, scores, trial)
    save_point(meter.run, point)
    return point


def rollouts_of(meter, point):
    return read_rollouts(meter.run.rollouts / f"{point.scores}.parquet")


def test_a_point_is_the_mean_over_prompts_of_the_mean_over_samples(meter):
    point = measured(meter, "base", "base", None, {}, "validation")
    rollouts = rollouts_of(meter, point)
    assert [(r.prompt_id, r.sample) for r in rollouts] == [
        (f"validation{i}", k) for i in range(len(TEXTS)) for k in range(SAMPLES)
    ]
    residues = np.array([sum(r.token_ids) % 7 for r in rollouts], float).reshape(-1, SAMPLES).mean(axis=1)
    assert len(set(residues)) > 1
    assert point.mean["residue"] == pytest.approx(residues.mean())
    assert point.se["residue"] == pytest.approx(residues.std(ddof=1) / len(TEXTS) ** 0.5)
    parities = np.array([sum(r.token_ids) % 2 for r in rollouts], float).reshape(-1, SAMPLES).mean(axis=1)
    questions = parities[[t.endswith("?") for t in TEXTS]]
    assert point.n == {"residue": len(TEXTS), "parity": 2}
    assert point.mean["parity"] == pytest.approx(questions.mean())
    assert point.se["parity"] == pytest.approx(questions.std(ddof=1) / 2**0.5)
    assert load_points(meter.run) == [point]


def test_fluency_and_divergence_come_from_the_models_own_logits(meter):
    point = measured(meter, "soup-0", "soup", {"residue": 1.0, "parity": 0.0}, {"x": 0.7, "y": 0.4}, "test")
    first = [r for r in rollouts_of(meter, point) if r.sample == 0]
    assert len(first) <= meter.recipe.evaluation.kl_prompts
    prompts = [meter.base.prompt_ids(t) for t in TEXTS]
    tokens = np.array([len(r.token_ids) for r in first])
    under_base = np.array([logp(meter.base, p, r.token_ids) for p, r in zip(prompts, first, strict=True)])
    meter.bank.merge({"x": 0.7, "y": 0.4})
    own = np.array([logp(meter.base, p, r.token_ids) for p, r in zip(prompts, first, strict=True)])
    assert [r.logp for r in first] == pytest.approx(own, abs=1e-3)
    assert point.gold["fluency"] == pytest.approx((under_base / tokens).mean(), abs=1e-3)
    assert point.kl == pytest.approx(((own - under_base) / tokens).mean(), abs=1e-3)
    assert abs(point.kl) > 0.05
    assert set(point.gold) == {"fluency", "distinct_2"}
    assert point.adapters == {"x": "hash-of-x", "y": "hash-of-y"}


def test_the_base_diverges_from_itself_by_nothing(meter):
    assert measured(meter, "base", "base", None, {}, "validation").kl == 0


def test_every_policy_meets_the_same_random_numbers(meter):
    base = measured(meter, "base", "base", None, {}, "validation")
    same = measured(meter, "same", "soup", None, {"x": 0.0}, "validation")
    other = measured(meter, "other", "soup", None, {"x": 1.0}, "validation")
    assert same.scores != base.scores
    assert [r.token_ids for r in rollouts_of(meter, same)] == [r.token_ids for r in rollouts_of(meter, base)]
    assert same.mean == base.mean
    assert same.kl == pytest.approx(0, abs=1e-5)
    assert [r.seed for r in rollouts_of(meter, other)] == [r.seed for r in rollouts_of(meter, base)]
    assert [r.token_ids for r in rollouts_of(meter, other)] != [r.token_ids for r in rollouts_of(meter, base)]


def test_splits_do_not_share_what_was_measured(meter):
    points = [measured(meter, "x", "trained", None, {"x": 1.0}, split, trial=4) for split in ("validation", "test")]
    assert points[0].scores != points[1].scores
    assert {r.prompt_id for r in rollouts_of(meter, points[1])} == {f"test{i}" for i in range(len(TEXTS))}
    assert [(p.split, p.trial) for p in load_points(meter.run)] == [("test", 4), ("validation", 4)]


def test_the_live_model_is_the_base_again_afterwards(meter):
    before = {k: v.clone() for k, v in meter.base.model.state_dict().items()}
    measured(meter, "x", "trained", None, {"x": 1.0}, "validation")
    assert all(torch.equal(v, before[k]) for k, v in meter.base.model.state_dict().items())


def test_what_is_measured_is_read_back(meter, monkeypatch):
    point = measured(meter, "x", "trained", None, {"x": 1.0}, "validation")
    monkeypatch.setattr("pareto.measure.draw", lambda *_: pytest.fail("sampled again"))
    assert measured(meter, "x", "trained", None, {"x": 1.0}, "validation") == point
    # The same policy under another name and another adapter's name is the same measurement.
    meter.keys["z"] = "hash-of-x"
    assert measured(meter, "z", "soup", None, {"z": 1.0}, "validation").scores == point.scores


@pytest.mark.parametrize("kind", ["scores", "rollouts", "points"])
@pytest.mark.parametrize("damage", [lambda p: p.unlink(), lambda p: p.write_bytes(p.read_bytes()[:-9] + b"*" * 9)])
def test_what_is_damaged_is_made_again_the_same(meter, kind, damage):
    point = measured(meter, "x", "trained", None, {"x": 1.0}, "validation")
    (path,) = getattr(meter.run, kind).iterdir()
    whole = path.read_bytes()
    damage(path)
    assert measured(meter, "x", "trained", None, {"x": 1.0}, "validation") == point
    assert path.read_bytes() == whole


def test_a_row_that_a_reward_fails_on_is_reported_and_masked(meter):
    def breaks(prompt, ids):
        if prompt == "Sing.":
            raise ValueError("cannot sing")
        return float("nan") if prompt == "Why?" else 1.0

    failures = []
    meter.rewards, meter.report = [RESIDUE, reward("parity", breaks)], failures.append
    point = measured(meter, "base", "base", None, {}, "validation")
    assert {f.objective for f in failures} == {"parity"}
    assert [f.row // SAMPLES for f in failures] == [3] * SAMPLES + [4] * SAMPLES
    assert {f.reason for f in failures} == {"raised ValueError: cannot sing", "returned nan"}
    assert point.n == {"residue": 5, "parity": 3}
    assert point.mean["parity"] == 1
    parity = read_scores(meter.run.scores / f"{point.scores}.parquet").columns["parity"]
    assert np.isnan(parity.reshape(-1, SAMPLES)).all(axis=1).tolist() == [False, False, False, True, True]


def test_progress_adds_up_to_the_rows(meter):
    steps = []
    measured(meter, "base", "base", None, {}, "validation", progress=steps.append)
    assert sum(steps) == len(TEXTS) * SAMPLES
