"""What can be said of an ensemble on pairs that it was not trained on: the figures, and their table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import logit

from pareto.objectives.ensemble.calibration import Calibration
from pareto.objectives.ensemble.length import length_bias
from pareto.objectives.ensemble.metrics import (
    accuracy,
    auc,
    brier,
    calibration_error,
    calibration_error_by_chance,
    flagging,
    kept_accuracy,
    log_loss,
    wrong,
)
from pareto.objectives.ensemble.scores import EnsembleScores, pair_scores
from pareto.records import Pair

KEPT = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
"""Shares of the pairs that are kept on the curve of accuracy as uncertain ones are dropped."""

BLANK = "–"
"""Stands in the table where nothing can be told."""

_LEAST = 1e-12
"""Probabilities nearer to 0 or 1 have no finite log loss."""


@dataclass(frozen=True, eq=False)
class Scored:
    """Pairs, at least one, with the calibrated scores of their completions, row by row."""

    pairs: Sequence[Pair]
    chosen: EnsembleScores
    rejected: EnsembleScores

    @classmethod
    def of(cls, pairs: Sequence[Pair], scores: EnsembleScores) -> Scored:
        """From the scores of all chosen completions, followed by those of the rejected ones."""
        n = len(pairs)
        return cls(pairs, scores.take(np.arange(n)), scores.take(np.arange(n, 2 * n)))


def report(calibration: Calibration, sets: Mapping[str, Scored]) -> dict[str, Any]:
    """Measure an ensemble on sets of pairs, each apart.

    Args:
        calibration: the ensemble's, made from other pairs than these.
        sets: by name: ``in_distribution``, pairs from where the training pairs came from; ``shifted``, from elsewhere.

    Returns:
        Plain data: ``calibration``, and ``measure`` of each set under its name. Whatever the pairs are too few for is
        NaN, which JSON brings back as ``None``; ``text`` takes both.
    """
    margin, both = calibration.error_auc
    return {
        "calibration": {
            "pairs": calibration.n,
            "lapse": calibration.lapse,
            "review_rate": calibration.review_rate,
            "spread_threshold": calibration.spread_threshold,
            "uncertainty_threshold": calibration.uncertainty_threshold,
            "uses_spread": calibration.uses_spread,
            "auc": {"margin": margin, "margin_and_spread": both},
        },
        **{name: measure(calibration, scored) for name, scored in sets.items()},
    }


def measure(calibration: Calibration, scored: Scored) -> dict[str, Any]:
    """The figures of one set of pairs.

    ``pairs``, ``ties``, ``prompts``; ``contradictions``, pairs that prefer what an earlier one rejects; ``accuracy``
    with interval, and ``member_accuracy``; ``calibration_error``, beside it what exact probabilities would show on so
    many pairs, and that of the margins as log odds, lapses forgotten; ``brier``, ``log_loss``; ``auc`` for errors of
    the uncertainty, and alone of the margin and of the spread; ``flagged`` pairs and the errors among them;
    ``completions_flagged``; ``kept``, accuracy by the share that is kept as the uncertain are dropped; ``length``, see
    ``length_bias``. Errors, and what is said of them, are those of pairs without a tie.
    """
    groups = [p.prompt for p in scored.pairs]
    targets = np.array([p.target for p in scored.pairs])
    pairs = pair_scores(scored.chosen, scored.rejected)
    probability, uncertainty = calibration.probability(pairs), calibration.uncertainty(pairs)
    settled = targets != 0.5
    errors = wrong(pairs.margin[settled], targets[settled])
    spread = np.concatenate([scored.chosen.spread, scored.rejected.spread])
    doubts = {"uncertainty": uncertainty, "margin": -np.abs(pairs.margin), "spread": pairs.spread}
    return {
        "pairs": len(targets),
        "ties": int((~settled).sum()),
        "prompts": len(set(groups)),
        "contradictions": _contradictions(scored.pairs),
        "accuracy": asdict(accuracy(pairs.margin, targets, groups)),
        "member_accuracy": [accuracy(m, targets, groups).value for m in pairs.margins.T],
        "calibration_error": calibration_error(probability, targets),
        "calibration_error_by_chance": calibration_error_by_chance(probability),
        "calibration_error_of_margins": calibration_error(pairs.probability, targets),
        "brier": brier(probability, targets),
        "log_loss": float(log_loss(logit(probability.clip(_LEAST, 1 - _LEAST)), targets).mean()),
        "auc": {name: auc(doubt[settled], errors) for name, doubt in doubts.items()},
        "flagged": flagging(uncertainty[settled], errors, calibration.uncertainty_threshold) if settled.any() else None,
        "completions_flagged": float((spread > calibration.spread_threshold).mean()),
        "kept": dict(zip(map(str, KEPT), kept_accuracy(uncertainty[settled], errors, KEPT), strict=True))
        if settled.any()
        else None,
        "length": length_bias(scored.pairs, scored.chosen.mean, scored.rejected.mean),
    }


def warnings(report: dict[str, Any]) -> list[str]:
    """A line for each set of pairs on which the ensemble may as well have guessed, or did worse."""
    lines = []
    for name, measured in _columns(report).items():
        found, disputed = measured["accuracy"], measured["contradictions"]
        if not _known(found["value"]) or found["low"] > 0.5:
            continue
        verdict = "no better than a coin" if found["high"] >= 0.5 else "worse than a coin"
        why = f"; contradictions among these {measured['pairs']} comparisons: {disputed}" if disputed else ""
        lines.append(
            f"{name}: accuracy {found['value']:.2f} ({found['low']:.2f} to {found['high']:.2f}): {verdict}{why}"
        )
    return lines


def text(report: dict[str, Any]) -> str:
    """The report as a table for a terminal: a row for each figure, a column for each set of pairs.

    Below it, what is made of them, and ``warnings``.
    """
    columns = _columns(report)
    table = [["", *columns], *([name, *cells] for name, cells in _rows(list(columns.values())))]
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    lines = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in table
    ]
    made = report["calibration"]
    aucs = made["auc"]
    alone = all(len(measured["member_accuracy"]) == 1 for measured in columns.values())
    lines += [
        "",
        "scores and spread are in nats: of two completions 1 nat apart, the higher one is preferred in 73% of cases",
        f"labels that look like mistakes, against even a clear difference of scores: {made['lapse']:.1%}",
        f"uncertainty (chance that the wrong one of two is preferred): from {_source(made, alone)}; area under the "
        f"curve on {made['pairs']} calibration pairs, by prompt: margin {_number(aucs['margin'])}, "
        f"with spread {_number(aucs['margin_and_spread'])}",
        f"flagged for review, as {made['review_rate']:.0%} of those calibrated on: completions of spread above "
        f"{_number(made['spread_threshold'])} nats, pairs of uncertainty above "
        f"{_number(made['uncertainty_threshold'])}",
    ]
    if any(BLANK in line for line in lines):
        lines.append(f"{BLANK}: nothing to tell it by, or too few comparisons")
    lines += [f"warning: {line}" for line in warnings(report)]
    return "\n".join(line.rstrip() for line in lines)


def _columns(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What was measured, by the name of its set in words."""
    return {name.replace("_", " "): measured for name, measured in report.items() if name != "calibration"}


