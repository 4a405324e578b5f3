"""A round's questions, who answers them, and the reward models that learn from all answers so far."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pareto.config import Recipe, suggest
from pareto.errors import ParetoError
from pareto.objectives.ensemble.checks import prompts_needed
from pareto.objectives.ensemble.ensemble import Ensemble
from pareto.objectives.ensemble.scores import EnsembleScores, pair_scores
from pareto.preferences.annotation.annotator import Annotator
from pareto.preferences.annotation.choosing import choose
from pareto.preferences.annotation.endpoint import Endpoint
from pareto.preferences.annotation.gold import GoldAnnotator
from pareto.preferences.annotation.judge import JudgeAnnotator
from pareto.preferences.annotation.questions import candidates
from pareto.preferences.pairs import read_pairs
from pareto.records import Pair, Prompt, Question, Rollout
from pareto.rollouts.pool import row_seed
from pareto.rounds.gold import Gold, labelling_rewards
from pareto.rounds.store import Rounds
from pareto.store.files import discard, read_json, write_json
from pareto.training.rewards.train import train_ensemble

if TYPE_CHECKING:
    from pareto.models import Base


def questions(
    gold: Gold, number: int, prompts: Sequence[Prompt], found: Sequence[Rollout], ensembles: Mapping[str, Ensemble]
) -> list[Question]:
    """What a round asks: chosen once and kept, so that a round that goes on asks the same.

    Nothing is asked twice, and nothing where the objective does not apply.

    Args:
        gold: of the series.
        number: of the round.
        prompts: the training prompts.
        found: the completions to choose from.
        ensembles: objective → the reward models of the round before; empty in the first.
    """
    rounds = gold.rounds
    path = rounds.path / "questions" / f"round-{number}.json"
    if not path.is_file():
        labels = rounds.recipe.rounds.labels
        queue = rounds.queue
        standing = {q.key for q in queue.questions} | {x.key for x in queue.labels}
        chosen: list[Question] = []
        for objective, applies in gold.applies(prompts, found).items():
            texts: dict[str, list[str]] = defaultdict(list)
            for rollout, yes in zip(found, applies, strict=True):
                if yes:
                    texts[rollout.prompt_id].append(rollout.text)
            open_ = [q for q in candidates(objective, prompts, texts, number) if q.key not in standing]
            members = _members(ensembles[objective], open_) if objective in ensembles else None
            margins = None if members is None else pair_scores(*members)
            seed = row_seed(rounds.recipe.seed, "choose", objective, number)
            best = choose(open_, margins, labels.choose, labels.budget, seed)
            chosen += best if members is None else _with_scores(best, open_, members)
        path.parent.mkdir(exist_ok=True)
        write_json(path, [asdict(q) for q in chosen])
    return [Question(**q | {"answers": tuple(q["answers"])}) for q in read_json(path)]


def _members(ensemble: Ensemble, asked: Sequence[Question]) -> tuple[EnsembleScores, EnsembleScores]:
    """What the ensemble says of both sides of questions; each completion is scored once."""
    pairs = [((q.prompt, q.first), (q.prompt, q.second)) for q in asked]
    rows = {text: i for i, text in enumerate(dict.fromkeys(text for pair in pairs for text in pair))}
    scores = ensemble.score([prompt for prompt, _ in rows], [completion for _, completion in rows])
    first, second = np.array([[rows[a], rows[b]] for a, b in pairs], dtype=np.intp).reshape(-1, 2).T
    return scores.take(first), scores.take(second)


def _with_scores(
    chosen: Sequence[Question], asked: Sequence[Question], members: tuple[EnsembleScores, EnsembleScores]
) -> list[Question]:
    """The chosen questions with what each member gave both sides."""
    at = {q.key: i for i, q in enumerate(asked)}
    sides = dict(zip(("first", "second"), members, strict=True))
    return [
        replace(q, scores={side: scores.members[at[q.key]].tolist() for side, scores in sides.items()}) for q in chosen
    ]


def check_labels(recipe: Recipe, feedback: Sequence[tuple[str, Path]]) -> None:
    """Refuse what could not end well before anything is paid for.

    Args:
        recipe: its section ``rounds.labels``.
        feedback: objective and labelled file.

    Raises:
        ParetoError: ``gold`` where an objective has no reward that could answer; rewards that cannot be loaded; a
            budget too small for the members; a file without comparisons; a judge's address or key that is none. It
            says what would be right.
    """
    members, held_out = recipe.rounds.ensemble.members, recipe.rounds.ensemble.held_out
    needed, budget = prompts_needed(members, held_out), recipe.rounds.labels.budget
    if budget < needed and not feedback:
        raise ParetoError(
            f"rounds.labels.budget: {budget} comparisons per objective cannot teach {members} members; they need at "
            f"least {needed}"
        )
    for _, file in feedback:
        read_pairs(file)
    labels = recipe.rounds.labels
    if labels.annotator == "judge" and labels.judge.url is not None:
        Endpoint(labels.judge)
    for name in recipe.rounds.labels.rewards:
        if name not in recipe.names:
            raise ParetoError(f"rounds.labels.rewards: unknown objective '{name}'; {suggest(name, recipe.names)}")
    if recipe.rounds.labels.annotator == "gold":
        known = labelling_rewards(recipe)
        for name in recipe.names:
            if name not in known:
                raise ParetoError(
                    f"objective '{name}': only people or a judge can label it; give --annotator person or judge, or "
                    "another reward under rounds.labels.rewards"
                )


def annotator(recipe: Recipe, base: Callable[[], Base]) -> Annotator | None:
    """Who answers without being watched; ``None``: people do."""
    labels = recipe.rounds.labels
    if labels.annotator == "person":
        return None
    if labels.annotator == "judge":
        return JudgeAnnotator(labels.judge, labels.criteria, base() if labels.judge.url is None else None)
    return GoldAnnotator(
        labelling_rewards(recipe),
        labels.noise,
        recipe.seed,
        tokens=base().completion_ids,
        max_new_tokens=recipe.sampling.max_new_tokens,
    )


def refit(
    rounds: Rounds,
    number: int,
    objective: str,
    progress: Callable[[str, int, int], None],
    note: Callable[[str], None],
) -> Ensemble:
    """An objective's reward models, learnt from all labels so far, older ones weighed by their age.

    The labels are frozen when the training begins: what people answer meanwhile counts in the next round.

    Raises:
        ParetoError: too few labels, or a sweep of this round's name stands that other reward models made.
    """
    recipe, out = rounds.recipe, rounds.rewards(objective, number)
    path = out.with_name(f"{out.name}.pairs.json")
    if not path.is_file():
        if (rounds.path.parent / rounds.run_name(number)).exists():
            raise ParetoError(
                f"{rounds.path.parent / rounds.run_name(number)}: of other rounds than {rounds.path.name}, whose "
                f"round {number} is not trained yet; move it away"
            )
        pairs = rounds.queue.pairs(objective, half_life=recipe.rounds.half_life, round=number)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, [asdict(p) for p in pairs])
    try:
        return train_ensemble(
            objective,
            [Pair(**p) for p in read_json(path)],
            recipe.rounds.ensemble,
            recipe.model,
            out,
            cache=rounds.path,
            seed=recipe.seed,
            progress=progress,
            note=note,
        )
    except ParetoError:
        # Labels that do not suffice may be joined by others.
        discard(path)
        raise
