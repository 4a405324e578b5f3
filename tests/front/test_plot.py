import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from pareto.front.plot import figure, save_html, save_png

HOSTILE = "</script><img src=x onerror=alert(1)>$x_{"


def point(id: str, kind: str, means: dict[str, float | None], on_front: bool, weights: Any = None) -> dict[str, Any]:
    return {
        "id": id,
        "kind": kind,
        "weights": weights,
        "mean": means,
        "se": {name: None if value is None else 0.1 for name, value in means.items()},
        "on_front": on_front,
        "p_nondominated": 0.75,
        "kl": None if kind == "base" else 0.12,
    }


def four(names: list[str]) -> list[dict[str, Any]]:
    def means(*values: float | None) -> dict[str, float | None]:
        return dict(zip(names, values, strict=True))

    experts = [
        point(f"e{i}", "expert", means(*(float(i == k) for k in range(4))), True, {name: 1.0})
        for i, name in enumerate(names)
    ]
    return [
        point("base", "base", means(0, 0, 0, 0), False),
        *experts,
        point("t1", "trained", means(0.6, 0.6, 0.6, 0.6), True, dict.fromkeys(names, 0.25)),
        point("s1", "soup", means(0.5, 0.5, 0.5, None), False, dict.fromkeys(names, 0.25)),
    ]


NAMES = ["harmless", "honest", "helpful", "cost"]


def test_one_panel_for_each_pair_and_the_paths_beneath() -> None:
    made = figure(four(NAMES), NAMES, signs=[1, 1, 1, -1])
    titles = {(made.layout[f"xaxis{k}"].title.text, made.layout[f"yaxis{k}"].title.text) for k in ["", 2, 3, 4, 5, 6]}
    right = {name: f"{name}  → better" for name in NAMES} | {"cost": "better ←  cost"}
    assert titles == {(right[a], right[b]) for i, a in enumerate(NAMES) for b in NAMES[i + 1 :]}
    assert list(made.layout.xaxis7.ticktext) == NAMES


def test_paths_put_the_better_value_on_top() -> None:
    made = figure(four(NAMES), NAMES, signs=[1, 1, 1, -1])
    paths = [t for t in made.data if t.mode == "lines+markers" and "<b>e3</b>" in t.hovertext]
    # The fourth expert has the highest cost, the worst there is.
    assert [list(t.y) for t in paths] == [[0, 0, 0, 0]]


def test_marks_tell_kind_and_front() -> None:
    made = figure(four(NAMES), NAMES)
    shapes = {t.legendgroup: t.marker.symbol for t in made.data if t.showlegend is not False}
    assert shapes == {"base": "x", "expert": "star", "trained": "circle", "soup": "diamond", "dominated": "circle"}
    dominated = [t for t in made.data if t.legendgroup == "dominated" and t.showlegend is False]
    assert {t.marker.symbol for t in dominated} == {"diamond"}
    labels = {t.text[0] for t in made.data if t.mode == "markers+text"}
    assert labels == set(NAMES)


def test_hover_tells_all() -> None:
    hover = next(t.hovertext for t in figure(four(NAMES), NAMES).data if t.hovertext and "<b>s1</b>" in t.hovertext)
    for part in ("soup", "helpful  0.5 ± 0.1", "cost  not measured", "harmless 0.25", "0.12 nats", "probability 0.75"):
        assert part in hover


@pytest.mark.parametrize("m", [2, 3, 5])
def test_any_number_of_objectives(m: int, tmp_path: Path) -> None:
    names = [f"o{i}" for i in range(m)]
    points = [point(str(k), "trained", {n: float((i + k) % m) for i, n in enumerate(names)}, True) for k in range(3)]
    scatters = [t for t in figure(points, names).data if t.mode == "markers" and t.showlegend is False]
    assert len(scatters) == 3 * m * (m - 1) // 2
    save_png(points, tmp_path / "front.png", names)


def test_html_stands_alone_and_escapes_names(tmp_path: Path) -> None:
    class Page(HTMLParser):
        def __init__(self) -> None:
            super().__init__()
            self.tags: list[tuple[str, dict[str, str | None]]] = []

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.tags.append((tag, dict(attrs)))

    names = [HOSTILE, *NAMES[1:]]
    made = figure(four(names), names)
    save_html(made, tmp_path / "front.html")
    page = Page()
    page.feed((tmp_path / "front.html").read_text(encoding="utf-8"))
    assert "img" not in {tag for tag, _ in page.tags}
    assert not [a for tag, a in page.tags if tag in {"script", "link"} and ("src" in a or "href" in a)]
    # plotly reads some tags in its own texts; none of ours may be a name's.
    assert "<img" not in json.dumps(made.to_plotly_json(), default=list)


def test_png_is_a_picture_of_the_promised_width(tmp_path: Path) -> None:
    names = [HOSTILE, *NAMES[1:]]
    path = tmp_path / "front.png"
    save_png(four(names), path, title="a $ and a {")
    head = path.read_bytes()[:24]
    assert head[:8] == b"\x89PNG\r\n\x1a\n"
    assert int.from_bytes(head[16:20], "big") == 1800


def test_numbers_need_no_plotting_library() -> None:
    code = (
        "import sys, pareto.front.statistics, pareto.front.plot;"
        "print([m for m in ('torch', 'plotly', 'matplotlib', 'scipy', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
