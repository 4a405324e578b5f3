"""A series of rounds as a table for the terminal, and as one page with its pictures."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

from pareto.rounds.store import Rounds
from pareto.store.files import write_text

REPORT = "report.html"
Record = Mapping[str, Any]

_STYLE = """
body{font:15px/1.5 Inter,system-ui,'Segoe UI',Helvetica,Arial,sans-serif;color:#1B1D22;max-width:1180px;
margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;margin:1rem 0}
h1{font-size:1.5rem}h2{font-size:1.1rem;margin:2.2rem 0 .3rem}p{color:#5F636B;margin:.2rem 0}
th,td{padding:.25rem .8rem;text-align:right;border-bottom:1px solid #ECEBE8}
th{font-weight:600}td:first-child,th:first-child{text-align:left}
li{margin:.3rem 0}.stop{border-left:4px solid #E66B06;padding:.3rem .8rem;color:#1B1D22}
"""


def table(records: Sequence[Record]) -> list[list[str]]:
    """Header and one row per round.

    Args:
        records: of at least one round.
    """
    names = list(records[0]["rewards"])
    header = ["round", "labels", *(f"{n}: right" for n in names), "hypervolume", "gain", "in all", "gap"]
    header += ["KL", "cost"]
    return [header, *(_row(record, names) for record in records)]


def text(records: Sequence[Record]) -> str:
    """The table, then what each round flagged, then why it ended."""
    rows = table(records)
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
    lines += ["", *_notes()]
    lines += [f"round {r['round']}: {flag}" for r in records for flag in r["flags"]]
    lines += [f"stopped early: {reason}" for reason in [records[-1]["stop"]] if reason]
    return "\n".join(lines)


def write_report(rounds: Rounds) -> None:
    """Write the page into the folder of the series.

    Raises:
        ParetoError: on a full disk.
    """
    from pareto.rounds import figures

    records = rounds.records
    pictures = [
        (
            "Fronts of all rounds under gold",
            figures.fronts(records),
            "Gains over the base, 95 % bars; faint: left out.",
        ),
        ("Hypervolume and gap", figures.by_round(records), "A gap above 0: the reward models promise too much."),
        ("Proxy and gold against KL", figures.against_kl(records), "Hollow and dotted: proxy. Full: gold."),
        ("Labels and accuracy", figures.labels_against_accuracy(records), "How well the labels taught."),
    ]
    parts = []
    for k, (title, figure, note) in enumerate(pictures):
        # plotly.js once, so that the page needs no network.
        drawn = figure.to_html(full_html=False, include_plotlyjs=k == 0, config={"displaylogo": False})
        parts.append(f"<h2>{title}</h2><p>{note}</p>{drawn}")
    title = f"{html.escape(rounds.name)}: {len(records)} rounds"
    write_text(
        rounds.path / REPORT,
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{title}</title><style>{_STYLE}</style>"
        f"<h1>{title}</h1>{_html(records)}{''.join(parts)}</html>\n",
    )


def _row(record: Record, names: Sequence[str]) -> list[str]:
    largest = max((p["kl"] for p in record["front"] if p["selected"] and p["kl"] is not None), default=None)
    return [
        str(record["round"]),
        str(sum(record["went_in"]["labels_total"].values())),
        *(_share(record["rewards"][n]) for n in names),
        _within(record["hypervolume"]),
        _within(record["gain"]),
        _within(record.get("gain_in_all")),
        _within(record["gap"]["mean"]),
        "–" if largest is None else f"{largest:.2f}",
        f"{record['cost']:.2f}",
    ]


def _share(reward: Record) -> str:
    """Accuracy by gold where there is one, else by the labels."""
    found = reward["gold_accuracy"] or reward["accuracy"]
    return "–" if found["value"] is None else f"{found['value']:.0%}"


def _within(x: Mapping[str, float] | None) -> str:
    return "–" if x is None else f"{x['value']:.2f} ({x['low']:.2f} to {x['high']:.2f})"


def _notes() -> list[str]:
    return [
        "hypervolume, its gain over the round before and in all over the first, and gap (proxy gain − gold gain, mean",
        "size over objectives) are in base standard deviations, under gold rewards on test prompts; right: pairs of",
        "the new policies' answers that the reward models order as gold does, or held-out labels where there is no",
        "gold; KL: the largest of the front, nats per token",
    ]


def _html(records: Sequence[Record]) -> str:
    header, *rows = table(records)
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    flags = "".join(f"<li>Round {r['round']}: {html.escape(flag)}</li>" for r in records for flag in r["flags"])
    stop = records[-1]["stop"]
    stopped = f"<p class='stop'>Stopped early: {html.escape(stop)}</p>" if stop else ""
    notes = html.escape(" ".join(_notes()))
    return f"{stopped}<table><tr>{head}</tr>{body}</table><p>{notes}</p><ul>{flags}</ul>"
