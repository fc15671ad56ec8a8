"""The INT8 file as a torch module: operators against ONNX Runtime, tensors within a step, weights written as they were trained."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from int8_networks import images, int8_network
from onnx import TensorProto, helper, numpy_helper

from edgeacts.errors import UsageError
from edgeacts.quantization.deployed import open_model
from edgeacts.quantization.qat_operators import OPERATORS
from edgeacts.quantization.qat_sites import ActivationSite, WeightSite, weight_site
from edgeacts.quantization.qat_twin import QuantizedTwin
from edgeacts.quantization.qat_writing import compare_with_file, write_float, write_weights

pytestmark = pytest.mark.usefixtures("one_thread")
RNG = np.random.default_rng(0)
X = RNG.standard_normal((2, 4, 6, 6)).astype(np.float32)
W = RNG.standard_normal((6, 2, 3, 3)).astype(np.float32)
B = RNG.standard_normal(6).astype(np.float32)
FLAT, DENSE = X.reshape(2, -1), RNG.standard_normal((5, 144)).astype(np.float32)
ints = lambda *n: np.array(n, np.int64)  # noqa: E731

# operator, inputs, attributes, outputs
ROWS: list[tuple[str, list[Any], dict[str, Any], int]] = [
    ("Add", [X, X], {}, 1), ("Sub", [X, X * 2], {}, 1), ("Mul", [X, X], {}, 1), ("Div", [X, np.abs(X) + 1], {}, 1),
    ("MatMul", [FLAT, DENSE.T.copy()], {}, 1), ("Relu", [X], {}, 1), ("LeakyRelu", [X], {"alpha": 0.2}, 1),
    ("Sigmoid", [X], {}, 1), ("Tanh", [X], {}, 1), ("HardSigmoid", [X * 3], {"alpha": 0.25, "beta": 0.4}, 1),
    ("HardSwish", [X * 3], {}, 1), ("Softmax", [X], {"axis": 1}, 1), ("Identity", [X], {}, 1),
    ("Flatten", [X], {}, 1), ("Flatten", [X], {"axis": 2}, 1), ("Concat", [X, X + 1], {"axis": 1}, 1),
    ("GlobalAveragePool", [X], {}, 1), ("AveragePool", [X], {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}, 1),
    ("AveragePool", [X], {"kernel_shape": [2, 2], "count_include_pad": 1, "pads": [1, 1, 1, 1]}, 1),
    ("Clip", [X, np.float32(-0.5), np.float32(0.7)], {}, 1), ("Clip", [X, None, np.float32(0.7)], {}, 1),
    ("Conv", [X, W, B], {"group": 2, "pads": [1, 1, 1, 1], "strides": [2, 1]}, 1),
    ("Conv", [X, W], {"group": 2, "pads": [0, 1, 2, 0], "dilations": [2, 1]}, 1),
    ("Gemm", [FLAT, DENSE, B[:5]], {"transB": 1, "alpha": 0.5, "beta": 2.0}, 1), ("Gemm", [FLAT.T.copy(), DENSE.T.copy()], {"transA": 1}, 1),
    ("MaxPool", [X], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}, 1),
    ("MaxPool", [X], {"kernel_shape": [2, 2], "pads": [1, 0, 0, 1]}, 1),
    ("ReduceMean", [X, ints(2, 3)], {"keepdims": 0}, 1), ("ReduceMean", [X], {}, 1),
    ("Reshape", [X, ints(0, 2, -1, 6)], {}, 1), ("Slice", [X, ints(1, 0), ints(4, 9), ints(1, 3), ints(2, 1)], {}, 1),
    ("Slice", [X, ints(-3), ints(-1), ints(2)], {}, 1), ("Split", [X, ints(1, 3)], {"axis": 1}, 2),
    ("Split", [DENSE], {"axis": 0, "num_outputs": 3}, 3), ("Squeeze", [X[:, :1], ints(1)], {}, 1),
    ("Transpose", [X], {"perm": [0, 2, 3, 1]}, 1), ("Transpose", [X], {}, 1), ("Unsqueeze", [X, ints(0, -1)], {}, 1),
]  # fmt: skip


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "outputs"), ROWS, ids=[f"{i}-{r[0]}" for i, r in enumerate(ROWS)]
)
def test_operators_are_those_of_onnx(
    operator: str, inputs: list[Any], attributes: dict[str, Any], outputs: int
) -> None:
    names = ["" if v is None else f"i{n}" for n, v in enumerate(inputs)]
    given = {n: np.asarray(v) for n, v in zip(names, inputs, strict=True) if v is not None}
    graph = helper.make_graph(
        [helper.make_node(operator, names, [f"o{n}" for n in range(outputs)], **attributes)], "g",
        [helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape) for n, v in given.items()],
        [helper.make_tensor_value_info(f"o{n}", TensorProto.FLOAT, None) for n in range(outputs)],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    expected = open_model(model).run(None, given)
    tensors = [
        torch.tensor(v) if isinstance(v, np.ndarray | np.float32) and np.asarray(v).dtype == np.float32 else v for v in inputs
    ]  # fmt: skip
    read = {a.name: helper.get_attribute_value(a) for a in model.graph.node[0].attribute}
    found = OPERATORS[operator](tensors, read)
    found = found if isinstance(found, list) else [found]
    assert len(found) == outputs
    for mine, wanted in zip(found, expected, strict=True):
        assert mine.shape == wanted.shape
        np.testing.assert_allclose(mine.numpy(), wanted, rtol=1e-5, atol=1e-5)


def test_every_operator_is_tried() -> None:
    assert {row[0] for row in ROWS} == set(OPERATORS)


# ---- grids


def test_weights_are_written_as_they_are_trained() -> None:
    weight = torch.tensor([[1.0, -0.5, 0.251], [0.0, 0.0, 0.0], [-127.0, 63.4, 1e-9]])
    site = WeightSite("w", 0, 127)
    integers, scale = site.written(weight)
    assert integers.tolist() == [[127, -64, 32], [0, 0, 0], [-127, 63, 0]]
    assert scale.tolist() == pytest.approx([1 / 127, 1.0, 1.0])
    assert (integers * scale[:, None] == site(weight).numpy()).all()
    single, one = WeightSite("w", None, 7).written(weight)
    assert one.shape == ()
    assert single.tolist()[2] == [-7, 3, 0]


@pytest.mark.parametrize("largest", [127, 64, 7])
def test_the_file_says_how_many_bits_a_weight_uses(largest: int) -> None:
    values = RNG.integers(-largest, largest + 1, (4, 30)).astype(np.int8)
    values[0, 0] = -largest
    assert weight_site("w", values, np.ones(4, np.float32), 0) == WeightSite("w", 0, largest)
    assert weight_site("w", values, np.ones((), np.float32), 0).axis is None
    with pytest.raises(UsageError, match="weight w is uint8: only symmetric int8"):
        weight_site("w", values.astype(np.uint8), np.ones(4, np.float32), 0)


def test_gradients_pass_the_rounding_and_stop_at_the_range() -> None:
    x = torch.tensor([-5.0, 0.04, 0.26, 5.0], requires_grad=True)
    y = ActivationSite("x", 0.1, 10, 0, 30)(x)
    assert y.tolist() == pytest.approx([-1.0, 0.0, 0.3, 2.0])
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0.0, 1.0, 1.0, 0.0]
    assert ActivationSite("x", 0.1, 10, 0, 30).integers(y).tolist() == [0, 10, 13, 30]


# ---- whole files


@pytest.mark.parametrize("activated", ["mish", "relu6", "sau", "gelu"])
@pytest.mark.parametrize("unsigned", [True, False])
def test_the_twin_computes_what_the_file_says(activated: str, unsigned: bool) -> None:
    model = int8_network(unsigned=unsigned, activated=activated)
    twin = QuantizedTwin(model)
    parity = compare_with_file(twin, model, images(16))
    assert parity.holds, parity
    assert parity.values > 100_000
    assert parity.more == 0
    again = write_weights(twin, model)
    assert compare_with_file(twin, again, images(16)).holds
    x = images(4, seed=3)
    runs = [open_model(m, optimized=False).run(None, {"image": x})[0] for m in (model, again)]
    assert (runs[0] == runs[1]).all()


def test_a_step_trains_weights_and_biases_and_the_file_follows() -> None:
    model = int8_network()
    twin = QuantizedTwin(model).train()
    before = {n: p.detach().clone() for n, p in twin.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(twin.parameters(), 0.5)
    labels = torch.arange(32) % 6
    torch.nn.functional.cross_entropy(twin(torch.tensor(images(32))), labels).backward()
    optimizer.step()
    moved = [n for n, p in twin.named_parameters() if n in before and not torch.equal(p, before[n])]
    assert set(moved) == set(before)
    assert len(before) == 10  # five layers, weight and bias
    tuned = write_weights(twin, model)
    onnx.checker.check_model(tuned)
    assert not compare_with_file(twin, model, images(8)).holds
    parity = compare_with_file(twin, tuned, images(8))
    assert parity.holds, parity
    kinds = [
        [n.op_type for n in m.graph.node if n.op_type != "Mul"] for m in (tuned, model)
    ]  # Mul: scales of biases
    assert kinds[0] == kinds[1]
    assert str(parity).startswith(
        f"{parity.values:,} 8-bit numbers: {parity.one_step:,} differ by one step, 0 by more"
    )


def test_training_begins_with_the_float_weights_behind_the_file() -> None:
    model = int8_network()
    twin = QuantizedTwin(model)
    floats = (
        int8_network()
    )  # as a prepared model: float weights, which round to the file's, under the layers' names
    for node in floats.graph.node:
        if node.op_type in ("Conv", "Gemm"):
            row = twin.trained[node.name]
            assert row.site is not None
            value = twin.weight(node.name).detach().clone()
            step = float(row.site.scale(value).min())
            rounded = value.numpy() + 0.3 * step * (np.abs(value.numpy()) < 20 * step)
            floats.graph.initializer.append(
                numpy_helper.from_array(rounded.astype(np.float32), f"{node.name}_f")
            )
            node.input[1] = f"{node.name}_f"
    assert twin.start_from(floats) == 5
    assert not torch.equal(twin.weight("stem"), QuantizedTwin(model).weight("stem"))
    assert compare_with_file(twin, model, images(8)).holds
    for tensor in floats.graph.initializer:
        if tensor.name == "stem_f":
            tensor.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(tensor) * 1.5, "stem_f"))
    assert QuantizedTwin(model).start_from(floats) == 4  # another weight than the file's


def test_the_float_model_with_trained_weights() -> None:
    model = int8_network()
    twin = QuantizedTwin(model)
    twin.weight("stem").data += 1.0
    written = write_float(twin, model)
    values = {t.name: numpy_helper.to_array(t) for t in written.graph.initializer}
    assert (values["stem.trained"] == twin.weight("stem").detach().numpy()).all()
    assert "head.bias.trained" in values
    assert "stem_w" not in values or all(
        "stem_w" not in n.input for n in written.graph.node if n.name == "stem"
    )


def renamed(operator: str, domain: str = "") -> onnx.ModelProto:
    model = int8_network()
    for node in model.graph.node:
        if node.name == "stem_act":
            node.op_type, node.domain = operator, domain
    return model


def without_scales() -> onnx.ModelProto:
    model = int8_network()
    for node in list(model.graph.node):
        if node.op_type == "QuantizeLinear":
            node.input[1] = "image"
    return model


@pytest.mark.parametrize(
    ("model", "text"),
    [
        (
            renamed("Sin"),
            "operator Sin of stem_act is not supported by fine-tuning; supported: Add, AveragePool",
        ),
        (renamed("Unheard", "edgeacts"), "function Unheard is of no activation in the catalogue"),
        (without_scales(), "image_q is quantized by image, which is computed: quantize statically"),
    ],
)
def test_what_cannot_be_trained_is_named(model: onnx.ModelProto, text: str) -> None:
    with pytest.raises(UsageError, match=text):
        QuantizedTwin(model)
