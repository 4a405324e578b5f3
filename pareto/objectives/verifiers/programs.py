"""passes_tests: does the code of a completion pass the prompt's unit tests?"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from pareto.objectives.messages import Text, plain
from pareto.objectives.verifiers.sandbox import Limits, run
from pareto.objectives.verifiers.undecided import Undecided
from pareto.objectives.verifiers.units import units

_BLOCK = re.compile(
    r"^[ \t]*(?P<fence>```+|~~~+)[ \t]*(?P<language>\w*)[^\n]*\n(?P<code>.*?)(?:^[ \t]*(?P=fence)|\Z)", re.M | re.S
)
_LOOKS_LIKE_CODE = re.compile(r"^(?:def|class|import|from|async def|@)\b", re.M)
_PYTHON = frozenset(("", "python", "python3", "py"))


def passes_tests(
    prompts: Sequence[Text],
    completions: Sequence[Text],
    *,
    answers: Sequence[Sequence[str]],
    seconds: float = 5.0,
    memory: int = 512,
    partial: bool = False,
    unconfined: bool = False,
    **columns: Any,
) -> list[float | None]:
    """1 where a completion's code passes all the unit tests of its prompt, 0 where not or where it holds no code.

    Code that does not compile, raises, exits or takes too much memory has not passed. ``None`` where the prompt has no
    tests; ``Undecided`` where the time was up, which a busy machine may be the reason of, or where the tests themselves
    are broken.

    Args:
        prompts: not looked at.
        completions: the code is their last fenced block of Python, or all of it where it begins lines as code does.
        answers: of each prompt its tests as Python source, run one after the other in one module with the code.
        seconds: limit on one run, by the clock.
        memory: limit on one run, in MiB.
        partial: give the share of tests that held instead, where all could be run.
        unconfined: run also where the kernel cannot keep code from the network.
        columns: not looked at.

    Raises:
        ParetoError: a limit that is none, or no way to confine code here.
    """
    limits = Limits(seconds, memory, unconfined)

    def score(row: tuple[Text, Sequence[str]]) -> float | None:
        completion, tests = row
        return _score(plain(completion), "\n".join(tests), limits, partial) if tests else None

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(score, zip(completions, answers, strict=True)))


def _score(completion: str, tests: str, limits: Limits, partial: bool) -> float:
    try:
        count = sum(u.counts for u in units(tests))
    except SyntaxError as e:
        return Undecided(f"error: the tests are no Python: {e}")
    if not count:
        return Undecided("error: the tests hold no test; give assert statements or functions named test…")
    code = code_of(completion)
    if code is None:
        return 0.0
    outcome = run(code, limits, tests)
    if outcome.status == "timeout":
        return Undecided(f"timeout: {outcome.detail}")
    return outcome.passed / outcome.tests if partial and outcome.tests else float(outcome.status == "pass")


def code_of(completion: str) -> str | None:
    """The last fenced block of Python, which may be cut off; the whole text where it has none but looks like code."""
    blocks = [m["code"] for m in _BLOCK.finditer(completion) if m["language"].casefold() in _PYTHON]
    if blocks:
        return blocks[-1]
    return completion if _LOOKS_LIKE_CODE.search(completion) else None
