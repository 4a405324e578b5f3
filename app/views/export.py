"""*Export*: the chosen policy, its checks against the priorities, its card, and a file to take away."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace

import streamlit as st

from app import data as pages
from app import place
from app.bundle import Bundle, bundle
from app.data import Data
from app.markup.policy import checks_html, mix_html, values_html
from app.notices import notice, told
from app.place import Policy
from app.sweeping import jobs
from app.sweeping.progress import mix_of, unfinished
from app.theme import look
from pareto.choice.admission import Admission, admit
from pareto.choice.levels import format_levels, parse_levels
from pareto.choice.standing import standing
from pareto.errors import ParetoError
from pareto.export.card import card
from pareto.frontier import find_point
from pareto.inference.policy import measured_as
from pareto.model_sources import PACKAGED, TINY, resolve
from pareto.models import fine_tuned
from pareto.records import Point
from pareto.soups.members import soup_point
from pareto.store.files import fingerprint
from pareto.store.run import Run

TITLE = "Export"


def page(run: Run) -> None:
    """The policy that is chosen, or how to choose one."""
    data = pages.load(run)
    chosen = place.policy(data)
    if data.trouble:
        notice(data.trouble, key="map_trouble")
    if chosen is None:
        if not data.trouble:
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


# -- measuring and taking away ---------------------------------------------------------------------------------------


def _measured(data: Data, point: Point) -> bool:
    return any(r["id"] == point.id for r in data.test) and any(r["id"] == point.id for r in data.validation)


def mix_text(point: Point) -> str:
    """Coefficients as a command line takes them, to the last digit: it must find the same policy again."""
    return ",".join(f"{name}={value!r}" for name, value in point.coefficients.items())


def _measure(run: Run, point: Point) -> None:
    root = run.path.parent
    words = ["measure", run.path.name, "--coefficients", mix_text(point), "--root", str(root)]
    job = jobs.find(root, f"measure-{run.path.name}")
    same = job is not None and mix_of(job) == point.coefficients
    if job is not None and job.alive:
        st.fragment(run_every=2.0)(told(_measuring))(run, same)
        return
    if job is not None and same and unfinished(run, job):
        notice(job.ending(), strong="The last try:", key="export_measure_error")
        st.code(job.tail(8) or job.command, language=None, wrap_lines=True)
    if st.button("Measure it", icon=":material/straighten:", key="export_measure", help="On validation and on test"):
        jobs.start(root, f"measure-{run.path.name}", words)
        st.rerun()


def _measuring(run: Run, same: bool) -> None:
    """What is being measured: this policy, or another one of the run."""
    job = jobs.find(run.path.parent, f"measure-{run.path.name}")
    if job is None or not job.alive:
        st.rerun()
    if not same:
        st.caption("Another policy of this run is being measured; wait for it, or look at it.")
        spec = "mix:" + job.words[job.words.index("--coefficients") + 1]
        if st.button("Look at it", icon=":material/visibility:", key="export_measure_other"):
            place.put("policy", spec)
            st.rerun()
        return
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
        unknown = "it is not measured; Measure it tells"
        told = ("Out of reach:", admission.reason) if admission.measured else ("Not known:", unknown)
        notice(told[1], strong=told[0], key="export_reason")
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
    if standing(run) and not point.scores and not forced:
        st.caption("It needs the policy measured first, or `--force`.")
    if format_levels(admission.levels) != format_levels(standing(run)):
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
    """Python that loads the adapter onto its base; of a base that transformers does not know by name, the folder."""
    model = run.recipe.model
    base = str(fine_tuned(model)) if model.sft else model.base
    path, what = _folder(base) if base in (*PACKAGED, TINY) or base.endswith(".gguf") else base, ""
    if base in PACKAGED:
        what = f"  # what `pareto model fetch {base}` prints"
    return (
        "from peft import PeftModel\n"
        "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
        f"base = AutoModelForCausalLM.from_pretrained({json.dumps(path)}){what}\n"
        f"model = PeftModel.from_pretrained(base, {json.dumps(folder)})\n"
        f"tokenizer = AutoTokenizer.from_pretrained({json.dumps(folder)})"
    )


@st.cache_data(show_spinner="Looking for the base model…", max_entries=16)
def _folder(base: str) -> str:
    """Where the base lies, as ``pareto model fetch`` prints it; its name where it cannot be had."""
    try:
        return str(resolve(base))
    except ParetoError:
        return base
