"""``pareto bench soup`` times every way for real, and knows which of them compute the soup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from forge import Ended, Forge

from pareto.bench.soup import QUICK, fastest_exact
from pareto.bench.soup_parts.generate import batching
from pareto.bench.soup_parts.timed import Timed
from pareto.bench.soup_parts.ways import Merged, PeftInPlace, PeftMerged, PeftNew, PerRow
from pareto.models import Base
from pareto.rollouts.sampling import draw
from pareto.store.files import read_json

RATIOS = {
    "switch_vs_peft": "PEFT cat",
    "switch_vs_peft_in_place": "PEFT in place",
    "switch_vs_peft_merged": "PEFT merged",
}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soup") / "soup.json"


@pytest.fixture(scope="module")
def ended(forge: Forge, kept: Path) -> Ended:
    return forge.run("bench", "soup", "--model", "tiny-random", "--quick", "--out", kept)


@pytest.fixture(scope="module")
def result(ended: Ended, kept: Path) -> dict:
    assert ended.code == 0, ended.err
    return read_json(kept)


def test_the_answer_has_the_documented_figures(result: dict) -> None:
    assert result["bench"] == "soup"
    assert result["seeds"] == [0]
    assert {
        "switch_seconds",
        "switch_vs_peft",
        "switch_vs_peft_in_place",
        "generation_vs_base",
        "generation_per_row_vs_base",
        "peft_generation_vs_base",
        "grid_vs_peft",
        "grid_vs_peft_in_place",
        "generation_control",
    } <= set(result["figures"])
    assert all(np.isfinite(value) and value > 0 for value in result["figures"].values())


def test_only_peft_linear_does_not_compute_the_soup(result: dict) -> None:
    exact = {(row["way"], row["exact"]) for row in result["rows"] if row["part"] == "switch"}
    assert ("PEFT linear", False) in exact
    assert {way for way, right in exact if not right} == {"PEFT linear"}
    assert {way for way, _ in exact} > {"ours, merged", "ours, per row", "PEFT cat", "PEFT svd", "PEFT in place"}


@pytest.mark.parametrize("figure", RATIOS)
def test_a_ratio_is_that_of_the_seconds(result: dict, figure: str) -> None:
    switches = [row for row in result["rows"] if row["part"] == "switch" and row["layers"] == 2]
    peers = [r for r in switches if r["way"] in {"PEFT cat", "PEFT svd"}]
    fastest = min(peers, key=lambda r: r["seconds"])["way"]
    way = fastest if figure == "switch_vs_peft" else RATIOS[figure]
    row = next(r for r in switches if r["way"] == way)
    assert result["figures"][figure] == pytest.approx(row["seconds"] / row["ours_seconds"])


def test_the_grid_figure_is_of_the_largest_grid(result: dict) -> None:
    rows = {r["way"]: r["seconds"] for r in result["rows"] if r["part"] == "grid" and r["lambdas"] == 3}
    ratio = rows["PEFT in place"] / rows["ours"]
    assert result["figures"]["grid_vs_peft_in_place"] == pytest.approx(ratio)


def test_memory_is_counted_in_bytes(result: dict, tiny: Base) -> None:
    few, many = (row for row in result["rows"] if row["part"] == "adapters")
    wide = [m.weight for n, m in tiny.model.named_modules() if "proj" in n]
    b = sum(w.size(0) * QUICK.rank * 4 for w in wide)
    a = sum(w.size(1) * QUICK.rank * 4 for w in wide)
    assert many["bytes"] - few["bytes"] == b  # one more adapter is one more B
    assert many["peft_bytes"] - few["peft_bytes"] == a + b  # PEFT keeps an A for each
    size = 2 if "bfloat16" in result["model"] else 4  # as the hardware has it
    assert few["bytes"] == sum(w.numel() * size for w in wide) + a + 2 * b


def test_the_command_prints_a_table_and_tells_of_progress(ended: Ended) -> None:
    assert "PEFT linear" in ended.out
    assert "switch_vs_peft" in ended.out
    assert "change λ, 2 layers, PEFT cat" in ended.err


def test_a_file_that_cannot_be_written_is_refused_at_once(forge: Forge, tmp_path: Path) -> None:
    line = forge.run("bench", "soup", "--quick", "--out", tmp_path / "missing" / "soup.json").line()
    assert "no folder" in line


@pytest.fixture
def timed(tiny: Base, tmp_path: Path) -> Timed:
    return Timed(tiny, None, QUICK, tmp_path, seed=3)


def test_every_exact_way_gives_the_logits_of_the_float64_soup(timed: Timed, tiny: Base) -> None:
    soup = timed.soup()
    ids = torch.tensor([timed.ids[0]])
    reference = _double(tiny, timed, soup)(ids).logits
    ways = [
        Merged(timed.bank),
        PerRow(timed.bank, 1),
        PeftNew(timed.peft, "cat"),
        PeftNew(timed.peft, "svd"),
        PeftInPlace(timed.peft),
        PeftMerged(timed.peft),
    ]
    for way in ways:
        for again in (timed.soup(), soup):
            way.switch(again)
        with torch.inference_mode():
            logits = way.base.model(ids).logits.double()
        way.clear()
        assert float((logits - reference).norm() / reference.norm()) < 1e-5, way


def test_a_way_that_is_cleared_leaves_no_trace(timed: Timed, tiny: Base) -> None:
    before = {name: weight.clone() for name, weight in tiny.model.state_dict().items()}
    theirs = {n: p.clone() for n, p in timed.peft.base.model.named_parameters() if "lora_" not in n}
    for way in (Merged(timed.bank), PerRow(timed.bank, 2), PeftInPlace(timed.peft), PeftMerged(timed.peft)):
        way.switch(timed.soup())
        way.switch(timed.soup())
        way.clear()
    assert all(torch.equal(weight, before[name]) for name, weight in tiny.model.state_dict().items())
    assert all(torch.equal(p, theirs[n]) for n, p in timed.peft.base.model.named_parameters() if n in theirs)


def test_no_completion_ends_before_the_others(timed: Timed) -> None:
    drawn = draw(timed.base, timed.requests(2), timed.sampling.model_copy(update={"max_new_tokens": 64}))
    assert [len(d.token_ids) for d in drawn] == [64, 64]


def test_a_batch_is_shared_by_more_and_more_soups(timed: Timed) -> None:
    rows = batching(timed, lambda _: None)
    assert [(r["lambdas"], r["prompts"]) for r in rows] == [(1, 4), (4, 1)]
    assert all(r["ratio"] == pytest.approx(r["merged_seconds"] / r["seconds"]) for r in rows)


def test_the_fastest_peft_way_is_among_the_exact_ones() -> None:
    def row(way: str, seconds: float, exact: bool, layers: int = 2) -> dict:
        return {"part": "switch", "way": way, "seconds": seconds, "exact": exact, "layers": layers}

    rows = [
        row("PEFT svd", 0.1, True, layers=1),
        row("PEFT linear", 1.0, False),
        row("PEFT svd", 9.0, True),
        row("PEFT cat", 2.0, True),
        row("PEFT in place", 0.1, True),
    ]
    assert fastest_exact(rows) == "cat"


def _double(base: Base, timed: Timed, soup: dict[str, float]) -> torch.nn.Module:
    """The soup in float64, a matrix at a time."""
    import copy

    model = copy.deepcopy(base.model).double()
    for name in timed.adapters.a:
        module = model.get_submodule(name)
        for adapter, weight in soup.items():
            b, a = timed.adapters.b[adapter][name].double(), timed.adapters.a[name].double()
            module.weight += 2.0 * weight * (b @ a)
    return model
