"""Verified steps: labels against an oracle, and what a process model gains over an outcome model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pareto.bench.inference.ground import Found, Ground
from pareto.bench.inference.intervals import Floats, figures, mean
from pareto.bench.inference.lucky import sampled_lucky, written_lucky
from pareto.bench.inference.selecting import accuracy, aggregated, by_steps, selection, told, votes
from pareto.bench.inference.solving import Solved, solve
from pareto.bench.inference.supervising import Reader, every_step
from pareto.bench.inference.teaching import OUTCOMES, SETTINGS, teach
from pareto.bench.inference.written_steps import agreement, write_steps
from pareto.bench.rewards.lab import Lab
from pareto.inference.adaptive.savings import ratio
from pareto.objectives.process.aggregate import How
from pareto.training.process.metrics import process_report
from pareto.training.process.solutions import Solution
from pareto.training.sft import fine_tune

SHOWN = ("process", "every_third", *OUTCOMES, "majority", "random")


def arithmetic(ground: Ground) -> Found:
    """All of it, on solutions of the recipe's fine-tuned model.

    Returns:
        ``step_labels``; ``solved``: share of right answers; ``first_error`` by who labelled; ``budget``: checks of
        binary search and of every third step; ``accuracy`` of selection by name and ``over`` others; ``lucky``.
    """
    sizes, recipe = ground.sizes, ground.arithmetic
    labels = agreement(write_steps(sizes.steps, 0))
    if recipe.model.sft:
        ground.say("fine-tune the base for arithmetic, unless it is there")
        fine_tune(recipe.model)
    lab = Lab(recipe, ground.folder, ground.say)
    taught = solve(lab, "taught", sizes.taught, sizes.taught_each, reserved=False, by_rule=sizes.quick)
    asked = solve(lab, "asked", sizes.asked, sizes.asked_each, reserved=True, by_rule=sizes.quick)
    models, budget = teach(lab, taught)
    held_out = asked.labelled(every_step([Solution(p.text, text) for p, text in asked.pairs]).labels)
    reader = Reader(lab.folder, recipe.model, held_out)
    said = {name: reader(model) for name, model in models.items()}
    first = {
        name: process_report(
            said[name],
            [s.labels or () for s in held_out],
            [len(s.completion) for s in held_out],
            training=model.info["first_errors"],
            threshold=model.threshold,
            how=model.how,
        )
        for name, model in models.items()
        if name not in OUTCOMES
    }
    right = asked.right()
    scores = {name: by_steps(of, models[name].how, right.shape[1]) for name, of in said.items()}
    found = _selection(asked, right, scores, aggregated(said["process"], right.shape[1]), held_out)
    lucky = written_lucky(lab, models, sizes.lucky) | {
        "sampled": sampled_lucky(models["process"], said["process"], held_out, right)
    }
    gain = found["over"]["best_outcome"]
    return {
        "step_labels": {"steps": sizes.steps, **labels},
        "solved": {"taught": float(taught.right().mean()), "asked": float(right.mean())},
        "first_error": first,
        "budget": budget,
        **found,
        "lucky": lucky,
        "figures": {
            "step_label_agreement": labels["share"],
            "step_labels_contradicted": labels["contradicted"],
            **figures("process_vs_outcome_accuracy", gain),
            **{f"best_of_{sizes.asked_each}_{name}": found["accuracy"][name]["value"] for name in SHOWN},
            **{f"first_error_f1_{name}": of["first_error"]["f1"] for name, of in first.items()},
            **{f"first_error_f1_{name}": first["process"][name]["f1"] for name in ("always_right", "position_only")},
            "search_checks_above_bound": budget["search"]["most_above_bound"],
            "every_third_gain_kept": found["every_third_gain_kept"]["value"],
            "lucky_outcome_accepts": lucky["outcome_accepts"],
            "lucky_process_rejects": lucky["process_rejects"]["value"],
            "worked_process_rejects": lucky["worked_process_rejects"],
        },
    }


def _selection(
    asked: Solved,
    right: Floats,
    scores: Mapping[str, Floats],
    process: Mapping[How, Floats],
    held_out: Sequence[Solution],
) -> Found:
    """Accuracies of the best of all solutions of a problem, and what process labels gain over others, paired."""
    n = right.shape[1]
    checked = [tuple(label.target for label in s.labels or () if label.right is not None) for s in held_out]
    selectors = {
        **scores,
        **{f"process_{way}": of for way, of in process.items()},
        "checker": by_steps(checked, SETTINGS.how, n),
        "majority": votes(asked),
        "random": 0 * right,
    }
    found = {name: accuracy(proxy, right, n) for name, proxy in selectors.items()}
    found["hindsight"] = right.max(axis=1)
    # The best in hindsight: whatever luck there is helps the other side.
    best = max(OUTCOMES, key=lambda name: float(found[name].mean()))
    others = {name: found[name] for name in (*OUTCOMES, "majority", "random")} | {"best_outcome": found[best]}
    counts = [k for k in (1, 2, 4, 8, 16) if k <= n]
    drawn = {name: selectors[name] for name in ("process", "every_third", best, "random")}
    return {
        "n": n,
        "aggregated_by": SETTINGS.how,
        "accuracy": told(found),
        "best_outcome": best,
        "over": {name: mean(found["process"] - of) for name, of in others.items()},
        "every_third_gain_kept": ratio(found["every_third"] - found["random"], found["process"] - found["random"], 0),
        "counts": counts,
        "curves": selection(drawn, right, counts),
    }
