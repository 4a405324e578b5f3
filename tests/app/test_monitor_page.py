"""*Monitor* in AppTest, its pictures and its words, on traffic whose drift is planted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from traffic_on_disk import empty_run, pair, scored, served, thumb
from traffic_simulated import arms, frame

from app import traffic
from app.charts.monitor import evidence, spreads, surprises
from app.looks import DARK, LIGHT
from app.markup import monitor as words
from pareto.records import Prompt
from pareto.store.files import folder, write_json
from pareto.store.run import Run
from pareto.store.tables import write_prompts
from pareto.traffic.alarms import Alarm
from pareto.traffic.arms import compare
from pareto.traffic.log import FILE, TrafficLog
from pareto.traffic.usual import Spreads, usual_prompts

EVIL = "<img src=x onerror=alert(1)>"
N, PLANT = 500, 400


def embed(texts: Sequence[str], seed: int = 0) -> np.ndarray:
    found = np.eye(16)[0] + 0.2 * np.random.default_rng(seed).standard_normal((len(texts), 16))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def ensemble(path: Path) -> None:
    """As ``pareto reward train`` seals one, as far as *Monitor* reads it."""
    calibration = {
        "centre": [0, 0], "scale": [1, 1], "lapse": 0, "slope": 1, "error_model": None, "error_auc": [0.5, 0.5],
        "spread_threshold": 0.95, "uncertainty_threshold": 0.4, "spread_quantiles": np.linspace(0, 1, 101).tolist(),
        "review_rate": 0.05, "n": 200,
    }  # fmt: skip
    with folder(path) as made:
        write_json(made / "ensemble.json", {"schema": 1, "calibration": calibration, "members": [{}, {}]})


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """With prompts, and an ensemble for its first objective."""
    recipe = empty_run(tmp_path / "made").recipe
    doubtful = recipe.objectives[0].model_copy(update={"reward": "ensemble:doubtful", "options": {}})
    made = Run.create(
        tmp_path / "runs", recipe.model_copy(update={"objectives": (doubtful, *recipe.objectives[1:]), "name": "beta"})
    )
    ensemble(made.path / "doubtful")
    prompts = [Prompt(f"p{k}", f"Say {k}.", "kind", split="train" if k < 60 else "test") for k in range(260)]
    write_prompts(made.path / "prompts.parquet", prompts)
    usual_prompts(made, embed)
    return made


def traffic_of(run: Run, plant: int = PLANT, store: bool = True) -> None:
    """Two arms; from ``plant`` on other prompts and more doubts."""
    rng = np.random.default_rng(1)
    usual, other = embed(["x"] * N, 1), np.roll(embed(["x"] * N, 2), 1, axis=1)
    with TrafficLog.open(run, create=True) as log:
        for k in range(N):
            late, candidate = k >= plant, k % 4 == 0
            text = f"{EVIL} {k}" if store else None
            arm, user, vector = "candidate" if candidate else "main", f"u{k % 100}", (other if late else usual)[k]
            when = 1_790_000_000.0 + 60 * k
            log.add(served(f"r{k}", time=when, arm=arm, user=user, prompt=text, answer=text, features=vector))
            spread = float(rng.random() + 0.5 * late)
            scores = {"vowels": float(rng.standard_normal()), "digits": float(rng.standard_normal() + 3 * candidate)}
            doubts = {"spreads": {"vowels": spread}, "flagged": ("vowels",) if spread > 0.95 else ()}
            log.add_score(scored(f"r{k}", scores=scores, predicted=dict.fromkeys(scores, 0.0), **doubts))
        log.flush()
        log.add_feedback(thumb("t", "r3"))
        log.add_feedback(pair("p", "r4", "r5") if not store else thumb("t2", "r4", -1.0))


def shown(run: Run) -> AppTest:
    def script(path: str) -> None:
        from app.notices import told
        from app.views import monitor
        from pareto.store.run import Run

        told(monitor.page)(Run.open(path))

    page = AppTest.from_function(script, default_timeout=60, args=(str(run.path),)).run()
    assert not page.exception
    st.cache_resource.clear()
    return page


def html(page: AppTest) -> str:
    return "".join(block.proto.body for block in page.get("html"))


# -- the page --------------------------------------------------------------------------------------------------------


def test_without_traffic_the_page_says_how_to_serve(run: Run) -> None:
    page = shown(run)
    assert page.subheader[0].value == "No traffic yet"
    assert page.code[0].value == f"pareto serve beta --root {run.path.parent}"


def test_planted_drift_and_doubts_raise_alarms_and_the_better_candidate_is_told(run: Run) -> None:
    traffic_of(run)
    page = shown(run)
    body = html(page)
    for name in ("prompts", "prompts change", "spread vowels", "flagged vowels"):
        assert f"data-alarm='{name}' data-state=raised" in body
    assert "data-alarm='score digits' data-state=quiet" in body
    assert "4 alarms in 500 requests, 500 scored" in body
    assert "Rewards of digits" in body
    assert [s.value for s in page.subheader] == [
        "What is watched", "Evidence of drift", "Spread over time", "Flagged for review", "Candidate against main",
    ]  # fmt: skip
    assert "<td>digits</td>" in body
    assert "<td>better</td>" in body


def test_what_people_and_models_wrote_is_text(run: Run) -> None:
    traffic_of(run)
    body = html(shown(run))
    assert EVIL not in body
    assert "&lt;img src=x" in body


def test_what_is_not_stored_is_not_shown(run: Run) -> None:
    traffic_of(run, store=False)
    page = shown(run)
    assert "class=answer" not in html(page)
    assert any("--store-prompts" in c.value for c in page.caption)


def test_from_a_later_day_nothing_was_served(run: Run) -> None:
    traffic_of(run)
    page = shown(run)
    page.date_input(key="monitor_since").set_value(date(2026, 11, 1)).run()
    assert not page.exception
    assert "Nothing can be said yet: 0 requests" in html(page)


def test_a_damaged_log_or_ensemble_is_said_in_a_line(run: Run) -> None:
    traffic_of(run, plant=N)
    (run.path / "doubtful" / "ensemble.json").write_text("{}")
    body = html(shown(run))
    assert "is not known:</b>" in body
    assert "No alarm" in body
    for path in run.path.glob(f"{FILE}*"):
        path.unlink()
    (run.path / FILE).write_bytes(b"no log" * 100)
    assert "damaged" in html(shown(run))


def test_what_is_new_in_the_log_is_seen(run: Run) -> None:
    with TrafficLog.open(run, create=True) as log:
        log.add(served("a"))
        log.flush()
        assert len(traffic.load(run, 0.0).frame) == 1
        log.add(served("b"))
        log.flush()
        assert len(traffic.load(run, 0.0).frame) == 2
    st.cache_resource.clear()


# -- pictures and words ----------------------------------------------------------------------------------------------


def alarm(name: str, state: str, values: Sequence[float]) -> Alarm:
    times = 1_790_000_000.0 + np.arange(len(values))
    value = values[-1] if len(values) else -np.inf
    return Alarm(name, state, None, value, 6.0, "said", times, np.asarray(values, dtype=float))  # type: ignore[arg-type]


@pytest.mark.parametrize("look", [LIGHT, DARK])
def test_what_is_raised_is_thick_and_in_its_objectives_colour(look) -> None:
    found = [alarm("score a", "raised", [1, 9]), alarm("score b", "quiet", [1, 2]), alarm("prompts", "waiting", [])]
    made = evidence(found, ("a", "b"), look)
    assert [t.name for t in made.data] == ["Rewards of b", "Rewards of a"]
    assert made.data[1].line.color == look.colour(0)
    assert made.data[1].line.width > made.data[0].line.width
    assert made.layout.shapes[0].y0 == 6


def test_spreads_are_medians_beside_validations() -> None:
    n = 200
    found = frame(n, arm=arms(n, 0.5), spreads={"b": np.r_[np.full(100, 9.0), np.full(50, 0.2), np.full(50, 0.4)]})
    made = spreads(found, {"b": Spreads(tuple(np.linspace(0, 1, 101)), 0.95, 0.05, 400)}, ("a", "b"), LIGHT, 300)
    assert list(made.data[0].y) == [pytest.approx(v) for v in [0.2] * 10 + [0.4] * 10]  # the candidate's are left out
    assert [s.y0 for s in made.layout.shapes] == [0.5, 0.95]


def test_surprises_are_in_standard_deviations() -> None:
    n = 100
    reward = np.where(np.arange(n) < 50, -2.0, 4.0)
    made = surprises(frame(n, scores={"a": reward}, predicted={"a": np.ones(n)}), ("a",), LIGHT, 300)
    assert made.data[0].y[0] == pytest.approx(-1.0)
    assert made.data[0].y[-1] == pytest.approx(1.0)


def test_nothing_served_can_be_drawn_and_said() -> None:
    nothing = frame(0)
    for made in (evidence([], (), LIGHT), spreads(nothing, {}, ("a",), LIGHT, 300), surprises(nothing, (), LIGHT, 300)):
        assert len(made.data) == 0
    assert words.headline(nothing, []).startswith("Nothing can be said yet: 0 requests")
    assert "Requests" in words.figures(nothing, LIGHT)


def test_arms_are_told_with_intervals() -> None:
    side = arms(60, 0.5)
    found = compare(frame(60, arm=side, thumbs=np.where(side == "candidate", 1.0, np.tile([1.0, -1.0], 30))))
    _, (row,) = words.compared_rows(found, ())
    assert row[0] == "Thumbs, −1 to 1"
    assert row[5] == "better"
    assert "to +" in row[3]
