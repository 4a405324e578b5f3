import hashlib
import io
import shlex
import shutil
import zipfile
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from forge import Forge
from streamlit.testing.v1 import AppTest

from app.bundle import bundle
from app.sweeping.jobs import Job
from app.views.export import export_words, loading, mix_text
from pareto.choice.admission import admit
from pareto.choice.levels import parse_levels
from pareto.choice.standing import keep
from pareto.frontier import find_point
from pareto.inference.policy import asked_point
from pareto.soups.members import soup_point
from pareto.store.files import write_json
from pareto.store.run import Run

IMPOSSIBLE = "vowels>=2@mean"


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """The finished smoke sweep, to be changed."""
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    return Run.open(tmp_path / "runs" / "smoke")


def shown(run: Run, **at: str) -> AppTest:
    def script(path: str) -> None:
        from app.views import export
        from pareto.store.run import Run

        export.page(Run.open(path))

    page = AppTest.from_function(script, default_timeout=120, args=(str(run.path),))
    for name, value in at.items():
        page.session_state[f"at_{name}"] = value
    return page.run()


def html(page: AppTest) -> str:
    return "".join(block.proto.body for block in page.get("html"))


def code(page: AppTest) -> list[str]:
    return [block.value for block in page.code]


def keys(page: AppTest) -> set[str]:
    return {b.key for b in page.button}


def test_the_file_is_what_the_command_line_writes(run, forge: Forge, tmp_path):
    point = find_point(run, "expert-vowels")
    made = bundle(run, point, admit(run, point, ()), force=False)
    words = export_words(run, point, False)
    words[words.index("--out") + 1] = str(tmp_path / "by-hand")
    told = forge.run(*words)
    assert told.code == 0, told.err
    assert made.sha256 == hashlib.sha256(made.data).hexdigest()
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        names = [n.removeprefix("smoke-expert-vowels/") for n in archive.namelist()]
        assert sorted(names) == sorted(p.name for p in (tmp_path / "by-hand").iterdir())
        weights = archive.read("smoke-expert-vowels/adapter_model.safetensors")
    assert weights == (tmp_path / "by-hand" / "adapter_model.safetensors").read_bytes()


def test_the_same_policy_gives_the_same_bytes(run):
    point = find_point(run, "soup-0")
    first, second = (bundle(run, point, admit(run, point, ()), force=False) for _ in range(2))
    assert first.sha256 == second.sha256


def test_a_mixture_is_found_again_by_what_the_command_line_takes(run):
    asked = soup_point(run, {"expert-vowels": 1 / 3, "expert-digits": 0.1 + 0.2})
    assert asked_point(run, None, mix_text(asked)).coefficients == asked.coefficients


def test_a_measured_policy_shows_its_values_on_both_splits_and_its_card(run):
    page = shown(run, policy="expert-digits")
    assert not page.exception
    point = find_point(run, "expert-digits")
    assert point.split == "test"
    assert f"<b>{point.mean['digits']:.3f}</b>" in html(page)
    assert "data-point='expert-digits'" in html(page)
    assert any("# smoke: expert-digits" in text for text in code(page))
    assert loading(run, "smoke-expert-digits") in code(page)
    assert "export_measure" not in keys(page)


def test_a_mixture_that_nobody_measured_can_be_measured(run):
    page = shown(run, policy="mix:expert-vowels=0.5,expert-digits=0.25")
    assert "Not measured yet" in html(page)
    assert "export_measure" in keys(page)


def test_preparing_gives_the_download_and_its_hash(run):
    page = shown(run, policy="expert-vowels")
    page.button(key="export_prepare").click().run()
    assert not page.exception
    point = find_point(run, "expert-vowels")
    assert bundle(run, point, admit(run, point, ()), force=False).sha256 in code(page)


def test_what_breaks_a_priority_is_out_of_reach_until_the_reader_insists(run):
    page = shown(run, policy="expert-vowels", rules=IMPOSSIBLE)
    assert "export_prepare" not in keys(page)
    assert "Out of reach:" in html(page)
    assert "at least 2 wanted" in html(page)
    page.checkbox(key="export_force").check().run()
    assert "export_prepare" in keys(page)
    command = next(text for text in code(page) if text.startswith("pareto export"))
    assert shlex.split(command)[-1] == "--force"


def test_insisting_is_written_into_the_card(run):
    point = find_point(run, "expert-vowels")
    made = bundle(run, point, admit(run, point, parse_levels(IMPOSSIBLE, run.recipe.names)), force=True)
    with zipfile.ZipFile(io.BytesIO(made.data)) as archive:
        assert b"exported by force" in archive.read("smoke-expert-vowels/README.md")


def test_the_base_model_has_nothing_to_export(run):
    page = shown(run, policy="base")
    assert "no adapter to export" in html(page)
    assert "export_prepare" not in keys(page)


def measuring(run: Run, coefficients: str) -> None:
    """The record of a measurement that runs: its process is this one."""
    mine = psutil.Process()
    words = ("measure", "smoke", "--coefficients", coefficients, "--root", str(run.path.parent))
    made = Job(str(run.path.parent), "measure-smoke", words, mine.pid, mine.create_time())
    (run.path.parent / ".jobs").mkdir(exist_ok=True)
    write_json(run.path.parent / ".jobs" / "measure-smoke.json", {"schema": 1, **asdict(made)})


def test_only_the_policy_that_is_measured_can_be_stopped_here(run):
    measuring(run, "expert-digits=0.25,expert-vowels=0.5")
    assert "export_measure_stop" in keys(shown(run, policy="mix:expert-vowels=0.5,expert-digits=0.25"))
    page = shown(run, policy="mix:expert-vowels=0.75")
    assert not {"export_measure_stop", "export_measure"} & keys(page)
    assert any("Another policy of this run is being measured" in c.value for c in page.caption)
    page.button(key="export_measure_other").click().run()
    assert "export_measure_stop" in keys(page)


def test_of_an_unmeasured_policy_nothing_is_known_and_the_command_needs_force(run):
    keep(run, parse_levels(IMPOSSIBLE, run.recipe.names))
    page = shown(run, policy="mix:expert-vowels=0.75")
    said = html(page)
    assert "Not known: it is not measured" in said
    assert "Out of reach" not in said
    assert any("needs the policy measured first" in c.value for c in page.caption)
    page.checkbox(key="export_force").check().run()
    assert any(c.startswith("pareto export") and c.endswith("--force") for c in code(page))
    assert not any("needs the policy measured first" in c.value for c in page.caption)


def test_the_lines_that_load_it_run_as_pasted(run, tmp_path, monkeypatch):
    point = find_point(run, "expert-vowels")
    with zipfile.ZipFile(io.BytesIO(bundle(run, point, admit(run, point, ()), force=False).data)) as archive:
        archive.extractall(tmp_path)
    monkeypatch.chdir(tmp_path)
    found: dict = {}
    exec(loading(run, "smoke-expert-vowels"), found)
    assert found["model"].peft_config["default"].peft_type == "LORA"
