"""``pareto reward``: ensembles of reward models. Arguments only; heavy modules are imported inside the commands."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from pareto.errors import ParetoError
from pareto.terminal import Json, bars, check_text, print_json, printable, quiet, say, writable
from pareto.words import Aggregation

if TYPE_CHECKING:
    from pareto.objectives.ensemble.ensemble import Ensemble
    from pareto.preferences.pairs import Pairs

reward_app = typer.Typer(
    help="Reward models learnt from comparisons, several at a time, which know when they are unsure.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="What `pareto reward train` made.")]
Source = Annotated[
    str,
    typer.Argument(
        metavar="PAIRS",
        help="A .jsonl or .parquet file with prompt, chosen and rejected, or a data set's id or folder.",
    ),
]
TOLD = 5
"""Problems of a kind that are printed; all of them with --json."""


@reward_app.command("train")
def train(
    pairs: Source,
    objective: Annotated[str, typer.Option("--objective", metavar="NAME", help="What the comparisons are about.")],
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="The ensemble's folder.")],
    recipe: Annotated[
        Path | None, typer.Option("--recipe", help="Take the model and rounds.ensemble of this recipe.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option("--model", metavar="BASE", help="Base model; default: the recipe's, or smollm2-135m-instruct."),
    ] = None,
    members: Annotated[int | None, typer.Option("--members", help="How many; default: 5.")] = None,
    head: Annotated[
        list[str] | None,
        typer.Option("--head", help="linear, mlp, encoder or lora: once for all members, or once for each in turn."),
    ] = None,
    aggregate: Annotated[
        Aggregation | None, typer.Option("--aggregate", help="How they become one reward; default: lcb.")
    ] = None,
    k: Annotated[float | None, typer.Option("--k", help="Of lcb and uwo; default: 1.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps; default: 300.")] = None,
    held_out: Annotated[
        float | None, typer.Option("--held-out", help="Share of the prompts to calibrate and test on; default: 0.25.")
    ] = None,
    review_rate: Annotated[
        float | None, typer.Option("--review-rate", help="Share of completions to be reviewed; default: 0.1.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the members and of what is held out.")] = 0,
    shifted: Annotated[
        str | None, typer.Option("--shifted", metavar="PAIRS", help="Comparisons from elsewhere, reported apart.")
    ] = None,
    foreign: Annotated[
        list[str] | None,
        typer.Option("--foreign", metavar="FOLDER", help="A sequence classifier that joins as a member; repeatable."),
    ] = None,
    pooling: Annotated[
        Literal["middle", "last"] | None,
        typer.Option(
            "--pooling", help="What linear and mlp heads read; only those on last can be exported; default: middle."
        ),
    ] = None,
    subset: Annotated[str, typer.Option("--subset", help="Of a data set.")] = "train",
    cache: Annotated[
        Path | None, typer.Option("--cache", metavar="DIR", help="Where features are kept; default: the user's cache.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Train an ensemble, or go on with one that was interrupted; then say how far it can be trusted."""
    options: dict[str, Any] = {"members": members, "aggregate": aggregate, "k": k, "steps": steps}
    options |= {"held_out": held_out, "review_rate": review_rate, "pooling": pooling}
    options["head"] = (tuple(head) if len(head) > 1 else head[0]) if head else None
    from pareto.training.rewards.options import check_name, model_and_settings

    check_name(objective)
    base, settings = model_and_settings(
        recipe, model, {name: value for name, value in options.items() if value is not None}
    )
    quiet()
    from pareto.objectives.ensemble.checks import counted
    from pareto.objectives.ensemble.report import text, warnings
    from pareto.store.cache import cache_root
    from pareto.training.rewards.train import train_ensemble

    found = _read(pairs, subset, as_json)
    other = _read(shifted, subset, as_json) if shifted else None
    notes: list[str] = []

    def note(line: str) -> None:
        notes.append(line)
        say(f"note: {printable(line)}")

    with bars(as_json) as progress:
        ensemble = train_ensemble(
            objective,
            found.pairs,
            settings,
            base,
            out,
            cache=cache or cache_root() / "features",
            seed=seed,
            shifted=other.pairs if other else (),
            foreign=tuple(foreign or ()),
            progress=progress,
            note=note,
        )
    if as_json:
        told = {"pairs": _told(found), "shifted": _told(other) if other else None, "notes": notes}
        made = {"report": ensemble.report, "warnings": warnings(ensemble.report)}
        print_json({**_described(ensemble), **told, **made})
    else:
        typer.echo(f"{objective}: {counted(ensemble.size, 'member')} in {ensemble.path}\n\n{text(ensemble.report)}")


