"""``pareto choose`` and ``pareto measure``: the policy that the priorities allow. Arguments and their tables."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from pareto.errors import ParetoError
from pareto.terminal import Json, Root, RunName, print_json, quiet, say, watching

Priorities = Annotated[
    str | None,
    typer.Option(
        "--priorities",
        metavar="TEXT",
        help="Instead of the run's own: levels separated by ';', e.g. 'harmless>=0.9; honest>=0,concise~0.1 @mean'; "
        "~ is the tolerance to the best, @ the confidence; 'none' for none.",
    ),
]


def choose(
    run: RunName,
    priorities: Priorities = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="NAME=W,…", help="Of the rest, the largest weighted sum.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", metavar="NAME=VALUE,…", help="Of the rest, the nearest to about this much of each."
        ),
    ] = None,
    most: Annotated[str | None, typer.Option("--most", metavar="NAME", help="Of the rest, the most of this.")] = None,
    knee: Annotated[bool, typer.Option("--knee", help="Of the rest, the knee of the front.")] = False,
    keep: Annotated[
        bool, typer.Option("--keep", help="Make these priorities the run's own, for chat, export and the explorer.")
    ] = False,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Choose a policy: what the priorities leave, what each of them costs, why the others are out."""
    from pareto.choice.choose import choose as choose_policy
    from pareto.choice.standing import keep as keep_levels
    from pareto.choice.standing import standing
    from pareto.store.run import Run

    opened = Run.open(run, root)
    levels = standing(opened) if priorities is None else levels_of(priorities, opened.recipe.names)
    wish = _wish(opened.recipe.names, weights, reference, most, knee)
    document = choose_policy(opened, levels, wish)
    if keep:
        keep_levels(opened, levels)
        say(f"kept for run '{opened.name}': {document['priorities'] or 'no priorities'}")
    if as_json:
        print_json(document)
    else:
        typer.echo(choice_text(document))
    if document["chosen"] is None:
        raise typer.Exit(1)


def levels_of(text: str, names: tuple[str, ...]) -> tuple[Any, ...]:
    """Priorities as typed; ``none`` for none."""
    from pareto.choice.levels import parse_levels

    return () if text.strip() in ("", "none") else parse_levels(text, names)


def choice_text(document: dict[str, Any]) -> str:
    """The funnel, the price of each level, the policy, and why the others are out."""
    verdict, chosen = document["verdict"], document["chosen"]
    lines = []
    for k, (level, step) in enumerate(zip(document["levels"], verdict["steps"], strict=True)):
        lines.append(f"{k + 1}. {level}: {len(step['entered'])} → {len(step['kept'])}{_costs(document['prices'], k)}")
    if not lines:
        lines.append(f"no priorities, {verdict['candidates']} policies")
    lines.append("")
    if chosen is None:
        lines.append(verdict["relaxation"]["text"])
    else:
        values = "  ".join(f"{n} {chosen['mean'][n]:.3f} ±{chosen['se'][n]:.3f}" for n in chosen["mean"])
        lines.append(f"{chosen['id']}: {values}  KL {chosen['kl']:.2f}  (validation)")
        test = chosen["admission"]["test"]
        if chosen["admission"]["priorities"]:
            lines += [f"  test: {line}" for line in (test["text"] if test else "not measured there").splitlines()]
    if verdict["excluded"]:
        width = max(map(len, verdict["excluded"]))
        lines += ["", "out of reach:"]
        lines += [f"  {name.ljust(width)}  {reason['text']}" for name, reason in verdict["excluded"].items()]
    return "\n".join(lines)


def _costs(prices: list[dict[str, Any]], level: int) -> str:
    """What a level takes from the best of the other objectives, where it surely takes something."""
    told = [
        f"{price['cost']:.3f} ±{price['se']:.3f} {price['objective']}"
        for price in prices
        if price["level"] == level and price["cost"] and price["se"] is not None and price["cost"] > 2 * price["se"]
    ]
    return f"; costs {', '.join(told)}" if told else ""


def measure(
    run: RunName,
    weights: Annotated[str | None, typer.Option("--weights", metavar="NAME=W,…", help="The soup of these.")] = None,
    coefficients: Annotated[
        str | None, typer.Option("--coefficients", metavar="NAME=λ,…", help="Or of any adapters.")
    ] = None,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Measure a soup on validation and test, so that the priorities can judge it."""
    from pareto.inference.policy import asked_point
    from pareto.store.run import Run

    if (weights is None) == (coefficients is None):
        raise ParetoError("measure needs exactly one of --weights NAME=W,… or --coefficients NAME=λ,…")
    opened = Run.open(run, root)
    asked = asked_point(opened, weights, coefficients)
    quiet()
    from pareto.measuring import measure_soup

    with watching(opened.recipe.names, as_json) as watch:
        found = measure_soup(opened, asked, watch)
    if as_json:
        print_json({"run": opened.name, "point": found.id, "mean": found.mean, "se": found.se, "kl": found.kl})
    else:
        values = "  ".join(f"{n} {found.mean[n]:.3f} ±{found.se[n]:.3f}" for n in opened.recipe.names)
        typer.echo(f"{found.id}: {values}  KL {found.kl:.2f}  (test)")


def _wish(names: tuple[str, ...], weights: str | None, reference: str | None, most: str | None, knee: bool) -> Any:
    from pareto.choice.decide import Wish
    from pareto.simplex import parse_numbers, parse_weights

    if sum([weights is not None, reference is not None, most is not None, knee]) > 1:
        raise ParetoError("give only one of --weights, --reference, --most and --knee")
    if weights is not None:
        return Wish("weights", dict(zip(names, parse_weights(weights, names), strict=True)))
    if reference is not None:
        return Wish("reference", parse_numbers(reference, "reference", "helpful=.6,concise=.5"))
    if most is not None:
        return Wish("most", objective=most)
    return Wish("knee" if knee else "balanced")
