"""One thread answers all, each as if it were alone: against rollouts that are drawn one policy after the other."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from forge import until

from pareto.config import Lora, Sampling
from pareto.errors import ParetoError
from pareto.inference.server.engine import Ask, Busy, Engine, Ticket
from pareto.rollouts.sampling import Drawn, Request, draw
from pareto.soups.bank import Bank
from pareto.training.adapters import shared_a

if TYPE_CHECKING:
    from pareto.models import Base

HALF = "\ufffd"


@pytest.fixture
def bank(tiny: Base) -> Iterator[Bank]:
    """Three adapters as large as the weights."""
    lora = Lora(rank=4, alpha=6)
    bank = Bank(tiny, lora, shared_a(tiny, lora, 3))
    generator = torch.Generator().manual_seed(0)
    for name in ("a", "b", "c"):
        bank.adapters[name] = {
            k: torch.randn(tiny.model.get_submodule(k).out_features, 4, generator=generator) / 10 for k in bank.a
        }
    yield bank
    bank.merge({})


@pytest.fixture
def engine(tiny: Base, bank: Bank) -> Iterator[Engine]:
    engine = Engine(tiny, bank, rows=8, waiting=40)
    yield engine
    engine.close(drain=0)


def ask(base: Base, text: str = "Hi", **of: Any) -> Ask:
    fields = {"coefficients": (), "seeds": (1,), "max_tokens": 12, "temperature": 1.0, "top_p": 1.0, "top_k": 300}
    return Ask(tuple(base.prompt_ids(text)), **(fields | of))


def many(base: Base, n: int, seed: int = 0) -> list[Ask]:
    """Asks that have nothing in common."""
    random = np.random.default_rng(seed)
    return [
        ask(
            base,
            "x" * int(random.integers(1, 250)),
            coefficients=tuple((name, float(random.normal())) for name in "abc" if random.random() < 0.6),
            seeds=tuple(range(k, k + int(random.integers(1, 4)))),
            max_tokens=int(random.integers(1, 40)),
            temperature=0.0 if k % 3 == 0 else float(random.uniform(0.5, 1.5)),
            top_p=float(random.uniform(0.7, 1)),
            top_k=int(random.integers(5, 300)),
        )
        for k in range(n)
    ]


def alone(bank: Bank, ask: Ask) -> list[Drawn]:
    """What the policy draws that has the soup in its weights."""
    greedy = {"temperature": 1.0, "top_k": 1} if ask.temperature == 0 else {}
    way = {"temperature": ask.temperature, "top_p": ask.top_p, "top_k": ask.top_k} | greedy
    sampling = Sampling(max_new_tokens=ask.max_tokens, **way)
    with bank.policy(dict(ask.coefficients)):
        return draw(bank.base, [Request(ask.ids, seed) for seed in ask.seeds], sampling)


def check(bank: Bank, ticket: Ticket) -> None:
    assert ticket.error is None
    for row, drawn in zip(ticket.rows, alone(bank, ticket.ask), strict=True):
        assert tuple(row.tokens) == drawn.token_ids
        assert row.logp == pytest.approx(drawn.logp, abs=1e-3)
        whole = str(bank.base.tokenizer.decode(row.tokens, skip_special_tokens=True))
        assert row.text == whole.rstrip(HALF)
        ended = row.tokens[-1] == bank.base.end_id
        assert row.finish == ("stop" if ended else "length")


def finished(tickets: Sequence[Ticket]) -> bool:
    return all(ticket.wait(60) for ticket in tickets)


def test_answers_in_company_are_those_of_each_policy_alone(tiny: Base, bank: Bank, engine: Engine) -> None:
    first, later = many(tiny, 8), many(tiny, 12, seed=1)
    tickets: list[Ticket] = []

    def more(_: Ticket) -> None:
        # Somebody comes with each token of the first, while it runs.
        if later:
            tickets.append(engine.submit(later.pop()))

    tickets += [engine.submit(first[0], more), *(engine.submit(a) for a in first[1:])]
    until(lambda: not later)
    assert finished(tickets)
    stats = engine.stats()
    engine.close()
    for ticket in tickets:
        check(bank, ticket)
        assert ticket.submitted <= ticket.started <= ticket.first_token <= ticket.ended
    assert len(tickets) == 20
    assert stats.per_row_steps > 0
    assert stats.steps < sum(max(len(row.tokens) for row in t.rows) for t in tickets)
    assert stats.tokens == sum(len(row.tokens) for t in tickets for row in t.rows)
    assert stats.prompt_tokens == sum(len(t.ask.ids) for t in tickets)
    assert (stats.running, stats.waiting) == (0, 0)


def test_who_wants_the_same_runs_merged(tiny: Base, bank: Bank, engine: Engine) -> None:
    told: list[tuple[int, str]] = []
    engine.on_step = lambda rows, way: told.append((rows, way))
    soup = (("a", 0.5), ("b", -0.25))
    tickets = [engine.submit(ask(tiny, "x" * k, coefficients=soup, max_tokens=60)) for k in range(4)]
    assert finished(tickets)
    assert {way for _, way in told} == {"merged"}
    assert max(rows for rows, _ in told) > 1
    assert engine.stats().switches == 1
    assert bank.merged == dict(soup)
    mixed = [engine.submit(ask(tiny, coefficients=(("c", value),), max_tokens=5)) for value in (0.5, 0.7)]
    assert finished(mixed)
    assert "per_row" in {way for _, way in told}
    engine.close()
    for ticket in [*tickets, *mixed]:
        check(bank, ticket)


def test_a_stop_ends_one_answer_and_not_its_neighbours(tiny: Base, bank: Bank, engine: Engine) -> None:
    plain = ask(tiny, seeds=(1, 2, 3), max_tokens=30)
    whole = [str(tiny.tokenizer.decode(d.token_ids, skip_special_tokens=True)) for d in alone(bank, plain)]
    pairs = (whole[0][at : at + 2] for at in range(3, len(whole[0]) - 1))
    stop = next(pair for pair in pairs if pair.isascii() and pair not in "".join(whole[1:]))
    shown: list[str] = []
    ticket = engine.submit(replace(plain, stop=(stop,)), lambda t: shown.append(t.rows[0].text))
    assert ticket.wait(60)
    assert ticket.rows[0].text == whole[0][: whole[0].index(stop)]
    assert ticket.rows[0].finish == "stop"
    assert [row.text for row in ticket.rows[1:]] == [text.rstrip(HALF) for text in whole[1:]]
    assert all(ticket.rows[0].text.startswith(text) for text in shown)
    assert len(ticket.rows[0].tokens) < 30


def test_who_is_cancelled_leaves_at_the_next_step(tiny: Base, bank: Bank, engine: Engine) -> None:
    def leave(ticket: Ticket) -> None:
        if len(ticket.rows[0].tokens) == 5:
            ticket.cancel()

    left = engine.submit(ask(tiny, seeds=(1, 2), max_tokens=300), leave)
    waits = [engine.submit(ask(tiny, seeds=tuple(range(8)), max_tokens=4)) for _ in range(2)]
    waits[1].cancel()
    assert finished([left, *waits])
    assert [row.finish for row in left.rows] == ["cancelled"] * 2
    assert len(left.rows[0].tokens) == 5
    assert left.rows[0].text == str(tiny.tokenizer.decode(left.rows[0].tokens, skip_special_tokens=True)).rstrip(HALF)
    assert [row.finish for row in waits[1].rows] == ["cancelled"] * 8
    assert waits[1].started is None
    check(bank, waits[0])


def test_a_deadline_ends_an_answer_with_what_it_has_said_and_one_that_has_not_begun(tiny: Base, engine: Engine) -> None:
    begun = engine.submit(ask(tiny, seeds=tuple(range(8)), max_tokens=400, deadline=time.monotonic() + 0.5))
    waits = engine.submit(ask(tiny, seeds=tuple(range(8)), deadline=time.monotonic() + 0.1))
    assert finished([begun, waits])
    assert {row.finish for row in begun.rows} <= {"time", "stop"}
    assert 0 < len(begun.rows[0].tokens) < 400
    assert {row.finish for row in waits.rows} == {"time"}
    assert waits.rows[0].text == ""


def test_a_long_prompt_is_read_between_the_others_tokens(tiny: Base, bank: Bank, engine: Engine) -> None:
    events: list[str] = []
    tickets: list[Ticket] = []

    def note(name: str) -> Callable[[Ticket], None]:
        return lambda ticket: events.append(name)

    def first(ticket: Ticket) -> None:
        events.append("speaks")
        if len(ticket.rows[0].tokens) == 3:
            tickets.append(engine.submit(ask(tiny, "y" * 440, coefficients=(("a", 1.0),), max_tokens=3), note("long")))
            tickets.append(engine.submit(ask(tiny, "short", coefficients=(("b", 1.0),), max_tokens=3), note("short")))

    tickets.append(engine.submit(ask(tiny, seeds=(5,), max_tokens=40, temperature=0.0), first))
    until(lambda: len(tickets) == 3)
    assert finished(tickets)
    before = events[3 : events.index("long")]
    assert before.count("speaks") >= 4
    assert "short" in before
    engine.close()
    for ticket in tickets:
        check(bank, ticket)


def test_too_many_are_told_when_to_come_again(tiny: Base, bank: Bank) -> None:
    engine = Engine(tiny, bank, rows=2, waiting=3)
    running = engine.submit(ask(tiny, seeds=(1, 2), max_tokens=400))
    until(lambda: engine.stats().running == 2)
    accepted = [engine.submit(ask(tiny, max_tokens=3)) for _ in range(3)]
    with pytest.raises(Busy, match="3 requests are waiting already") as refused:
        engine.submit(ask(tiny))
    assert 1 <= refused.value.retry_after <= 60
    running.cancel()
    assert finished(accepted)
    for ticket in accepted:
        assert ticket.rows[0].finish in {"length", "stop"}
    engine.close()


@pytest.mark.parametrize(
    ("of", "says"),
    [
        ({"seeds": tuple(range(9))}, "9 answers to one prompt: wanted 1 to 8"),
        ({"seeds": ()}, "0 answers"),
        ({"coefficients": (("z", 1.0),)}, "no adapter 'z'"),
        ({"coefficients": (("a", float("nan")),)}, "finite"),
        ({"max_tokens": 500}, "at most 12 fit"),
    ],
)
def test_what_cannot_be_answered_is_refused_at_once(tiny: Base, engine: Engine, of: dict[str, Any], says: str) -> None:
    with pytest.raises(ParetoError, match=says):
        engine.submit(ask(tiny, **of))
    assert engine.stats().waiting == 0


def test_the_end_finishes_what_was_accepted(tiny: Base, bank: Bank) -> None:
    engine = Engine(tiny, bank, rows=2)
    tickets = [engine.submit(ask(tiny, seeds=(k,))) for k in range(6)]
    engine.close()
    assert all(ticket.done for ticket in tickets)
    for ticket in tickets:
        check(bank, ticket)
    with pytest.raises(Busy, match="ending"):
        engine.submit(ask(tiny))


def test_the_end_waits_no_longer_than_it_is_given(tiny: Base, bank: Bank) -> None:
    engine = Engine(tiny, bank, rows=2)
    tickets = [engine.submit(ask(tiny, max_tokens=450, seeds=(1, 2))) for _ in range(3)]
    begun = time.monotonic()
    engine.close(drain=0.2)
    assert time.monotonic() - begun < 5
    assert {row.finish for ticket in tickets for row in ticket.rows} <= {"cancelled", "stop"}
    assert "cancelled" in {row.finish for row in tickets[-1].rows}


def test_one_whose_text_cannot_be_written_fails_alone(tiny: Base, bank: Bank) -> None:
    asks = [ask(tiny, seeds=(seed, seed + 10), max_tokens=20) for seed in range(4)]
    said = [{t for d in alone(bank, a) for t in d.token_ids} for a in asks]
    poison = (said[1] - said[0] - said[2] - said[3]).pop()

    class Fragile:
        def __getattr__(self, name: str) -> Any:
            return getattr(tiny.tokenizer, name)

        def decode(self, ids: list[int], **options: Any) -> Any:
            if poison in ids:
                raise RuntimeError("two\nlines")
            return tiny.tokenizer.decode(ids, **options)

    fragile: Any = Fragile()
    engine = Engine(replace(tiny, tokenizer=fragile), bank)
    tickets = [engine.submit(a) for a in asks]
    assert finished(tickets)
    engine.close()
    assert tickets[1].error == "RuntimeError: two lines"
    assert {row.finish for row in tickets[1].rows} <= {"error", "stop", "length"}
    assert "error" in {row.finish for row in tickets[1].rows}
    for ticket in (tickets[0], tickets[2], tickets[3]):
        check(bank, ticket)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
@pytest.mark.parametrize("beside", [(), (("b", 0.5),)])
def test_a_policy_whose_numbers_overflow_fails_alone_and_is_blamed(
    tiny: Base, bank: Bank, engine: Engine, temperature: float, beside: Any
) -> None:
    """Whoever draws beside it, and with the weights merged or not, is answered as ever."""
    wild = engine.submit(ask(tiny, coefficients=(("a", 1e38),), seeds=(1, 2), temperature=temperature))
    other = engine.submit(ask(tiny, coefficients=beside, seeds=(3, 4)))
    assert finished([wild, other])
    assert "overflow at these coefficients" in str(wild.error)
    assert wild.blamed
    assert {row.finish for row in wild.rows} == {"error"}
    after = engine.submit(ask(tiny, coefficients=beside, seeds=(5,)))
    assert after.wait(60)
    engine.close()
    check(bank, other)
    check(bank, after)


def test_after_a_step_that_breaks_the_next_are_served(
    tiny: Base, bank: Bank, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(**_: Any) -> None:
        raise MemoryError("no room")

    with monkeypatch.context() as patch:
        patch.setattr(tiny.model, "forward", broken)
        failed = engine.submit(ask(tiny))
        assert failed.wait(60)
    assert failed.error == "MemoryError: no room"
    assert not failed.blamed
    assert failed.rows[0].finish == "error"

    forgotten = engine.submit(ask(tiny, seeds=(-1,)))  # numpy takes no such seed
    assert forgotten.wait(60)
    assert "ValueError" in str(forgotten.error)

    def break_once(rows: int, way: str) -> None:
        engine.on_step = lambda rows, way: None
        raise RuntimeError("in the middle")

    engine.on_step = break_once
    running = engine.submit(ask(tiny))
    assert running.wait(60)
    assert running.error == "RuntimeError: in the middle"
    until(lambda: engine.stats().running == 0)
    again = engine.submit(ask(tiny, seeds=(4,)))
    assert again.wait(60)
    engine.close()
    check(bank, again)


def test_one_who_cannot_be_told_any_more_is_cancelled_and_hurts_nobody(tiny: Base, bank: Bank, engine: Engine) -> None:
    def gone(_: Ticket) -> None:
        raise RuntimeError("the loop has ended")

    left = engine.submit(ask(tiny, max_tokens=300), gone)
    other = engine.submit(ask(tiny, seeds=(2,)))
    assert finished([left, other])
    assert left.rows[0].finish in {"cancelled", "stop"}
    assert len(left.rows[0].tokens) < 10
    engine.close()
    check(bank, other)


def test_many_threads_may_ask_at_once(tiny: Base, bank: Bank, engine: Engine) -> None:
    asks, tickets = many(tiny, 16, seed=7), []

    def come(mine: Sequence[Ask]) -> None:
        tickets.extend([engine.submit(a) for a in mine])

    threads = [threading.Thread(target=come, args=(asks[k::4],)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert finished(tickets)
    engine.close()
    assert len(tickets) == 16
    for ticket in tickets:
        check(bank, ticket)
