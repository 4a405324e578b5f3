"""The sweep as a whole: every family of drivers, damaged artefacts, a full disk, rewards that fail."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import optuna
import pytest
from forge import finished_work, outcome, smoke_recipe
from hypothesis import given
from hypothesis import strategies as st

from pareto.soups.weights import soup_of, unexplored
from pareto.store.points import load_points
from pareto.store.run import Run
from pareto.store.tables import read_prompts, read_scores

SMOKE = "sweeps/smoke.yaml"
QUICK = {"steps": 2, "steps_from_soup": 1}
FAMILIES = {
    "optuna": {
        "driver": {
            "family": "optuna",
            "method": "TPESampler",
            "trials": 5,
            "search": {"learning_rate": [1e-3, 1e-2], "rank": [2, 4]},
        },
        "priorities": [
            {"objective": "digits", "at_least": 0.9, "confidence": None},
            {"objective": "vowels", "at_least": -1},
        ],
    },
    "pymoo": {"driver": {"family": "pymoo", "method": "NSGA3", "trials": 5}},
}


@pytest.fixture(scope="module")
def swept(forge, finished, tmp_path_factory) -> dict[str, Path]:
    """Family of drivers → the folder of a finished sweep; the lattice's is the smoke sweep itself."""
    root = tmp_path_factory.mktemp("families")
    under_way = {
        family: forge.start("sweep", smoke_recipe(root, name=family, training=QUICK, **changes), "--root", root)
        for family, changes in FAMILIES.items()
    }
    for command in under_way.values():
        ended = command.wait()
        assert ended.code == 0, ended.err
    return {"lattice": finished / "smoke"} | {family: root / family for family in FAMILIES}


@pytest.mark.parametrize("family", ["lattice", *FAMILIES])
def test_every_family_of_drivers_completes_the_sweep(swept, family):
    run = Run.open(swept[family])
    document = json.loads((run.path / "front.json").read_text())
    points = {(p.id, p.split): p for p in load_points(run)}
    trials = optuna.load_study(study_name=run.name, storage=f"sqlite:///{run.path}/study.db").trials
    assert [t.state.name for t in trials] == ["COMPLETE"] * run.recipe.driver.trials
    assert [t.user_attrs["kind"] for t in trials[:2]] == ["expert"] * 2
    assert {t.user_attrs["proposed_by"] for t in trials} == {f"{family}/{run.recipe.driver.method}"}
    for t in trials:
        name = f"expert-{max(t.user_attrs['weights'], key=t.user_attrs['weights'].get)}" if t.number < 2 else None
        point = points[name or f"trial-{t.number}", "validation"]
        assert point.trial == t.number
        assert point.weights == t.user_attrs["weights"]
        (adapter,) = point.adapters.values()
        made_from = json.loads((run.adapters / adapter / "pareto.json").read_text())
        assert made_from["weights"] == pytest.approx(point.weights)
        assert made_from["settings"] == pytest.approx({k: v for k, v in t.params.items() if "stick" not in k})
    assert {"base", "expert-vowels", "expert-digits", "soup-0"} <= {row["id"] for row in document["points"]}
    assert any(row["on_front"] for row in document["points"])
    assert len(list(run.adapters.iterdir())) == len({p.adapters[p.id] for p in points.values() if p.trial is not None})


@pytest.mark.parametrize("family", ["lattice", *FAMILIES])
def test_optuna_dashboard_lists_the_trials_of_a_run(swept, family):
    from optuna_dashboard._inmemory_cache import InMemoryCache
    from optuna_dashboard._storage import get_studies, get_trials

    run = Run.open(swept[family])
    storage = optuna.storages.RDBStorage(f"sqlite:///{run.path}/study.db")
    (summary,) = get_studies(storage)
    assert summary.study_name == run.name
    listed = get_trials(InMemoryCache(), storage, summary._study_id)
    assert [t.state.name for t in listed] == ["COMPLETE"] * run.recipe.driver.trials
    assert all(len(t.values) == 2 and set(t.user_attrs["weights"]) == {"vowels", "digits"} for t in listed)


