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
from pareto.model_sources import resolve
from pareto.models import fingerprint as model_fingerprint
from pareto.objectives.ensemble.calibration import Calibration, calibrate
from pareto.objectives.ensemble.checks import (
    below_chance,
    check_folder,
    check_members,
    check_pairs,
    check_scale,
    counted,
    prompt_hash,
    unseen,
)
from pareto.objectives.ensemble.ensemble import INFO, Ensemble, raw_scores
from pareto.objectives.ensemble.features import template_hash
from pareto.objectives.ensemble.heads import heads_file, write_heads
from pareto.objectives.ensemble.members import scorers
from pareto.objectives.ensemble.report import Scored, report
from pareto.records import SCHEMA, Pair
from pareto.store.files import discard, fingerprint, folder, write_json
from pareto.training.rewards.members import Made, Told, make_members, need_enough
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
        shifted: comparisons from elsewhere, to report on; those of prompts that are trained or calibrated on are left
            out, and ``note`` tells how many.
        foreign: folders or hub ids of sequence classifiers with one label, members beside the trained ones.
        progress: of the longest steps.
        note: called with one line for what the user should know.

    Raises:
        ParetoError: comparisons that cannot be used or are too few (it names the number needed); fewer than two members
            left of several, none of one; members that are identical, untrained or mis-scaled; ``out`` holds something
            else; it or the cache cannot be written; all of ``shifted`` was trained or calibrated on.
    """
    size = settings.members + len(foreign)
    check_pairs(objective, pairs, size, settings.held_out)
    if size == 1:
        note("1 member: a single model has no spread and cannot tell when it is unsure; several can")
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
    # An empty folder is as good as none.
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        return _made_already(out, made_from, cache)
    check_folder(out.parent)
    check_folder(cache)
    training, calibration, test = split(pairs, settings.held_out, seed)
    seen = sorted({prompt_hash(p.prompt) for p in (*training, *calibration)})
    sets = {"in_distribution": test}
    if shifted:
        sets["shifted"], left_out = unseen(shifted, set(seen), "shifted")
        if left_out:
            note(left_out)
    work = cache / "members" / specification
    made = make_members(training, settings, model, made_from["foreign"], seed, cache, work, progress, note)
    need_enough(objective, made, size)
    fitted = _calibrate(objective, made, calibration, settings, model, progress, note)
    measured = {name: Scored.of(rows, fitted.apply(_raw(made, rows, model, progress))) for name, rows in sets.items()}
    parts = {"training": training, "calibration": calibration, "test": test}
    info = {
        "schema": SCHEMA,
        "version": __version__,
        "specification": specification,
        **made_from,
        "members": made.members,
        "dropped": made.dropped,
        "seen": seen,
        "prompts": {name: len({p.prompt for p in part}) for name, part in parts.items()},
        "calibration": fitted.to_json(),
        "report": report(fitted, measured),
    }
    with folder(out) as inside:
        write_json(inside / INFO, info)
        for kind, heads in made.heads.items():
            write_heads(inside / heads_file(kind), heads)
        for member in made.members:
            if member["kind"] == "lora":
                shutil.copytree(work / member["file"], inside / member["file"])
    discard(work)
    return Ensemble.open(out, cache)


def _made_already(out: Path, made_from: dict[str, Any], cache: Path) -> Ensemble:
    if not (out / INFO).is_file():
        raise ParetoError(f"{out}: exists and holds something else; name a folder that is not there yet")
    ensemble = Ensemble.open(out, cache)
    differences = _differences(ensemble.info, made_from)
    if differences:
        raise ParetoError(f"{out}: holds another ensemble ({'; '.join(differences)}); name another folder")
    return ensemble


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """In what that which makes an ensemble differs, in words."""
    sides = [made | made["model"] | made["settings"] for made in (old, new)]
    there, asked = ({k: v for k, v in side.items() if k not in ("model", "settings")} for side in sides)
    values = [*new["model"], *new["settings"], "objective", "seed"]
    told = [f"{k}: {_told(there.get(k))}, asked for {_told(asked[k])}" for k in values if there.get(k) != asked[k]]
    if there["base"] == asked["base"] and any(there[k] != asked[k] for k in ("base_fingerprint", "template")):
        told.append("another state of the base model")
    others = {"pairs": "other comparisons", "shifted": "other shifted comparisons", "foreign": "other foreign members"}
    return told + [words for k, words in others.items() if there[k] != asked[k]]


def _told(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else "none" if value is None else str(value)


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
                f"{made.members[i]['name']} prefers the rejected completion in most of "
                f"{counted(n, 'calibration comparison')}: it is no model of '{objective}', or its sign is turned"
            )
    raw = raw[:, made.drop(dict.fromkeys(bad, f"wrong about most of {counted(n, 'calibration comparison')}"), note)]
    need_enough(objective, made, of)
    groups = [p.prompt for p in pairs]
    fitted = calibrate(raw[:n], raw[n:], targets, weights, groups, settings.review_rate)
    foreign = [m["kind"] == "foreign" for m in made.members]
    if any(foreign):
        check_scale([m["name"] for m in made.members], fitted.scale, foreign)
    return fitted
