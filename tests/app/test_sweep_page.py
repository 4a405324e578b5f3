import fcntl
import json
import os
import shutil
import time
from dataclasses import asdict, replace
from pathlib import Path

import psutil
import pytest
from forge import ROOT, smoke_recipe
from streamlit.testing.v1 import AppTest

from app.looks import LIGHT
from app.sweeping import progress
from app.sweeping.arrivals import ago, card, rows, slice_figure
from app.sweeping.jobs import Job
from app.sweeping.progress import Progress, Task, unfinished
from app.views import sweep
from pareto.front.indicators import hypervolume
from pareto.frontier import find_point, read_frame
from pareto.recipe_file import read_recipe
from pareto.store.files import write_json
from pareto.store.points import save_point
from pareto.store.run import Run


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Run:
    """The finished smoke sweep, to be changed."""
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    return Run.open(tmp_path / "runs" / "smoke")


def unfinish(run: Run, *gone: str) -> None:
    """Back to before it was measured on test, and without the points of these ids; last touched a day ago."""
    (run.path / "front.json").unlink()
    for path in run.points.glob("*.json"):
        if path.name.endswith(".test.json") or path.name.split(".")[0] in gone:
            path.unlink()
    for path in [run.path, *run.path.rglob("*")]:
        os.utime(path, (time.time() - 86400,) * 2)


def shown(run: Run) -> AppTest:
    def script(path: str) -> None:
        from app.views import sweep
        from pareto.store.run import Run

        sweep.page(Run.open(path))

    return AppTest.from_function(script, default_timeout=60, args=(str(run.path),)).run()


def html(page: AppTest) -> str:
    return "".join(block.proto.body for block in page.get("html"))


# -- what the folder tells -------------------------------------------------------------------------------------------


def test_a_finished_sweep(run):
    found = Progress.of(run)
    assert (found.finished, found.running, found.leader) == (True, False, None)
    assert (found.trained, found.trials) == (4, 4)
    assert found.points[0].id == "base"
    assert [p.trial for p in found.points[1:5]] == [0, 1, 2, 3]
    assert [p.id for p in found.points[5:]] == ["soup-0", "soup-1"]


def test_hypervolume_grows_to_that_of_all_policies(run):
    found, frame = Progress.of(run), read_frame(run)
    values = frame.normalise([[p.mean[n] for n in frame.objectives] for p in found.points if p.kind != "base"])
    assert list(found.hypervolumes) == sorted(found.hypervolumes)
    assert found.hypervolumes[-1] == pytest.approx(hypervolume(values, frame.reference))


def test_a_sweep_that_was_killed_long_ago_is_stopped(run):
    unfinish(run, "soup-1")
    found = Progress.of(run)
    assert not found.running
    assert (found.soups, found.soups_asked, found.phase) == (1, 2, "measuring soups")
    assert found.quiet == pytest.approx(86400, abs=60)


def test_one_that_another_process_leads_runs_however_long_it_is_quiet(run):
    unfinish(run)
    with open(run.path / "study.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = Progress.of(run)
        assert (found.running, found.leader) == (True, os.getpid())
    assert Progress.of(run).leader is None


def test_a_sign_of_life_counts_where_locks_are_not_seen(run, monkeypatch, tmp_path):
    monkeypatch.setattr(progress, "LOCKS", tmp_path / "no such list")
    unfinish(run)
    assert not Progress.of(run).running
    run.log("trial failed", trial=7, reason="out of luck")
    found = Progress.of(run)
    assert found.running
    assert found.failures == ("trial 7: out of luck",)


def test_the_remaining_time_follows_the_latest_pace(run):
    unfinish(run, "trial-2", "trial-3", "soup-0", "soup-1")
    events = [{"time": "2026-01-01T00:00:00+00:00", "event": "phase", "name": "measure the base"}]
    events += [{"time": f"2026-01-01T00:0{2 * k}:00+00:00", "event": "trial", "trial": k} for k in (1, 2)]
    run.log_path.write_text("\n".join([*map(json.dumps, events), '{"torn']))
    trained = Progress.of(run).trained
    assert Progress.of(run).remaining == pytest.approx(120 * (4 - trained))
    assert trained < 4


def test_a_fresh_run_has_no_frame_and_no_points(tmp_path):
    run = Run.create(tmp_path, read_recipe(ROOT / "sweeps" / "smoke.yaml"))
    found = Progress.of(run)
    assert found.phase == "loading the model and the prompts"
    assert (found.frame, found.points, found.hypervolumes) == (None, (), ())
    assert rows(found) == []


# -- what is shown ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("seconds", "said"), [(0.4, "0 s"), (59, "59 s"), (119, "119 s"), (150, "2 min"), (9000, "2 h")]
)
def test_a_span_of_time_for_people(seconds, said):
    assert ago(seconds) == said


def test_the_card_of_a_stopped_sweep_says_that_nothing_is_lost(run):
    unfinish(run)
    text = card(Progress.of(run), False, LIGHT)
    assert "data-state='stopped'" in text
    assert "nothing that was made is lost" in text
    assert "aria-valuenow='6'" in text


def test_the_latest_policy_is_the_first_row_and_has_the_ring(run):
    found = Progress.of(run)
    assert rows(found)[0]["policy"] == "soup-1"
    figure = slice_figure(found, "vowels", "digits", LIGHT)
    ring = next(trace for trace in figure.data if trace.name == "latest")
    assert ring.x[0] == found.points[-1].mean["vowels"]


def test_a_finished_run_offers_the_map(run):
    page = shown(run)
    assert not page.exception
    assert "data-state='finished'" in html(page)
    assert page.button(key="sweep_map").label == "Make the map"
    assert "sweep_stop" not in {b.key for b in page.button}


