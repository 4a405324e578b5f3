import json
from pathlib import Path

import pytest

from pareto.errors import ParetoError
from pareto.preferences.pairs import Pairs, read_pairs, write_pairs
from pareto.records import Pair

ROW = {"prompt": "Hi", "chosen": "Hello!", "rejected": "What?"}


@pytest.fixture
def read(tmp_path: Path):
    def read(*rows: object, **options: str) -> Pairs:
        path = tmp_path / "pairs.jsonl"
        path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in rows))
        found = read_pairs(path, **options)
        told = [p.replace(f"{path}:", "line ") for p in found.problems]
        return Pairs(found.pairs, told, found.counts)

    return read


def test_texts_and_conversations_give_the_same(read) -> None:
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": " Hi\n"}]
    chosen, rejected = ([*said, {"role": "assistant", "content": text}] for text in ("Hello!", "What? "))
    spoken = {"prompt": said, "chosen": chosen, "rejected": rejected[-1:]}
    assert read(spoken).pairs == read(ROW).pairs == [Pair("Hi", "Hello!", "What?")]


def test_optional_columns_say_how_much_a_row_counts_and_who_said_so(read) -> None:
    found = read({**ROW, "strength": 3, "annotator": "ann", "round": 2}, {**ROW, "tie": True, "strength": None})
    assert found.pairs == [
        Pair("Hi", "Hello!", "What?", weight=3.0, annotator="ann", round=2),
        Pair("Hi", "Hello!", "What?", target=0.5),
    ]
    assert (found.problems, found.counts["ties"]) == ([], 1)


def test_other_names_of_columns(read) -> None:
    row = {"question": "Hi", "good": "Hello!", "bad": "What?"}
    assert read(row, prompt="question", chosen="good", rejected="bad").pairs == [Pair("Hi", "Hello!", "What?")]


@pytest.mark.parametrize(
    ("change", "says", "kind"),
    [
        ({"chosen": " "}, "'chosen' is empty", "unusable"),
        ({"prompt": 7}, "'prompt' must be text, not a number", "unusable"),
        ({"rejected": None}, "'rejected' must be text, not null", "unusable"),
        ({"rejected": []}, "'rejected' must be text, not a list", "unusable"),
        ({"chosen": [{"role": "assistant", "content": ""}]}, "'chosen' is empty", "unusable"),
        ({"prompt": [{"role": "system", "content": "x"}]}, "without a message of role 'user'", "unusable"),
        ({"strength": "much"}, "'strength' must be a number, not text", "unusable"),
        ({"strength": True}, "'strength' must be a number, not true or false", "unusable"),
        ({"strength": 0}, "'strength' must be a number above 0, not 0", "unusable"),
        ({"strength": float("nan")}, "'strength' must be a number above 0, not nan", "unusable"),
        ({"tie": 1}, "'tie' must be true or false, not a number", "unusable"),
        ({"annotator": 3}, "'annotator' must be text, not a number", "unusable"),
        ({"chosen": "What?\n"}, "'chosen' and 'rejected' are the same text", "identical"),
        ({"chosen": "Hello! "}, "the same as line 1", "duplicates"),
    ],
)
def test_a_row_that_teaches_nothing_is_left_out_and_told(read, change, says: str, kind: str) -> None:
    found = read(ROW, {**ROW, **change})
    assert len(found.pairs) == 1
    (problem,) = found.problems
    assert problem.startswith("line 2: ")
    assert says in problem
    assert problem.endswith("; left out")
    assert (found.counts["rows"], found.counts["pairs"], found.counts[kind]) == (2, 1, 1)


def test_a_row_without_a_column_is_told(read) -> None:
    found = read({"prompt": "Hi", "chosen": "a"}, ROW)
    assert found.problems == ["line 1: no column 'rejected'; columns there: 'prompt', 'chosen'; left out"]


