"""``pareto chat --best-of`` as a process: what it prints, keeps and refuses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pareto.store.points import load_points
from pareto.store.run import Run

CHAT = ("chat", "smoke", "Name a river.", "--weights", "vowels=.5,digits=.5")


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "runs"))


def test_the_best_of_eight_is_told_with_all_candidates_and_kept(forge, root):
    words = (*CHAT, "--best-of", "8", "--root", root, "--json")
    made = forge.run(*words).json()
    best = made["best_of"]
    assert len(best["candidates"]) == best["n"] == 8
    assert best["weights"] == {"vowels": 0.5, "digits": 0.5}
    top = max(range(8), key=lambda i: best["candidates"][i]["utility"])
    assert best["chosen"] == top
    assert made["answer"] == best["candidates"][top]["text"]
    assert set(best["candidates"][0]["scores"]) == {"vowels", "digits"}
    assert best["tokens"] == sum(c["tokens"] for c in best["candidates"])
    assert best["kl"] == pytest.approx(1.2044, abs=1e-4)  # log 8 − 7/8
    assert (best["cached"], made["cache"]) == (False, {"hits": 0, "misses": 1, "rate": 0.0})
    again = forge.run(*words).json()
    assert again["cache"]["hits"] == 1
    assert again["best_of"] == best | {"cached": True}
    assert forge.run(*words, "--seed", "1").json()["best_of"]["cached"] is False
    fresh = forge.run(*words, "--no-cache").json()
    assert fresh["cache"] is None
    assert fresh["best_of"] == best
    plain = forge.run(*CHAT, "--root", root, "--json").json()
    assert plain["answer"].rstrip("\ufffd") == best["candidates"][0]["text"].rstrip("\ufffd")


def test_difficulty_says_how_many_answers_a_prompt_is_worth(forge, root):
    words = (*CHAT, "--best-of", "auto=3", "--no-cache", "--root", root, "--json")
    best = forge.run(*words).json()["best_of"]
    assert 1 <= len(best["candidates"]) <= best["n"] <= 12
    run = Run.open(root / "smoke")
    measured = {p.scores for p in load_points(run)}
    for pool in (f for f in run.scores.iterdir() if f.stem not in measured):
        pool.unlink()
    refused = forge.run(*words)
    assert refused.code == 2
    assert "--best-of auto: run 'smoke' has no scored pool to learn from" in refused.err


def test_the_answer_stands_alone_and_the_table_shows_all(forge, root):
    told = forge.run(*CHAT, "--best-of", "4", "--root", root)
    assert "best of 4: all 4 drawn" in told.err
    assert "KL to the policy at most 0.64 nats" in told.err
    shown = forge.run(*CHAT, "--best-of", "4", "--show-all", "--root", root)
    assert "kept from an earlier time" in shown.err
    assert shown.out.endswith(told.out)
    header, *rows = shown.out.splitlines()[:5]
    assert header.split() == ["utility", "vowels", "digits", "tokens", "answer"]
    assert [row.startswith("●") for row in rows].count(True) == 1


def test_a_level_that_answers_break_is_told_and_its_keeper_returned(forge, root):
    forge.run("choose", "smoke", "--priorities", "digits>=0.05@mean", "--keep", "--root", root)
    best = forge.run(*CHAT, "--best-of", "16", "--root", root, "--json").json()["best_of"]
    broken = [c["broken"] for c in best["candidates"]]
    assert [b is None for b in broken] == [c["scores"]["digits"] >= 0.05 for c in best["candidates"]]
    assert None in broken
    assert broken[best["chosen"]] is None
    forge.run("choose", "smoke", "--priorities", "digits>=1@mean", "--keep", "--root", root)
    told = forge.run(*CHAT, "--best-of", "4", "--root", root)
    assert "note: no answer keeps the priorities; the nearest is given (level 1: digits is " in told.err


def test_drawing_stops_where_more_is_not_worth_its_price(forge, root):
    words = (*CHAT, "--best-of", "32", "--root", root, "--json")
    best = forge.run(*words, "--stop-price", "1000").json()["best_of"]
    assert len(best["candidates"]) < 32
    assert best["reason"] == f"stopped after {len(best['candidates'])} of 32"


def test_answers_by_class(forge, root):
    prompts = "Hello\nWhich dose of aspirin is safe?\n"
    options = ("--best-of", "simple=1,critical=3", "--stop-price", "1e-9", "--point", "base")
    words = ("chat", "smoke", *options, "--root", root)
    told = forge.run(*words, stdin=prompts)
    assert [line.partition(":")[0] for line in told.err.splitlines() if line.startswith("best")] == [
        "best of 1 (simple)",
        "best of 3 (critical)",
    ]
    assert "base has no weights of its own" in told.err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--best-of", "0"), "--best-of 0: wanted a whole number of answers from 1 to 1024"),
        (("--best-of", "100000"), "--best-of 100000: wanted a whole number of answers from 1 to 1024"),
        (("--best-of", "eight"), "--best-of eight: wanted a whole number"),
        (("--best-of", "easy=1"), "--best-of: unknown class 'easy'"),
        (("--best-of", "4", "--stop-price", "0"), "--stop-price 0: wanted a number above 0"),
        (("--best-of", "4", "--stop-price", "nan"), "--stop-price nan: wanted a number above 0"),
        (("--best-of", "4", "--aggregate", "min"), "no objective of run 'smoke' is scored by an ensemble"),
        (("--show-all",), "--show-all says something of several answers: it goes with --best-of N"),
        (("--stop-price", "1"), "--stop-price says something of several answers"),
    ],
)
def test_bad_input_is_told_in_one_line(forge, finished, words, says):
    for form in ((), ("--json",)):
        assert says in forge.run(*CHAT, *words, "--root", finished, *form).line()
