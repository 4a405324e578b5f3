"""Changing λ: how long it takes, what is then computed, and what more adapters cost."""

from __future__ import annotations

import gc
from statistics import median

from pareto.bench.soup_parts.timed import Kind, Row, Say, Timed
from pareto.bench.soup_parts.ways import Merged, Peft, PeftInPlace, PeftMerged, PeftNew, PerRow, Soup, Way, error
from pareto.soups.bank import Bank
from pareto.training.adapters import layer_of


def switching(timed: Timed, say: Say) -> list[Row]:
    """A row for each way: seconds in turn with our merged way, and how exact the soup is."""
    ours = Merged(timed.bank)
    many = timed.size.switches
    peers: list[tuple[str, Way, int]] = [
        ("PEFT cat", PeftNew(timed.peft, "cat"), many),
        ("PEFT linear", PeftNew(timed.peft, "linear"), many),
        ("PEFT svd", PeftNew(timed.peft, "svd"), 1),  # it alone takes as long as all the others
        ("PEFT in place", PeftInPlace(timed.peft), many),
        ("PEFT merged", PeftMerged(timed.peft), many),
    ]
    rows: list[Row] = []
    mine: list[float] = []
    for name, way, count in peers:
        a, b = timed.switches(ours, way, count)
        mine.append(a)
        rows.append(_row(timed, name, way, b, a))
        say(f"change λ, {len(timed.layers)} layers, {name}: {b:.3f} s; ours {a:.3f} s")
    a = median(mine)
    rows.insert(0, _row(timed, "ours, merged", ours, a, a))
    per_row = PerRow(timed.bank, timed.size.prompts)
    per_row.switch(timed.soup())  # lays the adapters side by side, once
    b = median(timed.seconds(per_row.switch, timed.soup()) for _ in range(many))
    per_row.clear()
    rows.insert(1, _row(timed, "ours, per row", PerRow(timed.bank, 1), b, a))
    return rows


def _row(timed: Timed, name: str, way: Way, seconds: float, ours: float) -> Row:
    soup = timed.soup()
    way.switch(soup)
    worst, rounding = _errors(timed, way, soup)
    way.clear()
    return {
        "part": "switch",
        "way": name,
        "layers": len(timed.layers),
        "adapters": len(timed.names),
        "seconds": seconds,
        "ours_seconds": ours,
        "ratio": seconds / ours,
        "error": worst,
        "rounding": rounding,
        "exact": worst <= 2 * rounding + 1e-5,
    }


def _errors(timed: Timed, way: Way, soup: Soup) -> tuple[float, float]:
    """The worst ``error`` over the modules of the first, the middle and the last adapted layer."""
    layers = timed.layers
    probed = {layers[0], layers[len(layers) // 2], layers[-1]}
    found = [
        error(way, module, timed.bank.pristine[module], timed.adapters.reference(module, soup))
        for module in timed.adapters.a
        if layer_of(module) in probed
    ]
    return max(e for e, _ in found), max(r for _, r in found)


def growth(timed: Timed, kind: Kind, say: Say) -> list[Row]:
    """More and more adapters: seconds to change λ, bytes held, and how the process grew while they were loaded.

    Ours counts the pristine copy of the adapted weights; PEFT's does not count its model.
    """
    Merged(timed.bank).clear()
    grown, peft_grown = _Grown(), _Grown()
    with grown:
        bank = Bank(timed.base, timed.lora, timed.adapters.a)
    peft = Peft(timed.base)
    rows: list[Row] = []
    for count in timed.size.adapters:
        names = list(timed.adapters.folders)[:count]
        with grown:
            for name in names[len(bank.names) :]:
                bank.add(name, timed.adapters.folders[name])
        with peft_grown:
            for name in names[len(peft.names) :]:
                peft.add(name, timed.adapters.folders[name])
        held = [*bank.pristine.values(), *bank.a.values(), *(t for b in bank.adapters.values() for t in b.values())]
        theirs = [p for name, p in peft.base.model.named_parameters() if "lora_" in name]
        row: Row = {
            "part": "adapters",
            "way": f"ours against PEFT {kind}",
            "adapters": count,
            "bytes": sum(t.nbytes for t in held),
            "peft_bytes": sum(p.nbytes for p in theirs),
            "grown": grown.bytes,
            "peft_grown": peft_grown.bytes,
        }
        ours, peer = Merged(bank), PeftNew(peft, kind)
        a, b = timed.switches(ours, peer, max(2, timed.size.switches // 3), names)
        peer.clear()
        rows.append(row | {"seconds": a, "peft_seconds": b, "ratio": b / a})
        say(f"change λ, {count} adapters: PEFT {b:.3f} s; ours {a:.3f} s")
    return rows


class _Grown:
    """By how many bytes of memory this process has grown inside the blocks."""

    def __init__(self) -> None:
        self.bytes = 0

    def __enter__(self) -> None:
        gc.collect()
        self.bytes -= _resident()

    def __exit__(self, *_: object) -> None:
        gc.collect()
        self.bytes += _resident()


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
