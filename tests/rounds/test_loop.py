"""Whole rounds on the tiny random model, in processes that are killed, stopped for people, and started again."""

from __future__ import annotations

import json
import shutil
import signal
from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from forge import Forge, near, smoke_recipe, until
from judges import judge_server

from pareto.frontier import frontier
from pareto.records import Label
from pareto.rounds.store import Rounds
from pareto.store.files import sha256_file
from pareto.store.leases import FileLeases

pytestmark = pytest.mark.slow
TIMES = ("started", "finished", "seconds")


def recipe_file(folder: Path, **rounds: Any) -> Path:
    """Two quick rounds."""
    labels = {"budget": 40, "noise": 0.1, "choose": "disagreement", **rounds.pop("labels", {})}
    ensemble = {"members": 2, "steps": 40}
    section = {"count": 2, "prompts": 20, "policies": 2, "stop_early": False, "labels": labels, "ensemble": ensemble}
    return smoke_recipe(
        folder,
        name="trial",
        driver={"trials": 2},
        soups={"count": 1},
        training={"steps": 3},
        evaluation={"bootstrap": 100},
        rounds=section | rounds,
    )


def series(root: Path) -> Rounds:
    return Rounds.open("trial", root)


def labels_of(root: Path) -> list[tuple[Any, ...]]:
    return sorted((*x.key, x.round, x.answer, x.id) for x in series(root).queue.labels)


def made(root: Path) -> dict[str, str]:
    """Every adapter's bytes."""
    found = root.glob("trial-round-*/adapters/*/adapter_model.safetensors")
    return {str(p.relative_to(root)): sha256_file(p) for p in found}


def without_times(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in record.items() if k not in TIMES} for record in records]


def rounded(value: Any) -> Any:
    """Plain data, its numbers to five digits: features that are made again come in batches of other sizes."""
    return json.loads(json.dumps(value), parse_float=lambda x: float(f"{float(x):.5g}"))


