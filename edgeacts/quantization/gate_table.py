"""The gate's tries as text."""

from __future__ import annotations

from edgeacts.records import GateRecord, GateTry, LatencyRatio

_HEAD = ("in float", "accuracy", "drop, points", "size", "MACs", "latency", "verdict")


def format_gate(record: GateRecord) -> str:
    """A line a try within 80 columns; `*` marks the model that was handed back.

    Size and latency are relative to the float model, + NAME what went back. MACs, the share of multiply-adds in float, stands
    for the latency where that was not measured.
    """
    timed = any(tried.latency is not None for tried in record.tries)
    rows = [_HEAD, *(_cells(number, tried, record) for number, tried in enumerate(record.tries))]
    unwanted = _HEAD.index("MACs" if timed else "latency")
    rows = [(*row[:unwanted], *row[unwanted + 1 :]) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]
    return "\n".join(lines)


def _cells(number: int, tried: GateTry, record: GateRecord) -> tuple[str, ...]:
    drop, mark = tried.drop, "*" if number == record.chosen else ""
    return (
        f"+ {_short(tried.returned)}" if tried.returned else f"{len(tried.float_layers)}",
        f"{drop.accuracy:.2%}",
        f"{drop.drop:.2f} ({drop.low:.2f} to {drop.high:.2f})",
        f"{tried.size_bytes / record.float_size_bytes:.2f}x",
        f"{tried.float_macs_share:.1%}",
        _latency(tried.latency),
        f"{tried.verdict}{mark}",
    )


def _latency(found: LatencyRatio | None) -> str:
    """The ratio with the longer half of its interval."""
    return (
        ""
        if found is None
        else f"{found.ratio:.2f}x ±{max(found.high - found.ratio, found.ratio - found.low):.2f}"
    )


def _short(name: str, limit: int = 10) -> str:
    return name if len(name) <= limit else f"…{name[-limit + 1 :]}"
