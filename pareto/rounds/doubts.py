"""Where the reward models disagree on what the new policies say: the trigger, and what people should look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.preferences.annotation.review import flagged, trigger
from pareto.records import Prompt, Rollout
from pareto.rounds.gold import Gold


def doubts(
    gold: Gold,
    number: int,
    train: Sequence[Prompt],
    fresh: Sequence[Rollout],
    ensembles: Mapping[str, Ensemble],
    advance: Callable[[int], None],
) -> dict[str, Any]:
    """Score what the new policies say; flag for review what the reward models disagree on.

    Args:
        gold: of the series.
        number: of the round.
        train: the training prompts.
        fresh: what the new policies answered to some of them.
        ensembles: objective → the round's reward models.
        advance: called with the number of objectives done.

    Returns:
        ``spread``: objective → share of uncertain answers, expected share, p-value, whether the trigger fires;
        ``review``: how many completions the round put to the review queue.
    """
    by_id = {p.id: p for p in train}
    review, spread = gold.rounds.review, {}
    for k, (name, applies) in enumerate(gold.applies(train, fresh).items()):
        asked = [r for r, yes in zip(fresh, applies, strict=True) if yes]
        prompts, texts = [by_id[r.prompt_id] for r in asked], [r.text for r in asked]
        ensemble = ensembles[name]
        scores = ensemble.score([p.text for p in prompts], texts)
        threshold, rate = ensemble.calibration.spread_threshold, ensemble.calibration.review_rate
        items = flagged(name, prompts, texts, scores, threshold)
        review.flag([replace(item, round=number) for item in items])
        rows = one_each(asked)
        found = trigger(scores.spread[rows], threshold, rate, [asked[i].prompt_id for i in rows])
        spread[name] = {"share": found.share, "expected": found.expected, "p": found.p_value, "fires": found.fires}
        advance(k + 1)
    return {"spread": spread, "review": sum(item.round == number for item in review.items)}


def one_each(found: Sequence[Rollout]) -> NDArray[np.intp]:
    """Index of one completion of each prompt, its policies in turn: several of one prompt are no independent evidence.

    Args:
        found: completions of policies, those of a policy in the order of the prompts.
    """
    by_prompt: dict[str, list[int]] = {}
    for i, rollout in enumerate(found):
        by_prompt.setdefault(rollout.prompt_id, []).append(i)
    return np.array([rows[k % len(rows)] for k, rows in enumerate(by_prompt.values())], dtype=np.intp)
