"""Against a real HTTP server that speaks as an OpenAI-compatible judge."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import judges
import pytest

from pareto.config import Judge
from pareto.errors import ParetoError
from pareto.training.process.judged import Judged, human_checked, human_sample
from pareto.training.process.labels import until

Asked = Callable[[Any], Any]
TEXT = "1 + 1 = 2\n2 + 2 = 5\n5 + 1 = 6"


@pytest.fixture
def judge(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """A labeller whose endpoint says what it is told to, given the last message."""
    monkeypatch.setattr(judges, "read", lambda body: (body["messages"][-1]["content"], "", ""))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    @contextmanager
    def serving(says: Asked, retries: int = 1) -> Iterator[tuple[Judged, judges.Server]]:
        with judges.judge_server(lambda content, *_: says(content)) as server:
            yield Judged(Judge(url=server.url, model="m", retries=retries, timeout=5)), server

    return serving


def rights(labels: Any) -> list[Any]:
    return [label.right for label in labels]


def test_the_first_wrong_step_becomes_labels(judge: Callable[..., Any]) -> None:
    with judge(lambda content: "2") as (labeller, server):
        found = labeller("How much?", TEXT)
        assert rights(found) == [True, False, None]
        assert {label.source for label in found} == {"judge:m"}
        content = server.asked[0]["messages"][1]["content"]
        for part in ("How much?", "1 + 1 = 2", "5 + 1 = 6", "<step-3-"):
            assert part in content
    with judge(lambda content: "0") as (labeller, _):
        assert rights(labeller("How much?", TEXT)) == [True, True, True]
        assert labeller("How much?", " ") == ()


@pytest.mark.parametrize("said", ["4", "-1", "step 2", "2.", "", "two", "99999", "２"])
def test_anything_but_a_steps_number_is_no_label(judge: Callable[..., Any], said: str) -> None:
    with judge(lambda content: said) as (labeller, server):
        assert rights(labeller("How much?", TEXT)) == [None] * 3
        assert len(server.asked) == 2
        assert "instead of a number from 0 to 3" in labeller.failures[0]


def test_it_is_asked_again_and_then_believed(judge: Callable[..., Any]) -> None:
    with judge(lambda content: "2" if content.startswith("Reply with exactly") else "Step two!") as (labeller, _):
        assert rights(labeller("How much?", TEXT)) == [True, False, None]
        assert labeller.failures == []


def test_it_gives_up_where_nothing_answers(judge: Callable[..., Any]) -> None:
    with judge(lambda content: "?", retries=0) as (labeller, _):
        for _ in range(9):
            labeller("How much?", TEXT)
        with pytest.raises(ParetoError, match="gave up after 10 solutions in a row"):
            labeller("How much?", TEXT)
    with pytest.raises(ParetoError, match="give a url"):
        Judged(Judge())


def test_agreement_with_people_on_a_sample() -> None:
    judged = {0: until(1, 3, "judge"), 1: until(None, 2, "judge"), 2: until(0, 1, "judge")}
    people = {0: until(1, 3, "people"), 1: until(1, 2, "people")}
    found = human_checked(judged, people)
    # Four steps have labels of both; they differ on one.
    assert (found.questions, found.share) == (4, 0.75)
    assert human_sample(100, 10, seed=0) == human_sample(100, 10, seed=0) != human_sample(100, 10, seed=1)
    assert human_sample(3, 10, seed=0) == [0, 1, 2]
