"""``pareto weights``: learn which weights suit which prompt, and show one's. Heavy modules come when needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pareto.terminal import Json, Root, RunName, check_text, print_json, printable, quiet, say

if TYPE_CHECKING:
    from pareto.inference.auto_weights.auto import Auto
    from pareto.inference.policy import Policy
    from pareto.records import Point
    from pareto.store.run import Run

weights_app = typer.Typer(
    help="Weights from the prompt, for --weights auto.", no_args_is_help=True, rich_markup_mode=None
)


@weights_app.command("learn")
def learn(
    run: RunName,
    utility: Annotated[
        str,
        typer.Option(
            "--utility",
            metavar="TYPE:NAME=W,…;…",
            help="What is wanted of each type of prompt; or a .jsonl file with prompt (or source) and weights; "
            "or duels, the answers of the run's user study.",
        ),
    ],
    control: Annotated[
        int, typer.Option("--control", min=0, metavar="N", help="Learn N times from shuffled prompts too, to compare.")
    ] = 0,
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Learn from what the sweep measured on validation, and compare on test with one weight for all prompts."""
    from pareto.inference.auto_weights.evaluation import evaluate
    from pareto.inference.auto_weights.learning import learn as learn_weights
    from pareto.store.run import Run

    opened = Run.open(run, root)
    quiet()
    kept = learn_weights(opened, utility)
    learned = kept.learned
    report = {
        "learned": {
            "prompts": len(learned.utility),
            "policies": len(learned.ids),
            "learner": learned.learner.kind,
            "errors": learned.errors,
        },
        "test": evaluate(opened, kept, shuffles=control),
    }
    if as_json:
        print_json({"run": opened.name, **report})
    else:
        typer.echo(learned_text(report))


@weights_app.command("show")
def show(
    run: RunName,
    prompt: Annotated[str, typer.Argument(help="What would be asked.")],
    root: Root = Path("runs"),
    as_json: Json = False,
) -> None:
    """Tell which weights a prompt gets, and why."""
    check_text(prompt)
    from pareto.inference.auto_weights.auto import auto_point
    from pareto.store.run import Run

    opened = Run.open(run, root)
    quiet()
    found = auto_point(opened, prompt)
    if as_json:
        print_json({"run": opened.name, "prompt": prompt, **found.to_json()})
    else:
        typer.echo("\n".join([auto_line(found), *(f"  {n.similarity:.2f}  {_shown(n)}" for n in found.nearest)]))


def auto_answers(run: Run, reply: Callable[[Point, Policy, str], None]) -> Callable[[str], None]:
    """What answers each prompt at the weights that were learned for it, and says which and why.

    Args:
        run: with learned weights.
        reply: answers a prompt by a point's policy.
    """
    from pareto.inference.auto_weights.auto import AutoWeights
    from pareto.inference.policy import moved, open_policy

    auto = AutoWeights.open(run)
    policy: Policy | None = None

    def answer(text: str) -> None:
        nonlocal policy
        found = auto.take(text)
        say(auto_line(found))
        policy = moved(policy, run, found.point) if policy else open_policy(run, found.point)
        reply(found.point, policy, text)

    return answer


def auto_line(found: Auto) -> str:
    """The weights taken and the reason, on one line."""
    given = found.point.weights
    weights = ",".join(f"{name}={w:.2f}" for name, w in given.items() if w) if given else "no weights"
    return f"weights auto: {weights} ({found.point.id}); {found.reason}"


def learned_text(report: dict[str, Any]) -> str:
    """What was learned, then what it gains on test.

    Args:
        report: ``learned`` and ``test``.
    """
    learned, test = report["learned"], report["test"]
    gain, most = test["gain"], test["oracle_gain"]
    errors = ", ".join(f"{kind} {share:.0%}" for kind, share in learned["errors"].items())
    lines = [
        f"learned from {learned['prompts']} prompts and {learned['policies']} policies by {learned['learner']}; "
        f"error on prompts left out, of that of the mean: {errors}",
        f"test, {test['prompts']} prompts, {test['policies']} policies, base standard deviations of the utility:",
        f"  fixed {test['fixed']:.3f} ({test['default']}), auto {test['auto']:.3f}, "
        f"type known {test['by_type']:.3f}, best of each prompt in hindsight {test['oracle']:.3f}",
        f"  gain over fixed {gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f}), "
        f"in hindsight {most['value']:+.3f}; declined {test['declined']:.0%}",
        *(
            f"  {kind}: gain {of['gain']:+.3f}, declined {of['declined']:.0%} of {of['prompts']}"
            for kind, of in test["types"].items()
        ),
    ]
    if test["control"]:
        control = test["control"]
        lines.append(f"  shuffled prompts: gain {control['gain']:+.3f}, declined {control['declined']:.0%}")
    return "\n".join(lines)


def _shown(neighbour: Any) -> str:
    text = " ".join(printable(neighbour.prompt).split())
    return f"{neighbour.source}: {text if len(text) <= 80 else text[:79] + '…'}"
