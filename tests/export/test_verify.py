"""Verification: a foreign runtime that says the same passes, and every way of saying something else is told."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from merging_runs import FREE, TEXTS, point

from pareto.errors import ParetoError
from pareto.export import verify as module
from pareto.export.adapter import export
from pareto.export.bank import export_bank
from pareto.export.ours import fitting, logits, talk
from pareto.export.place import write_sums
from pareto.export.source import exact_policy
from pareto.export.verify import TOKENS, Verdict, verify
from pareto.store.run import Run
from pareto.store.tables import write_prompts


def test_plain_peft_scales_the_adapters_of_a_bank_to_the_policy(run: Run, tmp_path: Path) -> None:
    found = verify(export_bank(run, tmp_path / "out"), tmp_path / "runs")
    assert found.same, found.reason
    assert (found.prompts, found.equal, found.ties) == (len(TEXTS), len(TEXTS), 0)
    assert found.difference < found.tolerance
    assert found.tokens > 2 * len(TEXTS)
    assert "peft" in found.versions


def test_the_merged_model_is_the_base_with_the_update(run: Run, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE, format="merged", dtype="bfloat16")
    policy = exact_policy(run, point(run, "soup-0"))
    a, b = policy.update()
    state = {k: v.clone() for k, v in policy.base.model.state_dict().items()}
    for name in a:
        state[f"{name}.weight"] += policy.bank.scale * b[name] @ a[name]
    stored = load_file(out / "model.safetensors")
    assert json.loads((out / "config.json").read_text())["dtype"] == "bfloat16"
    assert stored.keys() <= state.keys()
    for name, value in stored.items():
        assert value.dtype == torch.bfloat16
        assert torch.allclose(value.float(), state[name], rtol=2.0**-8, atol=1e-6)
    assert str(tmp_path) not in (out / "config.json").read_text()
    sampling, told = run.recipe.sampling, json.loads((out / "generation_config.json").read_text())
    assert told["do_sample"] is True
    for name in ("temperature", "top_p", "top_k"):
        assert told[name] == getattr(sampling, name)


@dataclass
class Foreign:
    """An interpreter that gives answers prepared for it."""

    python: Path
    answers: Path
    said: dict[str, Any]
    scores: list[Any]

    def answer(self) -> None:
        """Put down what it is to say."""
        (self.answers / "said.json").write_text(json.dumps(self.said))
        for i, scores in enumerate(self.scores):
            np.save(self.answers / f"{i}.npy", scores)


@pytest.fixture
def foreign(run: Run, tmp_path: Path) -> Foreign:
    """One that says what ours says, as long as nobody changes it."""
    policy = exact_policy(run, point(run, "soup-0"))
    ours = [talk(policy, text, TOKENS) for text in fitting(policy, TEXTS, TOKENS)]
    (tmp_path / "answers").mkdir()
    python = tmp_path / "python"
    # Called with: -I -c …, whether it is a Python, and -I script job out.
    python.write_text(f'#!/bin/sh\n[ "$2" = -c ] && echo 3 11 || cp {tmp_path / "answers"}/* "$4"\n')
    python.chmod(0o755)
    said = {"versions": {}, "greedy": [list(t.answer) for t in ours], "ids": [list(t.ids) for t in ours]}
    return Foreign(python, tmp_path / "answers", said, [logits(policy, t) for t in ours])


@pytest.fixture
def verified(run: Run, tmp_path: Path, foreign: Foreign) -> Callable[[], Verdict]:
    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE, format="merged")

    def check() -> Verdict:
        foreign.answer()
        return verify(out, tmp_path / "runs", python=str(foreign.python))

    return check


def test_the_same_answers_are_the_same(verified: Callable[[], Verdict]) -> None:
    found = verified()
    assert found.same
    assert found.difference == 0
    assert found.tokens > 0


@pytest.mark.parametrize(
    ("wrong", "says"), [(0.01, "a logit differs by 0.01, allowed are 0.001"), (math.nan, "a logit differs by nan")]
)
def test_a_single_logit_that_is_off_is_told(
    foreign: Foreign, verified: Callable[[], Verdict], wrong: float, says: str
) -> None:
    foreign.scores[1][0, 5] += wrong
    found = verified()
    assert not found.same
    assert found.reason.startswith(says)
    foreign.scores[1][0, 5] = 0


def test_another_greedy_token_is_told_unless_the_two_were_a_tie(
    foreign: Foreign, verified: Callable[[], Verdict]
) -> None:
    scores = foreign.scores[2]
    second = int(np.argsort(scores[0])[-2])
    foreign.said["greedy"][2][0] = second
    assert verified().reason == "prompt 3: its greedy answer differs from ours, and not at a tie"
    gap = float(np.sort(scores[0])[-1] - scores[0, second])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(module.TOLERANCE["transformers"], "float32", gap)
        found = verified()
    assert found.same
    assert (found.equal, found.ties) == (len(TEXTS) - 1, 1)


def test_an_answer_that_stops_early_and_a_tokenizer_that_cuts_otherwise_are_told(
    foreign: Foreign, verified: Callable[[], Verdict]
) -> None:
    foreign.said["greedy"][0].pop()
    assert verified().reason == "prompt 1: its greedy answer differs from ours, and not at a tie"
    foreign.said["ids"][0].append(7)
    assert verified().reason == "prompt 1: its tokenizer makes other tokens of it"


def test_a_changed_file_is_told_before_anything_is_loaded(run: Run, tmp_path: Path) -> None:
    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE)
    with (out / "adapter_model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\x7f")
    found = verify(out, tmp_path / "runs", python="/nowhere")
    assert not found.same
    assert "adapter_model.safetensors is not the file that was exported" in found.reason
    assert math.isnan(found.difference)


def test_what_cannot_be_compared_is_an_error_in_one_line(run: Run, tmp_path: Path) -> None:
    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE)
    root = tmp_path / "runs"
    bare = tmp_path / "bare"
    bare.write_text(
        "#!/bin/sh\n[ $2 = -c ] && echo 3 11 && exit\n"
        "echo \"ModuleNotFoundError: No module named 'peft'\" >&2\nexit 1\n"
    )
    bare.chmod(0o755)
    with pytest.raises(ParetoError, match=r"/nowhere: cannot be run: No such file"):
        verify(out, root, python="/nowhere")
    with pytest.raises(ParetoError, match=r"/bin/ls: is not a Python interpreter; give one such as /"):
        verify(out, root, python="/bin/ls")
    with pytest.raises(ParetoError, match=r"No module named 'peft'; it needs: pip install torch transformers peft"):
        verify(out, root, python=str(bare))
    with pytest.raises(ParetoError, match="no run 'forged'"):
        verify(out, tmp_path, python=sys.executable)
    for changes, says in (
        ({"recipe": "0" * 16}, "made from another recipe than run 'forged' has"),
        ({"base": "0" * 16}, "made from another base model"),
        ({"coefficients": {"expert-kind": 1e9}}, "expert-kind=1e\\+09 is out of range"),
        ({"coefficients": None}, "damaged, it has no coefficients"),
        ({"dtype": "int3"}, "damaged, no dtype 'int3' of peft"),
        ({"format": ["peft"]}, "not of an export that this pareto can verify"),
        ({"format": "bank"}, "manifest.json: no such file"),
        ({"format": "onnx"}, "not of an export that this pareto can verify"),
    ):
        file = out / "pareto.json"
        kept = file.read_text()
        file.write_text(json.dumps(json.loads(kept) | changes))
        (out / "SHA256SUMS").unlink()
        write_sums(out)
        with pytest.raises(ParetoError, match=says):
            verify(out, root)
        file.write_text(kept)
    write_prompts(run.path / "prompts.parquet", [])
    (out / "SHA256SUMS").unlink()
    write_sums(out)
    with pytest.raises(ParetoError, match="run 'forged' has no test prompts"):
        verify(out, root)
