from __future__ import annotations

from pareto.config import Sampling
from pareto.models import Base
from pareto.training.process.roll_outs import RollOuts


def test_continuations_begin_with_the_prefix_and_repeat(tiny: Base) -> None:
    seen: list[str] = []

    def solved(prompt: str, completion: str) -> bool:
        seen.append(completion)
        return len(seen) % 2 == 1

    roll = RollOuts(tiny, solved, Sampling(max_new_tokens=6, temperature=1.0, top_p=1.0))
    assert roll("How?", "1 + 1 = 2", 4) == [True, False, True, False]
    assert all(text.startswith("1 + 1 = 2") for text in seen)
    assert len(set(seen)) > 1
    first = list(seen)
    seen.clear()
    roll("How?", "1 + 1 = 2", 4)
    assert seen == first