def _source(made: dict[str, Any], alone: bool) -> str:
    """What the uncertainty is made from, and why."""
    if made["uses_spread"]:
        return "margin and spread"
    if alone:
        return "the margin alone: one model has no spread"
    if not any(_known(x) for x in made["auc"].values()):
        return "the margin alone: errors were too few to tell whether the spread adds anything"
    return "the margin alone, to which the spread added nothing"


def _contradictions(pairs: Sequence[Pair]) -> int:
    preferred: set[tuple[str, str, str]] = set()
    found = 0
    for p in pairs:
        if p.target != 0.5:
            found += (p.prompt, p.rejected, p.chosen) in preferred
            preferred.add((p.prompt, p.chosen, p.rejected))
    return found


def _rows(sets: list[dict[str, Any]]) -> Iterator[tuple[str, list[str]]]:
    """Name and cells of each row of the table."""

    def row(name: str, cell: Any) -> tuple[str, list[str]]:
        return name, [cell(s) for s in sets]

    yield row("pairs (ties), prompts", lambda s: f"{s['pairs']} ({s['ties']}), {s['prompts']}")
    yield row("accuracy", lambda s: _interval(s["accuracy"]))
    yield row("  of each member", lambda s: " ".join(map(_number, s["member_accuracy"])))
    yield row("expected calibration error", lambda s: _number(s["calibration_error"]))
    yield row("  for comparison: of exact probabilities", lambda s: _number(s["calibration_error_by_chance"]))
    yield row("  for comparison: of margins as log odds", lambda s: _number(s["calibration_error_of_margins"]))
    yield row("Brier score, log loss", lambda s: f"{_number(s['brier'])}, {_number(s['log_loss'])}")
    yield row("area under the curve for errors", lambda s: _number(s["auc"]["uncertainty"]))
    yield row("  of the margin alone", lambda s: _number(s["auc"]["margin"]))
    yield row("  of the spread alone", lambda s: _number(s["auc"]["spread"]))
    yield row("pairs flagged: unsure which is better", lambda s: _percent(s["flagged"] and s["flagged"]["share"]))
    yield row("  errors among them", lambda s: _percent(s["flagged"] and s["flagged"]["errors_flagged"]))
    yield row("  errors among the rest", lambda s: _percent(s["flagged"] and s["flagged"]["errors_rest"]))
    yield row("completions flagged: members disagree", lambda s: _percent(s["completions_flagged"]))
    for share in KEPT[1::2]:
        name = f"accuracy of the surest {share:.0%}"
        yield row(name, lambda s, share=share: _number(s["kept"] and s["kept"][str(share)]))
    yield row("correlation of score and length", lambda s: _number(s["length"]["correlation"]))
    yield row("longer preferred, by labels", lambda s: _percent(s["length"]["longer_by_labels"]))
    yield row("  by the model", lambda s: _percent(s["length"]["longer_by_model"]))
    yield row("accuracy at equal length", lambda s: _interval(s["length"]["matched"]["accuracy"]))
    yield row("  pairs", lambda s: str(s["length"]["matched"]["pairs"]))


def _known(x: float | None) -> bool:
    return x is not None and not np.isnan(x)


def _number(x: float | None) -> str:
    return f"{x:.3f}" if x is not None and _known(x) else BLANK


def _percent(x: float | None) -> str:
    return f"{x:.1%}" if x is not None and _known(x) else BLANK


def _interval(x: dict[str, float | None]) -> str:
    if not _known(x["value"]):
        return BLANK
    return f"{_number(x['value'])} ({_number(x['low'])} to {_number(x['high'])})"
