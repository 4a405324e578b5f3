"""A series of rounds on disk, as ``pareto rounds`` leaves it, with figures that are known: for tests of its pages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pareto.config import Recipe
from pareto.preferences.annotation.questions import make
from pareto.preferences.annotation.review import Flagged
from pareto.records import Label, Prompt, Question
from pareto.rounds.store import Rounds
from pareto.store.files import write_json

VOLUME = ((1.9, 1.6, 2.2), (2.4, 2.05, 2.75), (2.6, 2.2, 3.0))
GAP = ((0.8, 0.55, 1.05), (0.5, 0.3, 0.7), (0.3, 0.1, 0.5))
FLAG = "the proxy says +1.9, gold says +0.2 over the base on this front (gap +1.70, +1.20 to +2.20)"


def within(value: float, low: float, high: float) -> dict[str, float]:
    return {"value": value, "low": low, "high": high}


def record(number: int, name: str, objectives: Sequence[str], **changed: Any) -> dict[str, Any]:
    """A round's record; the proxy of the first objective promises most, and less so from round to round."""
    k = min(number, len(VOLUME)) - 1
    front = [_point("base", "base", objectives, 0.0, 0.0, 0.0, 0.0)]
    for i, one in enumerate(objectives):
        gold = 0.5 + 0.25 * k + 0.08 * i
        front.append(_point(f"expert-{one}", "expert", objectives, gold, gold + GAP[k][0], 0.35 + 0.1 * k, i))
    for i in range(3):
        gold = 0.35 + 0.22 * k + 0.1 * i
        front.append(_point(f"soup-{i}", "soup", objectives, gold, gold + 0.8 * GAP[k][0], 0.2 + 0.06 * i, 1.5 - i))
    made = {
        "schema": 1,
        "round": number,
        "run": f"{name}-round-{number}",
        "started": "2026-11-24T09:00:00+00:00",
        "finished": "2026-11-24T09:21:00+00:00",
        "annotator": "person",
        "cost": 0.0,
        "went_in": {
            "policies": ["base", "soup-1"][: min(number, 2)],
            "rollouts": 128 * number,
            "labels": dict.fromkeys(objectives, 60),
            "labels_total": dict.fromkeys(objectives, 60 * number),
        },
        "rewards": {
            one: {
                "folder": f"rewards/{one}/round-{number}",
                "members": 5,
                "dropped": [],
                "accuracy": within(0.62 + 0.05 * k, 0.55 + 0.05 * k, 0.69 + 0.05 * k),
                "gold_accuracy": within(0.66 + 0.06 * k, 0.6 + 0.06 * k, 0.72 + 0.06 * k),
                "ece": 0.04,
            }
            for one in objectives
        },
        "front": front,
        "hypervolume": within(*VOLUME[k]),
        "gain": None if number == 1 else within(0.4, 0.1, 0.7) if number == 2 else within(0.2, -0.1, 0.5),
        "gap": {"mean": within(*GAP[k]), "by_objective": {one: within(*GAP[k]) for one in objectives}},
        "spread": {one: {"share": 0.14, "expected": 0.1, "p": 0.02, "fires": False} for one in objectives},
        "review": 4,
        "flags": [f"{objectives[0]}: {FLAG}"] if number == 1 else [],
        "seconds": {"roll out": 60.0, "label": 2.0, "refit": 31.0, "sweep": 900.0, "measure": 140.0},
        "stop": None,
    }
    return made | changed


def series(
    root: Path,
    recipe: Recipe,
    objectives: Sequence[str],
    rounds: int = 0,
    texts: Mapping[str, Sequence[str]] | None = None,
    **labels: Any,
) -> Rounds:
    """A series with so many finished rounds, and with questions that wait for people.

    Args:
        root: folder of runs.
        recipe: whose name and objectives it has.
        objectives: of the recipe.
        rounds: finished ones.
        texts: prompt → two or more answers, to be asked about by each objective; ``None``: four invented ones.
        labels: changes to the recipe's ``rounds.labels``.
    """
    tree = recipe.model_dump(mode="json")
    tree["rounds"]["labels"] |= {"annotator": "person"} | labels
    made = Rounds.create(root, Recipe.model_validate(tree))
    for number in range(1, rounds + 1):
        write_json(made.record_path(number), record(number, made.name, objectives))
    made.queue.ask(asked(objectives, texts, rounds + 1))
    return made


def asked(
    objectives: Sequence[str], texts: Mapping[str, Sequence[str]] | None = None, round: int = 1
) -> list[Question]:
    """The first two answers to each prompt, by each objective."""
    texts = texts or {f"Question {k}?": (f"One answer to {k}.", f"Two answers to {k}.") for k in range(4)}
    return [
        make(one, Prompt(f"p{k}", prompt, "test"), (said[0], said[1]), round)
        for one in objectives
        for k, (prompt, said) in enumerate(texts.items())
    ]


def label(question: Question, answer: Any, person: str) -> Label:
    """Somebody's answer."""
    return Label(
        question.objective, question.prompt_id, question.prompt, question.first, question.second, answer, person,
        "person", question.round,
    )  # fmt: skip


def flagged(objective: str, texts: Mapping[str, Sequence[str]], scores: Sequence[Sequence[float]]) -> list[Flagged]:
    """The first answer to each prompt, on which the members of an ensemble disagree."""
    return [
        Flagged(
            objective, f"p{k}", prompt, said[0], tuple(given), _spread(given), 0.4,
            said[1] if len(said) > 1 else "", round=1,
        )
        for k, ((prompt, said), given) in enumerate(zip(texts.items(), scores, strict=True))
    ]  # fmt: skip


def _spread(given: Sequence[float]) -> float:
    mean = sum(given) / len(given)
    return float((sum((x - mean) ** 2 for x in given) / (len(given) - 1)) ** 0.5)


def _point(
    name: str, kind: str, objectives: Sequence[str], gold: float, proxy: float, kl: float, at: float
) -> dict[str, Any]:
    """Its first objectives gain most where ``at`` is small, the last where it is large."""
    of = {one: 1 - 0.45 * abs(at - i) for i, one in enumerate(objectives)}
    return {
        "id": name,
        "kind": kind,
        "kl": kl,
        "weights": None if kind == "base" else dict.fromkeys(objectives, 1 / len(objectives)),
        "proxy": {one: proxy * of[one] for one in objectives},
        "gold": {one: gold * of[one] for one in objectives},
        "gold_se": dict.fromkeys(objectives, 0.0 if kind == "base" else 0.12),
        "selected": kind != "base",
        "on_front": kind != "base",
    }
