"""What the command line prints of fronts and benchmarks."""

from __future__ import annotations

from typing import Any

HANDFUL = 5
"""Rows measured on validation only are listed up to so many; more are counted."""


def front_table(document: dict[str, Any]) -> str:
    """Rows of points, the front first, then the measures of the whole front.

    Args:
        document: from ``Frontier.document``.
    """
    names = document["objectives"]
    rows = sorted(document["points"], key=lambda r: (not r["on_front"], r["split"] != "test", r["kind"] != "base"))
    left_out = sum(r["split"] != "test" for r in rows)
    if left_out > HANDFUL:
        rows = [r for r in rows if r["split"] == "test"]
    header = ["", "point", *names, "fluency", "KL", "P(front)"]
    body = [
        [
            "●" if r["on_front"] else ("·" if r["split"] == "test" else ""),
            r["id"] if r["split"] == "test" else f"{r['id']} (validation)",
            *(f"{r['mean'][n]:.3f} ±{r['se'][n]:.3f}" for n in names),
            f"{r['gold'].get('fluency', float('nan')):.2f}",
            f"{r['kl']:.2f}",
            "" if r["p_nondominated"] is None else f"{r['p_nondominated']:.2f}",
        ]
        for r in rows
    ]
    widths = [max(len(line[k]) for line in [header, *body]) for k in range(len(header))]
    lines = [
        "  ".join(
            cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in [header, *body]
    ]
    if left_out > HANDFUL:
        lines.append(f"{left_out} more measured on validation only")
    h, b = document["hypervolume"], document["base_hypervolume"]
    lines += [
        "",
        "● on the front, selected on validation, measured on test; values are means ± standard errors over prompts",
        f"hypervolume {h['value']:.2f} ({h['low']:.2f} to {h['high']:.2f}); "
        f"base alone {b['value']:.2f} ({b['low']:.2f} to {b['high']:.2f})",
    ]
    for point, gain in document["expert_gains"].items():
        z = gain["difference"] / gain["se"] if gain["se"] else float("inf")
        lines.append(
            f"{point} against the base on its own objective: {gain['difference']:+.3f} ± {gain['se']:.3f} "
            f"({z:.1f} standard errors, {gain['prompts']} prompts)"
        )
    return "\n".join(line.rstrip() for line in lines)


def bench_table(result: dict[str, Any]) -> str:
    """A benchmark's rows and figures as text."""
    lines = [f"{result['bench']} on {result['hardware']}", ""]
    for row in result["rows"]:
        seconds = ", ".join(f"{k} {v:.0f} s" for k, v in row["seconds"].items())
        value = f"hypervolume {row['hypervolume']:.2f} ({row['low']:.2f} to {row['high']:.2f})"
        lines.append(f"{row['way']:12} {value}  {seconds}".rstrip())
    lines.append("")
    lines += [f"{name:34} {value:.3g}" for name, value in result["figures"].items()]
    return "\n".join(lines)


def soup_table(result: dict[str, Any]) -> str:
    """``pareto bench soup`` as text: a block for each part, then the figures."""
    columns = {
        "switch": ("way", "layers", "adapters", "seconds", "ratio", "error", "exact"),
        "generation": ("way", "tokens_per_second", "base_tokens_per_second", "ratio"),
        "grid": ("way", "lambdas", "prompts", "seconds", "ratio"),
        "batch": ("way", "lambdas", "prompts", "seconds", "merged_seconds", "ratio"),
        "adapters": (
            "way",
            "adapters",
            "seconds",
            "peft_seconds",
            "ratio",
            "bytes",
            "peft_bytes",
            "grown",
            "peft_grown",
        ),
    }
    lines = [f"{result['bench']}, {result['model']}, on {result['hardware']}, {result['date']}"]
    for part, names in columns.items():
        body = [[_cell(row[n]) for n in names] for row in result["rows"] if row["part"] == part]
        if body:
            lines += ["", *_aligned([[part, *names[1:]], *body])]
    lines.append("")
    lines += [f"{name:34} {value:.3g}" for name, value in result["figures"].items()]
    return "\n".join(lines)


def rows_table(result: dict[str, Any]) -> str:
    """A benchmark whose rows have the same columns, then its figures."""
    return "\n".join([*_rows(result["rows"]), "", figures_table(result)])


def scale_tables(result: dict[str, Any]) -> str:
    """``pareto bench scale`` as text: a block for each part, then the figures."""
    parts = [part for part in ("rows", "workers", "schedules", "recoveries") if part in result]
    return "\n".join([*(line for part in parts for line in [*_rows(result[part]), ""]), figures_table(result)])


def figures_table(result: dict[str, Any]) -> str:
    """A benchmark's figures alone."""
    return "\n".join(f"{name:34} {value:.4g}" for name, value in result["figures"].items())


def _rows(rows: list[dict[str, Any]]) -> list[str]:
    return _aligned([list(rows[0]), *([_cell(value) for value in row.values()] for row in rows)])


def _aligned(table: list[list[str]]) -> list[str]:
    """Columns of equal width, the first to the left."""
    widths = [max(len(line[k]) for line in table) for k in range(len(table[0]))]
    return [
        "  ".join(cell.rjust(w) if k else cell.ljust(w) for k, (cell, w) in enumerate(zip(line, widths, strict=True)))
        for line in table
    ]


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value)) or "-"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
