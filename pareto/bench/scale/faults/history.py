"""What happened in a fast sweep, line by line, and what it says once the sweep has ended.

Whoever does something notes it at once, in a folder on a disk that is never full: so a history holds what was
acknowledged, also where the study or the artefacts have forgotten it.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from optuna.trial import TrialState

from pareto.store.files import folder_ok
from pareto.store.run import Run
from pareto.store.study import StudyStore

Event = Literal["begun", "ended", "told", "over"]
"""A training began, from a step; came to its end; the study acknowledged a trial; a driver came to its end."""


def note(folder: str | Path, event: Event, **what: Any) -> None:
    """Add a line; of several processes none breaks another's."""
    line = json.dumps({"event": event, **what, "pid": os.getpid(), "at": time.time()})
    with Path(folder, "history.jsonl").open("a") as lines:
        lines.write(line + "\n")


@dataclass(frozen=True)
class History:
    """Of one fast sweep."""

    folder: Path
    """Of the lines."""
    run: Path
    """The sweep's folder."""
    storage: str | None
    """Of its study; ``None``: SQLite."""
    trials: int
    """That it has when it is at its end."""

    def lines(self, *events: Event) -> list[dict[str, Any]]:
        """Those of some kinds, or all, in the order in which they came: ``pid``, ``at`` (seconds since 1970) …"""
        path = self.folder / "history.jsonl"
        found = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return [line for line in found if not events or line["event"] in events]

    def lost(self) -> list[str]:
        """At its end: trials that are not complete, results that the study had acknowledged and artefacts that were
        whole, which are gone or say something else."""
        run = Run.open(self.run)
        with StudyStore(run, self.storage, run.recipe.names) as store:
            trials = store.study.get_trials()
        kept = {t.number: t.values for t in trials if t.state == TrialState.COMPLETE}
        gone = [] if len(kept) == len(trials) == self.trials else [f"{len(kept)} of {len(trials)} trials complete"]
        for line in self.lines("told"):
            if kept.get(line["trial"]) != line["values"]:
                gone.append(f"trial {line['trial']}")
        ended = {line["key"] for line in self.lines("ended")}
        return gone + [key for key in ended if not folder_ok(self.run / "adapters" / key)]

    def twice(self) -> list[str]:
        """Artefacts whose training came to its end more than once."""
        ended = Counter(line["key"] for line in self.lines("ended"))
        return [key for key, times in ended.items() if times > 1]
