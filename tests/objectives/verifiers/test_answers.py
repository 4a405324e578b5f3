import math
import subprocess
import sys
import threading
import time

import psutil
import pytest

from pareto.errors import ParetoError
from pareto.objectives.load import Reward
from pareto.objectives.score import Failure, score
from pareto.objectives.verifiers.answers import correct, same
from pareto.objectives.verifiers.comparer import Comparer
from pareto.objectives.verifiers.undecided import Undecided
from pareto.records import Prompt, Rollout

HANGS = r"\sin(10^{10^{10}})"
"""Evaluated to full precision by sympy, for hours."""
NESTED = [r"\frac{1}{" * 90 + "x" + "}" * 90, "{" * 450 + "x" + "}" * 450, "100000000! + x"]


def one(completion, *answers, **options):
    (value,) = correct(prompts=["?"], completions=[completion], answers=[answers], **options)
    return value


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ("19", "19"),
        ("19", "12 + 7 = 19"),
        ("19", "19.00"),
        ("19", "x = 19"),
        ("1/2", "0.5"),
        ("1/2", r"\frac{2}{4}"),
        ("1234", "1,234"),
        ("2000", r"2 \times 10^3"),
        ("Paris", "paris."),
        ("B", "B"),
        (r"\frac{\sqrt{2}}{2}", "1/sqrt(2)"),
        ("x^2 - 1", "(x-1)(x+1)"),
        ("2x", "x*2"),
        ("(1, 2)", "(1,2)"),
        (r"\{1, 2\}", r"\{2, 1\}"),
        ("x = 5", "5"),
        ("2^{10}", "1024"),
        (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{pmatrix}2/2\\2\end{pmatrix}"),
    ],
)
def test_the_same_answer_in_other_words(accepted, said):
    assert same(accepted, said, 60).status == "pass"


@pytest.mark.parametrize(
    ("accepted", "said"),
    [
        ("19", "20"),
        ("19", "-19"),
        ("19", "19 or 20"),
        ("19", "not 19"),
        ("19", "12 + 7"),
        ("19", "38/2"),
        ("1024", "2^{10}"),
        ("19", "5^5^5^5"),
        ("19", "9**9**9"),
        ("1/3", "0.33"),
        ("no", "on"),
        ("Paris", "parsi"),
        ("Paris", "London"),
        ("x^2 - 1", "(x-1)(x-1)"),
        ("x^2", "5^5^5^5"),
        ("(1, 2)", "(2, 1)"),
        ("x^2", "{{{"),
        ("19", "1" * 5000),
    ],
)
def test_another_answer(accepted, said):
    assert same(accepted, said, 60).status == "fail"


def test_the_last_asserted_answer_decides():
    assert one("12 + 7 = 18\nAnswer: 18\nNo.\nAnswer: 19", "19") == 1
    assert one("Answer: 19\nNo.\nAnswer: 18", "19") == 0
    assert one("I do not know.", "19") == 0
    assert one("Answer: 19", "18", "19") == 1


def test_without_an_accepted_answer_there_is_nothing_to_verify():
    assert one("Answer: 19") is None


def test_an_answer_that_hangs_times_out_and_the_next_is_scored():
    one("Answer: $y$", "2y")  # the process is there
    values = correct(
        prompts=["?"] * 2, completions=[f"Answer: ${HANGS}$", "Answer: $2x$"], answers=[["x + 1"], ["x + x"]], seconds=1
    )
    assert math.isnan(values[0])
    assert values[0].reason == "timeout: not compared within 1 s"
    assert values[1] == 1


@pytest.mark.parametrize("said", NESTED)
def test_a_deep_nest_ends_at_the_limit(said):
    same("y", "x + 0", 60)
    start = time.monotonic()
    assert same("y + 1", said, 1).status in ("timeout", "fail", "error")
    assert time.monotonic() - start < 1 + 5
    assert same("x + x", "2x", 60).status == "pass"


def test_any_thread_may_ask():
    found = []
    threads = [
        threading.Thread(target=lambda k=k: found.append((k, same(f"{k}x", f"x*{k}", 60).status))) for k in (2, 3, 4)
    ]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert sorted(found) == [(2, "pass"), (3, "pass"), (4, "pass")]


def test_a_process_that_was_killed_is_replaced():
    comparer = Comparer()
    try:
        assert comparer.compare("2x", "x+x", 60).status == "pass"
        process = psutil.Process(comparer._process.pid)
        process.kill()
        assert comparer.compare("2x", "x+x", 60).status in ("pass", "error")
        assert comparer.compare("2x", "x+x", 60).status == "pass"
        process = psutil.Process(comparer._process.pid)
    finally:
        comparer.close()
    assert not process.is_running()


def test_a_forked_process_asks_a_process_of_its_own():
    code = """
import os
from pareto.objectives.verifiers.answers import same
assert same("2x", "x+x", 60).status == "pass"
if not os.fork():
    found = [same(f"{k}x", f"x*{k}", 60).status for k in range(2, 30)]
    os._exit(found != ["pass"] * 28)
found = [same(f"{k}x", f"y*{k}", 60).status for k in range(2, 30)]
assert found == ["fail"] * 28
assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=300)


def test_an_accepted_answer_that_cannot_be_read_is_an_error():
    assert same("x + )(", "x", 60).status == "error"
    assert one("Answer: $x^2$", "x + )(").reason.startswith("error: the accepted answer 'x + )(' is no mathematics")


def test_an_undecided_row_is_reported_with_its_reason():
    def function(completions, **columns):
        return [Undecided("timeout: not done within 5 s") if c == "slow" else 1.0 for c in completions]

    prompts = [Prompt("a", "?", "mine")] * 2
    rollouts = [Rollout("a", k, "sampled", 1, text, (1,), 0.0) for k, text in enumerate(("slow", "fast"))]
    scores = score([Reward("right", 1, (0, 1), function)], prompts, rollouts, max_new_tokens=10)
    assert scores.failures == [Failure("right", 0, "timeout: not done within 5 s")]
    assert math.isnan(scores.values[0, 0])
    assert scores.values[1, 0] == 1


@pytest.mark.parametrize("seconds", [0, -1, math.nan, math.inf])
def test_a_limit_must_be_a_time(seconds):
    with pytest.raises(ParetoError, match="is no time limit"):
        one("19", "19", seconds=seconds)
