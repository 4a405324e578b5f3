"""The steps of an answer as HTML: right, wrong or unchecked, by line, sign and words as well as by colour."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from app.looks import Look

if TYPE_CHECKING:
    from app.live.steps import Verdict

RIGHT, WRONG, UNCHECKED = "right", "wrong", "unchecked"
_SIGNS = {RIGHT: "✓", WRONG: "✗", UNCHECKED: ""}


def stepped(text: str, steps: Sequence[Verdict]) -> str:
    """An answer with its steps marked; what lies between them is left as it is.

    Args:
        text: the answer.
        steps: in order, without overlap; those that do not lie in the text are not marked.
    """
    parts, at = [], 0
    for number, step in enumerate(steps, 1):
        if not at <= step.start <= step.end <= len(text):
            break
        parts += [escape(text[at : step.start]), _step(text[step.start : step.end], number, step)]
        at = step.end
    return "".join([*parts, escape(text[at:])])


def _step(text: str, number: int, step: Verdict) -> str:
    kind = _kind(step)
    told = kind if step.chance is None else f"{kind}, {100 * step.chance:.0f} percent likely to be right"
    sign = f"<span class='sign' aria-hidden='true'>{_SIGNS[kind]}</span>" if _SIGNS[kind] else ""
    return (
        f"<span class='step {kind}' title='Step {number}: {told}'><span class='unseen'>Step {number}, {told}: </span>"
        f"{escape(text)}{sign}</span>"
    )


def _kind(step: Verdict) -> str:
    return UNCHECKED if step.right is None else RIGHT if step.right else WRONG


def legend(answers: Sequence[Sequence[Verdict]]) -> str:
    """What the marks mean and who made them; empty where no answer has any."""
    steps = [step for answer in answers for step in answer]
    if not steps:
        return ""
    kinds = [kind for kind in (RIGHT, WRONG, UNCHECKED) if any(_kind(step) == kind for step in steps)]
    keys = " ".join(f"<span class='step {kind}'>{kind}{_signed(kind)}</span>" for kind in kinds)
    by_model = any(step.chance is not None for step in steps)
    source = "as the run's process reward model estimates" if by_model else "as arithmetic computes"
    return f"<p class='mute small steps'>Steps: {keys}, {source}.</p>"


def _signed(kind: str) -> str:
    return f"<span class='sign'>{_SIGNS[kind]}</span>" if _SIGNS[kind] else ""


def css(look: Look) -> str:
    """Style of the marks: a line that differs for each kind; only what is wrong has a ground."""
    right, wrong = look.colour(1), look.colour(2)
    return f"""<style>
.step{{text-decoration:underline 2px;text-underline-offset:.25em;text-decoration-skip-ink:none}}
.step.right{{text-decoration-color:{right}}}
.step.wrong{{text-decoration-style:wavy;text-decoration-thickness:1.5px;text-decoration-color:{wrong};
background:color-mix(in srgb,{wrong} 13%,transparent);border-radius:3px}}
.step.unchecked{{text-decoration:underline dotted 1.5px {look.pale}}}
.step .sign{{display:inline-block;margin-left:.25em;font-size:.8em;font-weight:650}}
.steps .step{{margin:0 .15rem}}
.unseen{{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%);white-space:nowrap}}
</style>"""
