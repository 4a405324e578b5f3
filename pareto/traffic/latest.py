"""Who changes their mind counts once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pareto.traffic.records import Feedback


def latest(said: Sequence[Feedback], asked_by: Mapping[str, str]) -> list[Feedback]:
    """Of what the same user says of the same answers by the same objective, only the last; all where no user is known.

    Args:
        said: in the order of time.
        asked_by: id of a request → its user, who is taken to have spoken where feedback names none.
    """
    kept: dict[tuple[str, ...], Feedback] = {}
    for f in said:
        user = f.user or asked_by.get(f.served, "")
        # Two answers are the same two, whichever was better before.
        kept[(f.kind, user, f.objective, *sorted((f.served, f.other))) if user else (f.id,)] = f
    return list(kept.values())
