"""*Export*: the chosen policy, its checks against the priorities, its card, and a file to take away."""

from __future__ import annotations

import shlex
from dataclasses import replace
from html import escape
from typing import Any

import streamlit as st

from app import data as pages
from app import jobs, place
from app.bundle import Bundle, bundle
from app.data import Data
from app.looks import Look, clip
from app.notices import notice
from app.place import Policy
from app.theme import look
from pareto.choice.admission import Admission, admit
from pareto.choice.levels import format_levels, parse_levels
from pareto.choice.standing import standing
from pareto.export.card import card
from pareto.frontier import find_point
from pareto.inference.policy import measured_as
from pareto.records import Point
from pareto.soups.members import soup_point
from pareto.store.files import fingerprint
from pareto.store.run import Run

TITLE = "Export"
Z = 1.96
"""Standard errors to either side in a 95 % interval."""


def page(run: Run) -> None:
    """The policy that is chosen, or how to choose one."""
    data = pages.load(run)
    chosen = place.policy(data)
    if chosen is None:
        notice("No policy is measured yet; the Sweep page shows how the run comes along.", key="export_empty")
        return
    if not chosen.coefficients:
        notice(
            "The base model is chosen, and it has no adapter to export. Choose a policy on Frontier or Explore.",
            key="export_base",
        )
        return
    point = point_of(run, chosen)
    rules = place.rules(data)
    admission = _admission(
        str(run.path), pages.stamp(run), rules, point.id, chosen.spec, tuple(point.coefficients.items())
    )
    left, right = st.columns([0.46, 0.54], gap="medium")
    with left:
        with st.container(border=True, key="export_policy"):
            st.subheader("The policy", anchor=False)
            st.html(mix_html(chosen, point, data.names, look()))
        with st.container(border=True, key="export_checks"):
            st.subheader("Its priorities", anchor=False)
            st.html(checks_html(admission, look()))
            if not admission.measured or not _measured(data, point):
                _measure(run, point)
    with right:
        with st.container(border=True, key="export_values"):
            st.subheader("What was measured", anchor=False)
            st.html(values_html(data, point.id, look()))
        with st.container(border=True, key="export_card"):
            st.subheader("Its card", anchor=False)
            st.code(card(run, point, admission), language=None, wrap_lines=True, height=360)
    with st.container(border=True, key="export_take"):
        _take(run, point, admission)


def point_of(run: Run, chosen: Policy) -> Point:
    """The point that a place on the frontier stands for; a measured one where the run has it."""
    if chosen.row is not None:
        return find_point(run, chosen.row["id"])
    return measured_as(run, replace(soup_point(run, chosen.coefficients), weights=chosen.weights))


@st.cache_resource(show_spinner=False, max_entries=32)
def _admission(
    path: str, when: tuple[float, ...], rules: str, point: str, spec: str, coefficients: tuple[tuple[str, float], ...]
) -> Admission:
    run = Run.open(path)
    levels = parse_levels(rules, run.recipe.names) if rules else ()
    found = measured_as(run, soup_point(run, dict(coefficients)))
    return admit(run, found if found.id != "soup" else replace(found, id=point), levels)


# -- what is shown ---------------------------------------------------------------------------------------------------


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
    head = "Kept" if admission.kept else "Not kept" if admission.measured else "Not known yet"
    lines = f"<div style='font-weight:620;margin-bottom:.5rem' data-kept='{str(admission.kept).lower()}'>{head}</div>"
    lines += f"<code style='overflow-wrap:anywhere;color:{look.muted}'>{escape(format_levels(admission.levels))}</code>"
    if not admission.measured:
        return lines + f"<div style='margin-top:.6rem;line-height:1.5'>{escape(admission.reason)}</div>"
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


def _measured(data: Data, point: Point) -> bool:
    return any(r["id"] == point.id for r in data.test) and any(r["id"] == point.id for r in data.validation)


# -- measuring and taking away ---------------------------------------------------------------------------------------


