"""A small INT8 network as `edgeacts quantize` writes them (Q, DQ, an activation as one function), made by hand from a seed."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeacts.activations import activation
from edgeacts.forms import DOMAIN, choose, function
from edgeacts.quantization.deployed import open_model

SIDE, CLASSES, HEAD = 10, 6, 1.0
# name, input channels, output channels, kernel, groups: a stem with an odd number of inputs, depthwise, pointwise, grouped
LAYERS = (
    ("stem", 3, 16, 3, 1),
    ("depthwise", 16, 16, 3, 16),
    ("pointwise", 16, 32, 1, 1),
    ("grouped", 32, 24, 3, 2),
)


class Int8Network:
    """Collects nodes and constants; ranges are set so that values fill them."""

    def __init__(self, seed: int, unsigned: bool, levels: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.unsigned, self.levels = unsigned, levels
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: object) -> str:
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def requantized(self, name: str, low: float, high: float) -> str:
        """name -> Q -> DQ, over [low, high]."""
        scale, zero = (high - low) / 255, round(-low / (high - low) * 255)
        dtype = np.uint8 if self.unsigned else np.int8
        s = self.constant(f"{name}_scale", np.float32(scale))
        z = self.constant(f"{name}_zero", dtype(zero if self.unsigned else zero - 128))
        self.nodes.append(helper.make_node("QuantizeLinear", [name, s, z], [f"{name}_q"]))
        self.nodes.append(helper.make_node("DequantizeLinear", [f"{name}_q", s, z], [f"{name}_dq"]))
        return f"{name}_dq"

    def weights(self, name: str, shape: tuple[int, ...], x_scale: float) -> tuple[str, str]:
        """DQ of int8 weights with a scale a channel, and of an int32 bias."""
        values = self.rng.integers(-self.levels, self.levels + 1, shape).astype(np.int8)
        values.reshape(shape[0], -1)[:, 0] = (
            self.levels
        )  # as quantizers write them: the largest weight decides the scale
        fan = float(np.prod(shape[1:]))
        scales = (self.rng.uniform(0.8, 1.2, shape[0]) * 3.0 / (self.levels * np.sqrt(fan))).astype(
            np.float32
        )
        w = [self.constant(f"{name}_w", values), self.constant(f"{name}_ws", scales)]
        w.append(self.constant(f"{name}_wz", np.zeros(shape[0], np.int8)))
        b = [self.constant(f"{name}_b", self.rng.integers(-2000, 2000, shape[0]).astype(np.int32))]
        b.append(self.constant(f"{name}_bs", (scales * np.float32(x_scale)).astype(np.float32)))
        self.nodes.append(helper.make_node("DequantizeLinear", w, [f"{name}_wdq"], axis=0))
        self.nodes.append(helper.make_node("DequantizeLinear", b, [f"{name}_bdq"], axis=0))
        return f"{name}_wdq", f"{name}_bdq"


def int8_network(
    seed: int = 0, *, unsigned: bool = True, levels: int = 127, activated: str = "mish"
) -> onnx.ModelProto:
    """[n, 3, 10, 10] in [0, 1] -> logits [n, 6]; weights in -levels .. levels (63: the reduced range).

    The last bias centres the logits, so that all classes are answered.
    """
    model = _uncentred(seed, unsigned, levels, activated)
    scores = open_model(model, optimized=False).run(None, {"image": images(64, seed=2)})[0]
    constants = {t.name: t for t in model.graph.initializer}
    scales = numpy_helper.to_array(constants["head_bs"])
    bias = numpy_helper.to_array(constants["head_b"]) - np.rint(scores.mean(0) / scales).astype(np.int32)
    constants["head_b"].CopyFrom(numpy_helper.from_array(bias, "head_b"))
    return model


def _uncentred(seed: int, unsigned: bool, levels: int, activated: str) -> onnx.ModelProto:
    choice = choose(activation(activated), [{}], opset=20)
    parameters = choice.activation.values()
    net = Int8Network(seed, unsigned, levels)
    name, scale = net.requantized("image", 0.0, 1.0), 1.0 / 255
    for layer, inputs, outputs, kernel, groups in LAYERS:
        w, b = net.weights(layer, (outputs, inputs // groups, kernel, kernel), scale)
        attributes = {
            "group": groups,
            "pads": [kernel // 2] * 4,
            "strides": [2 if layer == "grouped" else 1] * 2,
        }
        net.nodes.append(helper.make_node("Conv", [name, w, b], [layer], name=layer, **attributes))
        before = net.requantized(layer, -3.0, 3.0)
        act = f"{layer}_act"
        net.nodes.append(
            helper.make_node(
                choice.activation.operator, [before], [act], name=act, domain=DOMAIN, **parameters
            )
        )
        name, scale = net.requantized(act, -0.31, 3.0), 3.31 / 255
    net.nodes.append(helper.make_node("GlobalAveragePool", [name], ["pooled"], name="pool"))
    pooled = net.requantized("pooled", -0.31, 3.0)
    net.constant("shape", np.array([-1, LAYERS[-1][2]], np.int64))
    net.nodes.append(helper.make_node("Reshape", [pooled, "shape"], ["flat"], name="reshape"))
    flat = net.requantized("flat", -0.31, 3.0)
    w, b = net.weights("head", (CLASSES, LAYERS[-1][2]), 3.31 / 255)
    net.nodes.append(helper.make_node("Gemm", [flat, w, b], ["head"], name="head", transB=1))
    last = net.requantized("head", -HEAD, HEAD)
    net.nodes.append(helper.make_node("Identity", [last], ["logits"], name="out"))
    graph = helper.make_graph(
        net.nodes, "int8",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", CLASSES])], net.constants,
    )  # fmt: skip
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(
        graph, opset_imports=opsets, ir_version=9, functions=[function(choice, opset=20)]
    )
    onnx.checker.check_model(model)
    return model


def images(count: int, seed: int = 1) -> np.ndarray:
    """float32 [count, 3, 10, 10]: stripes of a direction, width and colour of their own, bright, as saturation needs."""
    rng = np.random.default_rng(seed)
    angle, width, phase = (
        rng.uniform(low, high, (count, 1, 1, 1)) for low, high in ((0, 3.1), (0.4, 2.5), (0, 6.2))
    )
    colour = rng.uniform(0.3, 1.0, (count, 3, 1, 1))
    rows, columns = np.mgrid[:SIDE, :SIDE]
    stripes = np.sin(width * (np.cos(angle) * rows + np.sin(angle) * columns) + phase) > 0
    noise = rng.uniform(-0.1, 0.1, (count, 3, SIDE, SIDE))
    return np.clip(colour * (0.25 + 0.75 * stripes) + noise, 0, 1).astype(np.float32)
