"""The activations of a model: where they are, which table each has, and why some are left to the runtime."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from importlib import resources

import numpy as np
import onnx
from numpy.typing import NDArray

from edgeacts.acceleration.graph import attributes, varying
from edgeacts.acceleration.patterns import recognise
from edgeacts.piecewise import METADATA_KEY, Table, TableBook

DOMAIN = "edgeacts"
# One operator that every runtime fuses into the convolution before it at no cost: nothing to gain.
_FREE = frozenset({"Relu", "Clip"})
_LEAKY = "LeakyRelu"
_NO_BYTES = (
    "the scales around it are per channel, known only when it runs, or of two types: no table of bytes"
)


@dataclass(frozen=True)
class Site:
    """One activation: its output's name, operator and parameters; the table, or why it has none.

    `form` says how the file writes it: the function's operators, or the stock pattern that was recognised. `slope` is that of a
    LeakyReLU, which needs no table: the runtime fuses it into convolutions, but our depthwise kernel does it for less. `lookup`
    is that of an activation between quantized values: the output's byte for each of the input's, int8 as the uint8 128 above it.
    """

    name: str
    operator: str
    parameters: Mapping[str, float]
    form: str
    table: Table | None = None
    why: str = ""
    bound: float = 0.0
    slope: float | None = None
    lookup: NDArray[np.uint8] | None = None

    @property
    def marked(self) -> bool:
        """Whether it goes through the optimizer as a marker."""
        return self.table is not None or self.slope is not None or self.lookup is not None


def find_sites(
    model: onnx.ModelProto, where: str, left: Collection[str] = ()
) -> tuple[onnx.ModelProto, list[Site]]:
    """The model with every recognised activation as one node of domain `edgeacts`, and all its sites in order.

    `left` are the outputs of those between quantizers, which only a table of bytes could stand for. Raises DamagedFile when the
    tables in the metadata cannot be read.
    """
    book = TableBook.of({p.key: p.value for p in model.metadata_props}, where)
    stock = stock_tables()
    model, recognised = recognise(
        model, lambda operator, values: isinstance(_stock(stock, operator, values), Table), left
    )
    forms = {r.output: r.pattern for r in recognised}
    bodies = {f.name: _body(f) for f in model.functions if f.domain == DOMAIN}
    changing = varying(model.graph)
    sites = []
    for node in model.graph.node:
        if node.domain != DOMAIN:
            continue
        values = {name: a.f for name, a in attributes(node).items()}
        output = node.output[0]
        if output in forms:
            site = _site(output, node.op_type, values, forms[output], _stock(stock, node.op_type, values))
        else:
            body = bodies.get(node.op_type, [])
            found = book.find(node.op_type, values)
            site = _site(output, node.op_type, values, " ".join(body) or "no body", found)
            if body == [_LEAKY]:
                site = replace(site, table=None, bound=0.0, slope=_slope(model, node))
            elif len(body) == 1 and body[0] in _FREE:
                site = replace(
                    site, table=None, why=f"{body[0]}: the runtime fuses it into what stands before it"
                )
        if node.input[0] not in changing:
            site = replace(
                site, table=None, slope=None, why="its input is a constant: the runtime computes it once"
            )
        if output in left:
            why = site.why if site.table is None and site.slope is None else _NO_BYTES
            site = replace(site, table=None, slope=None, why=why)
        sites.append(site)
    return model, sites


def _site(name: str, operator: str, values: Mapping[str, float], form: str, found: Table | str) -> Site:
    if isinstance(found, Table):
        return Site(name, operator, values, form, found, "", found.bound)
    return Site(name, operator, values, form, None, found)


def _body(function: onnx.FunctionProto) -> list[str]:
    return [node.op_type for node in function.node if node.op_type != "Constant"]


def _slope(model: onnx.ModelProto, call: onnx.NodeProto) -> float:
    """The slope that a call of a function with one LeakyRelu has."""
    function = next(f for f in model.functions if (f.domain, f.name) == (call.domain, call.op_type))
    leaky = next(node for node in function.node if node.op_type == _LEAKY)
    given = attributes(leaky).get("alpha")
    if given is None:
        return 0.01
    return attributes(call)[given.ref_attr_name].f if given.ref_attr_name else given.f


def stock_tables() -> TableBook:
    """The tables of the catalogue's activations with their default parameters, for models that carry none."""
    text = resources.files("edgeacts.acceleration").joinpath("stock_tables.json").read_text("utf-8")
    return TableBook.of({METADATA_KEY: text}, "edgeacts' own tables")


def _stock(book: TableBook, operator: str, values: Mapping[str, float]) -> Table | str:
    """The stock table; Swish's for another β > 0 is SiLU's, scaled: x·σ(βx) = silu(βx)/β."""
    beta = values.get("beta", 1.0)
    if set(values) - {"beta"} or not beta > 0:
        return "no stock table has these parameters"
    record = book.records.get(operator, {})
    if not record:
        return f"there is no stock table of {operator}"
    table = Table.from_record(next(iter(record.values())), book.where)
    return table if beta == 1.0 else table.scaled(beta)


__all__ = ["DOMAIN", "Site", "find_sites", "stock_tables"]
