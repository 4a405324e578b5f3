"""Labels that cost something, kept as they come: a labelling that is killed goes on where it stopped."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pareto.config import Model, Recipe, Sampling
from pareto.errors import ParetoError
from pareto.objectives.process.steps import split_steps
from pareto.objectives.verifiers.answers import correct
from pareto.store.files import append_line, fingerprint, to_json, write_text
from pareto.training.process.judged import Judged, human_sample
from pareto.training.process.labels import Labeller, Labels, MonteCarlo, StepLabel
from pareto.training.process.roll_outs import RollOuts
from pareto.training.process.solutions import Solution, labeller

ROLL_OUTS = 1000
"""Continuations of a step at most."""


def who_labels(
    by: str, solutions: Sequence[Solution], recipe: Recipe | None, model: Model, seed: int
) -> tuple[Labeller, Any]:
    """From ``verified``, ``sparse:K``, ``judge``, ``rollouts:N`` or ``search:N``.

    Args:
        by: one of these.
        solutions: that are to be labelled; roll-outs need their problems' accepted answers.
        recipe: has the judge, and the sampling of roll-outs.
        model: continues solutions.
        seed: of the continuations.

    Returns:
        The labeller, and all that its labels depend on besides a solution.

    Raises:
        ParetoError: nobody of that name, a recipe without a judge, a problem without answers.
    """
    kind, _, number = by.partition(":")
    if by == "judge":
        judge = recipe.rounds.labels.judge if recipe else None
        if judge is None or judge.url is None:
            raise ParetoError("--by judge: give a --recipe whose rounds.labels.judge has a url and a model")
        return Judged(judge), [by, judge.url, judge.model]
    if kind not in ("rollouts", "search"):
        known = labeller(by)
        if known is None:
            raise ParetoError(f"--by {by}: they are there already")
        return known, by
    if not (number.isascii() and number.isdecimal() and len(number) < 5 and 1 <= int(number) <= ROLL_OUTS):
        raise ParetoError(f"--by {by}: wanted a number of continuations from 1 to {ROLL_OUTS}, such as {kind}:8")
    solved = _solver(solutions)
    from pareto.models import load

    sampling = recipe.sampling if recipe else Sampling()
    continued = RollOuts(load(model), solved, sampling, seed)
    settings = [by, model.model_dump(mode="json"), sampling.model_dump(mode="json"), seed]
    return MonteCarlo(continued, int(number), search=kind == "search"), settings


def label_file(
    solutions: Sequence[Solution],
    by: Labeller,
    settings: Any,
    out: Path,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Labels]:
    """Label solutions and write them as a file that ``read_solutions`` reads.

    Args:
        solutions: in the order in which they are written.
        by: who labels them.
        settings: all that the labels depend on besides a solution, as plain data: what another labelling has begun is
            not taken for this one's.
        out: a .jsonl file; what is done until it is whole stands beside it, in ``out`` with ``.part`` behind.
        progress: called with (solutions done, solutions in all).

    Raises:
        ParetoError: what ``by`` raises; a full disk.
    """
    part = out.with_name(out.name + ".part")
    known = _begun(part)
    found: list[Labels] = []
    for k, solution in enumerate(solutions):
        key = _key(settings, solution)
        if key not in known:
            known[key] = by(solution.prompt, solution.completion)
            append_line(part, to_json({"key": key, "labels": [[x.right, x.source] for x in known[key]]}))
        found.append(known[key])
        progress(k + 1, len(solutions))
    write_text(out, "".join(_line(s, labels) for s, labels in zip(solutions, found, strict=True)))
    if len(known) == len({_key(settings, s) for s in solutions}):  # others' labels are not ours to drop
        part.unlink(missing_ok=True)
    return found


def write_sample(solutions: Sequence[Solution], n: int, seed: int, out: Path) -> int:
    """Some solutions without labels, for people to fill in: true, false or null for each step.

    Returns:
        How many.
    """
    drawn = [solutions[i] for i in human_sample(len(solutions), n, seed)]
    write_text(out, "".join(_line(s, [StepLabel(None, "")] * len(split_steps(s.completion))) for s in drawn))
    return len(drawn)


def _solver(solutions: Sequence[Solution]) -> Callable[[str, str], bool]:
    """Whether a completion ends in an accepted answer of its problem.

    Raises:
        ParetoError: a solution whose problem has no accepted answers.
    """
    for s in solutions:
        if not s.answers:
            raise ParetoError(f"{s.where}: no 'answers'; whether a roll-out ends well cannot be told without them")
    answers = {s.prompt: s.answers for s in solutions}
    return lambda prompt, text: correct([prompt], [text], answers=[answers[prompt]]) == [1.0]


def _key(settings: Any, solution: Solution) -> str:
    return fingerprint([settings, solution.prompt, solution.completion])


def _line(solution: Solution, labels: Sequence[StepLabel]) -> str:
    row: dict[str, Any] = {"prompt": solution.prompt, "completion": solution.completion}
    if solution.answers:
        row["answers"] = list(solution.answers)
    return to_json(row | {"labels": [label.right for label in labels]}) + "\n"


def _begun(part: Path) -> dict[str, Labels]:
    """What an earlier labelling has done; a line that was cut short is done again."""
    known: dict[str, Labels] = {}
    for line in part.read_text("utf-8", "replace").splitlines() if part.is_file() else ():
        try:
            row = json.loads(line)
            known[row["key"]] = tuple(StepLabel(right, source) for right, source in row["labels"])
        except (ValueError, KeyError, TypeError):
            continue
    return known
