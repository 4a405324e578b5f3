"""Whether an export, loaded by the runtime that it is for, computes what our policy computes.

The runtime is given the tokens of prompts and of our greedy answers, and gives back its logits before each of those
tokens and its own greedy answers. Ours are in float32 on the CPU. Where a greedy answer leaves ours, the two tokens
may only have been a tie: closer, in our logits, than twice what the dtype is allowed to be off.
"""

from __future__ import annotations

import math
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pareto.errors import ParetoError
from pareto.export.adapter import ADAPTER_GGUF, MODEL_GGUF
from pareto.export.gguf_model import write_model
from pareto.export.ours import Floats, Talk, fitting, logits, talk
from pareto.export.place import check_sums
from pareto.export.runtime import Load, Runtime, Said, ask, check_python
from pareto.export.source import exact_policy
from pareto.inference.policy import Policy
from pareto.soups.members import soup_point
from pareto.store.files import read_json
from pareto.store.run import Run
from pareto.store.tables import read_prompts

TOKENS = 24
"""Longest greedy answer that is compared."""
RUNTIME: dict[str, Runtime] = {
    "peft": "peft",
    "bank": "peft",
    "merged": "transformers",
    "gguf": "llama.cpp",
    "gguf-lora": "llama.cpp",
}
TOLERANCE = {
    "transformers": {"float32": 1e-3, "float16": 0.2, "bfloat16": 1.0},
    "peft": {"float32": 1e-3},
    "llama.cpp": {"float32": 5e-3, "float16": 0.2, "bfloat16": 1.0},
}
"""Runtime and dtype of the weights → how far a logit may be from ours: two to three times what rounding costs the
demo's model, and more in float32, where only the order of sums differs."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Verdict:
    """What a verification found."""

    format: str
    dtype: str
    """Of the exported weights."""
    runtime: str
    tolerance: float
    """Of a logit."""
    same: bool
    reason: str
    """Why not, in one line; empty where it is the same."""
    versions: dict[str, str]
    """Of the runtime's packages."""
    prompts: int = 0
    """Compared."""
    equal: int = 0
    """Of them with the same greedy answer."""
    ties: int = 0
    """Of them those whose answer leaves ours at a tie."""
    tokens: int = 0
    """Of our greedy answers."""
    difference: float = math.nan
    """Largest absolute difference of two logits, over all tokens of the vocabulary; NaN: nothing was compared."""

    def to_json(self) -> dict[str, Any]:
        """For ``--json``."""
        return asdict(self)


def verify(
    folder: Path,
    root: Path,
    *,
    run: str | None = None,
    python: str = sys.executable,
    prompts: int = 20,
    progress: Progress = lambda what, done, total: None,
) -> Verdict:
    """Check an export's hashes, load it in its runtime, compare.

    Args:
        folder: of the export.
        root: folder of the runs.
        run: the one that it was made from, where that has another name by now.
        python: the interpreter that has the runtime's packages.
        prompts: how many of the run's test prompts.
        progress: called with what is being done, how far it is and how much there is.

    Raises:
        ParetoError: no export; no interpreter; the run is not there or is another; the runtime cannot load the export.
    """
    wrong = check_sums(folder)
    if wrong and wrong[0].startswith("pareto.json"):
        raise ParetoError(f"{folder}: {wrong[0]}")
    about = _about(folder)
    runtime = RUNTIME[about["format"]]
    head = (about["format"], about["dtype"], runtime, TOLERANCE[runtime][about["dtype"]])
    if wrong:
        return Verdict(*head, False, wrong[0], {})
    check_python(python)
    opened = Run.open(run or about["run"], root)
    policy = _policy(opened, folder, about)
    rows = [p.text for p in read_prompts(opened.path / "prompts.parquet") if p.split == "test"]
    rows = fitting(policy, rows, TOKENS)[:prompts]
    if not rows:
        raise ParetoError(
            f"run '{opened.name}' has no test prompts of a length that can be answered; nothing to compare"
        )
    ours = []
    for i, row in enumerate(rows):
        progress("our answers", i, len(rows))
        ours.append(talk(policy, row, TOKENS))
    progress("our answers", len(rows), len(rows))
    with tempfile.TemporaryDirectory() as scratch:
        load = _load(folder, about, policy, runtime, Path(scratch))
        said = ask(load, ours, end=policy.base.end_id, tokens=TOKENS, python=python, scratch=Path(scratch))
        return _compared(head, policy, ours, said, progress)


