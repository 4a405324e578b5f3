"""Generating after λ was changed: tokens per second, many λ end to end, and our two ways on a GPU's batch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median

from pareto.bench.soup_parts.timed import Kind, Row, Say, Timed
from pareto.bench.soup_parts.ways import Merged, PeftInPlace, PeftMerged, PeftNew, PerRow, Soup, Way
from pareto.models import Base
from pareto.rollouts.sampling import Request, batch_size, draw
from pareto.soups.draw import Way as BankWay


def generation(timed: Timed, kind: Kind, say: Say) -> list[Row]:
    """A row for each way: tokens per second after a switch, in turn with the base model in the same loop."""
    requests = timed.requests(timed.size.prompts)
    merged = Merged(timed.bank)
    ways: list[tuple[str, Way | None]] = [
        ("base again", None),
        ("ours, merged", merged),
        ("ours, per row", PerRow(timed.bank, len(requests))),
        (f"PEFT {kind}", PeftNew(timed.peft, kind)),
        ("PEFT in place", PeftInPlace(timed.peft)),
        ("PEFT merged", PeftMerged(timed.peft)),
    ]

    def in_our_loop(base: Base) -> None:
        draw(base, requests, timed.sampling)

    def in_transformers(base: Base) -> None:
        _generate(timed, base, requests)

    in_our_loop(timed.base)  # warms up
    rows = [_against_base(timed, name, way, in_our_loop) for name, way in ways]
    name, peer = ways[3]
    in_transformers(timed.base)
    rows.append(_against_base(timed, f"{name}, transformers' generate", peer, in_transformers))
    for row in rows:
        say(f"generate, {row['way']}: {row['tokens_per_second']:.0f} tokens/s, {row['ratio']:.2f} of the base model's")
    return rows


def _against_base(timed: Timed, name: str, way: Way | None, run: Callable[[Base], None]) -> Row:
    base: list[float] = []
    soup: list[float] = []
    for _ in range(timed.size.generations):
        base.append(timed.seconds(run, timed.base))
        if way is None:
            soup.append(timed.seconds(run, timed.base))
            continue
        way.switch(timed.soup())
        soup.append(timed.seconds(run, way.base))
        way.clear()
    tokens = timed.size.prompts * timed.size.new_tokens
    return {
        "part": "generation",
        "way": name,
        "tokens_per_second": tokens / median(soup),
        "base_tokens_per_second": tokens / median(base),
        "ratio": median(base) / median(soup),
    }


def _generate(timed: Timed, live: Base, requests: Sequence[Request]) -> None:
    """The same amount by transformers' own loop."""
    import torch

    width = max(len(r.ids) for r in requests)
    pad: int = live.tokenizer.pad_token_id
    ids = torch.tensor([[pad] * (width - len(r.ids)) + list(r.ids) for r in requests], device=live.device)
    mask = torch.tensor([[0] * (width - len(r.ids)) + [1] * len(r.ids) for r in requests], device=live.device)
    s = timed.sampling
    live.model.generate(
        input_ids=ids,
        attention_mask=mask,
        max_new_tokens=s.max_new_tokens,
        min_new_tokens=s.max_new_tokens,
        do_sample=True,
        temperature=s.temperature,
        top_k=s.top_k,
        top_p=s.top_p,
        pad_token_id=pad,
    )


def grid(timed: Timed, lambdas: int, prompts: int, pairs: int, kind: Kind, say: Say) -> list[Row]:
    """A row for each way: seconds for ``lambdas`` soups on ``prompts`` prompts each, end to end.

    The ways take turns after as many soups as fill a batch, so that a slow minute of the machine meets all of them.
    """
    requests = timed.requests(prompts)
    ours: dict[str, BankWay] = {"ours": "auto", "ours, merged": "merged", "ours, per row": "per_row"}
    peers: dict[str, Way] = {
        f"PEFT {kind}": PeftNew(timed.peft, kind),
        "PEFT in place": PeftInPlace(timed.peft),
        "PEFT merged": PeftMerged(timed.peft),
    }
    spent: dict[str, list[float]] = {name: [] for name in (*ours, *peers)}
    step = max(1, batch_size(timed.base, timed.sampling) // prompts)
    for _ in range(pairs):
        totals = dict.fromkeys(spent, 0.0)
        for start in range(0, lambdas, step):
            soups = [timed.soup() for _ in range(min(step, lambdas - start))]
            for name, way in ours.items():
                totals[name] += timed.seconds(_bank_draw, timed, soups, requests, way)
                timed.bank.merge({})
            for name, peer in peers.items():
                totals[name] += timed.seconds(_one_by_one, timed, soups, requests, peer)
                peer.clear()
        for name, seconds in totals.items():
            spent[name].append(seconds)
    found = {name: median(seconds) for name, seconds in spent.items()}
    say(f"{lambdas} λ × {prompts} prompts: " + ", ".join(f"{name} {s:.1f} s" for name, s in found.items()))
    return [
        {
            "part": "grid",
            "way": name,
            "lambdas": lambdas,
            "prompts": prompts,
            "seconds": seconds,
            "ratio": seconds / found["ours"],
        }
        for name, seconds in found.items()
    ]


def _bank_draw(timed: Timed, soups: Iterable[Soup], requests: Sequence[Request], way: BankWay) -> None:
    asked = [(request, soup) for soup in soups for request in requests]
    timed.bank.draw([r for r, _ in asked], [soup for _, soup in asked], timed.sampling, way)


def _one_by_one(timed: Timed, soups: Iterable[Soup], requests: Sequence[Request], way: Way) -> None:
    for soup in soups:
        way.switch(soup)
        draw(way.base, requests, timed.sampling)


def batching(timed: Timed, say: Say) -> list[Row]:
    """A batch of rows that more and more λ share: our per-row way in turn with our merged one."""
    total = timed.size.rows
    rows: list[Row] = []
    for lambdas in sorted({max(1, total // 16), max(1, total // 4), total}):
        requests = timed.requests(total // lambdas)
        spent: dict[BankWay, list[float]] = {"merged": [], "per_row": []}
        for _ in range(timed.size.generations):
            soups = [timed.soup() for _ in range(lambdas)]
            for way, seconds in spent.items():
                seconds.append(timed.seconds(_bank_draw, timed, soups, requests, way))
        merged, per_row = median(spent["merged"]), median(spent["per_row"])
        say(f"{total} rows of {lambdas} λ: per row {per_row:.2f} s, merged {merged:.2f} s")
        rows.append(
            {
                "part": "batch",
                "way": "per row against merged",
                "lambdas": lambdas,
                "prompts": len(requests),
                "seconds": per_row,
                "merged_seconds": merged,
                "ratio": merged / per_row,
            }
        )
    timed.bank.merge({})
    return rows
