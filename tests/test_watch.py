"""What a sweep says while it runs."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from pareto.records import Point
from pareto.watch import Screen, Silent, spark


def point(name: str, a: float, b: float) -> Point:
    return Point(
        id=name,
        kind="trained",
        split="validation",
        weights={"a": 0.5, "b": 0.5},
        coefficients={name: 1.0},
        adapters={name: "0"},
        mean={"a": a, "b": b},
        se={"a": 0.01, "b": 0.02},
        n={"a": 4, "b": 4},
        gold={},
        kl=0.125,
        scores="0",
    )


def a_sweep(screen: Screen) -> None:
    with screen:
        screen.phase("roll out", 8)
        screen.advance("roll out", 3)
        screen.advance("roll out", 8)
        screen.phase("train", 2)
        for name, values in {"expert-a": (0.75, 0.25), "expert-b": (0.125, float("nan"))}.items():
            screen.inner(f"train {name}", 1, 4)
            screen.inner(f"train {name}", 4, 4)
            screen.inner(f"measure {name}", 1, 2)
            screen.trial(point(name, *values))
            screen.hypervolume(len(screen.points))
            screen.advance("train", len(screen.points))
        screen.note("reward a returned nan [row 3]")
        screen.phase("soups", 0)
        screen.advance("soups", 0)
        # A phase that comes again, as after a resume in the same process.
        screen.phase("roll out", 1)
        screen.advance("roll out", 1)


def shown_on(terminal: bool) -> str:
    file = io.StringIO()
    screen = Screen(["a", "b"])
    console = Console(file=file, force_terminal=terminal, width=120, height=40)
    screen.console = screen.live.console = screen.bars.live.console = console
    a_sweep(screen)
    return file.getvalue()


def test_a_pipe_gets_one_plain_line_per_phase_and_trial():
    assert shown_on(terminal=False).splitlines() == [
        "roll out …",
        "train …",
        "  expert-a           a 0.750  b 0.250  kl 0.125",
        "  expert-b           a 0.125  b nan  kl 0.125",
        "reward a returned nan [row 3]",
        "soups …",
        "roll out …",
    ]


def test_a_terminal_shows_phases_trials_and_the_hypervolume_as_it_grows():
    screen = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown_on(terminal=True))
    last = screen[screen.rindex("point (validation)") :]
    assert re.search(r"expert-a\s+0\.750 ±0\.010\s+0\.250 ±0\.020\s+0\.125", last)
    assert re.search(r"expert-b\s+0\.125 ±0\.010\s+nan", last)
    assert "hypervolume 2.000  ▁█" in last
    assert re.search(r"roll out .* 100 %", screen)
    assert re.search(r"train .* 100 %", screen)
    assert "reward a returned nan [row 3]" in screen


def test_a_point_that_is_measured_again_has_one_row():
    screen = Screen(["a", "b"])
    screen.console = Console(file=io.StringIO())
    for value in (0.1, 0.2):
        screen.trial(point("trial-2", value, value))
    assert [p.mean["a"] for p in screen.points] == [0.2]


def test_the_screen_goes_away_when_a_sweep_fails():
    file = io.StringIO()
    screen = Screen(["a", "b"])
    screen.console = screen.live.console = Console(file=file, force_terminal=True)

    def fail() -> None:
        with screen:
            screen.phase("roll out", 8)
            raise ArithmeticError

    with pytest.raises(ArithmeticError):
        fail()
    assert not screen.live.is_started
    assert file.getvalue().rindex("\x1b[?25h") > file.getvalue().rindex("\x1b[?25l")  # the cursor is back


def test_silence_but_for_notes():
    said: list[str] = []
    quiet = Silent(said.append)
    quiet.phase("p", 1)
    quiet.inner("i", 1, 2)
    quiet.trial(point("x", 1, 1))
    quiet.hypervolume(1.0)
    quiet.advance("p", 1)
    quiet.note("look here")
    assert said == ["look here"]
    Silent().note("nobody listens")


@pytest.mark.parametrize(
    ("values", "curve"), [([1.0], "▁"), ([2, 2, 2], "▁▁▁"), ([0, 7], "▁█"), (range(8), "▁▂▃▄▅▆▇█"), ([-1, 1, 0], "▁█▅")]
)
def test_a_curve_of_blocks(values, curve):
    assert spark(list(values)) == curve