def test_what_the_study_is_told_is_what_was_measured(swept):
    """Values in base deviations; a broken priority as its shortfall, a kept one as 0."""
    run = Run.open(swept["optuna"])
    points = {p.trial: p for p in load_points(run) if p.split == "validation" and p.trial is not None}
    base = next(p for p in load_points(run) if (p.id, p.split) == ("base", "validation"))
    table = read_scores(run.scores / f"{base.scores}.parquet").columns
    deviations = {k: np.std(table[k].reshape(-1, 2).mean(axis=1), ddof=1) for k in run.recipe.names}
    for t in optuna.load_study(study_name=run.name, storage=f"sqlite:///{run.path}/study.db").trials:
        mean = points[t.number].mean
        assert t.values == pytest.approx([(mean[k] - base.mean[k]) / deviations[k] for k in run.recipe.names])
        assert t.user_attrs["violations"] == pytest.approx([(0.9 - mean["digits"]) / deviations["digits"], 0])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)


DAMAGE = {
    "adapters/*/adapter_model.safetensors": flip,
    "adapters/*/adapter_config.json": Path.unlink,
    "scores/*.parquet": flip,
    "rollouts/*.parquet": flip,
    "rollouts/*/*.parquet": lambda path: path.write_bytes(path.read_bytes()[:1000]),
    "points/*.json": lambda path: path.write_text("{"),
    "frame.json": flip,
    "prompts.parquet": flip,
}


def test_whatever_is_damaged_is_found_and_made_again_the_same(forge, finished, tmp_path):
    root = tmp_path / "copy"
    shutil.copytree(finished, root)
    before = outcome(root)
    broken = {sorted((root / "smoke").glob(pattern))[0]: damage for pattern, damage in DAMAGE.items()}
    whole = {path: path.read_bytes() for path in broken}
    # The adapter whose weights flip and the one that loses its configuration are two.
    other = sorted((root / "smoke").glob("adapters/*/adapter_config.json"))[1]
    broken[other] = broken.pop(sorted((root / "smoke").glob("adapters/*/adapter_config.json"))[0])
    whole[other] = other.read_bytes()
    work = finished_work(root)
    for path, damage in broken.items():
        damage(path)
        assert not path.exists() or path.read_bytes() != whole[path]
    assert forge.run("sweep", SMOKE, "--root", root, "--json").json()["trials"] == 4
    assert {path: path.read_bytes() for path in whole} == whole
    assert outcome(root) == before
    # A table of scores is made together with its rollouts, an adapter as a whole folder; nothing else is touched.
    again = {name for name, seen in finished_work(root).items() if work[name] != seen}
    touched = {path.parent.name for path in broken} | {path.name for path in broken}
    assert again
    assert all(Path(name).name in touched or Path(name).parent.name in touched for name in again)
    assert len(again) <= 2 + 2 * 2 + 1


