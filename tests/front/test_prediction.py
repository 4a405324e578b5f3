"""The picture of predicted against measured shows what it is given."""

from __future__ import annotations

import struct

import matplotlib.axes
import numpy as np
import pytest

from pareto.front.prediction import save_prediction

OBJECTIVES = ["honest $x$", "cost"]


def check(n: int = 12) -> dict:
    rng = np.random.default_rng(0)
    measured = rng.normal(size=(n, 2))
    predicted = measured + 0.1
    predicted[0] += 5
    return {
        "predicted": predicted.tolist(),
        "low": (predicted - 1).tolist(),
        "high": (predicted + 1).tolist(),
        "measured": measured.tolist(),
        "coverage": {"honest $x$": 0.92, "cost": 0.75, "all": 0.835},
    }


def test_it_writes_a_png_of_the_promised_width(tmp_path):
    save_prediction(check(), tmp_path / "a.png", OBJECTIVES, title="$5 map")
    data = (tmp_path / "a.png").read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">I", data[16:20])[0] == 1800


def test_every_soup_is_drawn_once_with_its_interval_and_those_missed_are_pale(tmp_path, monkeypatch):
    drawn = []
    real = matplotlib.axes.Axes.errorbar

    def spy(self, x, y, xerr, **style):
        drawn.append((np.array(x), np.array(y), np.array(xerr), style["color"]))
        return real(self, x, y, xerr=xerr, **style)

    monkeypatch.setattr(matplotlib.axes.Axes, "errorbar", spy)
    save_prediction(check(), tmp_path / "a.png", OBJECTIVES)
    hit, missed = drawn[0], drawn[1]
    assert (len(hit[0]), len(missed[0])) == (11, 1)
    assert hit[3] != missed[3]
    assert missed[0][0] == pytest.approx(missed[1][0] + 5.1)
    np.testing.assert_allclose(hit[2], 1.0)


def test_one_soup_and_equal_values_can_be_drawn(tmp_path):
    one = {key: [[0.5, 0.5]] for key in ("predicted", "low", "high", "measured")}
    save_prediction(one | {"coverage": {"honest $x$": 1, "cost": 1, "all": 1}}, tmp_path / "a.png", OBJECTIVES)
    assert (tmp_path / "a.png").stat().st_size > 1000
