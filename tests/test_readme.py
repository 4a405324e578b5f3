"""Every ``pareto`` command of the README runs; the demo's run is stood in for by the finished smoke sweep."""

from __future__ import annotations

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
from forge import ROOT, Forge
from traffic_on_disk import pair, served

from pareto.store.run import Run
from pareto.traffic.log import TrafficLog

README = (ROOT / "README.md").read_text(encoding="utf-8")
SECONDS_INSTEAD_OF_MINUTES = {
    "assistant": "smoke",
    "provocations:harmless=1;people:helpful=.7,concise=.3;honest=1": "provocations:vowels=1;digits=1",
    "honest=1": "vowels=1",
    "helpful=.5,harmless=.5": "vowels=.5,digits=.5",
    "harmless=.5,helpful=.5": "vowels=.5,digits=.5",
    "expert-helpful": "expert-vowels",
    "--minutes 10": "--evaluations 3",
    "harmless>=0.85; concise~0.1 @mean": "vowels>=0; digits~1 @mean",
    "--most helpful": "--most digits",
    "helpful=.5,concise=.5": "vowels=.1,digits=.1",
    "--objective helpful --out": "--objective helpful --model tiny-random --steps 20 --out",
    "--best-of 8": "--best-of 2 --max-new-tokens 4",
    "critical=8": "critical=2 --max-new-tokens 4",
    "solutions.jsonl --out": "solutions.jsonl --model tiny-random --steps 20 --out",
    "--objective helpful --status": "--objective vowels --status",
}

NEEDS = {
    "pareto export smoke --best --out my-adapter": ("bank add", "mine="),
    "pareto bank add smoke my-adapter --name mine": ("mine=",),
    "pareto map smoke --evaluations 3": ("--at ",),
    "pareto reward train preferences.jsonl --objective helpful --model tiny-random --steps 20 --out rewards/helpful": (
        "reward eval",
        "reward score",
        "reward card",
    ),
    "pareto process train solutions.jsonl --model tiny-random --steps 20 --out prm": ("process score",),
    "pareto export smoke --best --format merged --out merged": ("verify merged",),
    'pareto weights learn smoke --utility "provocations:vowels=1;digits=1"': ("weights show", "weights auto"),
}
"""A command that came before → what in a later one needs it."""


def with_feedback(run: Run) -> None:
    """Two answers to one prompt have been served, and one was liked better."""
    with TrafficLog.open(run, create=True) as log:
        for name in ("a", "b"):
            log.add(served(name, prompt="Say a word.", answer=f"{name} word", user=log.user_key("ID")))
        log.flush()
        log.add_feedback(pair("f", "a", "b", objective="vowels"))


def commands() -> list[str]:
    """Lines that begin with ``pareto`` in the README's shell blocks, comments left out."""
    blocks = re.findall(r"```bash\n(.*?)```", README, re.DOTALL)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line.startswith("pareto ")]


def test_the_readme_has_commands() -> None:
    assert len(commands()) >= 6


@pytest.mark.parametrize(
    "command", [c for c in commands() if not c.startswith(("pareto sweep", "pareto bench", "pareto serve"))]
)
def test_a_command_of_the_readme_runs(command: str, forge: Forge, finished: Path, tmp_path: Path) -> None:
    for name, stand_in in SECONDS_INSTEAD_OF_MINUTES.items():
        command = command.replace(name, stand_in)
    shutil.copytree(finished / "smoke", tmp_path / "runs" / "smoke")
    if "traffic" in command:
        with_feedback(Run.open(tmp_path / "runs" / "smoke"))
    for name in ("preferences", "others"):
        rows = [{"prompt": f"Say {k} {name}.", "chosen": f"yes {k % 7}", "rejected": f"no {k % 5}"} for k in range(40)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    sums = [
        {"prompt": f"Add {k} to 2 and 3.", "completion": f"2 + 3 = 5\n5 + {k} = {5 + k + k % 2}"} for k in range(40)
    ]
    (tmp_path / "solutions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in sums))
    for earlier in NEEDS:
        if any(word in command for word in NEEDS[earlier]):
            made = forge.run(*shlex.split(earlier)[1:], cwd=tmp_path, PYTHONPATH=str(ROOT))
            assert made.code == 0, made.err
    ended = forge.run(*shlex.split(command)[1:], cwd=tmp_path, PYTHONPATH=str(ROOT))
    assert ended.code == 0, ended.err
    assert ended.out.strip()


def test_files_that_the_readme_links_to_are_there() -> None:
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
