"""Figures: what is drawn, what is greyed, and that nothing from a file becomes markup."""

import numpy as np
import pytest

from app.charts.paths import paths
from app.charts.plane import ellipse, plane
from app.charts.scene import Scene, legend
from app.charts.space import cloud, shares, triangle
from app.charts.volume import volume
from app.looks import DARK, LIGHT

NAMES = ("kind", "short", "true")


def row(name, kind, mean, *, front=True, weights=None, coefficients=None, gold=None):
    return {
        "id": name,
        "kind": kind,
        "weights": weights,
        "coefficients": coefficients or {},
        "mean": dict(zip(NAMES, mean, strict=True)),
        "se": dict.fromkeys(NAMES, 0.1),
        "gold": gold or {},
        "kl": 0.5,
        "p_nondominated": 0.7,
        "on_front": front,
        "split": "test",
    }


ROWS = [
    row("base", "base", (0.0, 0.0, 0.0), front=False),
    row("expert-kind", "expert", (1.0, -0.5, 0.1), weights={"kind": 1.0, "short": 0.0, "true": 0.0}),
    row("soup-0", "soup", (0.5, 0.5, 0.3), weights={"kind": 0.5, "short": 0.25, "true": 0.25}),
    row("soup-1", "soup", (0.2, 0.1, None), front=False, coefficients={"expert-kind": 0.6, "expert-short": -0.2}),
    row("trial-9", "trained", (0.7, 0.2, 0.9), weights={"kind": 0.4, "short": 0.3, "true": 0.3}),
]


def scene(**more):
    return Scene(ROWS, NAMES, (1.0, 1.0, -1.0), LIGHT, **more)


def drawn(figure):
    """Id → (trace, index) of every mark that can be chosen."""
    return {t.customdata[i]: (t, i) for t in figure.data if t.customdata is not None for i in range(len(t.customdata))}


def test_every_policy_stands_where_it_was_measured():
    marks = drawn(plane(scene(), 0, 1))
    assert marks.keys() == {r["id"] for r in ROWS}
    for r in ROWS:
        trace, i = marks[r["id"]]
        assert (trace.x[i], trace.y[i]) == (r["mean"]["kind"], r["mean"]["short"])


def test_bars_hold_95_percent_of_a_normal_error():
    trace, i = drawn(plane(scene(), 0, 1))["soup-0"]
    assert trace.error_x.array[i] == pytest.approx(0.196, abs=1e-3)


def test_kinds_differ_in_shape_and_dominated_ones_are_pale():
    marks = drawn(plane(scene(), 0, 1))
    assert len({marks[name][0].marker.symbol for name in ("base", "expert-kind", "soup-0", "trial-9")}) == 4
    assert marks["soup-1"][0].marker.color == LIGHT.pale != marks["soup-0"][0].marker.color


def test_what_is_out_of_reach_is_a_grey_outline_and_says_why():
    marks = drawn(plane(scene(excluded={"trial-9": "kind: 0.7, at least 0.8 wanted, short by 0.1"}), 0, 1))
    trace, i = marks["trial-9"]
    assert trace.marker.symbol.endswith("-open")
    assert trace.marker.color == LIGHT.pale
    assert "short by 0.1" in trace.hovertext[i]
    assert not marks["soup-0"][0].marker.symbol.endswith("-open")


def test_the_kept_ones_light_up_though_they_are_dominated():
    marks = drawn(plane(scene(light="kept", excluded={"trial-9": "x"}), 0, 1))
    assert marks["soup-1"][0].marker.color == marks["soup-0"][0].marker.color != LIGHT.pale


@pytest.mark.parametrize("draw", [lambda s: plane(s, 0, 1), lambda s: cloud(s, [0, 1, 2])])
def test_chosen_and_pinned_have_rings_of_their_own(draw):
    rings = [t for t in draw(scene(chosen="soup-0", pinned="trial-9")).data if t.hoverinfo == "skip"]
    assert [(t.marker.symbol, t.x[0]) for t in rings] == [("square-open", 0.7), ("circle-open", 0.5)]


def test_names_and_reasons_from_files_are_text():
    evil = "<img src=x onerror=alert(1)>"
    rows = [row(evil, "soup", (0.1, 0.2, 0.3), gold={evil: 1.0}, coefficients={evil: 1.0})]
    nasty = Scene(rows, NAMES, (1.0, 1.0, 1.0), DARK, {evil: evil})
    for figure in (plane(nasty, 0, 1), paths(nasty), cloud(nasty, [0, 1, 2])):
        texts = [text for t in figure.data for text in (t.hovertext or ())]
        assert texts
        assert not any("<img" in text for text in texts)
        assert any("&lt;img" in text for text in texts)
    assert "<img" not in legend(nasty, rival=evil)


def test_an_ellipse_holds_95_percent_of_the_draws_of_a_mean():
    covariance = np.array([[0.04, 0.015], [0.015, 0.01]])
    draws = np.random.default_rng(0).multivariate_normal([1, 2], covariance, 20_000)
    from matplotlib.path import Path

    inside = Path(ellipse((1, 2), covariance, turns=200)).contains_points(draws).mean()
    assert inside == pytest.approx(0.95, abs=0.005)


def test_ellipses_are_drawn_for_what_is_in_colour():
    covariances = {r["id"]: np.eye(3) * 0.01 for r in ROWS}
    figure = plane(scene(), 0, 1, covariances=covariances)
    assert sum(t.fill == "toself" for t in figure.data) == 4
    assert all(t.error_x.array is None for t in figure.data)


def test_thresholds_are_lines_at_their_values():
    shapes = plane(scene(), 0, 1, limits=[(0, 0.25), (2, 9.0)]).layout.shapes
    assert [s.x0 for s in shapes if s.line.color == LIGHT.colour(0)] == [0.25]


def test_paths_put_the_best_on_top_also_where_less_is_better():
    marks = {t.customdata[0]: t for t in paths(scene()).data}
    assert marks["expert-kind"].y[0] == 1
    assert marks["base"].y[2] == 1
    assert marks["trial-9"].y[2] == 0
    assert np.isnan(marks["soup-1"].y[2])


def test_shares_are_of_weights_or_else_of_coefficients():
    assert shares(ROWS[2], NAMES, [0, 1, 2]) == [0.5, 0.25, 0.25]
    assert shares(ROWS[3], NAMES, [0, 1, 2]) == [1, 0, 0]
    assert shares(ROWS[0], NAMES, [0, 1, 2]) is None


def test_the_triangle_places_policies_by_share_and_colours_by_value():
    marks = drawn(triangle(scene(), [0, 1, 2], colour=1))
    assert "base" not in marks
    trace, i = marks["trial-9"]
    assert (trace.a[i], trace.b[i], trace.c[i]) == pytest.approx((0.4, 0.3, 0.3))
    assert trace.marker.color[i] == 0.2


def test_growth_ends_with_the_interval_on_test():
    figure = volume(scene(), [("a", 1.0), ("b", 2.0)], 0.5, {"value": 1.8, "low": 1.5, "high": 2.4})
    line, end = figure.data
    assert list(line.y) == [1.0, 2.0]
    assert (end.error_y.array[0], end.error_y.arrayminus[0]) == pytest.approx((0.6, 0.3))
