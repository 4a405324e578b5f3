"""The table of all answers: who comes first, what is said of the others, and that text stays text."""

from __future__ import annotations

import re
from dataclasses import replace

from app.looks import LIGHT
from app.markup.candidates import candidates_html, ranked
from pareto.inference.best_of.candidates import Best, Candidate

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


def candidate(utility: float, text: str = "hm", **others: object) -> Candidate:
    plain = Candidate(0, text, (1, 2), -1.0, {"kind": utility, "short": -8.25}, utility, None, (), early=False)
    return replace(plain, **others)  # type: ignore[arg-type]


def best(*candidates: Candidate, chosen: int = 0) -> Best:
    return Best(candidates, chosen, 2 * len(candidates), 0.75, cached=False, reason="")


def test_the_chosen_one_leads_and_what_may_not_be_returned_comes_last() -> None:
    fine, weak = candidate(1.0, "fine"), candidate(0.5, "weak")
    failed = candidate(3.0, "failed", failures=("kind: no number",))
    broken = candidate(9.0, "broken", broken="level 1: short is −8.25, wanted 0 or more")
    found = best(broken, weak, failed, fine, chosen=3)
    assert [c.text for c in ranked(found)] == ["fine", "weak", "failed", "broken"]
    page = candidates_html(found, ("kind", "short"), {"kind": 1.0, "short": 0.0}, LIGHT)
    rows = page.split("<tr class=")[1:]
    assert ["chosen</span>" in row for row in rows] == [True, False, False, False]
    assert "Failed: kind: no number" in rows[2]
    assert "Breaks level 1: short is −8.25, wanted 0 or more" in rows[3]


def test_a_score_that_is_not_there_is_a_dash() -> None:
    page = candidates_html(best(candidate(1.0, scores={"kind": 1.0})), ("kind", "short"), {"kind": 1.0}, LIGHT)
    assert re.findall(r"<td>([^<]*)</td>", page)[-1] == "–"


def test_hostile_answers_names_and_reasons_stay_text() -> None:
    found = best(candidate(1.0, EVIL, broken=EVIL, failures=(EVIL,), scores={EVIL: 1.0}))
    page = candidates_html(found, (EVIL,), {EVIL: 1.0}, LIGHT)
    assert "<script" not in page
    assert "<img" not in page
    assert page.count("&lt;script&gt;") >= 5
