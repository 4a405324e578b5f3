import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pareto.config import Source
from pareto.errors import ParetoError
from pareto.prompts.read import read_source


def jsonl(path: Path, *lines: Any) -> Path:
    """Objects as JSON, text and bytes as they are."""
    raw = [
        line if isinstance(line, bytes) else (line if isinstance(line, str) else json.dumps(line)).encode()
        for line in lines
    ]
    path.write_bytes(b"\n".join(raw) + b"\n")
    return path


def refusal(source: Source) -> str:
    with pytest.raises(ParetoError) as caught:
        read_source(source)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_jsonl_with_answers_and_demonstrations(tmp_path: Path) -> None:
    path = jsonl(
        tmp_path / "mine.jsonl",
        {"prompt": "  Who wrote Hamlet? ", "answers": ["Shakespeare"], "demonstrations": ["I don't know."]},
        "",
        {"prompt": "Hi", "answers": None, "other": 3},
    )
    first, second = read_source(Source(file=path))
    assert (first.text, first.answers, first.demonstrations) == (
        "Who wrote Hamlet?",
        ("Shakespeare",),
        ("I don't know.",),
    )
    assert (second.text, second.answers, second.source) == ("Hi", (), "mine.jsonl")
    assert first.id != second.id


def test_parquet_gives_what_jsonl_gives(tmp_path: Path) -> None:
    rows = [{"q": "one two", "answers": ["a", "b"]}, {"q": "three", "answers": []}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "x.parquet")
    jsonl(tmp_path / "x.jsonl", *rows)
    columns, lines = (read_source(Source(file=tmp_path / name, column="q")) for name in ("x.parquet", "x.jsonl"))
    assert (
        [(p.text, p.answers) for p in columns]
        == [(p.text, p.answers) for p in lines]
        == [
            ("one two", ("a", "b")),
            ("three", ()),
        ]
    )


CONVERSATION = [
    {"role": "user", "content": "first"},
    {"role": "assistant", "content": "yes?"},
    {"role": "user", "content": "second"},
    {"role": "assistant", "content": "no"},
]


def test_a_conversation_gives_the_last_message_of_the_user(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([{"prompt": CONVERSATION}]), tmp_path / "x.parquet")
    for path in (jsonl(tmp_path / "x.jsonl", {"prompt": CONVERSATION}), tmp_path / "x.parquet"):
        assert [p.text for p in read_source(Source(file=path))] == ["second"]


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ([], "no prompts in it"),
        (["", "  "], "no prompts in it"),
        ([{"prompt": "a"}, "{not json"], "x.jsonl:2:2: not JSON"),
        ([{"prompt": "a"}, "[1, 2]"], "x.jsonl:2: each line must be a JSON object"),
        ([{"prompt": "a"}, b"\xff\xfe"], "x.jsonl:2: not UTF-8 text"),
        (["[" * 200_000], "x.jsonl:1: JSON that is too large or too deep"),
        (['{"prompt": ' + "9" * 10_000 + "}"], "x.jsonl:1: JSON that is too large or too deep"),
        ([{"question": "a", "id\n": 1}], r"x.jsonl:1: no column 'prompt'; columns there: 'question', 'id\n'"),
        ([{"prompt": "a"}, {}], "x.jsonl:2: no column 'prompt'; columns there: none"),
        ([{"prompt": 7}], "x.jsonl:1: 'prompt' must be text, not int"),
        ([{"prompt": None}], "x.jsonl:1: 'prompt' must be text, not NoneType"),
        ([{"prompt": "a"}, {"prompt": " \t "}], "x.jsonl:2: 'prompt' is empty"),
        (['{"prompt": "a \\ud800 b"}'], "x.jsonl:1: 'prompt' holds half of a surrogate pair"),
        ([{"prompt": []}], "x.jsonl:1: 'prompt' is a list without a message of role 'user'"),
        ([{"prompt": [{"role": "user", "content": [1]}]}], "x.jsonl:1: 'prompt' must be text, not list"),
        ([{"prompt": "a", "answers": "b"}], "x.jsonl:1: 'answers' must be a list of text, not str"),
        ([{"prompt": "a", "demonstrations": [""]}], "x.jsonl:1: 'demonstrations' is empty"),
    ],
)
def test_bad_lines_are_named_with_their_place(tmp_path: Path, lines: list[Any], said: str) -> None:
    assert said in refusal(Source(file=jsonl(tmp_path / "x.jsonl", *lines)))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    assert "nowhere.jsonl: no such file" in refusal(Source(file=tmp_path / "nowhere.jsonl"))
    assert "is a folder" in refusal(Source(file=tmp_path))
    (tmp_path / "x.csv").write_text("prompt\nhello\n")
    assert "x.csv: prompts are read from .jsonl or .parquet" in refusal(Source(file=tmp_path / "x.csv"))
    (tmp_path / "x.parquet").write_bytes(b"")
    assert "x.parquet: cannot be read as Parquet" in refusal(Source(file=tmp_path / "x.parquet"))
    (tmp_path / "x.jsonl").write_bytes(b"")
    assert "x.jsonl: no prompts in it" in refusal(Source(file=tmp_path / "x.jsonl"))


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pa.table({"text": ["a"], "n": [1]}), "x.parquet: no column 'prompt'; columns there: 'text', 'n'"),
        (pa.table({"prompt": ["a", "", "b"]}), "x.parquet: row 2: 'prompt' is empty"),
        (pa.table({"prompt": [1, 2]}), "x.parquet: row 1: 'prompt' must be text, not int"),
        (pa.table({"prompt": ["a", None]}), "x.parquet: row 2: 'prompt' must be text, not NoneType"),
        (pa.table({"prompt": pa.array([], pa.string())}), "x.parquet: no prompts in it"),
        # The bytes of a lone surrogate, which Arrow stores unchecked.
        (pa.table({"prompt": pa.array([b"a", b"\xed\xa0\x80"]).view(pa.string())}), "x.parquet: row 2: not UTF-8 text"),
    ],
)
def test_bad_parquet_is_named_with_its_row(tmp_path: Path, table: pa.Table, said: str) -> None:
    pq.write_table(table, tmp_path / "x.parquet")
    assert said in refusal(Source(file=tmp_path / "x.parquet"))


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text().filter(lambda t: t.strip()))
def test_hostile_text_survives_as_it_is(tmp_path: Path, text: str) -> None:
    (prompt,) = read_source(Source(file=jsonl(tmp_path / "x.jsonl", {"prompt": text})))
    assert prompt.text == text.strip()


@pytest.mark.parametrize(
    "text", ["a\x00b\x1b[31m\x7f", "a\u2028line\u2029 \u202eright", "long " * 400_000 + "end", "\ufeffx"]
)
def test_control_characters_and_a_very_long_text(tmp_path: Path, text: str) -> None:
    pq.write_table(pa.table({"prompt": [text]}), tmp_path / "x.parquet")
    for path in (jsonl(tmp_path / "x.jsonl", {"prompt": text}), tmp_path / "x.parquet"):
        assert [p.text for p in read_source(Source(file=path))] == [text]


def test_a_byte_order_mark_at_the_start_is_no_error(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "x.jsonl", b"\xef\xbb\xbf" + b'{"prompt": "a"}')
    assert [p.text for p in read_source(Source(file=path))] == ["a"]
