"""What a series of rounds looks like."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pareto.rounds import figures
from pareto.rounds.report import table, text, write_report
from pareto.rounds.store import Rounds
from pareto.store.files import write_json


def test_the_table_has_a_row_for_every_round(record):
    header, first, second = table([record(1), record(2)])
    assert dict(zip(header, first, strict=True))["gain"] == "–"
    row = dict(zip(header, second, strict=True))
    assert row["labels"] == "80"
    assert row["hypervolume"] == "1.20 (1.10 to 1.30)"
    assert (row["kind: right"], row["short: right"]) == ("75%", "70%")  # by gold, and by labels where there is none
    assert row["KL"] == "0.40"


def test_flags_and_the_reason_to_stop_are_told(record):
    said = text([record(1, flags=["kind: too good"]), record(2, stop="enough")])
    assert "round 1: kind: too good" in said
    assert said.endswith("stopped early: enough")


def test_the_page_needs_no_network_and_runs_nothing_that_a_record_says(tmp_path, record):
    series = Rounds(tmp_path)
    hostile = "<script>alert(1)</script>"
    write_json(tmp_path / "rounds.json", {"name": hostile})
    bad = record(1, flags=[hostile])
    for key in ("rewards", "spread"):
        bad[key] = {hostile: bad[key]["kind"]}
    bad["went_in"]["labels_total"] = {hostile: 20}
    bad["gap"]["by_objective"] = {hostile: bad["gap"]["mean"]}
    for point in bad["front"]:
        for side in ("proxy", "gold", "gold_se"):
            point[side] = {hostile: point[side]["kind"]}
    write_json(tmp_path / "round-1.json", bad)
    write_report(series)
    page = (tmp_path / "report.html").read_text()
    assert hostile not in page
    assert "&lt;script&gt;alert(1)" in page
    assert page.count("plotly.js v") == 1
    assert "cdn.plot.ly" not in page.split("<script", 1)[0]


def test_gold_and_its_interval_are_drawn_where_they_are(record):
    both = record(1)
    for point in both["front"]:
        point["gold"]["short"], point["gold_se"]["short"] = 0.5 * point["gold"]["kind"], 0.2
    drawn = figures.fronts([both]).data[0]
    assert list(drawn.x) == [0.0, 0.2, 0.1]
    assert list(drawn.y) == [0.0, 0.1, 0.05]
    assert list(drawn.error_y.array) == pytest.approx([1.96 * 0.2] * 3)


def test_an_objective_without_gold_is_drawn_by_its_proxy_alone(record):
    rounds = [record(1), record(2)]
    assert len(figures.fronts(rounds).data) > 0
    drawn = {t.legendgroup: list(t.y) for t in figures.against_kl(rounds).data if t.xaxis == "x2"}
    assert drawn["1proxy"] == [0.0, 0.45, 0.95]  # by KL: base, soup, expert
    assert drawn["1gold"] == [None, None, None]


def test_gap_and_hypervolume_have_their_intervals(record):
    curves = {t.name: t for t in figures.by_round([record(1), record(2)]).data}
    assert list(curves["hypervolume"].y) == [1.2, 1.2]
    assert list(curves["mean size"].error_y.array) == pytest.approx([0.1, 0.1])
    assert list(curves["hypervolume"].x) == [1, 2]


def test_labels_are_drawn_against_accuracy(record):
    drawn = figures.labels_against_accuracy([record(1), record(2)]).data
    assert {t.name for t in drawn} == {"kind, by gold", "kind, by labels", "short, by labels"}
    assert list(drawn[0].x) == [20, 40]


def test_reading_and_drawing_rounds_imports_no_torch():
    code = "import sys, pareto.rounds.store, pareto.rounds.figures, pareto.rounds.report; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