def test_a_stopped_run_offers_to_resume_with_the_recipe_that_made_it(run):
    unfinish(run)
    page = shown(run)
    assert page.button(key="sweep_resume").label == "Resume"
    words = sweep.resume_words(run)
    again = read_recipe(words[1])
    assert run.made_by(again)


def test_a_run_that_another_program_leads_cannot_be_stopped_here(run):
    unfinish(run)
    with open(run.path / "study.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        page = shown(run)
    assert "data-state='running'" in html(page)
    assert not {"sweep_stop", "sweep_resume"} & {b.key for b in page.button}
    assert any("Another program leads it" in c.value for c in page.caption)


# -- another sweep ---------------------------------------------------------------------------------------------------


def test_a_mistake_in_an_edited_recipe_is_told_with_its_place(run):
    page = shown(run)
    page.selectbox(key="sweep_recipe").select("smoke.yaml").run()
    page.toggle(key="sweep_edit").set_value(True).run()
    area = page.text_area(key="sweep_text_smoke")
    area.set_value(area.value.replace("samples_per_prompt", "samples_per_promt")).run()
    assert "line 21:14: evaluation.samples_per_promt: unknown key" in html(page)
    assert page.button(key="sweep_start").disabled


def test_a_recipe_of_a_taken_name_is_refused_before_it_starts(run):
    page = shown(run)
    page.selectbox(key="sweep_recipe").select("smoke.yaml").run()
    assert not page.button(key="sweep_start").disabled  # the same recipe goes on with its run
    page.toggle(key="sweep_edit").set_value(True).run()
    area = page.text_area(key="sweep_text_smoke")
    area.set_value(area.value.replace("steps: 12", "steps: 13")).run()
    assert "is taken by a run of another recipe" in html(page)
    assert page.button(key="sweep_start").disabled


def test_a_recipe_of_a_new_name_has_no_conflict(run, tmp_path):
    recipe = read_recipe(smoke_recipe(tmp_path, name="fresh"))
    assert sweep.conflict(run.path.parent, recipe) == ""


# -- maps and measurements -------------------------------------------------------------------------------------------


def job(run: Run, *words: str, born: float | None = None) -> Job:
    """One that is recorded in the folder; its process is this one, or none where it was born at another time."""
    mine = psutil.Process()
    words = (words[0], run.path.name, *words[1:], "--root", str(run.path.parent))
    made = Job(
        str(run.path.parent), f"{words[0]}-{run.path.name}", words, mine.pid,
        mine.create_time() if born is None else born,
    )  # fmt: skip
    (run.path.parent / ".jobs").mkdir(exist_ok=True)
    write_json(run.path.parent / ".jobs" / f"{made.name}.json", {"schema": 1, **asdict(made)})
    return made


def copy_point(run: Run, source: str, name: str, **more) -> None:
    save_point(run, replace(find_point(run, source), id=name, split="validation", **more))


def test_a_map_under_way_counts_its_soups(run):
    for k in range(3):
        copy_point(run, "soup-0", f"map-{k}")
    copy_point(run, "soup-0", "map-check-0")
    working = job(run, "map", "--evaluations", "12", born=time.time())
    found = Progress.of(run, job=working)
    assert (found.running, found.task) == (True, Task("the map: 3 of 12 soups", 3, 12))
    text = card(found, True, LIGHT)
    assert "the map: 3 of 12 soups" in text
    assert "aria-valuenow='3'" in text
    assert "finished" not in text
    time.sleep(0.01)
    run.log("phase", name="measure soups", seconds=1.0)
    assert Progress.of(run, job=working).task == Task("the map: fitting it")
    run.log("phase", name="fit the map", seconds=1.0)
    assert Progress.of(run, job=working).task.words.startswith("the map: measuring its front on test, ")


def test_a_map_of_a_terminal_is_known_by_its_lock(run):
    with open(run.path / "map.lock", "ab") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert Progress.of(run).task == Task("the map: 0 soups")


def test_a_measurement_under_way_says_on_which_prompts(run):
    working = job(run, "measure", "--coefficients", "expert-vowels=0.5", born=time.time())
    assert Progress.of(run, job=working).task == Task("measuring a policy on validation")
    time.sleep(0.01)
    run.log("phase", name="measure on validation", seconds=1.0)
    assert Progress.of(run, job=working).task == Task("measuring a policy on test")


def test_what_a_job_of_another_app_has_left_undone_is_told_by_its_files(run):
    point = find_point(run, "expert-vowels")
    known = ",".join(f"{n}={v!r}" for n, v in point.coefficients.items())
    assert not unfinished(run, job(run, "sweep", born=1.0))
    assert not unfinished(run, job(run, "measure", "--coefficients", known, born=1.0))
    assert unfinished(run, job(run, "measure", "--coefficients", "expert-vowels=0.125", born=1.0))
    assert unfinished(run, job(run, "map", born=1.0))
    (run.path / "map.json").write_text("{}")
    assert not unfinished(run, job(run, "map", born=1.0))


def test_a_killed_map_leaves_its_last_words_and_a_button_to_go_on(run, monkeypatch):
    killed = job(run, "map", "--minutes", "3", born=1.0)
    killed.log.write_text("measure soups …\n")
    page = shown(run)
    assert "it ended without finishing (killed?)" in html(page)
    assert "measure soups …" in [c.value for c in page.code]
    started = []
    monkeypatch.setattr("app.sweeping.jobs.start", lambda *how: started.append(how))
    page.button(key="sweep_go_on").click().run()
    assert started == [(run.path.parent, "map-smoke", list(killed.words))]