def mix_text(point: Point) -> str:
    """Coefficients as a command line takes them, to the last digit: it must find the same policy again."""
    return ",".join(f"{name}={value!r}" for name, value in point.coefficients.items())


def _measure(run: Run, point: Point) -> None:
    root = run.path.parent
    words = ["measure", run.path.name, "--coefficients", mix_text(point), "--root", str(root)]
    job = jobs.find(root, f"measure-{run.path.name}")
    if job is not None and job.alive:
        st.fragment(run_every=2.0)(_measuring)(run)
        return
    if job is not None and list(job.words) == words and job.tail(1).startswith("pareto: "):
        notice(job.tail(1).removeprefix("pareto: "), key="export_measure_error")
    if st.button("Measure it", icon=":material/straighten:", key="export_measure", help="On validation and on test"):
        jobs.start(root, f"measure-{run.path.name}", words)
        st.rerun()


def _measuring(run: Run) -> None:
    job = jobs.find(run.path.parent, f"measure-{run.path.name}")
    if job is None or not job.alive:
        st.rerun()
    with st.container(horizontal=True, vertical_alignment="center", key="export_measuring"):
        st.caption("Measuring on validation, then on test; this takes some minutes.")
        if st.button("Stop", icon=":material/stop:", key="export_measure_stop"):
            job.stop()


def export_words(run: Run, point: Point, force: bool) -> list[str]:
    """The arguments of ``pareto`` that write the same adapter."""
    which = ["--point", point.id] if point.scores else ["--coefficients", mix_text(point)]
    words = ["export", run.path.name, *which, "--out", f"{run.path.name}-{point.id}", "--root", str(run.path.parent)]
    return [*words, "--force"] if force else words


def _take(run: Run, point: Point, admission: Admission) -> None:
    st.subheader("Take it away", anchor=False)
    forced = False
    if not admission.kept:
        notice(admission.reason, strong="Out of reach:", key="export_reason")
        forced = st.checkbox("I know, export anyway; the card will say so", key="export_force")
    made = None
    if admission.kept or forced:
        key = fingerprint([point.id, point.coefficients, admission.to_json()])
        ready = st.session_state.get("export_ready") == key
        st.caption("A PEFT adapter folder with its card and the tokenizer, as a .zip file.")
        if not ready and st.button(
            "Prepare the download", icon=":material/package_2:", type="primary", key="export_prepare"
        ):
            ready = True
        if ready:
            with st.spinner("Mixing the adapters and writing the folder…"):
                made = _bundle(run, point, admission, key)
            st.session_state["export_ready"] = key
            _download(made)
    name = made.name if made else f"{run.path.name}-{point.id}"
    st.caption("The command line that does the same")
    st.code(shlex.join(["pareto", *export_words(run, point, forced)]), language=None, wrap_lines=True)
    if admission.levels != standing(run):
        st.caption("It judges by the run's own priorities; those in force here are this session's.")
    st.caption("Load it with PEFT")
    st.code(loading(run, name), language="python", wrap_lines=True)


def _download(made: Bundle) -> None:
    st.download_button(
        f"Download {len(made.data) / 1e6:.1f} MB", made.data, f"{made.name}.zip", "application/zip",
        icon=":material/download:", type="primary", key="export_download", on_click="ignore",
    )  # fmt: skip
    st.caption("SHA-256 of the file")
    st.code(made.sha256, language=None, wrap_lines=True)


@st.cache_resource(show_spinner=False, max_entries=4)
def _bundle(_run: Run, _point: Point, _admission: Admission, key: str) -> Bundle:
    return bundle(_run, _point, _admission, force=not _admission.kept)


def loading(run: Run, folder: str) -> str:
    """Three lines of Python that load the adapter onto its base."""
    base = run.recipe.model.base
    return (
        f'base = transformers.AutoModelForCausalLM.from_pretrained("{base}")\n'
        f'model = peft.PeftModel.from_pretrained(base, "{folder}")\n'
        f'tokenizer = transformers.AutoTokenizer.from_pretrained("{folder}")'
    )
