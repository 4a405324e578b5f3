import math
import time

import pytest

from pareto.config import Objective
from pareto.errors import ParetoError
from pareto.objectives.load import load_reward
from pareto.objectives.verifiers.programs import code_of, passes_tests

RIGHT = "Here you are:\n```python\ndef add(a, b):\n    return a + b\n```\nIt adds."
WRONG = "```python\ndef add(a, b):\n    return a - b\n```"
TESTS = ("assert add(1, 2) == 3", "assert add(0, 0) == 0")


def value(completion, tests=TESTS, **options):
    (found,) = passes_tests(prompts=["?"], completions=[completion], answers=[tests], **options)
    return found


@pytest.mark.parametrize(
    ("completion", "code"),
    [
        ("```python\nx = 1\n```", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("First\n```py\nx = 1\n```\nbetter\n```Python\nx = 2\n```\n", "x = 2\n"),
        ("```python\nx = 1\n```\nRun it:\n```bash\npython x.py\n```", "x = 1\n"),
        ("```python\nx = 1", "x = 1"),
        ("~~~python\nx = '```'\n~~~", "x = '```'\n"),
        ("def f():\n    return 1", "def f():\n    return 1"),
        ("I cannot do that.", None),
        ("", None),
    ],
)
def test_where_the_code_of_a_completion_is(completion, code):
    assert code_of(completion) == code


def test_all_tests_must_pass():
    assert value(RIGHT) == 1
    assert value(WRONG) == 0
    assert value("Sorry.") == 0
    assert value("```python\ndef add(a, b:\n```") == 0
    assert value("```python\nimport sys; sys.exit(0)\n```") == 0
    assert value("```python\nx = bytearray(10**10)\n```") == 0
    assert value(RIGHT, ()) is None


def test_part_of_the_tests_can_pay():
    assert value(WRONG, partial=True) == 0.5
    assert value(RIGHT, partial=True) == 1
    assert value("```python\ndef add(a, b:\n```", partial=True) == 0
    preparing = ("x = add(1, 2)", "assert x == -1", "assert add(0, 0) == 0")
    assert value("```python\ndef add(a, b): return 1 / (a - b - 1)\n```", preparing, partial=True) < 1


def test_no_verdict_is_no_zero():
    start = time.monotonic()
    slow, right = passes_tests(
        prompts=["?"] * 2, completions=["```python\nwhile True: pass\n```", RIGHT], answers=[TESTS] * 2, seconds=2
    )
    assert time.monotonic() - start < 2 + 5
    assert math.isnan(slow)
    assert slow.reason == "timeout: not done within 2 s"
    assert right == 1
    assert value(RIGHT, ("assert add(",)).reason.startswith("error: the tests are no Python")
    assert value(RIGHT, ("x = 1",)).reason.startswith("error: the tests hold no test")


def test_options_come_from_the_recipe():
    objective = Objective(name="runs", reward="passes_tests", options={"partial": True, "seconds": 3})
    reward = load_reward(objective)
    assert reward.function(prompts=["?"], completions=[WRONG], answers=[TESTS]) == [0.5]
    with pytest.raises(ParetoError, match="memory: 1 MiB are too few"):
        value(RIGHT, memory=1)
