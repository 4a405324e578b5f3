"""``pareto traffic``, and how a served hour becomes a round."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import typer
from forge import Forge, smoke_recipe
from traffic_on_disk import begun, empty_run, pair, scored, served, thumb
from typer.testing import CliRunner

from pareto.errors import ParetoError
from pareto.front.frame import Frame
from pareto.preferences.pairs import read_pairs
from pareto.recipe_file import read_recipe
from pareto.records import Prompt
from pareto.rounds.store import Rounds
from pareto.rounds_command import traffic_of
from pareto.store.files import write_json
from pareto.store.tables import write_prompts
from pareto.traffic.arms import compare
from pareto.traffic.log import FILE, TrafficLog
from pareto.traffic.usual import usual_prompts
from pareto.traffic_command import traffic_app

app = typer.Typer()
app.add_typer(traffic_app, name="traffic")
RECIPE = read_recipe("sweeps/smoke.yaml")
PROMPTS = [f"What is {k} + {k + 3}?" for k in range(12)]


def call(*arguments: object):
    done = CliRunner().invoke(app, ["traffic", *map(str, arguments)])
    if isinstance(done.exception, ParetoError):
        raise done.exception
    assert done.exit_code == 0, done.output
    return done


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=-1, keepdims=True)).astype(np.float32)


def served_hour(root: Path, said: Sequence[str] = ("vowels", "digits")) -> TrafficLog:
    """Two answers to each prompt; people compare them, and give thumbs, by each of the objectives.

    Of the pair the one with more vowels, or digits, is better; the thumbs agree.
    """
    log = begun(root)
    now = time.time()
    for k, prompt in enumerate(PROMPTS):
        for n, answer in enumerate((f"a e i o u, number {k}", f"{k}{k + 1}{k + 2} pfff")):
            id, user = f"r{k}-{n}", log.user_key(f"user {k % 5}")
            log.add(served(id, time=now - 3600 + 300 * k, user=user, prompt=prompt, answer=answer))
    for k in range(len(PROMPTS)):
        for objective in said:
            good, bad = (0, 1) if objective == "vowels" else (1, 0)
            if k % 2:
                log.add_feedback(pair(f"p{k}{objective}", f"r{k}-{good}", f"r{k}-{bad}", objective=objective))
            else:
                for n, value in ((good, 1.0), (bad, -1.0)):
                    log.add_feedback(thumb(f"t{k}{objective}{n}", f"r{k}-{n}", value, objective=objective))
    return log


def test_show_says_what_was_served(tmp_path: Path) -> None:
    log = served_hour(tmp_path)
    log.add(served("late", time=time.time(), arm="candidate", finish="cancelled", status=499, first_token=None))
    log.add_score(scored("late", spreads={"vowels": 0.25}, flagged=("vowels",), predicted={"vowels": 0.4}))
    log.add_score(scored("r0-0"))
    log.close()
    found = json.loads(call("show", "smoke", "--root", tmp_path, "--json").stdout)
    assert (found["requests"], found["users"], found["stored"], found["tokens"]) == (25, 5, 24, 25 * 12)
    assert found["statuses"] == {"200": 24, "499": 1}
    assert found["arms"] == {"main": 24, "candidate": 1}
    assert found["first_token"] == {"p50": 0.2, "p95": 0.2}
    assert found["objectives"] == {"vowels": {"mean": 0.5, "predicted": 0.4, "spread": 0.25, "flagged": 1}}
    assert found["feedback"] == {"thumbs_up": 12, "thumbs_down": 12, "pairs": 12}
    text = call("show", "smoke", "--root", tmp_path).stdout
    assert "25 requests of 5 known users" in text
    assert "vowels: mean 0.5, predicted 0.4, spread 0.25, 1 for review" in text
    assert "5 requests of 2 known" in call("show", "smoke", "--root", tmp_path, "--days", 0.01).stdout


def test_show_of_a_log_in_which_nothing_is_yet(tmp_path: Path) -> None:
    begun(tmp_path).close()
    assert call("show", "smoke", "--root", tmp_path).stdout == "smoke: 0 requests of 0 known users, 0 tokens\n"


def test_who_changes_their_mind_counts_once_and_who_has_no_name_is_not_a_user(tmp_path: Path) -> None:
    with begun(tmp_path) as log:
        for k in range(5):
            log.add(served(f"r{k}", user=log.user_key(f"u{k % 2}") if k < 3 else ""))
        for k, value in enumerate((1, 1, 1, -1, 1, 1, 1)):
            log.add_feedback(thumb(f"t{k}", "r0", value, time=2000.0 + k, user=log.user_key("u0")))
        for k, better in enumerate((("r3", "r4"), ("r4", "r3"))):
            log.add_feedback(pair(f"p{k}", *better, time=2000.0 + k, user=log.user_key("u0")))
        frame = log.frame()
        assert (frame.ups, frame.rated.tolist()) == (1, [1, 0, 0, 0, 0])
        said = compare(frame).text
    assert "main 5 of 2 known users, 2 without one; candidate 0 of 0 known users" in said
    shown = call("show", "smoke", "--root", tmp_path).stdout
    assert "smoke: 5 requests of 2 known users, 2 without one, 60 tokens" in shown
    assert "feedback: 1 up, 0 down, 1 pairs" in shown


def test_alarms_name_the_strangest_requests_and_end_with_1(tmp_path: Path) -> None:
    run = empty_run(tmp_path)
    prompts = [Prompt(f"p{k}", f"Say {k}.", "kind", split="train" if k < 60 else "test") for k in range(260)]
    write_prompts(run.path / "prompts.parquet", prompts)
    noise = 0.2 * np.random.default_rng(0).standard_normal((400, 16))
    usual_prompts(run, lambda texts: unit(np.eye(16)[0] + noise[: len(texts)]))
    with TrafficLog.open(run, create=True) as log:
        for k in range(100):
            other = k >= 60
            vector = unit(np.eye(16)[int(other)] + noise[k + 300])
            text = None if k % 2 else f"strange\n\x1b[31m {k}" if other else f"usual {k}"
            log.add(served(f"r{k}", time=1.79e9 + 60 * k, prompt=text, answer=text, features=tuple(vector)))

    quiet = call("alarms", "smoke", "--root", tmp_path, "--since", "2100-01-01")
    assert "smoke: 0 of 4 alarms raised" in quiet.stdout
    done = CliRunner().invoke(app, ["traffic", "alarms", "smoke", "--root", str(tmp_path), "--json"])
    assert done.exit_code == 1
    told = {a["name"]: a for a in json.loads(done.stdout)["alarms"]}
    assert {name: a["state"] for name, a in told.items()} == {
        "prompts": "raised", "prompts change": "waiting", "score vowels": "waiting", "score digits": "waiting",
    }  # fmt: skip
    assert told["prompts"]["value"] > told["prompts"]["threshold"]
    requests = told["prompts"]["requests"]
    assert {int(r["id"][1:]) >= 60 for r in requests} == {True}
    assert "`" not in told["prompts"]["sentence"]  # where to look on is here
    shown = CliRunner().invoke(app, ["traffic", "alarms", "smoke", "--root", str(tmp_path)]).stdout
    for r in requests:
        text = "(its text is not kept" if r["prompt"] is None else f"strange [31m {r['id'][1:]}"
        assert f"  {r['id']}  {text}" in shown


def test_labels_are_written_once_more_and_the_same(tmp_path: Path) -> None:
    served_hour(tmp_path).close()
    out = tmp_path / "labels.jsonl"
    told = json.loads(call("labels", "smoke", "--root", tmp_path, "--out", out, "--json").stdout)
    assert (told["comparisons"], told["left_out"]) == (24, {})
    first = out.read_bytes()
    assert "24 comparisons written" in call("labels", "smoke", "--root", tmp_path, "--out", out).stdout
    assert out.read_bytes() == first
    assert {(p.objective, p.chosen[0].isdigit()) for p in read_pairs(out).pairs} == {
        ("vowels", False),
        ("digits", True),
    }


def test_deleting_and_expiring(tmp_path: Path) -> None:
    served_hour(tmp_path).close()
    told = json.loads(call("delete", "smoke", "--root", tmp_path, "--user", "user 4", "--json").stdout)
    assert told == {"run": "smoke", "deleted": {"requests": 4, "scores": 0, "feedback": 2 * (1 + 2)}}
    assert "deleted 0 requests" in call("delete", "smoke", "--root", tmp_path, "--user", "user 9").stdout
    assert "deleted 0 requests" in call("expire", "smoke", "--root", tmp_path, "--days", 1).stdout
    with pytest.raises(ParetoError, match=r"Delete all of smoke's traffic\? Nobody can be asked here; --yes does it"):
        call("expire", "smoke", "--root", tmp_path, "--days", 0)
    assert "20 requests" in call("show", "smoke", "--root", tmp_path).stdout
    assert "deleted 20 requests" in call("expire", "smoke", "--root", tmp_path, "--days", 0, "--yes").stdout
    assert "0 requests" in call("show", "smoke", "--root", tmp_path).stdout


def test_arms_are_compared(tmp_path: Path) -> None:
    with begun(tmp_path) as log:
        for k in range(60):
            arm = "candidate" if k % 2 else "main"
            log.add(served(f"r{k}", user=log.user_key(f"u{k}"), arm=arm))
            log.add_score(scored(f"r{k}", scores={"vowels": (k % 7) / 100 + (arm == "candidate")}))
    frame = Frame(("vowels", "digits"), (-1.0, 1.0), (0.0, 0.0), (1.0, 1.0), (-3.0, -3.0))
    write_json(tmp_path / "smoke" / "frame.json", frame.to_json())
    found = json.loads(call("compare", "smoke", "--root", tmp_path, "--json").stdout)
    assert found["requests"] == {"main": 30, "candidate": 30}
    assert [(m["name"], m["verdict"]) for m in found["measures"]] == [("reward vowels", "worse")]  # less is better
    assert "worse" in call("compare", "smoke", "--root", tmp_path).stdout


def test_what_is_wrong_is_one_line(tmp_path: Path) -> None:
    empty_run(tmp_path)
    labels = ["labels", "--out", tmp_path / "x.jsonl"]
    commands = (["show"], ["alarms"], labels, ["compare"], ["delete", "--user", "x"], ["expire", "--days", 3])
    for command in commands:
        with pytest.raises(ParetoError, match="no traffic was logged yet"):
            call(*command, "smoke", "--root", tmp_path)
    with pytest.raises(ParetoError, match="no run 'smoky'"):
        call("show", "smoky", "--root", tmp_path)
    with pytest.raises(ParetoError, match=r"must end in \.jsonl"):
        call("labels", "smoke", "--root", tmp_path, "--out", tmp_path / "x.txt")
    for damage in (b"", b"SQLite format 3\0 and then not", b"x" * 5000):
        (tmp_path / "smoke" / FILE).write_bytes(damage)
        for command in commands:
            with pytest.raises(ParetoError, match=r"traffic\.sqlite: damaged .*; move it away") as e:
                call(*command, "smoke", "--root", tmp_path)
            assert "\n" not in str(e.value)
    (tmp_path / "smoke" / FILE).unlink()
    begun(tmp_path).close()
    with pytest.raises(ParetoError, match="a user's id is wanted"):
        call("delete", "smoke", "--root", tmp_path, "--user", "")


# -- the next round ------------------------------------------------------------------------------------------------


def test_rounds_take_each_objective_from_the_traffic(tmp_path: Path) -> None:
    served_hour(tmp_path, ("digits",)).close()
    ((name, file),) = traffic_of(RECIPE, "smoke", tmp_path, tmp_path)
    assert name == "digits"
    assert file.name == "traffic-smoke.jsonl"
    assert len(read_pairs(file).pairs) == len(PROMPTS)
    again = traffic_of(RECIPE, str(tmp_path / "smoke"), tmp_path, tmp_path)
    assert again[0][1] not in (file, None)


def test_feedback_that_names_no_objective_is_what_the_command_says(tmp_path: Path) -> None:
    log = served_hour(tmp_path, ())
    log.add_feedback(pair("1", "r0-0", "r0-1"))
    log.close()
    with pytest.raises(ParetoError, match="no objective is named"):
        traffic_of(RECIPE, "smoke", tmp_path, tmp_path)
    assert [name for name, _ in traffic_of(RECIPE, "vowels=smoke", tmp_path, tmp_path)] == ["vowels"]


def test_feedback_by_objectives_that_the_recipe_has_not_is_said(tmp_path: Path) -> None:
    served_hour(tmp_path, ("digits",)).close()
    others = tuple(o for o in RECIPE.objectives if o.name != "digits")
    recipe = RECIPE.model_copy(update={"objectives": others})
    with pytest.raises(ParetoError, match="its feedback is by digits; this recipe has vowels"):
        traffic_of(recipe, "smoke", tmp_path, tmp_path)
    with pytest.raises(ParetoError, match="no run 'nothing'"):
        traffic_of(RECIPE, "nothing", tmp_path, tmp_path)


@pytest.mark.slow
def test_the_feedback_of_a_served_hour_becomes_a_round_in_one_command(forge: Forge, tmp_path: Path) -> None:
    served_hour(tmp_path).close()
    rounds = {
        "count": 1,
        "prompts": 8,
        "policies": 1,
        "labels": {"budget": 8},
        "ensemble": {"members": 2, "steps": 20},
    }
    recipe = smoke_recipe(
        tmp_path,
        name="next",
        driver={"trials": 2},
        soups={"count": 1},
        training={"steps": 2},
        evaluation={"bootstrap": 100},
        rounds=rounds,
    )
    told = forge.run("rounds", recipe, "--traffic", "smoke", "--root", tmp_path, "--json")

    (record,) = told.json()["rounds"]
    assert record["went_in"]["labels"] == {"vowels": 8 + 12, "digits": 8 + 12}
    series = Rounds.open("next", tmp_path)
    taken = [x for x in series.queue.labels if x.who == "file"]
    assert {x.prompt for x in taken} == {*PROMPTS}
    assert {x.annotator.partition(":user")[0] for x in taken} == {
        "file:traffic-smoke.jsonl",
        "file:traffic-smoke.jsonl:thumbs",
    }
    better = {(x.objective, (x.second if x.answer == "second" else x.first)[0].isdigit()) for x in taken}
    assert better == {("vowels", False), ("digits", True)}
    assert len(record["front"]) > 2
