"""Krippendorff's alpha against published examples."""

from __future__ import annotations

import pytest

from pareto.preferences.agreement import krippendorff_alpha


def units(*rows: str) -> list[dict[str, str]]:
    """One string per person, one letter per question, a dot where the person gave no answer."""
    people = [row.split() for row in rows]
    return [{str(p): v for p, v in enumerate(column) if v != "."} for column in zip(*people, strict=True)]


def test_alpha_of_krippendorffs_own_example() -> None:
    """Krippendorff, "Computing Krippendorff's Alpha-Reliability" (2011), section C: four observers, 0.743."""
    table = units(
        "1 2 3 3 2 1 4 1 2 . . .",
        "1 2 3 3 2 2 4 1 2 5 . 3",
        ". 3 3 3 2 3 4 2 2 5 1 .",
        "1 2 3 3 2 4 4 1 2 5 1 .",
    )
    assert krippendorff_alpha(table) == pytest.approx(0.743, abs=5e-4)


def test_alpha_of_wikipedias_example() -> None:
    table = units(
        ". . . . . 3 4 1 2 1 1 3 3 . 3",
        "1 . 2 1 3 3 4 3 . . . . . . .",
        ". . 2 1 3 4 4 . 2 1 1 3 3 . 4",
    )
    assert krippendorff_alpha(table) == pytest.approx(0.691, abs=5e-4)
