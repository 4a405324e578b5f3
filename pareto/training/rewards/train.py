"""Train the ensemble of one objective, or find it made already."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pareto import __version__
from pareto.config import Ensemble as Settings
from pareto.config import Model
from pareto.errors import ParetoError
from pareto.models import fingerprint as model_fingerprint
from pareto.models import resolve
from pareto.objectives.ensemble.calibration import Calibration, calibrate
from pareto.objectives.ensemble.checks import below_chance, check_members, check_pairs, check_scale
from pareto.objectives.ensemble.ensemble import INFO, Ensemble, raw_scores
from pareto.objectives.ensemble.features import template_hash
from pareto.objectives.ensemble.heads import heads_file, write_heads
from pareto.objectives.ensemble.members import scorers
from pareto.objectives.ensemble.report import Scored, report
from pareto.records import SCHEMA, Pair
from pareto.store.files import discard, fingerprint, folder, write_json
from pareto.training.rewards.members import Made, Told, make_members, need_two
from pareto.training.rewards.split import split


def train_ensemble(
    objective: str,
    pairs: Sequence[Pair],
    settings: Settings,
    model: Model,
    out: Path,
    *,
    cache: Path,
    seed: int = 0,
    shifted: Sequence[Pair] = (),
    foreign: Sequence[str] = (),
    progress: Told = lambda what, done, total: None,
    note: Callable[[str], None] = lambda line: None,
) -> Ensemble:
    """Train an ensemble, calibrate it on prompts held out, measure it on others, and write its folder.

    The same call finds the folder made already; one that was killed goes on after the last finished member, to the same
    result. A member whose loss becomes NaN, or that prefers the wrong one of two beyond chance, is dropped: ``note``
    and ``info["dropped"]`` name it.

    Args:
        objective: what the comparisons are about.
        pairs: comparisons of about four prompts or more per member.
        settings: the recipe's ``rounds.ensemble``.
        model: the base model.
        out: the ensemble's folder.
        cache: folder of features and of LoRA members that are finished before their ensemble is.
        seed: of the split and of the members.
        shifted: comparisons from elsewhere, to report on.
        foreign: folders or hub ids of sequence classifiers with one label, members beside the trained ones.
        progress: of the longest steps.
        note: called with one line for what the user should know.

    Raises:
        ParetoError: comparisons that cannot be used or are too few (it names the number needed); fewer than two members
            left of several; members that are identical, untrained or mis-scaled; ``out`` holds something else.
    """
    size = settings.members + len(foreign)
    check_pairs(objective, pairs, size, settings.held_out)
    base = resolve(model.base)
    made_from: dict[str, Any] = {
        "objective": objective,
        "model": model.model_dump(mode="json"),
        "base_fingerprint": model_fingerprint(base),
        "template": template_hash(base),
        "settings": settings.model_dump(mode="json"),
        "seed": seed,
        "foreign": [_place(source) for source in foreign],
        "pairs": fingerprint([asdict(p) for p in pairs]),
        "shifted": fingerprint([asdict(p) for p in shifted]),
    }
    specification = fingerprint(made_from)
    if out.exists():
        return _made_already(out, specification, cache)
    training, calibration, test = split(pairs, settings.held_out, seed)
    work = cache / "members" / specification
    made = make_members(training, settings, model, made_from["foreign"], seed, cache, work, progress, note)
    need_two(objective, made, size)
    fitted = _calibrate(objective, made, calibration, settings, model, progress, note)
    sets = {"in_distribution": test} | ({"shifted": list(shifted)} if shifted else {})
    measured = {name: Scored.of(rows, fitted.apply(_raw(made, rows, model, progress))) for name, rows in sets.items()}
    parts = {"training": training, "calibration": calibration, "test": test}
    info = {
        "schema": SCHEMA,
        "version": __version__,
        "specification": specification,
        **made_from,
        "members": made.members,
        "dropped": made.dropped,
        "prompts": {name: len({p.prompt for p in part}) for name, part in parts.items()},
        "calibration": fitted.to_json(),
        "report": report(fitted, measured),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    with folder(out) as inside:
        write_json(inside / INFO, info)
        for kind, heads in made.heads.items():
            write_heads(inside / heads_file(kind), heads)
        for member in made.members:
            if member["kind"] == "lora":
                shutil.copytree(work / member["file"], inside / member["file"])
    discard(work)
    return Ensemble.open(out, cache)


def _made_already(out: Path, specification: str, cache: Path) -> Ensemble:
    ensemble = Ensemble.open(out, cache)
    if ensemble.info["specification"] != specification:
        raise ParetoError(
            f"{out}: holds an ensemble that was made from other comparisons or settings; name another folder"
        )
    return ensemble


def _place(source: str) -> str:
    """A foreign model's folder wherever we stand, or its hub id."""
    return str(Path(source).resolve()) if Path(source).is_dir() else source


def _raw(made: Made, pairs: Sequence[Pair], model: Model, told: Told) -> NDArray[np.float64]:
    """Raw scores (2n, members): of the chosen ones, then of the rejected ones."""
    prompts = [p.prompt for p in pairs] * 2
    completions = [p.chosen for p in pairs] + [p.rejected for p in pairs]
    by = scorers(made.path, made.members, model, made.heads, made.caches)
    return raw_scores(by, len(made.members), prompts, completions, lambda d, t: told("held-out comparisons", d, t))


def _calibrate(
    objective: str,
    made: Made,
    pairs: Sequence[Pair],
    settings: Settings,
    model: Model,
    told: Told,
    note: Callable[[str], None],
) -> Calibration:
    """Calibrate the members, and sort out or refuse those that cannot be trusted."""
    raw, n, of = _raw(made, pairs, model, told), len(pairs), len(made.members)
    targets, weights = np.array([p.target for p in pairs]), np.array([p.weight for p in pairs])
    check_members([m["name"] for m in made.members], raw)
    bad = [i for i, is_bad in enumerate(below_chance(raw[:n] - raw[n:], targets)) if is_bad]
    for i in bad:
        if made.members[i]["kind"] == "foreign":
            raise ParetoError(
                f"{made.members[i]['name']} prefers the rejected completion of most of the {n} calibration "
                f"comparisons: it is no model of '{objective}', or its sign is turned"
            )
    raw = raw[:, made.drop(dict.fromkeys(bad, f"wrong about most of {n} calibration comparisons"), note)]
    need_two(objective, made, of)
    groups = [p.prompt for p in pairs]
    fitted = calibrate(raw[:n], raw[n:], targets, weights, groups, settings.review_rate)
    foreign = [m["kind"] == "foreign" for m in made.members]
    if any(foreign):
        check_scale([m["name"] for m in made.members], fitted.scale, foreign)
    return fitted
