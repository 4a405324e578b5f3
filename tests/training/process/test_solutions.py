from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pareto.errors import ParetoError
from pareto.training.process.solutions import labelled, labeller, read_solutions


def written(path: Path, *rows: Any) -> Path:
    file = path / "solutions.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_labels_of_the_file_or_of_a_rule(tmp_path: Path) -> None:
    row = {"prompt": "?", "completion": "1 + 1 = 2\n2 + 2 = 5\nso", "labels": [True, 0.25, None]}
    found = read_solutions(written(tmp_path, row))
    assert [x.target for x in labelled(found, None)[0].labels or ()][:2] == [1, 0.25]
    assert [x.right for x in labelled(found, labeller("verified"))[0].labels or ()] == [True, False, None]
    assert labelled(found, labeller("sparse:3"))[0].labels[0].source == "sparse:3"  # type: ignore[index]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"prompt": "?"}, "no column 'completion'"),
        ({"prompt": "?", "completion": ""}, "'completion' is empty"),
        ({"prompt": 3, "completion": "x"}, "'prompt' must be text"),
        ({"prompt": "?", "completion": "a\nb", "labels": [True]}, "has 1 values, the completion 2 steps"),
        ({"prompt": "?", "completion": "a", "labels": "yes"}, "has a str, the completion 1 steps"),
        ({"prompt": "?", "completion": "a", "labels": ["yes"]}, "label 1 is 'yes'"),
        ({"prompt": "?", "completion": "a", "labels": [1.5]}, "label 1 is 1.5"),
        ({"prompt": "?", "completion": "a", "labels": [float("nan")]}, "label 1 is nan"),
    ],
)
def test_bad_rows_are_refused_with_their_place(tmp_path: Path, row: Any, told: str) -> None:
    with pytest.raises(ParetoError) as e:
        read_solutions(written(tmp_path, {"prompt": "?", "completion": "fine"}, row))
    assert "solutions.jsonl:2" in str(e.value)
    assert told in str(e.value)


def test_what_cannot_be_labelled_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ParetoError, match=r"solutions.jsonl:1: no 'labels'; give them, or take --labels verified"):
        labelled(read_solutions(written(tmp_path, {"prompt": "?", "completion": "x"})), None)
    for spec in ("sparse:0", "sparse:", "sparse:x", "sparse:²", "verify"):
        with pytest.raises(ParetoError, match="known are verified, sparse:K"):
            labeller(spec)
    with pytest.raises(ParetoError, match="no solutions in it"):
        read_solutions(written(tmp_path))
