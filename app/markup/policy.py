"""A chosen policy as HTML: its mix, what was measured of it, its checks; what names and cards say is text."""

from __future__ import annotations

from html import escape
from typing import Any

from app.data import Data
from app.looks import Look, clip
from app.place import Policy
from pareto.choice.admission import Admission
from pareto.choice.levels import format_levels
from pareto.records import Point

Z = 1.96
"""Standard errors to either side in a 95 % interval."""


def mix_html(chosen: Policy, point: Point, names: tuple[str, ...], look: Look) -> str:
    """The coefficients as a bar of their shares and a table; an expert has its objective's colour and shape."""
    total = sum(abs(v) for v in point.coefficients.values())
    bar, rows = "", ""
    for name, value in point.coefficients.items():
        objective = name.removeprefix("expert-")
        k = names.index(objective) if objective in names else None
        colour = look.muted if k is None else look.colour(k)
        shape = "" if k is None else clip(k)
        bar += f"<div style='width:{100 * abs(value) / total:.1f}%;background:{colour}'></div>"
        rows += (
            f"<tr><td style='padding:.3rem 0'><span style='display:inline-block;width:11px;height:11px;margin-right:"
            f".6rem;background:{colour};{shape}'></span>{escape(name)}</td>"
            f"<td style='text-align:right;font-weight:600'>{_signed(value)}</td></tr>"
        )
    said = "; ".join(f"{n} {_signed(v)}" for n, v in point.coefficients.items())
    title = escape(point.id if point.scores else chosen.label)
    weights = ", ".join(f"{n} {w:.2f}" for n, w in (point.weights or {}).items())
    asked = f"<div style='color:{look.muted};margin-top:.6rem'>for weights {escape(weights)}</div>" if weights else ""
    return (
        "<div style='font-size:1.25rem;font-weight:620;margin-bottom:.8rem;overflow-wrap:anywhere' "
        f"data-point='{escape(point.id)}'>{title}</div>"
        f"<div role='img' aria-label='Coefficients: {escape(said)}' style='display:flex;gap:2px;height:10px;"
        f"border-radius:5px;overflow:hidden;margin-bottom:.7rem'>{bar}</div>"
        f"<table style='width:100%;border-collapse:collapse'><tbody>{rows}</tbody></table>{asked}"
    )


def values_html(data: Data, point: str, look: Look) -> str:
    """Mean and 95 % interval of every objective on both splits, then what was never trained on."""
    found = {
        "validation": next((r for r in data.validation if r["id"] == point), None),
        "test": next((r for r in data.test if r["id"] == point), None),
    }
    if not any(found.values()):
        return (
            f"<div style='color:{look.muted};line-height:1.6'>Not measured yet: this mixture is one that the sweep did "
            "not evaluate. Explore predicts it; measuring it makes it a policy that priorities can judge.</div>"
        )
    head = "".join(f"<th style='{_RIGHT};color:{look.muted};font-weight:500'>{s}</th>" for s in found)
    rows = ""
    for k, name in enumerate(data.names):
        cells = "".join(_value(row, name, look) for row in found.values())
        rows += (
            f"<tr><td style='{_LEFT}'><span style='display:inline-block;width:11px;height:11px;margin-right:.6rem;"
            f"background:{look.colour(k)};{clip(k)}'></span>{escape(name)}</td>{cells}</tr>"
        )
    rest = [("KL to the base", "kl"), *((g, f"gold:{g}") for g in data.run.recipe.gold if g != "kl")]
    for label, key in rest:
        cells = "".join(_rest(row, key, look) for row in found.values())
        rows += f"<tr><td style='{_LEFT};color:{look.muted}'>{escape(label)}</td>{cells}</tr>"
    return (
        f"<table style='width:100%;border-collapse:collapse'><thead><tr><th></th>{head}</tr></thead><tbody>{rows}"
        f"</tbody></table><div style='color:{look.muted};font-size:.87rem;margin-top:.7rem;line-height:1.5'>Mean with "
        "a 95 % interval over prompts. Chosen on validation, reported on test; beneath the objectives, what was never "
        "trained on.</div>"
    )


_LEFT = "padding:.42rem .4rem .42rem 0;text-align:left"
_RIGHT = "padding:.42rem 0 .42rem .6rem;text-align:right;white-space:nowrap"


def _value(row: dict[str, Any] | None, name: str, look: Look) -> str:
    if row is None:
        return f"<td style='{_RIGHT};color:{look.muted}'>—</td>"
    mean, half = row["mean"][name], Z * row["se"][name]
    return (
        f"<td style='{_RIGHT}'><b>{_minus(f'{mean:.3f}')}</b> <span style='color:{look.muted}'>±{half:.3f}</span></td>"
    )


def _rest(row: dict[str, Any] | None, key: str, look: Look) -> str:
    value = None if row is None else row["kl"] if key == "kl" else row["gold"].get(key.removeprefix("gold:"))
    shown = "—" if value is None or value != value else _minus(f"{value:.2f}")
    return f"<td style='{_RIGHT};color:{look.muted}'>{shown}</td>"


def checks_html(admission: Admission, look: Look) -> str:
    """Every rule on validation and on test, and whether the policy may be used."""
    if not admission.levels:
        return f"<div style='color:{look.muted};line-height:1.6'>No priorities are in force: nothing to check.</div>"
    head = "Kept" if admission.kept else "Not kept" if admission.measured else "Not known: it is not measured"
    lines = f"<div style='font-weight:620;margin-bottom:.5rem' data-kept='{str(admission.kept).lower()}'>{head}</div>"
    lines += f"<code style='overflow-wrap:anywhere;color:{look.muted}'>{escape(format_levels(admission.levels))}</code>"
    if not admission.measured:
        return lines
    for check in admission.checks:
        lines += _check("validation:", bool(check["passed"]), check["text"], look)
    test = admission.confirmation
    if test is None:
        lines += f"<div style='margin-top:.6rem;color:{look.muted}'>Not measured on test.</div>"
    else:
        for word, found in zip(test.words, test.checks, strict=True):
            lines += _check(f"test, {word}:", word == "confirmed", found.text, look)
    return lines


def _check(split: str, passed: bool, text: str, look: Look) -> str:
    mark = "✓" if passed else "✕"
    return (
        "<div style='display:flex;gap:.6rem;margin-top:.6rem;line-height:1.5'>"
        f"<span aria-hidden='true' style='font-weight:700;width:1rem;flex:none'>{mark}</span><div>"
        f"<span style='color:{look.muted}'>{split}</span> {escape(text)}</div></div>"
    )


def _signed(value: float) -> str:
    return _minus(f"{value:.3g}")


def _minus(text: str) -> str:
    return text.replace("-", "−")
