"""A candidate that half of the users get, all at once: the same run without an expert and with a policy more."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import openai
import pytest
from live_server import Live, live

from pareto.store.points import load_points, save_point
from pareto.store.run import Run

HELLO: list[Any] = [{"role": "user", "content": "What is 12 plus 5?"}]
USERS = [f"user-{k}" for k in range(24)]
GONE, NEW = "expert-digits", "soup-new"


@pytest.fixture(scope="module")
def served(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    root = tmp_path_factory.mktemp("arms")
    main, candidate = (Run(shutil.copytree(finished / "smoke", root / name / "smoke")) for name in ("main", "next"))
    for point in load_points(candidate):
        if point.id == GONE:
            (candidate.points / f"{point.id}.{point.split}.json").unlink()
        if point.id == "expert-vowels":
            save_point(candidate, replace(point, id=NEW, kind="soup"))
    with live(main, candidate, beta_share=0.5, score_share=0, max_tokens=8) as server:
        yield server


def arms_of(served: Live, **asked: Any) -> dict[str, str]:
    """User → who answered, or the status of the refusal; all ask at once."""
    with served.client() as client, ThreadPoolExecutor(len(USERS)) as pool:

        def ask(user: str) -> str:
            try:
                said = client.chat.completions.create(**{"model": "smoke", "messages": HELLO, "user": user} | asked)
            except openai.APIStatusError as e:
                return str(e.status_code)
            assert said.choices[0].message.content is not None
            return str(said.pareto["arm"])

        return dict(zip(USERS, pool.map(ask, USERS), strict=True))


def weights(vowels: float) -> dict[str, Any]:
    return {"extra_body": {"pareto": {"weights": {"vowels": vowels, "digits": 1 - vowels}}}}


def test_a_user_stays_in_an_arm_whatever_is_asked_and_the_log_knows_both(served: Live) -> None:
    first = arms_of(served)
    assert set(first.values()) == {"main", "candidate"}
    assert arms_of(served) == first
    assert arms_of(served, **weights(1.0)) == first
    log = {(s.user, s.arm) for s in served.parts.log.served()}
    assert log == {(served.parts.log.user_key(user), arm) for user, arm in first.items()}


@pytest.mark.parametrize(
    "asked",
    [
        weights(0.5),
        {"extra_body": {"pareto": {"coefficients": {GONE: 0.5}}}},
        {"model": f"smoke@{GONE}"},
    ],
)
def test_what_the_candidate_does_not_have_the_run_answers(served: Live, asked: dict[str, Any]) -> None:
    assert set(arms_of(served, **asked).values()) == {"main"}


def test_what_the_candidate_alone_has_only_its_users_get(served: Live) -> None:
    arms = arms_of(served)
    found = arms_of(served, model=f"smoke@{NEW}")
    assert {(arms[user], found[user]) for user in USERS} == {("main", "404"), ("candidate", "candidate")}


def test_what_neither_has_is_refused_to_both_in_the_same_words(served: Live) -> None:
    assert set(arms_of(served, extra_body={"pareto": {"weights": {"vowel": 1.0}}}).values()) == {"400"}