def test_a_run_of_a_newer_version_is_refused_and_left_alone(forge, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    info = tmp_path / "copy" / "smoke" / "run.json"
    info.write_text(json.dumps(json.loads(info.read_text()) | {"schema": 99, "version": "9.9"}))
    work = finished_work(tmp_path / "copy")
    for words in (("sweep", SMOKE), ("front", "smoke"), ("chat", "smoke", "hello")):
        assert "written by pareto 9.9" in forge.run(*words, "--root", tmp_path / "copy").line()
    assert finished_work(tmp_path / "copy") == work


def test_a_changed_recipe_needs_another_name(forge, finished, tmp_path):
    recipe = smoke_recipe(tmp_path, training={"steps": 13}, seed=4)
    said = forge.run("sweep", recipe, "--root", finished).line()
    assert "made by another recipe (different: seed, training)" in said


def test_a_recipe_that_fails_before_anything_is_made_does_not_keep_its_name(forge, finished, tmp_path):
    recipe = smoke_recipe(tmp_path, driver={"method": "hexagons"})
    assert "hexagons" in forge.run("sweep", recipe, "--root", tmp_path / "runs", "--json").line()
    assert not (tmp_path / "runs" / "smoke").exists()
    # One that was there before keeps all that it has.
    shutil.copytree(finished, tmp_path / "copy")
    work = finished_work(tmp_path / "copy")
    assert "another recipe" in forge.run("sweep", recipe, "--root", tmp_path / "copy").line()
    assert finished_work(tmp_path / "copy") == work


def test_a_full_disk_stops_with_one_line_and_the_same_command_finishes_later(forge, finished, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()

    def give(kibibytes: int, how: str = "remount,") -> bool:
        mount = ["mount", "-t", "tmpfs", "-o", f"{how}size={kibibytes}k", "tmpfs", str(disk)]
        return subprocess.run(mount, check=False, capture_output=True).returncode == 0

    if not give(12, how=""):
        pytest.skip("only root can mount a small disk; tests/store/test_files.py has one that is simulated")
    try:
        stops = set()
        for kibibytes in (12, 60, 180, 260, 300, 350, 400, 460):
            give(kibibytes)
            ended = forge.run("sweep", SMOKE, "--root", disk, "--json")
            if ended.code == 0:
                break  # how much a run needs depends on the file system
            assert "disk is full" in ended.line()
            stops.add(len(finished_work(disk)))
        assert len(stops) >= 4, "it stopped at the same place again and again"
        give(16384)
        assert forge.run("sweep", SMOKE, "--root", disk, "--json").json()["trials"] == 4
        assert outcome(disk) == outcome(finished)
        events = [json.loads(line) for line in (disk / "smoke" / "log.jsonl").read_text().splitlines()]
        assert "trial failed" not in {e["event"] for e in events}
    finally:
        subprocess.run(["umount", str(disk)], check=True)


MOODY = """
def moody(prompts, completions, completion_ids, mood, **columns):
    scores = [len(c) / 100 for c in completions]
    poisoned = ["poison" in p for p in prompts]
    if mood == "nan":
        return [float("nan") if bad else s for s, bad in zip(scores, poisoned)]
    if mood == "short":
        return [s for s, bad in zip(scores, poisoned) if not bad]
    if mood == "raises" and any(poisoned):
        raise ValueError("cannot\\nread this")
    if mood == "wild":
        return [7.0 if bad else s for s, bad in zip(scores, poisoned)]
    if mood == "broken":
        raise ZeroDivisionError("always")
    return scores
"""


def moody_recipe(folder: Path, mood: str) -> Path:
    (folder / "rewards_of_mine.py").write_text(MOODY)
    texts = [f"{'poison' if k % 3 == 0 else 'water'} number {k * 7919}" for k in range(30)]
    (folder / "prompts.jsonl").write_text("".join(json.dumps({"prompt": t}) + "\n" for t in texts))
    moody = {"name": "moody", "reward": "rewards_of_mine:moody", "options": {"mood": mood}, "range": [0, 1]}
    return smoke_recipe(
        folder,
        name=mood,
        prompts={"sources": [{"file": "prompts.jsonl"}], "near_duplicates": 1.0},
        objectives=[{"name": "vowels", "reward": "sweeps.rewards:vowels"}, moody],
        sampling={"max_new_tokens": 8},
        training={"steps": 1},
        driver={"trials": 2},
        soups={"count": 0},
        gold=[],
    )


@pytest.mark.parametrize(
    ("mood", "reason"),
    [
        ("nan", "returned nan"),
        ("short", "returned 0 values for 1 rows"),
        ("raises", "raised ValueError: cannot read this"),
        ("wild", "returned 7, outside its range 0 to 1"),
    ],
)
def test_a_row_that_a_reward_fails_on_is_reported_and_masked_and_the_run_goes_on(forge, tmp_path, mood, reason):
    ended = forge.run("sweep", moody_recipe(tmp_path, mood), "--json", cwd=tmp_path)
    assert ended.json()["trials"] == 2
    lines = ended.err.splitlines()
    assert lines
    assert all(line.startswith(f"reward moody {reason} (row ") and line.endswith("the row is masked") for line in lines)
    run = Run.open(mood, tmp_path / "runs")
    events = [json.loads(line) for line in run.log_path.read_text().splitlines()]
    failed = [e for e in events if e["event"] == "reward failed"]
    assert len(failed) == len(lines)
    assert {(e["objective"], e["reason"]) for e in failed} == {("moody", reason)}
    poisoned = {p.id: "poison" in p.text for p in read_prompts(run.path / "prompts.parquet")}
    tables = list(run.scores.glob("*.parquet"))
    assert len(tables) >= 7  # the pool; base and two experts on two splits
    for table in tables:
        scores = read_scores(table)
        assert np.isnan(scores.columns["moody"]).tolist() == [poisoned[p] for p in scores.prompt_ids]
        assert not np.isnan(scores.columns["vowels"]).any()
    splits = {
        s: [p for p in read_prompts(run.path / "prompts.parquet") if p.split == s] for s in ("validation", "test")
    }
    for point in load_points(run):
        assert point.n["moody"] == sum(not poisoned[p.id] for p in splits[point.split])


def test_a_reward_that_fails_everywhere_stops_the_run_with_one_line(forge, tmp_path):
    said = forge.run("sweep", moody_recipe(tmp_path, "broken"), "--json", cwd=tmp_path).line()
    assert said == "reward 'moody' fails on every row: raised ZeroDivisionError: always"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"driver": {"trials": 1}}, "driver.trials: 1 is too few; 2 objectives need at least 2"),
        ({"driver": {"method": "das-denis"}}, "did you mean 'das-dennis'?"),
        ({"driver": {"options": {"n_partition": 3}}}, "did you mean 'n_partitions'?"),
        ({"training": {"lora": {"layers": 3}}}, "training.lora.layers: 3 is more than the 2 layers of tiny-random"),
        ({"training": {"lora": {"target_modules": ["attn"]}}}, "tiny-random has no module named attn"),
        ({"model": {"base": "tiny-randon"}}, "did you mean 'tiny-random'?"),
        ({"gold": ["fluency", "sentimnt"]}, "did you mean 'sentiment'?"),
        ({"prompts": {"max_tokens": 16}}, "tokens long and at most 16 fit"),
        ({"sampling": {"max_new_tokens": 500}}, "at most 12 fit (prompts.max_tokens 256, context 512, 500 for the"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_stops_with_one_line(forge, tmp_path, changes, says):
    assert says in forge.run("sweep", smoke_recipe(tmp_path, **changes), "--root", tmp_path, "--json").line()


def test_a_soup_keeps_the_proportions_and_the_full_size_of_its_largest_part():
    experts = {"a": "expert-a", "b": "expert-b", "c": "expert-c"}
    assert soup_of({"a": 0.5, "b": 0.25, "c": 0.25}, experts, 1.0) == {"expert-a": 1, "expert-b": 0.5, "expert-c": 0.5}
    assert soup_of({"a": 0.2, "b": 0.8, "c": 0.0}, experts, 1.5) == pytest.approx({"expert-a": 0.375, "expert-b": 1.5})
    # An expert that could not be trained is left out.
    assert soup_of({"a": 0.5, "b": 0.5}, {"b": "expert-b"}, 1.0) == {"expert-b": 1}
    assert soup_of({"a": 1.0, "b": 0.0}, {"b": "expert-b"}, 1.0) == {}


@given(st.integers(2, 4), st.integers(0, 8), st.data())
def test_unexplored_weights_are_new_and_far_from_what_was_tried(m, count, data):
    cell = st.lists(st.integers(0, 9), min_size=m, max_size=m).filter(any)
    tried = [tuple(x / sum(cut) for x in cut) for cut in data.draw(st.lists(cell, max_size=6))]
    found = unexplored(m, tried, count)
    assert len(found) == len(set(found)) <= count
    for k, w in enumerate(found):
        assert sum(w) == pytest.approx(1)
        before = [np.linalg.norm(np.subtract(w, t)) for t in [*tried, *found[:k]]]
        assert not before or min(before) > 1e-9
    if count and tried:
        # No point of the lattice of quarters is farther from all that was tried than the first.
        quarters = [np.array(c) / 4 for c in np.ndindex(*(5,) * m) if sum(c) == 4]
        farthest = max(min(np.linalg.norm(q - np.array(t)) for t in tried) for q in quarters)
        first = min((np.linalg.norm(np.subtract(found[0], t)) for t in tried), default=0) if found else 0
        assert first == pytest.approx(farthest, abs=1e-8)
