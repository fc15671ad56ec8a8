"""Activations of an INT8 model as sites: each becomes one marked node between DequantizeLinear and QuantizeLinear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper

from edgeacts.acceleration.graph import import_domain, use_counts
from edgeacts.acceleration.int8_regions import DEQUANTIZE, QUANTIZE, Region, find_regions, is_quantized
from edgeacts.acceleration.int8_tables import byte_tables
from edgeacts.acceleration.patterns import recognise
from edgeacts.acceleration.sites import DOMAIN, Site

INT8_DOMAIN = "edgeacts.int8"


def find_int8_sites(model: onnx.ModelProto) -> tuple[onnx.ModelProto, list[Site]]:
    """The model with each activation that a table of bytes stands for as one node of domain `edgeacts.int8`, and their sites.

    Raises EdgeactsError when the runtime cannot evaluate them.
    """
    if not is_quantized(model):
        return model, []
    regions = [region for region in find_regions(model) if not region.free]
    if not regions:
        return model, []
    tables = byte_tables(model, regions)
    names = _names(model)
    result = onnx.ModelProto()
    result.CopyFrom(model)
    replaced = _replace(result, regions)
    sites = [
        Site(
            name=replaced[region.target],
            operator=_operator(region, names),
            parameters={},
            form=_form(region),
            lookup=table,
        )
        for region, table in zip(regions, tables, strict=True)
    ]
    return result, sites


def _names(model: onnx.ModelProto) -> Mapping[str, str]:
    """Value -> the operator that computes it: functions of edgeacts, and activations written in stock operators."""
    names = {n.output[0]: n.op_type for n in model.graph.node if n.domain == DOMAIN and n.output}
    return names | {found.output: found.operator for found in recognise(model)[1]}


def _operator(region: Region, names: Mapping[str, str]) -> str:
    known = [names[node.output[0]] for node in region.nodes if node.output[0] in names]
    return " ".join(known) or " ".join(dict.fromkeys(op for op in region.operators if op not in _QDQ))


def _form(region: Region) -> str:
    return " ".join(op for op in region.operators if op not in _QDQ)


_QDQ = (QUANTIZE, DEQUANTIZE)


def _replace(model: onnx.ModelProto, regions: Sequence[Region]) -> dict[str, str]:
    """Put one node in each region's place; target -> that node's output, named like what it stands for if that is free."""
    graph = model.graph
    finals = {region.target: region for region in regions}
    firsts = {
        r.target: next(n for n in r.nodes if n.op_type == DEQUANTIZE and n.input[0] == r.source)
        for r in regions
    }
    nodes: list[onnx.NodeProto] = []
    made: dict[str, tuple[onnx.NodeProto, onnx.NodeProto]] = {}
    for node in graph.node:
        region = finals.get(node.output[0]) if node.output else None
        if region is not None:
            dequantized, activated = f"{region.target}_edgeacts_x", f"{region.target}_edgeacts_y"
            first = firsts[region.target]
            nodes.append(helper.make_node(DEQUANTIZE, [region.source, *first.input[1:]], [dequantized]))
            stub = helper.make_node("Lookup", [dequantized], [activated], name=activated, domain=INT8_DOMAIN)
            node.input[0] = activated
            made[region.target] = stub, node
            nodes.append(stub)
        nodes.append(node)
    inside = {node.output[0] for region in regions for node in region.nodes} - set(finals)
    nodes = _alive(graph, nodes, inside)
    taken = {name for node in nodes for name in node.output}
    for target, (stub, final) in made.items():
        value = finals[target].value
        if value not in taken:
            stub.output[0] = final.input[0] = value
            taken.add(value)
    names = {target: stub.output[0] for target, (stub, _) in made.items()}
    _refill(graph, nodes)
    import_domain(model, INT8_DOMAIN)
    return names


def _alive(graph: onnx.GraphProto, nodes: list[onnx.NodeProto], inside: set[str]) -> list[onnx.NodeProto]:
    """Without what only the regions used."""
    shell = onnx.GraphProto()
    shell.output.extend(graph.output)
    shell.node.extend(nodes)
    uses = use_counts(shell)
    kept = []
    for node in reversed(nodes):
        if node.output and node.output[0] in inside and uses[node.output[0]] == 0:
            uses.subtract(name for name in node.input if name)
        else:
            kept.append(node)
    return kept[::-1]


def _refill(graph: onnx.GraphProto, nodes: list[onnx.NodeProto]) -> None:
    copies = onnx.GraphProto()
    copies.node.extend(nodes)
    del graph.node[:]
    graph.node.extend(copies.node)
    made = {name for node in graph.node for name in node.output}
    given = {v.name for v in graph.input} | {t.name for t in graph.initializer}
    known = [v for v in graph.value_info if v.name in made or v.name in given]
    del graph.value_info[:]
    graph.value_info.extend(known)