def _about(folder: Path) -> dict[str, Any]:
    """What the export's ``pareto.json`` says."""
    about = read_json(folder / "pareto.json")
    if not isinstance(about, dict) or not isinstance(about.get("run"), str) or str(about.get("format")) not in RUNTIME:
        raise ParetoError(f"{folder / 'pareto.json'}: not of an export that this pareto can verify; export it again")
    if str(about.get("dtype")) not in TOLERANCE[RUNTIME[about["format"]]]:
        raise ParetoError(f"{folder / 'pareto.json'}: damaged, no dtype {about.get('dtype')!r} of {about['format']}")
    return about


def _policy(run: Run, folder: Path, about: dict[str, Any]) -> Policy:
    """Ours, of the coefficients that the export has."""
    if about.get("recipe") != run.recipe_hash:
        raise ParetoError(f"{folder}: made from another recipe than run '{run.name}' has; give --run or --root")
    found = about.get("coefficients") if about["format"] != "bank" else _of_bank(folder)
    if not isinstance(found, dict):
        raise ParetoError(f"{folder / 'pareto.json'}: damaged, it has no coefficients")
    policy = exact_policy(run, soup_point(run, found))
    if policy.base.fingerprint != about.get("base"):
        raise ParetoError(
            f"{folder}: made from another base model (hash {about.get('base')}) than {policy.base.name} is now "
            f"(hash {policy.base.fingerprint})"
        )
    return policy


def _of_bank(folder: Path) -> Any:
    """Of a bank's mixtures the one of most adapters."""
    found = read_json(folder / "manifest.json")
    try:
        places = [*found["points"].values(), *found["lattice"]["places"]]
        return max((place["coefficients"] for place in places), key=len)
    except (KeyError, TypeError, ValueError, AttributeError):
        raise ParetoError(f"{folder / 'manifest.json'}: damaged; export the bank again") from None


def _load(folder: Path, about: dict[str, Any], policy: Policy, runtime: Runtime, scratch: Path) -> Load:
    if about["format"] == "merged":
        return Load(runtime, folder, folder)
    if about["format"] == "gguf":
        return Load(runtime, folder / MODEL_GGUF, folder)
    if about["format"] == "peft":
        return Load(runtime, policy.base.path, folder, ((folder, 1.0),))
    if about["format"] == "bank":
        adapters = read_json(folder / "manifest.json")["adapters"]
        parts = tuple((folder / adapters[name]["folder"], value) for name, value in policy.coefficients.items())
        return Load(runtime, policy.base.path, folder, parts)
    with policy.bank.policy({}):
        write_model(scratch / "base.gguf", policy.base, "float32", policy.base.name, None)
    return Load(runtime, scratch / "base.gguf", folder, ((folder / ADAPTER_GGUF, 1.0),))


def _compared(
    head: tuple[str, str, Runtime, float], policy: Policy, ours: Sequence[Talk], said: Said, progress: Progress
) -> Verdict:
    tolerance, wrong = head[-1], []
    equal = ties = 0
    difference = 0.0
    for i, our in enumerate(ours):
        progress("comparing", i, len(ours))
        mine = logits(policy, our)
        theirs = said.logits(i)[:, : mine.shape[1]]
        difference = float(np.maximum(difference, np.abs(mine - theirs).max()))
        if tuple(said.ids[i]) != our.ids:
            wrong.append(f"prompt {i + 1}: its tokenizer makes other tokens of it")
        if tuple(said.greedy[i]) == our.answer:
            equal += 1
        elif _tied(mine, our.answer, said.greedy[i], 2 * tolerance):
            ties += 1
        else:
            wrong.append(f"prompt {i + 1}: its greedy answer differs from ours, and not at a tie")
    progress("comparing", len(ours), len(ours))
    if not difference <= tolerance:  # also where it is not a number
        wrong.insert(0, f"a logit differs by {difference:.3g}, allowed are {tolerance:g} in {head[1]}")
    reason, tokens = wrong[0] if wrong else "", sum(len(our.answer) for our in ours)
    return Verdict(*head, not wrong, reason, said.versions, len(ours), equal, ties, tokens, difference)


def _tied(mine: Floats, answer: Sequence[int], other: Sequence[int], margin: float) -> bool:
    """Whether our logits of the two tokens at which the answers part are as good as equal."""
    t = next((t for t, (x, y) in enumerate(zip(answer, other, strict=False)) if x != y), None)
    return t is not None and bool(mine[t, answer[t]] - mine[t, other[t]] <= margin)