@reward_app.command("eval")
def evaluate(
    folder: Folder,
    pairs: Source,
    subset: Annotated[str, typer.Option("--subset", help="Of a data set.")] = "train",
    as_json: Json = False,
) -> None:
    """The same report on other comparisons; those of prompts that it learnt from are left out."""
    quiet()
    from pareto.objectives.ensemble.ensemble import Ensemble
    from pareto.objectives.ensemble.report import Scored, report, text, warnings

    ensemble = Ensemble.open(folder)
    found = _read(pairs, subset, as_json)
    left, left_out = ensemble.unseen(found.pairs, pairs)
    if left_out and not as_json:
        say(f"note: {printable(left_out)}")
    prompts = [p.prompt for p in left] * 2
    completions = [*(p.chosen for p in left), *(p.rejected for p in left)]
    with bars(as_json) as progress:
        scores = ensemble.score(prompts, completions, lambda done, total: progress("score", done, total))
    made = report(ensemble.calibration, {"these_pairs": Scored.of(left, scores)})
    if as_json:
        told = {"pairs": _told(found), "notes": [left_out] if left_out else []}
        print_json({**_described(ensemble), **told, "report": made, "warnings": warnings(made)})
    else:
        typer.echo(text(made))


@reward_app.command("score")
def score(
    folder: Folder,
    prompt: Annotated[str, typer.Option("--prompt", help="What was asked.")],
    completion: Annotated[list[str], typer.Option("--completion", help="What was answered; repeatable.")],
    as_json: Json = False,
) -> None:
    """What each member gives a completion, and whether they agree enough to be believed."""
    check_text(prompt, *completion)
    quiet()
    from pareto.objectives.ensemble.ensemble import Ensemble

    ensemble = Ensemble.open(folder)
    scores = ensemble.score([prompt] * len(completion), completion)
    columns = (completion, scores.members, scores.mean, scores.spread, scores.lower, scores.upper)
    threshold = ensemble.calibration.spread_threshold
    rows = [
        {
            "completion": text,
            "members": members.tolist(),
            "mean": float(mean),
            "spread": float(spread),
            "lower": float(lower),
            "upper": float(upper),
            "reward": float(reward),
            "uncertain": bool(spread > threshold),
        }
        for text, members, mean, spread, lower, upper, reward in zip(*columns, ensemble.reward(scores), strict=True)
    ]
    if as_json:
        print_json({**_described(ensemble), "spread_threshold": threshold, "completions": rows})
        return
    for row in rows:
        members = ", ".join(f"{x:.2f}" for x in row["members"])
        verdict = "uncertain" if row["uncertain"] else "agreed"
        doubt = f"{verdict}, spread {row['spread']:.2f} nats (review above {threshold:.2f})"
        if ensemble.size == 1:
            doubt = "one model alone, which cannot tell when it is unsure"
        typer.echo(
            f"{members}: {doubt}; mean {row['mean']:.2f} "
            f"({row['lower']:.2f} to {row['upper']:.2f}), reward {row['reward']:.2f}  {_short(row['completion'])}"
        )


@reward_app.command("card")
def card(
    folder: Folder,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE", help="Write it: a .md file.")] = None,
    as_json: Json = False,
) -> None:
    """The model card of an ensemble, with the hub's front matter."""
    writable(out, ".md", "--out")
    quiet()
    from pareto.objectives.ensemble.card import card as made
    from pareto.objectives.ensemble.ensemble import Ensemble
    from pareto.store.files import write_text

    ensemble = Ensemble.open(folder)
    text = made(ensemble)
    if out:
        write_text(out, text)
    if as_json:
        print_json({**_described(ensemble), "out": str(out) if out else None, "card": text})
    else:
        typer.echo(f"card written to {out}" if out else text)


@reward_app.command("export")
def export(
    folder: Folder,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="A folder that is not there yet.")],
    member: Annotated[int, typer.Option("--member", min=0, help="Which one, from 0.")] = 0,
    as_json: Json = False,
) -> None:
    """One member as a folder that AutoModelForSequenceClassification loads."""
    quiet()
    from pareto.objectives.ensemble.checks import counted
    from pareto.objectives.ensemble.ensemble import Ensemble
    from pareto.objectives.ensemble.export import export_member

    ensemble = Ensemble.open(folder)
    if member >= ensemble.size:
        which = f"0 to {ensemble.size - 1}" if ensemble.size > 1 else "0"
        raise ParetoError(f"--member {member}: {folder} has {counted(ensemble.size, 'member')}, {which}")
    export_member(ensemble, member, out)
    if as_json:
        print_json({**_described(ensemble), "member": member, "out": str(out)})
    else:
        typer.echo(f"member {member} written to {out}")


def _read(source: str, subset: str, silent: bool) -> Pairs:
    """Comparisons; what is wrong with them goes to standard error."""
    from pareto.preferences.pairs import read_pairs

    found = read_pairs(source, subset=subset)
    if not silent:
        for line in found.told(TOLD):
            say(f"note: {printable(line)}")
    return found


def _told(found: Pairs) -> dict[str, Any]:
    return {"counts": found.counts, "problems": found.problems}


def _described(ensemble: Ensemble) -> dict[str, Any]:
    return {
        "objective": ensemble.objective,
        "ensemble": str(ensemble.path),
        "members": ensemble.size,
        "dropped": ensemble.info["dropped"],
    }


def _short(text: str, most: int = 40) -> str:
    line = printable(" ".join(text.split()))
    return line if len(line) <= most else line[: most - 1] + "…"
