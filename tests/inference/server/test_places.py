"""Where wishes are answered from, on a run whose policies are worth what a formula says."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import frontier_runs as runs
import numpy as np
import prompted_runs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pareto.choice.admission import admit
from pareto.choice.choose import best
from pareto.choice.levels import format_levels
from pareto.choice.standing import standing
from pareto.errors import ParetoError
from pareto.inference.auto_weights.auto import AutoWeights
from pareto.inference.auto_weights.learning import learn
from pareto.inference.policy import asked_point
from pareto.inference.server.places import OutOfReach, Place, Places, UnknownModel, Wish
from pareto.soups.outlook import Outlook
from pareto.store.points import load_points

KIND = "kind>=0.5@mean"
"""The terse expert (0.3) and soup-terser (0.417) break it; soup-weak (0.553) keeps it."""


@pytest.fixture(scope="module")
def free(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places.open(runs.make(tmp_path_factory.mktemp("free")))


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return Places.open(runs.make(tmp_path_factory.mktemp("bound"), KIND))


@pytest.fixture(scope="module")
def outlook(bound: Places) -> Outlook:
    return Outlook.of(bound.known.run)


@pytest.fixture(scope="module")
def strict(bound: Places) -> Places:
    return Places(bound.known, "refuse", "made")


def at(places: Places, model: str = "made", **wish: Any) -> Place:
    return places.at(Wish(model, **wish), "Hello?")


def raw(outlook: Outlook, place: Place) -> float:
    """What a place is worth in kindness: by the formula where it was measured, else as predicted."""
    if place.point is not None:
        return runs.truth(place.coefficients)[0]
    return float(outlook.predict(place.coefficients)["mean"]["kind"])


def test_the_default_is_the_policy_that_an_export_takes_and_stands_first(bound: Places) -> None:
    place = at(bound)
    assert place.point == best(bound.known.run).id
    assert place.moved == ""
    assert [m.id for m in bound.models][:4] == ["made", "made@balanced", "made@kind", "made@words"]
    assert bound.models[0].kept
    assert format_levels(place.levels) == KIND


def test_named_places_are_listed_with_whether_they_keep_the_priorities(free: Places, bound: Places) -> None:
    kept = {m.id: m.kept for m in bound.models}
    assert kept["made@kind"]
    assert not kept["made@words"]
    assert "made@soup-terser" not in kept
    assert kept["made@soup-kinder"]
    assert kept["made@base"]  # 0.5, just enough
    assert {m.id for m in free.models} >= {"made@expert-words", "made@soup-terser", "made@base"}
    for id in kept:
        assert (at(bound, id).moved == "") == kept[id]
    assert all(m.title and m.created > 1.7e9 for m in bound.models)


def test_weights_are_answered_by_the_soup_that_every_command_takes(free: Places) -> None:
    for weights in ({"kind": 0.5, "words": 0.5}, {"kind": 0.9, "words": 0.1}, {"words": 1.0}):
        place = at(free, weights=weights)
        text = ",".join(f"{n}={w}" for n, w in weights.items())
        assert place.coefficients == pytest.approx(asked_point(free.known.run, text, None).coefficients)
        assert place.weights == {"kind": 0.0, "words": 0.0} | weights


def test_what_was_measured_is_told_as_measured_and_the_rest_predicted(free: Places, outlook: Outlook) -> None:
    even = at(free, weights={"kind": 0.5, "words": 0.5})
    assert (even.point, even.source) == ("soup-even", "measured on test")
    point = free.known.points["soup-even"]
    assert even.predicted["kind"] == pytest.approx(
        {"mean": point.mean["kind"], "low": point.mean["kind"] - 1.6449 * point.se["kind"],
         "high": point.mean["kind"] + 1.6449 * point.se["kind"]}, abs=1e-4
    )  # fmt: skip
    other = at(free, weights={"kind": 0.6, "words": 0.4})
    assert other.point is None
    seen = outlook.predict(other.coefficients)
    assert other.predicted["words"] == pytest.approx({end: seen[end]["words"] for end in ("mean", "low", "high")})
    assert other.source == "predicted from 7 measured policies"


def test_a_weight_in_the_last_digits_is_the_measured_policy_all_the_same(free: Places) -> None:
    assert at(free, weights={"kind": 0.75000001, "words": 0.24999999}).point == "soup-kinder"


def test_what_breaks_a_priority_is_moved_to_the_nearest_that_keeps_it_and_that_is_said(bound: Places) -> None:
    run, weights = bound.known.run, {"kind": 0.2, "words": 0.8}
    place = at(bound, weights=weights)
    allowed = [
        p
        for p in load_points(run)
        if p.split == "test" and p.weights and p.kind != "base" and admit(run, p, standing(run)).kept
    ]
    wanted = min(allowed, key=lambda p: sum((p.weights[n] - weights[n]) ** 2 for n in weights))  # type: ignore[index]
    assert (place.point, place.coefficients) == (wanted.id, pytest.approx(wanted.coefficients))
    assert place.weights == wanted.weights
    assert place.moved.startswith("weights kind=0.2,words=0.8: out of reach under the priorities: kind 0.")
    assert place.moved.endswith(f"moved to the measured policy 'made@{wanted.id}' (weights kind=0.5,words=0.5)")
    terse = at(bound, "made@expert-words")
    assert "kind: 0.30, at least 0.5 wanted, short by 0.20" in terse.moved


def test_or_it_is_refused_with_the_same_words(bound: Places, strict: Places) -> None:
    said = at(bound, weights={"words": 1.0}).moved
    for _ in range(2):  # once found, once remembered
        with pytest.raises(OutOfReach) as refused:
            at(strict, weights={"words": 1.0})
        assert str(refused.value) == said.replace("; moved to", "; the nearest allowed is")
    with pytest.raises(OutOfReach, match="soup-terser"):
        at(strict, "made@soup-terser")
    assert at(strict, weights={"kind": 1.0}).moved == ""


def test_of_coefficients_the_nearest_are_those_of_the_nearest_coefficients(bound: Places) -> None:
    asked = {runs.KIND: 0.1, runs.TERSE: 0.3}
    assert at(bound, coefficients=asked).point == "soup-weak"
    assert at(bound, coefficients={}).coefficients == {}
    # Far out a surrogate says what is true on average, which here would keep the priority.
    assert "nothing that was measured predicts" in at(bound, coefficients={runs.KIND: 50.0}).moved
    assert at(bound, coefficients={runs.KIND: 1.0, runs.TERSE: 0.0}).point == runs.KIND


def test_a_level_that_wants_to_be_sure_moves_what_is_too_unsure(tmp_path: Path) -> None:
    places = Places.open(runs.make(tmp_path, "kind>=0.5@0.95", spread=0.1))
    mean, std = places.known.trend(places.known.at_weights({"kind": 0.55, "words": 0.45})) or ({}, {})
    assert mean["kind"] > 0.5
    surely = mean["kind"] - 1.645 * std["kind"] >= 0.5
    assert (at(places, weights={"kind": 0.55, "words": 0.45}).moved == "") == surely
    edge = f"kind>={mean['kind'] - 0.1 * std['kind']!r}@0.95"
    assert "but not surely (predicted)" in at(places, weights={"kind": 0.55, "words": 0.45}, priorities=edge).moved


@given(st.floats(0, 1), st.sampled_from(["default", "words<=14@mean", "kind>=0.3@mean", "kind~0.2@mean"]))
def test_no_wish_gets_below_a_priority(bound: Places, outlook: Outlook, share: float, rules: str) -> None:
    place = at(bound, weights={"kind": share, "words": 1 - share}, priorities=rules)
    assert raw(outlook, place) >= 0.5 - 1e-3 * 0.2
    assert place.levels[0] == standing(bound.known.run)[0]
    assert len(place.levels) == (1 if rules == "default" else 2)


def test_rules_of_a_request_come_on_top_of_the_run_s_and_never_instead(bound: Places, strict: Places) -> None:
    assert at(bound, weights={"words": 1.0}, priorities="kind>=0@mean").moved
    assert at(bound, priorities="words<=13.01@mean").point == "soup-even"
    assert at(bound, weights={"kind": 1.0}, priorities="words<=13.01@mean").point == "soup-even"
    with pytest.raises(OutOfReach, match="no feasible policy: level 2 leaves none"):
        at(bound, priorities="kind>=0.99@mean")
    with pytest.raises(OutOfReach, match="no feasible policy"):
        at(strict, weights={"kind": 1.0}, priorities="kind>=0.99@mean")


def test_a_run_whose_priorities_nothing_keeps_is_not_served(tmp_path: Path) -> None:
    with pytest.raises(OutOfReach, match="no feasible policy"):
        Places.open(runs.make(tmp_path, "kind>=0.99"))


def test_what_nobody_measured_and_nothing_predicts_is_not_taken_for_good(tmp_path: Path) -> None:
    run = runs.make(tmp_path, KIND)
    places = Places.open(run)
    for path in run.points.glob("soup-*.json"):
        path.unlink()
    for path in run.points.glob("expert-words.*"):
        path.unlink()
    poor = Places.open(run)
    assert poor.known.outlook is None
    assert [m.id for m in poor.models] == ["made", "made@kind", "made@expert-kind", "made@base"]
    assert "nothing that was measured predicts" in at(poor, coefficients={runs.KIND: 0.9}).moved
    with pytest.raises(ParetoError, match="no expert for 'words'"):
        at(poor, weights={"words": 1.0})
    # What was opened before goes on as it was.
    assert at(places, weights={"kind": 0.6, "words": 0.4}).coefficients


def test_a_map_moves_to_what_it_gives_for_the_same_weights_under_the_priorities(tmp_path: Path) -> None:
    run = runs.make(tmp_path, KIND)
    Outlook.of(run).map.save(run, {})
    places = Places.open(run)
    outlook = Outlook.of(run)
    assert outlook.source == "map"
    unbound, weights = outlook.at({"words": 1.0}), {"words": 1.0}
    assert unbound["mean"]["kind"] < 0.5
    place = at(places, weights=weights)
    wanted = outlook.under(standing(run)).at(weights)
    assert place.coefficients == pytest.approx(wanted["coefficients"])
    assert place.weights == {"kind": 0.0, "words": 1.0}
    assert place.source == "predicted by the frontier map"
    assert "what the frontier map gives for these weights under the priorities" in place.moved
    assert raw(outlook, place) >= 0.5 - 1e-3
    assert at(places, coefficients=place.coefficients).moved == ""
    (run.path / "map.json").write_text("{}")
    with pytest.raises(ParetoError, match="damaged"):
        Places.open(run)


@pytest.mark.parametrize(
    ("wish", "kind", "says"),
    [
        ({"model": "gpt-4"}, UnknownModel, "unknown model 'gpt-4'; wanted 'made' or 'made@PLACE'"),
        ({"model": ""}, UnknownModel, "unknown model ''"),
        ({"model": "made@"}, UnknownModel, "unknown model 'made@': no such place"),
        ({"model": "made@soup-evn"}, UnknownModel, "did you mean 'soup-even'"),
        ({"model": "made@" + "x" * 10**6}, UnknownModel, "x…': no such place"),
        ({"model": "made@../../etc"}, UnknownModel, "no such place"),
        ({"weights": {"knid": 1.0}}, ParetoError, "did you mean 'kind'"),
        ({"weights": {"kind": float("nan")}}, ParetoError, "kind=nan is not a finite number"),
        ({"weights": {"kind": float("inf")}}, ParetoError, "kind=inf is not a finite number"),
        ({"weights": {"kind": 1.5, "words": -0.5}}, ParetoError, "words=-0.5 is negative"),
        ({"weights": {"kind": 0.7}}, ParetoError, "sums to 0.7, not 1"),
        ({"weights": {}}, ParetoError, "weights: none given"),
        ({"weights": {"x" * 10**6: 1.0}}, ParetoError, "x…'; known: kind, words"),
        ({"weights": "auto"}, ParetoError, "weights auto: .*pareto weights learn"),
        ({"coefficients": {"expert-knd": 1.0}}, ParetoError, "did you mean 'expert-kind'"),
        ({"coefficients": {runs.KIND: float("nan")}}, ParetoError, "not a finite number"),
        ({"coefficients": {runs.KIND: 1e9}}, ParetoError, "out of range"),
        ({"weights": {"kind": 1.0}, "coefficients": {runs.KIND: 1.0}}, ParetoError, "give only one of them"),
        ({"weights": {"kind": 1.0}, "model": "made@words"}, ParetoError, "a place already; ask 'made'"),
        ({"weights": "auto", "model": "made@words"}, ParetoError, "a place already"),
        ({"priorities": "knid>=1"}, ParetoError, "did you mean 'kind'"),
        ({"priorities": "kind<=1"}, ParetoError, "give at_least instead of at_most"),
        ({"priorities": "be nice"}, ParetoError, "is not a rule"),
        ({"priorities": ";".join(["kind>=0"] * 9)}, ParetoError, "priorities: 9 rules; a request can have at most 8"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    bound: Places, wish: dict[str, Any], kind: type[ParetoError], says: str
) -> None:
    with pytest.raises(kind, match=says) as refused:
        at(bound, **wish)
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 500


def test_automatic_weights_are_those_learned_and_keep_the_rules_of_the_request(tmp_path: Path) -> None:
    run = prompted_runs.make(tmp_path)
    learn(run, prompted_runs.UTILITY, ["ridge"], prompted_runs.embed)
    places = Places.open(run)
    auto = places.auto = AutoWeights.open(run, prompted_runs.embed)
    prompt = "Hello Zoe, feeling wet?"
    taken, place = auto.take(prompt), places.at(Wish("prompted", "auto"), prompt)
    assert (place.model, place.point, place.weights) == ("prompted", taken.point.id, taken.point.weights)
    assert place.reason == taken.reason
    held = places.at(Wish("prompted", "auto", priorities="kind>=0.7@mean"), prompt)
    assert held.moved
    assert held.predicted["kind"]["mean"] >= 0.7 > place.predicted["kind"]["mean"]


def test_a_candidate_s_models_have_the_name_that_they_are_given(free: Places) -> None:
    other = Places(free.known, "move", "other")
    assert {m.id.partition("@")[0] for m in other.models} == {"other"}
    assert at(other, "other@kind").coefficients == at(free, "made@kind").coefficients
    with pytest.raises(UnknownModel):
        at(other, "made")


def test_threads_that_ask_at_once_get_what_each_gets_alone(bound: Places) -> None:
    shares = np.linspace(0, 1, 9).tolist()
    rules = ("default", "words<=15@mean")
    wishes = [Wish("made", {"kind": s, "words": 1 - s}, priorities=r) for s in shares for r in rules]
    alone, shared = bound, Places(bound.known, "move", "made")
    found: list[list[Place]] = [[] for _ in range(6)]
    threads = [threading.Thread(target=lambda out=out: out.extend(shared.at(w, "") for w in wishes)) for out in found]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[alone.at(w, "") for w in wishes]] * 6
