"""Errors per node in Model Explorer's node-data format: opened over the ONNX file, it colours the nodes.

{graph: {"results": {node: {"value", "bgColor"}}}}. A node goes by its name, or by that of its first output where it has none.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import onnx

from edgeacts.records import DivergenceRecord, LayerRow

_COLOURS = {"pass": "#a5d6a7", "fail": "#ef5350", "blind": "#cfd8dc"}
_FIRST = "#b71c1c"


def node_data(record: DivergenceRecord, graph: onnx.GraphProto) -> str:
    """JSON for `nodes.json`: the relative error of every value that was looked at, the first divergence in dark red."""
    names = Counter(node.name for node in graph.node)
    keys = {
        o: node.name if names[node.name] == 1 and node.name else node.output[0]
        for node in graph.node
        for o in node.output
    }
    results: dict[str, Any] = {}
    for index, row in enumerate(record.rows):
        if row.outcome != "not looked at":
            entry = {"value": _value(row), "bgColor": _COLOURS[row.outcome]}
            if index == record.first:
                entry |= {"bgColor": _FIRST, "textColor": "#ffffff"}
            results[keys.get(row.candidate, row.candidate)] = entry
    title = f"error of {record.candidate} against {record.reference}, share of the movement"
    return (
        json.dumps(
            {graph.name or "main_graph": {"name": title, "results": results}}, indent=1, ensure_ascii=False
        )
        + "\n"
    )


def _value(row: LayerRow) -> float | str:
    if row.relative_error is not None:
        return row.relative_error
    return row.max_error if row.max_error is not None else row.outcome
