"""``pareto chat --best-of``: its options, and how the best of several answers is told."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from pareto.errors import ParetoError
from pareto.terminal import bars, print_json, printable, say
from pareto.words import Aggregation

if TYPE_CHECKING:
    from pareto.inference.adaptive.worth import Worth
    from pareto.inference.best_of.candidates import Best, Candidate
    from pareto.inference.best_of.classes import Adaptive
    from pareto.inference.best_of.scoring import Judge
    from pareto.inference.policy import Policy
    from pareto.records import Point
    from pareto.store.run import Run

SHOWN = 60
"""Characters of an answer in the table of all."""


@dataclass(frozen=True)
class Several:
    """What is asked of the answers to a prompt, where more than one is drawn."""

    n: int | dict[str, int] | Adaptive
    """How many at most; or by class of prompt; or by its difficulty."""
    aggregate: Aggregation | None
    stop_price: float | None
    """Utility that another answer has to promise; ``None``: all are drawn."""
    keep: bool
    """Best answers are kept, and taken from where they are kept."""
    show_all: bool


def several(
    best_of: str | None, aggregate: Aggregation | None, stop_price: float | None, no_cache: bool, show_all: bool
) -> Several | None:
    """The options of ``--best-of``; ``None`` where it is not given.

    Raises:
        ParetoError: one of the others without it, or a number out of range.
    """
    from pareto.inference.best_of.classes import parse_best_of

    if best_of is None:
        given = {"--aggregate": aggregate, "--stop-price": stop_price, "--no-cache": no_cache, "--show-all": show_all}
        for name, value in given.items():
            if value is not None and value is not False:
                raise ParetoError(f"{name} says something of several answers: it goes with --best-of N")
        return None
    if stop_price is not None and not (math.isfinite(stop_price) and stop_price > 0):
        raise ParetoError(f"--stop-price {stop_price:g}: wanted a number above 0, in the units of utility")
    return Several(parse_best_of(best_of), aggregate, stop_price, not no_cache, show_all)


def best_answers(
    run: Run, asked: Several, *, seed: int, max_new_tokens: int | None, as_json: bool
) -> Callable[[Point, Policy, str], None]:
    """What answers a prompt with the best of several, drawn by a point's policy and judged under its weights.

    Raises:
        ParetoError: see ``Judge.of``.
    """
    from pareto.inference.adaptive.stopping import Stopping
    from pareto.inference.best_of.cache import FILE, Cache
    from pareto.inference.best_of.classes import class_of
    from pareto.inference.best_of.engine import best_of
    from pareto.inference.best_of.scoring import Judge

    names = run.recipe.names
    even = Judge.of(run, aggregate=asked.aggregate)
    cache = Cache(run.path / FILE, note=lambda line: say(f"note: {line}")) if asked.keep else None
    known: dict[tuple[float, ...], Worth | None] = {}

    def worth_of(policy: Policy, judge: Judge) -> Worth | None:
        if judge.weights not in known:
            known[judge.weights] = _worth(run, policy, judge, asked)
        return known[judge.weights]

    def answer(point: Point, policy: Policy, text: str) -> None:
        judge = even
        if point.weights:
            judge = replace(even, weights=tuple(point.weights.get(name, 0.0) for name in names))
        else:
            say(f"note: {point.id} has no weights of its own: its answers are judged by all objectives alike")
        n, price, spread = _plan(asked, text, worth_of(policy, judge))
        stopping = Stopping(price, cap=n) if price is not None and n > 1 else None
        with bars(as_json) as progress:
            best = best_of(
                policy,
                text,
                judge,
                n=n,
                seed=seed,
                max_new_tokens=max_new_tokens,
                stopping=stopping,
                spread=spread,
                cache=cache,
                progress=partial(progress, "answers"),
            )
        if as_json:
            told = {"weights": dict(zip(names, judge.weights, strict=True)), "n": n, **_document(best)}
            use = cache.use() if cache else None
            print_json(
                {
                    "point": point.id,
                    "weights": point.weights,
                    "coefficients": point.coefficients,
                    "prompt": text,
                    "answer": best.answer.text,
                    "best_of": told,
                    "cache": {"hits": use.hits, "misses": use.misses, "rate": use.rate} if use else None,
                }
            )
            return
        if asked.show_all:
            typer.echo(candidates_table(best, names) + "\n")
        typer.echo(printable(best.answer.text))
        kind = f" ({class_of(text)})" if isinstance(asked.n, dict) else ""
        _tell(best, f"{n}{kind}")

    return answer


def _worth(run: Run, policy: Policy, judge: Judge, asked: Several) -> Worth | None:
    """What the run's pool says of difficulty, where that matters; ``None`` where there is no pool and need be none.

    Raises:
        ParetoError: ``auto`` without a pool.
    """
    from pareto.inference.adaptive.worth import Worth
    from pareto.inference.best_of.classes import Adaptive

    by_difficulty = isinstance(asked.n, Adaptive)
    if not by_difficulty and asked.stop_price is None:
        return None
    try:
        return Worth.of(run, policy.base, judge.weights)
    except ParetoError as e:
        if by_difficulty:
            raise ParetoError(f"--best-of auto: {e}") from None
        return None


def _plan(asked: Several, text: str, worth: Worth | None) -> tuple[int, float | None, float | None]:
    """How many answers a prompt gets at most, the price of one, and the spread that is expected of them."""
    from pareto.inference.adaptive.allocation import worth as answers_worth
    from pareto.inference.best_of.classes import Adaptive, answers_for

    spread = worth.spread(text) if worth else None
    if not isinstance(asked.n, Adaptive):
        return answers_for(text, asked.n), asked.stop_price, spread
    assert worth is not None
    assert spread is not None
    price = asked.stop_price or worth.price(asked.n.mean, asked.n.cap)
    return answers_worth(spread, price, asked.n.cap), price, spread


def candidates_table(best: Best, names: tuple[str, ...]) -> str:
    """All answers with their scores, the best one marked, and what speaks against the others."""
    header = ["", "utility", *names, "tokens", "answer"]
    rows = [
        [
            "●" if i == best.chosen else "",
            f"{c.utility:.2f}",
            *(f"{c.scores[name]:.3f}" if name in c.scores else "–" for name in names),
            str(len(c.token_ids)),
            " ".join([_short(c.text), *(f"[{remark}]" for remark in _remarks(c))]),
        ]
        for i, c in enumerate(best.candidates)
    ]
    widths = [max(len(line[k]) for line in [header, *rows]) for k in range(len(header) - 1)]
    lines = ["  ".join([*map(str.rjust, line, widths), line[-1]]) for line in [header, *rows]]
    return "\n".join(line.rstrip() for line in lines)


def _remarks(candidate: Candidate) -> Iterator[str]:
    if candidate.early:
        yield "given up early"
    if candidate.broken:
        yield printable(candidate.broken)
    yield from map(printable, candidate.failures)


def _short(text: str) -> str:
    line = " ".join(printable(text).split())
    return line if len(line) <= SHOWN else line[: SHOWN - 1] + "…"


def _tell(best: Best, n: str) -> None:
    """What is to be known of an answer, apart from it."""
    answer = best.answer
    made = "kept from an earlier time" if best.cached else f"{best.reason}, {best.tokens} tokens"
    say(f"best of {n}: {made}; utility {answer.utility:.2f}; KL to the policy at most {best.kl:.2f} nats")
    if answer.broken:
        say(f"note: no answer keeps the priorities; the nearest is given ({printable(answer.broken)})")
    failures = Counter(failure for candidate in best.candidates for failure in candidate.failures)
    for failure, count in failures.items():
        what = "no answer is free of it" if failure in answer.failures else f"{count} of {len(best.candidates)} answers"
        say(f"note: reward {printable(failure)} ({what})")


def _document(best: Best) -> dict[str, Any]:
    def told(candidate: Mapping[str, Any]) -> dict[str, Any]:
        left = {k: v for k, v in candidate.items() if k != "token_ids"}
        return {**left, "tokens": len(candidate["token_ids"])}

    document = best.to_json()
    return {**document, "candidates": [told(c) for c in document["candidates"]]}
