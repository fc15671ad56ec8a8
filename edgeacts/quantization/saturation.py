"""Whether this machine's ONNX Runtime sums uint8 x int8 products in 16 bits, by trying; and which CPUs do, by a table.

Without VNNI, x86 multiplies with `vpmaddubsw`: 255·127 + 255·127 = 64,770 becomes 32,767. The same file then answers differently
than on CPUs with VNNI or on ARM. Weights of 7 bits (the reduced range, at most 64) cannot reach the limit: 255·64·2 = 32,640.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeacts.quantization.deployed import open_model
from edgeacts.quantization.product_nodes import read_product

_SIDE, _CHANNELS = 3, 16


@dataclass(frozen=True)
class CpuKind:
    """CPUs whose ONNX Runtime computes uint8 x int8 alike; `instruction` is what its kernels use, `saturates` what that means."""

    name: str
    instruction: str
    saturates: bool


# ONNX Runtime's MLAS: platform.cpp chooses, QgemmU8S8Kernel*, ConvSymKernel* and the NEON kernels compute. Depthwise kernels sum
# in 32 bits everywhere, and so do int8 x int8 (QLinearConv alone: in a QDQ model x86 turns int8 activations into uint8) and
# uint8 x uint8, which session.x64quantprecision=1 makes of int8 weights.
CPU_KINDS = (
    CpuKind("x86 with AVX2 or AVX-512, without VNNI", "vpmaddubsw, vpmaddwd", True),
    CpuKind("x86 with SSE4.1 only, on Windows", "pmaddubsw, pmaddwd", True),
    CpuKind("x86 without AVX2, on Linux and macOS", "pmaddwd", False),
    CpuKind("x86 with AVX-VNNI or AVX-512 VNNI", "vpdpbusd", False),
    CpuKind("x86 with AMX-INT8", "tdpbusd", False),
    CpuKind("ARM64 (NEON, dot product, I8MM)", "smull and smlal, udot and sdot, ummla and smmla", False),
)


@dataclass(frozen=True)
class Probe:
    """What was tried here: kind of product -> whether it saturated. `saturates`: any of them did."""

    found: MappingProxyType[str, bool]

    @property
    def saturates(self) -> bool:
        """Whether INT8 models may answer differently here than on CPUs with VNNI."""
        return any(self.found.values())

    def __str__(self) -> str:
        names = [name for name, saturated in self.found.items() if saturated]
        if not names:
            return "does not saturate: 8-bit products are summed in 32 bits, as on every CPU with VNNI and on ARM"
        return f"saturates: sums of two products are cut to 16 bits in {', '.join(names)}"


@lru_cache(maxsize=1)
def probe() -> Probe:
    """Small models whose exact results are known, run by ONNX Runtime as it runs every model. Milliseconds, once a process."""
    kinds = {
        "convolutions": _conv(groups=1, odd=False),
        "grouped convolutions": _conv(groups=2, odd=True),
        "depthwise convolutions": _conv(groups=_CHANNELS, odd=False),
        "matrix products": _gemm(),
    }
    return Probe(MappingProxyType({name: _differs(model) for name, model in kinds.items()}))


def _differs(model: onnx.ModelProto) -> bool:
    """Whether the model's one product, with its largest inputs, is not the exact one."""
    node = model.graph.node[0]
    product = read_product(node, {t.name: numpy_helper.to_array(t) for t in model.graph.initializer})
    assert product is not None, "the probe's own node"  # noqa: S101
    shape = [d.dim_value for d in model.graph.input[0].type.tensor_type.shape.dim]
    x = np.full(shape, 255, np.uint8)
    found = open_model(model).run(None, {"x": x})[0]
    return bool((found != product.run(x, saturating=False)).any())


def _conv(groups: int, odd: bool) -> onnx.ModelProto:
    """Weights of 127 throughout; an odd number of them for each output if `odd`."""
    channels = _CHANNELS + 2 * groups * odd
    weights = np.full((_CHANNELS, channels // groups, 1 + 2 * odd, 1 + 2 * odd), 127, np.int8)
    if groups == _CHANNELS:
        weights = np.full((_CHANNELS, 1, 3, 3), 127, np.int8)
    node = helper.make_node(
        "QLinearConv", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"], group=groups
    )
    return _model(node, weights, [1, channels, _SIDE, _SIDE], weights[0].size)


def _gemm() -> onnx.ModelProto:
    node = helper.make_node("QLinearMatMul", ["x", "xs", "xz", "w", "ws", "wz", "ys", "yz"], ["y"])
    return _model(node, np.full((_CHANNELS, _CHANNELS), 127, np.int8), [_SIDE, _CHANNELS], _CHANNELS)


def _model(node: onnx.NodeProto, weights: np.ndarray, shape: list[int], terms: int) -> onnx.ModelProto:
    """Scales under which the exact result is 200 of 255."""
    values = {
        "xs": np.float32(1), "xz": np.uint8(0), "w": weights, "ws": np.float32(1), "wz": np.int8(0),
        "ys": np.float32(255 * 127 * terms / 200), "yz": np.uint8(0),
    }  # fmt: skip
    graph = helper.make_graph(
        [node],
        "probe",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in values.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
