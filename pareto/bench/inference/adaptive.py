"""What adaptive numbers of answers and early rejection save, and what remains where there is nothing to save."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import spearmanr

from pareto.bench.inference.asking import Answered, people, several
from pareto.bench.inference.ground import Found, Ground
from pareto.bench.inference.intervals import Floats, figures
from pareto.inference.adaptive.difficulty import Difficulty
from pareto.inference.adaptive.early import evaluate_passes, evaluate_rejection
from pareto.inference.adaptive.evaluate import evaluate
from pareto.inference.adaptive.pool import Pool
from pareto.objectives.encoder import load_encoder
from pareto.records import Prompt

RULE = "learned"
"""Whose savings are the figure: drawing ends where what another answer promises, learned from pools, is below its
price."""
PASSING = (0.5, 0.75, 0.9)
"""Shares of training answers below the utility from which an answer passes."""
PASS = 0.75
"""The one that the figure is of."""
LOOKS = (0.25, 0.5, 0.75)
"""Of the longest answer, after which beginnings are looked at."""


def adaptive(ground: Ground) -> Found:
    """Difficulty is learnt on training prompts; rules are fitted to four fifths of held-out ones, measured on the rest.

    Returns:
        For prompts of ``several`` types and for ``people``'s questions alone what ``_measured`` tells.
    """
    grounds = {"several": (several, ground.mixed), "people": (people, ground.lab.recipe)}
    found, told = dict[str, Found](), dict[str, float]()
    for name, (answered, recipe) in grounds.items():
        ground.say(f"adaptive: {name}")
        longest = recipe.sampling.max_new_tokens
        of = found[name] = _measured(answered(ground), [max(1, round(look * longest)) for look in LOOKS])
        told |= _figures(of, "" if name == "several" else f"{name}_")
    return {**found, "figures": told}


def _measured(answered: Answered, looks: Sequence[int]) -> Found:
    """Rules on one ground.

    Returns:
        ``difficulty``; ``rules`` against ``fixed`` N; ``equal_difficulty``: the same where all prompts are made equally
        hard; ``even``: what equally many answers to all bring; ``passes`` by share; ``rejection``.
    """
    difficulty = Difficulty.fit(_embed(answered.taught), answered.before)
    spread = difficulty.predict(_embed(answered.asked))
    pool = Pool(answered.utility, answered.tokens, spread)
    levels = {share: float(np.quantile(answered.before, share)) for share in PASSING}
    return {
        "difficulty": {
            "skilled": difficulty.skilled,
            "skill": difficulty.skill,
            "ceiling": difficulty.ceiling,
            "rank_correlation": _correlation(spread, pool.utility.std(axis=1, ddof=1)),
        },
        **evaluate(pool),
        "equal_difficulty": evaluate(pool.equalised(), rules=("allocation", "both"))["rules"],
        "even": _even(pool),
        "passes": {str(share): evaluate_passes(pool.utility >= at, pool.tokens) for share, at in levels.items()},
        "rejection": evaluate_rejection({after: answered.beginnings(after) for after in looks}, pool),
    }


def _figures(found: Found, prefix: str) -> dict[str, float]:
    rule, equal = found["rules"][RULE], found["equal_difficulty"]
    passes, rejection = found["passes"][str(PASS)], found["rejection"]
    named = {
        "adaptive_tokens_saved": rule["tokens_saved"],
        "adaptive_gain_share": rule["gain_share"],
        "adaptive_over_random": rule["over_random"],
        "adaptive_over_even": rule["over_even"],
        "adaptive_equal_difficulty": equal["allocation"]["over_even"],
        "first_pass_tokens_saved": passes["tokens_saved"],
        "early_rejection_tokens_saved": rejection["tokens_saved"],
        "early_rejection_gain_share": rejection["gain_share"],
    }
    return {key: value for name, of in named.items() for key, value in figures(f"{prefix}{name}", of).items()}


def _embed(prompts: Sequence[Prompt]) -> Floats:
    return load_encoder().embed_kept([p.text for p in prompts]).astype(float)


def _correlation(a: Floats, b: Floats) -> float | None:
    """Of ranks; none where either is constant."""
    return float(spearmanr(a, b).statistic) if np.ptp(a) > 0 and np.ptp(b) > 0 else None


def _even(pool: Pool) -> list[dict[str, float]]:
    """Mean gain and tokens of 1 to 16 answers to every prompt: what a rule is held against."""
    per_answer, gains = float(pool.tokens.mean()), pool.gains.mean(axis=0)
    return [{"n": n, "tokens": n * per_answer, "gain": float(gains[n - 1])} for n in range(1, 17)]
