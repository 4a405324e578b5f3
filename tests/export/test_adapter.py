"""An export: a folder that needs nothing of ours, with a card that says what it is."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import load_file

from pareto.choice.admission import Admission
from pareto.choice.levels import parse_levels
from pareto.errors import ParetoError
from pareto.export.adapter import export
from pareto.inference.policy import open_policy, weights_point
from pareto.model_sources import resolve
from pareto.records import Point
from pareto.store.points import load_points
from pareto.store.run import Run

if TYPE_CHECKING:
    from pareto.training.adapters import State

PROMPT = "Name a river in Chad."
FREE = Admission((), measured=True, kept=True, reason="", checks=[], confirmation=None)
"""Of a run without priorities."""
# Another interpreter, in which an import of pareto fails.
PLAIN_PEFT = """
import sys
sys.modules["pareto"] = None
import torch
from peft import PeftModel
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

base, adapter, prompt, out = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(adapter)
messages = [{"role": "system", "content": ""}, {"role": "user", "content": prompt}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=False)
model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32), adapter)
with torch.no_grad():
    logits = model.eval()(ids).logits
    bare = model.unload()(ids).logits
assert not [name for name in sys.modules if name.startswith("pareto.")]
save_file({"ids": ids, "logits": logits, "bare": bare}, out)
"""


def point(run: Run, name: str) -> Point:
    return next(p for p in load_points(run) if p.id == name)


def test_plain_peft_without_pareto_gives_the_logits_of_the_policy(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, _ = forged_run
    chosen = point(run, "soup-0")
    out = export(run, chosen, tmp_path / "elsewhere" / "soup", FREE)
    code = [sys.executable, "-I", "-c", PLAIN_PEFT, resolve("tiny-random"), out, PROMPT, tmp_path / "said"]
    done = subprocess.run(code, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    said = load_file(tmp_path / "said")
    policy = open_policy(run, chosen)
    ids = policy.base.prompt_ids(PROMPT)
    assert said["ids"].tolist() == [ids]
    with torch.no_grad():
        base = policy.base.model(torch.tensor([ids])).logits
        list(policy.answer(PROMPT, max_new_tokens=1))  # what chat does
        logits = policy.base.model(torch.tensor([ids])).logits
    assert float((said["bare"] - base).abs().max()) <= 1e-4
    assert float((said["logits"] - base).abs().max()) > 0.1
    assert float((said["logits"] - logits).abs().max()) <= 1e-4


def front_matter(card: str) -> dict[str, Any]:
    _, head, _ = card.split("---\n", 2)
    return dict(YAML(typ="safe").load(head))


def test_the_card_says_what_the_policy_is_and_what_was_measured(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, _ = forged_run
    measured = replace(
        point(run, "soup-0"),
        split="test",
        mean={"kind": 0.5, "short": -1.25},
        se={"kind": 0.1, "short": 0.02},
        gold={"fluency": -2.5},
        kl=0.125,
    )
    out = export(run, measured, tmp_path / "out", FREE)
    card = (out / "README.md").read_text(encoding="utf-8")
    head = front_matter(card)
    assert head["base_model"] == "tiny-random"
    assert head["library_name"] == "peft"
    lines = card.splitlines()
    assert "- weights: kind 0.7, short 0.3" in lines
    assert "- coefficients: expert-kind 0.5, expert-short -0.25" in lines
    assert any(run.recipe_hash in line and "seed 4" in line for line in lines)
    assert "Measured on the test prompts" in card
    assert "| kind | 0.500 | 0.304 to 0.696 |" in lines
    assert "| short | -1.250 | -1.289 to -1.211 |" in lines
    assert "| fluency | -2.500 |" in lines
    assert "| KL to the base (nats per token) | 0.125 |" in lines
    made_from = json.loads((out / "pareto.json").read_text())
    assert made_from["run"] == "forged"
    assert made_from["recipe"] == run.recipe_hash
    assert made_from["point"] == "soup-0"
    assert made_from["coefficients"] == {"expert-kind": 0.5, "expert-short": -0.25}


def test_a_number_that_is_missing_is_not_a_number_in_the_card(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, _ = forged_run
    nan = {"kind": 0.5, "short": math.nan}
    gone = replace(point(run, "soup-0"), mean=nan, se=nan)
    card = (export(run, gone, tmp_path / "out", FREE) / "README.md").read_text(encoding="utf-8")
    assert "| short | nan | nan to nan |" in card.splitlines()


def test_a_mixture_that_was_not_measured_is_exported_and_says_so(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, b = forged_run
    out = export(run, weights_point(run, (0.8, 0.2)), tmp_path / "out", FREE)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Not measured" in card
    assert "Measured on" not in card
    for key, value in load_file(out / "adapter_model.safetensors").items():
        if ".lora_B." in key:
            name = key.removeprefix("base_model.model.").removesuffix(".lora_B.weight")
            assert torch.allclose(value, b["expert-kind"][name] + 0.25 * b["expert-short"][name], atol=1e-6)


BROKEN = Admission(
    parse_levels("kind>=0.9", ("kind", "short")), True, False, "kind: 0.50, at least 0.9 wanted",
    [{"text": "kind: 0.50, at least 0.9 wanted"}], None,
)  # fmt: skip


def test_a_policy_that_breaks_a_priority_is_exported_only_by_force_and_its_card_says_so(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, _ = forged_run
    with pytest.raises(ParetoError, match=r"soup-0 is out of reach: kind: 0.50, at least 0.9 wanted; .* or --force"):
        export(run, point(run, "soup-0"), tmp_path / "out", BROKEN)
    assert not (tmp_path / "out").exists()
    out = export(run, point(run, "soup-0"), tmp_path / "out", BROKEN, force=True)
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "Priorities: `kind>=0.9`" in card
    assert "**Not kept; exported by force.** kind: 0.50, at least 0.9 wanted" in card
    made_from = json.loads((out / "pareto.json").read_text())
    assert made_from["forced"] is True
    assert made_from["admission"]["priorities"] == "kind>=0.9"


def test_without_force_the_card_says_that_the_priorities_are_kept(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, _ = forged_run
    card = (export(run, point(run, "soup-0"), tmp_path / "out", replace(BROKEN, kept=True)) / "README.md").read_text()
    assert "Kept on the validation prompts" in card
    assert "force" not in card


def test_a_folder_that_is_there_is_not_touched(forged_run: tuple[Run, dict[str, State]], tmp_path: Path) -> None:
    run, _ = forged_run
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "mine.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(ParetoError, match=r"taken is there already; give a folder that is not"):
            export(run, point(run, "soup-0"), taken, FREE, overwrite=overwrite)
    assert [p.name for p in tmp_path.iterdir() if p.name != "runs"] == ["taken"]
    assert (taken / "mine.txt").read_text() == "mine"


def test_an_earlier_export_is_replaced_only_when_asked(
    forged_run: tuple[Run, dict[str, State]], tmp_path: Path
) -> None:
    run, _ = forged_run
    out = export(run, point(run, "soup-0"), tmp_path / "out", FREE)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(ParetoError, match=r"out is there already; --overwrite replaces an earlier export"):
        export(run, point(run, "expert-kind"), out, FREE)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before
    export(run, point(run, "expert-kind"), out, FREE, overwrite=True)
    assert json.loads((out / "pareto.json").read_text())["point"] == "expert-kind"
    assert {p.name for p in tmp_path.iterdir()} == {"out", "runs"}


def test_the_base_has_no_adapter_to_export(forged_run: tuple[Run, dict[str, State]], tmp_path: Path) -> None:
    run, _ = forged_run
    with pytest.raises(ParetoError, match=r"point 'base' is the base model: there is no adapter to export"):
        export(run, point(run, "base"), tmp_path / "out", FREE)
    assert not (tmp_path / "out").exists()
