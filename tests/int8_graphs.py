"""INT8 networks as ONNX graphs, layer by layer, with DequantizeLinear and QuantizeLinear around everything."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from accelerating import kit
from onnx import TensorProto, helper, numpy_helper, parser
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static, registry
from onnxruntime.quantization.operators.qdq_base_operator import QDQOperatorBase


class Graph:
    """Layers one after another; `value` is the last one's dequantized output. All quantized values are of one type."""

    def __init__(self, channels: int = 8, side: int = 9, dtype: Any = np.uint8, seed: int = 0) -> None:
        self.random = np.random.default_rng(seed)
        self.dtype, self.channels, self.side = dtype, channels, side
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.count = 0
        self.value = "x"
        self.quantize(0.04)

    def name(self, kind: str) -> str:
        self.count += 1
        return f"{kind}{self.count}"

    def constant(self, value: Any, dtype: Any = np.float32) -> str:
        self.weights.append(numpy_helper.from_array(np.asarray(value, dtype), self.name("c")))
        return self.weights[-1].name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        output = self.name("v")
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output

    def quantize(self, scale: Any, zero: int | None = None, dtype: Any = None, **attributes: Any) -> "Graph":
        dtype = dtype or self.dtype
        middle = 0 if np.dtype(dtype).kind == "i" else np.iinfo(dtype).max // 2
        zeros = np.full(np.shape(scale), middle if zero is None else zero)
        s, z = self.constant(scale), self.constant(zeros, dtype)
        quantized = self.add("QuantizeLinear", self.value, s, z, **attributes)
        self.value = self.add("DequantizeLinear", quantized, s, z, **attributes)
        self.scale = np.float32(np.mean(scale))
        return self

    def conv(
        self,
        out: int,
        size: int = 1,
        stride: int = 1,
        groups: int = 1,
        scale: float = 0.05,
        zero: int | None = None,
    ) -> "Graph":
        shape = (out, self.channels // groups, size, size)
        limit = 64  # pairs of products do not saturate where there is no VNNI
        weight = self.constant(self.random.integers(-limit, limit + 1, shape), np.int8)
        w_scale = (self.random.uniform(0.5, 1.0, out) * 1.5 / limit / np.sqrt(np.prod(shape[1:]))).astype(
            np.float32
        )
        s, z = self.constant(w_scale), self.constant(np.zeros(out), np.int8)
        w = self.add("DequantizeLinear", weight, s, z, axis=0)
        bias = self.add(
            "DequantizeLinear", self.constant(self.random.integers(-400, 400, out), np.int32),
            self.constant(w_scale * self.scale), self.constant(np.zeros(out), np.int32), axis=0,
        )  # fmt: skip
        self.value = self.add(
            "Conv", self.value, w, bias, group=groups, strides=[stride] * 2, pads=[size // 2] * 4
        )
        self.channels = out
        return self.quantize(scale, zero)

    def nodes_of(self, text: str, scale: float = 0.04, zero: int | None = None, **constants: Any) -> "Graph":
        """Nodes from `a`, what there is, to `b`, in ONNX's text, then quantized; the names in it are its own."""
        return self.float_nodes(text, **constants).quantize(scale, zero)

    def float_nodes(self, text: str, **constants: Any) -> "Graph":
        shell = '<ir_version: 9, opset_import: ["" : 20, "edgeacts" : 1, "com.microsoft" : 1]> g (float a) => (float b) '
        names = {
            "a": self.value,
            **{k: self.constant(v, getattr(v, "dtype", np.float32)) for k, v in constants.items()},
        }
        for node in parser.parse_model(shell + "{" + text + "}").graph.node:
            for i, name in enumerate(node.input):
                node.input[i] = names[name] if name else ""
            for i, name in enumerate(node.output):
                names[name] = node.output[i] = self.name(name)
            self.nodes.append(node)
        self.value = names["b"]
        return self

    def act(self, operator: str, scale: float = 0.04, zero: int | None = None) -> "Graph":
        return self.nodes_of(f"b = edgeacts.{operator} (a)", scale, zero)

    def model(self, *outputs: str) -> onnx.ModelProto:
        float_, names = TensorProto.FLOAT, [*outputs, self.value]
        graph = helper.make_graph(
            self.nodes,
            "g",
            [helper.make_tensor_value_info("x", float_, ["n", 8, self.side, self.side])],
            [helper.make_tensor_value_info(name, float_, None) for name in names],
            self.weights,
        )
        domains = {"": 21, "edgeacts": 1, "com.microsoft": 1}
        opsets = [helper.make_opsetid(domain, version) for domain, version in domains.items()]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
        model.functions.extend(kit().functions)
        model.metadata_props.extend(kit().metadata_props)
        return model


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, feeds: Sequence[dict[str, np.ndarray]]) -> None:
        self.feeds = iter(feeds)

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self.feeds, None)


@contextlib.contextmanager
def _as_units(operators: Sequence[str]) -> Iterator[None]:
    known = dict(registry.QDQRegistry)
    registry.QDQRegistry.update(dict.fromkeys(operators, QDQOperatorBase))
    try:
        yield
    finally:
        registry.QDQRegistry.clear()
        registry.QDQRegistry.update(known)


def quantized(path: Path, feeds: Sequence[dict[str, np.ndarray]], *, keep_float: Sequence[str] = ()) -> Path:
    """The INT8 twin of an exported model beside it: functions as units where it has any, seven bits of weights."""
    target = path.with_suffix(".int8.onnx")
    with _as_units([f.name for f in onnx.load(path).functions]):
        quantize_static(
            str(path),
            str(target),
            _Reader(feeds),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            reduce_range=True,
            nodes_to_exclude=list(keep_float),
        )
    return target
