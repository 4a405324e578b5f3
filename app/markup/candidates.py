"""All answers among which the best was chosen, as a table: what they say, their scores, why one may not be returned."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from app.looks import Look, glyph
from app.markup.marks import figure, line
from pareto.inference.best_of.candidates import Best, Candidate


def candidates_html(best: Best, names: Sequence[str], weights: Mapping[str, float], look: Look) -> str:
    """The table, best first, with what the choice costs beneath.

    Args:
        best: the answers and which is chosen.
        names: objectives in order.
        weights: under which they were judged.
        look: the theme.
    """
    objectives = "".join(
        f"<th scope='col'><b style='color:{look.colour(k)}' aria-hidden='true'>{glyph(k)}</b> {escape(n)}</th>"
        for k, n in enumerate(names)
    )
    rows = "".join(
        _row(place, c, c is best.answer, names, _half(best, names)) for place, c in enumerate(ranked(best), 1)
    )
    shares = ", ".join(f"{name} {share:.2f}" for name, share in weights.items())
    return (
        "<div class='candidates' role='region' aria-label='All answers' tabindex='0'><table>"
        f"<thead><tr><th scope='col'>Rank</th><th scope='col'>Answer</th><th scope='col'>Utility</th>{objectives}</tr>"
        f"</thead><tbody>{rows}</tbody></table></div>"
        + line(f"Utility: {shares}; each in standard deviations of the base model's answers, above its mean.")
        + line(
            f"{best.tokens} tokens were written for it. To return the best of {len(best.candidates)} moves the policy "
            f"by {figure(best.kl)} nats of KL at most."
        )
    )


def ranked(best: Best) -> list[Candidate]:
    """The chosen one, then those that keep the priorities and could be scored, each by utility."""
    return sorted(
        best.candidates, key=lambda c: (c is not best.answer, c.broken is not None, bool(c.failures), -c.utility)
    )


def _half(best: Best, names: Sequence[str]) -> dict[str, float]:
    """For each objective what leaves three digits of its largest value, so that a column has the same everywhere."""
    values = {name: [abs(c.scores[name]) for c in best.candidates if name in c.scores] for name in names}
    return {name: max(found) / 25 for name, found in values.items() if found}


def _row(place: int, c: Candidate, chosen: bool, names: Sequence[str], half: Mapping[str, float]) -> str:
    notes = [f"Breaks {c.broken}"] if c.broken else []
    notes += [f"Failed: {why}" for why in c.failures]
    told = "".join(f"<p class='small why'>{escape(note)}</p>" for note in notes)
    scores = "".join(f"<td>{figure(c.scores[n], half[n]) if n in c.scores else '–'}</td>" for n in names)
    rank = f"<b>{place}</b><span class='tag'>chosen</span>" if chosen else str(place)
    text = f"<div class='answer'>{escape(c.text)}</div>" if c.text.strip() else "<div class='mute'>(nothing)</div>"
    return (
        f"<tr class='{'chosen' if chosen else ''}'><th scope='row'>{rank}</th><td class='text'>{text}{told}</td>"
        f"<td>{figure(c.utility, 0.05)}</td>{scores}</tr>"
    )


def css(look: Look) -> str:
    """Style of the table."""
    return f"""<style>
.candidates{{overflow-x:auto;max-height:32rem;overflow-y:auto}}
.candidates table{{width:100%;border-collapse:collapse;font-size:.87rem}}
.candidates th,.candidates td{{border:0;border-bottom:1px solid {look.line};padding:.45rem .5rem .45rem 0;
font-weight:400;text-align:right;vertical-align:top;white-space:nowrap}}
.candidates thead th{{color:{look.muted};position:sticky;top:0;background:{look.background}}}
.candidates th:first-child{{padding-left:.6rem}}
.candidates tr>:nth-child(-n+2){{text-align:left}}
.candidates .text{{white-space:normal;min-width:11rem;width:60%}}
.candidates .answer{{font-size:.92rem;line-height:1.5}}
.candidates tr.chosen>*{{background:{look.panel}}}
.candidates tr.chosen>:first-child{{box-shadow:inset 3px 0 {look.text}}}
.candidates .tag{{display:block;color:{look.muted};font-size:.8rem}}
.candidates .why{{margin:.3rem 0 0;font-weight:600}}
</style>"""