def test_contradictions_are_kept_with_both(read) -> None:
    turned = {"prompt": "Hi", "chosen": "What?", "rejected": "Hello!", "annotator": "bob"}
    found = read(ROW, turned, {**turned, "tie": True})
    assert found.problems == ["line 2: prefers what line 1 rejects; both are kept"]
    assert [(p.chosen, p.annotator) for p in found.pairs[:2]] == [("Hello!", ""), ("What?", "bob")]
    assert (found.counts["pairs"], found.counts["contradictions"], found.counts["ties"]) == (3, 1, 1)


def test_two_people_who_agree_are_no_duplicate_and_a_turned_tie_is_one(read) -> None:
    agreed = read({**ROW, "annotator": "ann"}, {**ROW, "annotator": "bob"})
    assert (len(agreed.pairs), agreed.problems) == (2, [])
    turned = {"prompt": "Hi", "chosen": "What?", "rejected": "Hello!", "tie": True}
    assert read({**ROW, "tie": True}, turned).counts["duplicates"] == 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ((), "no comparisons in it that can be used, of 0 rows"),
        (({**ROW, "chosen": ""},), "of 1 row; the first: line 1: 'chosen' is empty"),
        (("{",), "line 1:1: not JSON"),
        (("[]",), 'line 1: each line must be a JSON object such as {"prompt": "…", "chosen": "…", "rejected": "…"}'),
    ],
)
def test_nothing_left_is_refused(read, tmp_path: Path, rows: tuple[object, ...], says: str) -> None:
    with pytest.raises(ParetoError) as caught:
        read(*rows)
    assert says in str(caught.value).replace(f"{tmp_path / 'pairs.jsonl'}:", "line ")
    assert "left out" not in str(caught.value)


def test_more_of_a_kind_counts_only_that_kind(read) -> None:
    empty = [{**ROW, "prompt": f"p{i}", "chosen": ""} for i in range(30)]
    found = read(ROW, *empty, {**ROW, "rejected": None}, {**ROW, "strength": -1})
    assert found.told(2) == [
        "line 2: 'chosen' is empty; left out",
        "line 3: 'chosen' is empty; left out",
        "and 28 more of this kind; all of them with --json",
        "line 32: 'rejected' must be text, not null; left out",
        "line 33: 'strength' must be a number above 0, not -1; left out",
    ]


def test_a_folder_without_data_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("none")
    with pytest.raises(ParetoError) as caught:
        read_pairs(tmp_path)
    assert str(caught.value) == f"{tmp_path}: no .jsonl or .parquet file in it"


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pairs.csv").write_text("prompt,chosen,rejected\n")
    for name, says in (("none.jsonl", "no such file of comparisons"), ("pairs.csv", "not from '.csv'")):
        with pytest.raises(ParetoError, match=says):
            read_pairs(tmp_path / name)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    pairs = [Pair("Hi", "é\u2028…", "b", 0.5, 0.25, "ann", 3), Pair("Hi", 'say "a"\nor not', "b")]
    write_pairs(tmp_path / "pairs.jsonl", pairs)
    found = read_pairs(tmp_path / "pairs.jsonl")
    assert (found.pairs, found.problems) == (pairs, [])


def test_parquet_and_data_sets_give_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    said = [{"role": "user", "content": "Hi"}]
    table = datasets.Dataset.from_list(
        [
            {"prompt": said, "chosen": "Hello!", "rejected": "What?", "tie": False, "other": 1},
            {"prompt": said, "chosen": "", "rejected": "What?", "tie": True, "other": 2},
        ]
    )
    table.to_parquet(tmp_path / "pairs.parquet")
    datasets.DatasetDict({"test": table}).save_to_disk(tmp_path / "saved")
    for source, subset in ((tmp_path / "pairs.parquet", "train"), (tmp_path / "saved", "test")):
        found = read_pairs(source, subset=subset)
        assert found.pairs == [Pair("Hi", "Hello!", "What?")]
        assert found.problems == [f"{source}: row 2: 'chosen' is empty; left out"]
    with pytest.raises(ParetoError, match="no subset 'train'; there are: 'test'"):
        read_pairs(tmp_path / "saved")
    with pytest.raises(ParetoError, match="no column 'text'; columns there: 'prompt', 'chosen'"):
        read_pairs(tmp_path / "pairs.parquet", prompt="text")
