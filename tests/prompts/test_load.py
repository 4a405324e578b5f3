import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from pareto.config import Prompts, Source, Take
from pareto.errors import ParetoError
from pareto.prompts import load_prompts


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"word{i} thing{i}"}) + "\n" for i in range(200)))
    return path


def test_splits_are_filled_and_sorted(mine: Path) -> None:
    prompts = load_prompts(Prompts(sources=(Source(file=mine), Source(packaged="sums"))))
    assert {p.source for p in prompts} == {"mine.jsonl", "sums"}
    order = ["train", "validation", "test"]
    assert prompts == sorted(prompts, key=lambda p: (order.index(p.split), p.id))
    assert len({p.id for p in prompts}) == len(prompts) == 404


def test_take_limits_each_source_and_a_larger_take_keeps_the_smaller(mine: Path) -> None:
    def loaded(train: int) -> set[str]:
        take = Take(train=train, validation=5, test=7)
        prompts = load_prompts(Prompts(sources=(Source(packaged="sums"), Source(file=mine, take=take))))
        counts = Counter((p.source, p.split) for p in prompts)
        assert counts["mine.jsonl", "validation"] == 5
        assert counts["mine.jsonl", "test"] == 7
        assert counts["sums", "train"] > 20
        return {p.id for p in prompts if (p.source, p.split) == ("mine.jsonl", "train")}

    few, more, all_there_are = loaded(10), loaded(20), loaded(10_000)
    assert (len(few), len(more)) == (10, 20)
    assert few < more < all_there_are
    assert len(all_there_are) < 200


def test_a_duplicate_across_sources_counts_for_the_first(tmp_path: Path, mine: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_text(mine.read_text().upper().replace("PROMPT", "prompt"))
    both = load_prompts(Prompts(sources=(Source(file=mine), Source(file=copy))))
    assert both == load_prompts(Prompts(sources=(Source(file=mine),)))


def test_the_seed_draws_the_splits(mine: Path) -> None:
    config = Prompts(sources=(Source(file=mine),))
    assert load_prompts(config, seed=3) == load_prompts(config, seed=3)
    assert load_prompts(config, seed=3) != load_prompts(config, seed=4)


@pytest.mark.parametrize(
    ("fractions", "take", "split"),
    [
        ((0.5, 0.5, 0), None, "test"),
        ((0, 0.5, 0.5), None, "train"),
        ((0.5, 0.2, 0.3), Take(train=9, validation=0, test=9), "validation"),
    ],
)
def test_an_empty_split_is_an_error_that_names_it(
    mine: Path, fractions: tuple[float, float, float], take: Take | None, split: str
) -> None:
    with pytest.raises(ParetoError, match=f"none for the {split} split"):
        load_prompts(Prompts(sources=(Source(file=mine, take=take),), fractions=fractions))


def test_loading_packaged_prompts_imports_no_torch() -> None:
    code = (
        "import sys; from pareto.config import Prompts, Source; from pareto.prompts import load_prompts;"
        "load_prompts(Prompts(sources=(Source(packaged='capitals'), Source(packaged='provocations'))));"
        "sys.exit(len({'torch', 'sklearn', 'datasets'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
