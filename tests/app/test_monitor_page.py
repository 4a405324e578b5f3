"""*Monitor* in AppTest, its pictures and its words, on traffic whose drift is planted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import streamlit as st
from streamlit.testing.v1 import AppTest
from traffic_monitored import EVIL, N, monitored, traffic_of
from traffic_on_disk import served
from traffic_simulated import arms, frame

from app import traffic
from app.charts.monitor import POINTS, evidence, spreads, surprises
from app.looks import DARK, LIGHT
from app.markup import monitor as words
from pareto.store.run import Run
from pareto.traffic.alarms import Alarm
from pareto.traffic.arms import compare
from pareto.traffic.log import FILE, TrafficLog
from pareto.traffic.usual import Spreads


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Without traffic."""
    return monitored(tmp_path / "runs")


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


def test_a_log_without_requests_is_said(run: Run) -> None:
    TrafficLog.open(run, create=True).close()
    page = shown(run)
    assert "No request yet" in html(page)
    assert not page.date_input


def test_planted_drift_and_doubts_raise_alarms_and_the_better_candidate_is_told(run: Run) -> None:
    traffic_of(run)
    page = shown(run)
    body = html(page)
    for name in ("prompts", "prompts change", "spread vowels", "flagged vowels"):
        assert f"data-alarm='{name}' data-state=raised" in body
    assert "data-alarm='score digits' data-state=quiet" in body
    assert "4 alarms in 500 requests, 500 scored" in body
    assert "Rewards of digits" in body
    assert [e.label for e in page.expander] == ["The most unusual requests since then"] * 4
    assert [s.value for s in page.subheader] == [
        "What is watched", "Evidence of drift", "Spread over time", "Flagged for review", "Candidate against main",
    ]  # fmt: skip
    assert "<td>Rewards of digits</td>" in body
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
    assert "No request yet" in html(page)
    assert page.caption[0].value == "None came since that day."


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
    evidence = np.asarray(values, dtype=float)
    return Alarm(name, state, None, value, 6.0, "said", times=times, evidence=evidence)  # type: ignore[arg-type]


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
    assert made.layout.yaxis.range[1] > 0.95  # else the limit would lie outside


def test_what_is_drawn_has_its_interval() -> None:
    n = 5 * POINTS
    values = np.random.default_rng(0).normal(size=n)
    found = frame(n, spreads={"a": values}, scores={"a": values}, predicted={"a": np.zeros(n)})
    groups = values.reshape(POINTS, 5)
    (curve,) = spreads(found, {}, ("a",), LIGHT, 300).data
    assert np.allclose(np.add(curve.y, curve.error_y.array), groups.max(axis=1))  # of five values nothing less will do
    assert np.allclose(np.subtract(curve.y, curve.error_y.arrayminus), groups.min(axis=1))
    (curve,) = surprises(found, ("a",), LIGHT, 300).data
    half = 2.776 * groups.std(axis=1, ddof=1) / np.sqrt(5) / values.std()  # t with 4 degrees of freedom, from a table
    assert np.allclose(curve.error_y.array, half, rtol=1e-3)


def test_surprises_are_in_standard_deviations() -> None:
    n = 100
    reward = np.where(np.arange(n) < 50, -2.0, 4.0)
    made = surprises(frame(n, scores={"a": reward}, predicted={"a": np.ones(n)}), ("a",), LIGHT, 300)
    assert made.data[0].y[0] == pytest.approx(-1.0)
    assert made.data[0].y[-1] == pytest.approx(1.0)


def test_nothing_served_can_be_drawn() -> None:
    nothing = frame(0)
    for made in (evidence([], (), LIGHT), spreads(nothing, {}, ("a",), LIGHT, 300), surprises(nothing, (), LIGHT, 300)):
        assert len(made.data) == 0


def test_shares_are_told_with_intervals() -> None:
    body = words.figures(frame(1200, thumbs=np.r_[np.full(10, -1.0), np.full(1190, np.nan)]), LIGHT)
    assert "1,200" in body
    assert "0 to 31 %, of 10 rated" in body  # 1 - 0.025 ** (1 / 10)


def test_evidence_is_told_as_a_number_beside_its_threshold() -> None:
    row = words.alarm_rows([alarm("prompts", "quiet", [0.1, 1.7])])
    assert "<b>50</b><span>alarm at 1,000,000</span>" in row


def test_what_cannot_be_seen_is_shown_and_what_is_long_is_cut() -> None:
    row = words.request_row(served("a", prompt="\x00\x1b[31m\u202eevil" + "y" * 20_000, answer=EVIL), {"x": 1.0})
    assert "\\x00\\x1b[31m\\u202eevil" in row
    assert "\u202e" not in row
    assert EVIL not in row
    assert len(row) < 2 * words.LONGEST
    assert f"{20_000 + 11 - words.LONGEST:,} more characters" in row


def test_arms_are_told_with_intervals() -> None:
    side = arms(60, 0.5)
    found = compare(frame(60, arm=side, thumbs=np.where(side == "candidate", 1.0, np.tile([1.0, -1.0], 30))))
    _, (row,) = words.compared_rows(found, ())
    assert row[0] == "Thumbs, −1 to 1"
    assert row[5] == "better"
    assert "to +" in row[3]