@pytest.fixture(scope="module")
def done(forge: Forge, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with both rounds finished, undisturbed."""
    root = tmp_path_factory.mktemp("rounds")
    told = forge.run("rounds", recipe_file(root), "--root", root, "--json")
    assert len(told.json()["rounds"]) == 2
    return root


def test_every_round_is_a_run_and_a_record_of_what_went_in(done):
    first, second = series(done).records
    assert first["gain"] is None
    assert second["gain"] is not None
    assert second["gain_in_all"] == second["gain"]
    assert first["went_in"]["policies"] == ["base"]
    assert set(second["went_in"]["policies"]) & {"expert-vowels", "expert-digits", "soup-0"}
    assert second["went_in"]["labels"] == {"vowels": 40, "digits": 40}
    assert second["went_in"]["labels_total"] == {"vowels": 80, "digits": 80}
    for record in (first, second):
        front = frontier(series(done).run(record["round"]))
        assert {p["id"] for p in record["front"]} == {p.id for p in front.test}
        assert record["review"] == sum(item.round == record["round"] for item in series(done).review.items)
        assert (series(done).path / record["rewards"]["vowels"]["folder"] / "ensemble.json").is_file()
    assert (series(done).path / "report.html").is_file()


def test_nothing_is_asked_twice_and_every_label_is_the_gold_rewards_or_noise(done):
    asked = Counter(q.key for q in series(done).queue.questions)
    assert set(asked.values()) == {1}
    wrong = []
    for x in series(done).queue.labels:
        wanted = "aeiouAEIOU" if x.objective == "vowels" else "0123456789"
        first, second = (sum(c in wanted for c in text) / len(text) for text in (x.first, x.second))
        wrong.append(x.answer != ("tie" if first == second else "first" if first > second else "second"))
    assert 0 < sum(wrong) < 0.25 * len(wrong)


def test_gold_gains_are_those_of_the_objectives_own_rewards(done):
    from pareto.store.points import load_points
    from pareto.store.tables import read_rollouts

    record = series(done).records[1]
    run = series(done).run(2)
    shares = {}
    for point in load_points(run):
        if point.split == "test":
            texts = [r.text for r in read_rollouts(run.rollouts / f"{point.scores}.parquet")]
            means = [sum(c in "aeiouAEIOU" for c in t) / max(len(t), 1) for t in texts]
            shares[point.id] = [sum(pair) / 2 for pair in zip(means[::2], means[1::2], strict=True)]
    import numpy as np

    base = np.array(shares["base"])
    for row in record["front"]:
        gain = np.mean(shares[row["id"]]) - base.mean()
        assert row["gold"]["vowels"] == pytest.approx(gain / base.std(ddof=1))


def test_a_finished_series_has_nothing_to_do_and_more_rounds_may_follow(forge, done, tmp_path):
    before = {p: p.stat().st_mtime_ns for p in done.rglob("round-*.json")}
    told = forge.run("rounds", recipe_file(tmp_path), "--root", done, "--json").json()
    assert rounded(told["rounds"]) == rounded(series(done).records)
    assert {p: p.stat().st_mtime_ns for p in done.rglob("round-*.json")} == before
    other = forge.run("rounds", recipe_file(tmp_path, start="last"), "--root", done, "--json")
    assert "different: rounds.start" in other.line()


def test_killed_thrice_and_robbed_of_its_features_it_ends_as_if_nothing_had_been(forge, done, tmp_path):
    recipe, root = recipe_file(tmp_path), tmp_path / "killed"
    folder = root / "trial-rounds"

    def kill_when(there: Any) -> None:
        command = forge.start("rounds", recipe, "--root", root, "--json")
        until(lambda: command.ended() or there())
        command.send(signal.SIGKILL)
        assert command.wait().code == -signal.SIGKILL

    labels = folder / "labels" / "labels.jsonl"
    kill_when(lambda: labels.is_file() and labels.read_bytes().count(b"\n") >= 10)
    kill_when(lambda: any((root / "trial-round-1" / "points").glob("expert-*.json")))
    shutil.rmtree(folder / "features")
    kill_when(lambda: (folder / "rewards" / "digits" / "round-2.pairs.json").is_file())
    shutil.rmtree(folder / "features")
    # Whoever carries the rest, it is the same.
    last = forge.run("rounds", recipe, "--root", root, "--workers", "2", "--json")
    assert len(last.json()["rounds"]) == 2
    ours, theirs = labels_of(root), labels_of(done)
    assert len({label[-1] for label in ours}) == len(ours)
    assert [x for x in ours if x[-3] == 1] == [x for x in theirs if x[-3] == 1]
    assert Counter((x[0], x[-3]) for x in ours) == Counter((x[0], x[-3]) for x in theirs)
    assert len(series(root).records) == 2
    if made(root) == made(done):  # some processors add in another order in another process
        assert near(without_times(series(root).records), without_times(series(done).records))
    assert [p for p in folder.rglob(".*") if p.is_dir() or ".tmp-" in p.name] == []


def test_it_waits_for_people_and_goes_on_from_the_last_experts(forge, tmp_path):
    recipe = recipe_file(tmp_path, start="last", labels={"annotator": "person", "budget": 30})
    words = ("rounds", recipe, "--root", tmp_path, "--json")
    feedback = tmp_path / "up.jsonl"
    feedback.write_text(json.dumps({"prompt": "Vowels?", "chosen": "aeiou", "rejected": "xyz"}) + "\n")
    for number in (1, 2):
        told = forge.run(*words, "--feedback", f"vowels={feedback}").json()
        assert (told["waiting"], len(told["rounds"])) == (60, number - 1)
        queue = series(tmp_path).queue
        assert sum(x.who == "file" for x in queue.labels) == 1
        for q in queue.waiting(round=number):
            better = "first" if sum(map(q.first.count, "aeiou")) > sum(map(q.second.count, "aeiou")) else "second"
            answer: Any = better if q.objective == "vowels" else "second" if len(q.second) % 3 else "first"
            queue.record(Label(*q.key[:2], q.prompt, q.first, q.second, answer, "ann", "person", number))
    told = forge.run(*words).json()
    assert (told["waiting"], len(told["rounds"])) == (0, 2)
    assert told["rounds"][1]["went_in"]["labels_total"] == {"vowels": 61, "digits": 60}
    # The experts of round 2 were handed those of round 1.
    first, second = series(tmp_path).run(1), series(tmp_path).run(2)
    made = [json.loads(p.read_text()) for p in second.adapters.glob("*/pareto.json")]
    old = {p.parent.name for p in first.adapters.glob("*/pareto.json")}
    assert {key for m in made for key in m["start"]} <= old
    assert sum(len(m["start"]) for m in made) == 2


def test_an_objective_that_nobody_can_label_is_told_before_anything_is_made(forge, tmp_path):
    objectives = [{"name": "vowels", "reward": "sweeps.rewards:vowels"}, {"name": "charm", "reward": "labels"}]
    recipe = recipe_file(tmp_path, labels={"annotator": "gold"})
    recipe.write_text(json.dumps(json.loads(recipe.read_text()) | {"objectives": objectives}))
    told = forge.run("rounds", recipe, "--root", tmp_path, "--json").line()
    assert told.startswith("objective 'charm': only people or a judge can label it")
    assert not (tmp_path / "trial-rounds").exists()


def test_a_judge_that_fails_on_many_stops_the_round_and_another_goes_on(forge, tmp_path):
    def moody(request: str, a: str, b: str) -> str:
        of = crc32("".join([request, *sorted((a, b))]).encode())
        return "A lovely pair." if of % 4 == 0 else "A" if a < b else "B"

    with judge_server(moody) as server:
        judge = {"url": server.url, "model": "moody", "retries": 0}
        recipe = recipe_file(tmp_path, count=1, labels={"annotator": "judge", "judge": judge, "budget": 20})
        told = forge.run("rounds", recipe, "--root", tmp_path, "--json").line()
    assert "failed and wait" in told
    assert "give the same command again" in told
    labelled = labels_of(tmp_path)
    assert labelled
    done = forge.run("rounds", recipe, "--root", tmp_path, "--annotator", "gold", "--json").json()
    assert done["rounds"][0]["went_in"]["labels_total"] == {"vowels": 20, "digits": 20}
    assert set(labelled) < set(labels_of(tmp_path))


def test_a_second_process_is_turned_away_and_nothing_of_the_first_is_lost(forge, done, tmp_path):
    root = tmp_path / "again"
    shutil.copytree(done, root)
    leases = FileLeases(series(root).path)
    assert leases.claim(0)
    told = forge.run("rounds", recipe_file(root, count=3), "--root", root, "--json").line()
    assert "another process carries these rounds" in told
    leases.close()
    assert len(series(root).records) == 2


@pytest.mark.parametrize(
    ("labels", "arguments", "says"),
    [
        ({"budget": 8}, (), "budget: 8 comparisons per objective cannot teach 2 members"),
        ({}, ("--feedback", "vowels=none.jsonl"), "no comparisons in it that can be used"),
        ({"annotator": "judge", "judge": {"url": "ftp://x", "model": "m"}}, (), "judge.url"),
    ],
)
def test_what_cannot_end_well_is_told_before_anything_is_made(forge, tmp_path, labels, arguments, says):
    (tmp_path / "none.jsonl").write_text("")
    recipe = recipe_file(tmp_path, labels=labels)
    told = forge.run("rounds", recipe, "--root", tmp_path / "runs", *arguments, "--json", cwd=tmp_path).line()
    assert says in told
    assert not (tmp_path / "runs").exists()
