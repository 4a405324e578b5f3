"""The model card of an ensemble, as Markdown with the hub's front matter."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from pareto.objectives.ensemble.checks import counted
from pareto.objectives.ensemble.report import text

if TYPE_CHECKING:
    from pareto.objectives.ensemble.calibration import Calibration
    from pareto.objectives.ensemble.ensemble import Ensemble

ALONE = "A single model has no spread: it cannot tell when it is unsure."


def card(ensemble: Ensemble) -> str:
    """What the members are, what they learnt from, how far their scores can be trusted, and how to use them."""
    info, calibration = ensemble.info, ensemble.calibration
    base, settings, prompts = info["model"]["base"], info["settings"], info["prompts"]
    lines = [
        "---",
        f"base_model: {json.dumps(base)}",
        "library_name: pareto",
        "pipeline_tag: text-classification",
        "tags: [reward-model, ensemble, pareto]",
        "---",
        "",
        f"# Reward models: {info['objective']}",
        "",
        f"{counted(ensemble.size, 'reward model')} of how well a completion does on *{info['objective']}*, calibrated: "
        "the logistic function of a difference of two scores is the probability that the first completion is "
        "preferred. " + (ALONE if ensemble.size == 1 else "Where the members disagree, the scores are to be doubted."),
        "",
        f"- objective: {info['objective']}",
        f"- base model: `{base}`, system prompt {json.dumps(info['model']['system'])}",
        f"- reward: `{settings['aggregate']}`" + (f", k = {settings['k']:g}" if _uses_k(settings) else ""),
        f"- prompts: {prompts['training']} to learn from, {prompts['calibration']} to calibrate on, {prompts['test']} "
        "to report on",
        f"- comparisons' hash: `{info['pairs']}`, seed {info['seed']}",
        "",
        "| member | kind | seed | raw scores: centre, scale |",
        "| --- | --- | --- | --- |",
        *(
            f"| {i} | {_kind(member)} | {member.get('seed', '–')} | {centre:.4g}, {scale:.4g} |"
            for i, (member, centre, scale) in enumerate(
                zip(info["members"], calibration.centre, calibration.scale, strict=True)
            )
        ),
        "",
        *(f"- **dropped**: {dropped['member']}: {dropped['why']}" for dropped in info["dropped"]),
        "",
        "## How far they can be trusted",
        "",
        "On prompts that no member has seen, against the labels as they are; 95 % intervals.",
        "",
        "```",
        text(ensemble.report),
        "```",
        "",
        "## Use",
        "",
        "As a reward of a sweep: `ensemble:<this folder>`. Otherwise:",
        "",
        "```python",
        "from pareto.objectives.ensemble.ensemble import Ensemble",
        "",
        'scores = Ensemble.open("THIS FOLDER").score([prompt], [completion])',
        "scores.mean, scores.spread, scores.lower, scores.upper, scores.members",
        "```",
        "",
        *_review(ensemble.size, calibration),
        "Reward models are exploited by what is trained on them; measure the policy by something else as well.",
        "",
    ]
    return "\n".join(lines)


def _review(size: int, calibration: Calibration) -> list[str]:
    if size == 1:
        return []
    return [
        f"Scores of a spread above {calibration.spread_threshold:.3g} nats are to be reviewed: that was "
        f"{calibration.review_rate:.0%} of the completions it was calibrated on."
    ]


def _kind(member: dict[str, Any]) -> str:
    return f"foreign `{member['source']}`" if member["kind"] == "foreign" else str(member["kind"])


def _uses_k(settings: dict[str, Any]) -> bool:
    return settings["aggregate"] in ("lcb", "uwo")
