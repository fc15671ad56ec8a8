"""8-bit sums as this machine and as others compute them, against brute force and bit by bit against ONNX Runtime."""

import numpy as np
import onnx
import pytest
import torch
from int8_networks import HEAD, images, int8_network
from onnx import TensorProto, helper

from edgeacts.circumstances import cpu
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.quantization.deployed import open_model, scores
from edgeacts.quantization.emulation import EmulatedModel
from edgeacts.quantization.integer_products import Window, exact_sums, paired_sums, patches, requantize
from edgeacts.quantization.saturation import CPU_KINDS, probe

pytestmark = pytest.mark.usefixtures("one_thread")


def by_hand(a: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, int]:
    """Loops over Python integers."""
    result, saturated = np.zeros((len(a), w.shape[1]), np.int64), 0
    for row in range(len(a)):
        for column in range(w.shape[1]):
            terms = [int(x) * int(y) for x, y in zip(a[row], w[:, column], strict=True)] + [0] * (len(w) % 2)
            for first, second in zip(terms[::2], terms[1::2], strict=True):
                cut = max(-32768, min(32767, first + second))
                saturated += cut != first + second
                result[row, column] += cut
    return result, saturated


@pytest.mark.parametrize("terms", [1, 2, 7, 64, 65])
def test_paired_sums_are_those_of_the_instruction(terms: int) -> None:
    rng = np.random.default_rng(terms)
    a = rng.choice([0, 3, 200, 254, 255], (40, terms)).astype(np.uint8)
    w = rng.choice([-128, -127, -3, 0, 2, 126, 127], (terms, 24)).astype(np.int8)
    found = paired_sums(a, w)
    values, saturated = by_hand(a, w)
    assert (found.values == values).all()
    assert found.saturated == saturated
    assert found.pairs == 40 * 24 * -(-terms // 2)
    assert (saturated > 0) == (terms > 1)


@pytest.mark.parametrize(
    ("a", "w", "total"),
    [
        ((255, 255), (127, 127), 32767),
        ((255, 255), (-128, -128), -32768),
        ((255, 255), (64, 64), 32640),  # the reduced range: below the limit
        ((255, 255), (127, -127), 0),
        ((128, 128), (127, 127), 32512),
        ((129, 129), (127, 127), 32766),
        ((130, 129), (127, 127), 32767),
        ((255, 255, 255, 255), (127, 127, -128, -128), -1),
    ],
)
def test_extremes(a: tuple[int, ...], w: tuple[int, ...], total: int) -> None:
    left, right = np.array([a], np.uint8), np.array([w], np.int8).T
    assert paired_sums(left, right).values.tolist() == [[total]]
    assert exact_sums(left, right).tolist() == [[sum(x * y for x, y in zip(a, w, strict=True))]]


def test_exact_sums_are_exact_beyond_what_float32_holds() -> None:
    a = np.full((2, 3001), 255, np.uint8)
    w = np.full((3001, 3), 127, np.int8)
    w[::2] = 126
    assert (exact_sums(a, w) == a.astype(np.int64) @ w.astype(np.int64)).all()


@pytest.mark.parametrize(
    "window",
    [
        Window((1, 1)),
        Window((3, 3), pads=(1, 1, 1, 1)),
        Window((3, 2), strides=(2, 1), pads=(1, 0, 0, 1)),
        Window((3, 3), strides=(2, 2), pads=(2, 2, 2, 2), dilations=(2, 2)),
    ],
)
def test_patches_are_those_of_a_convolution(window: Window) -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 256, (2, 9, 8, 3)), rng.integers(-127, 128, (4, 3, *window.kernel))
    columns, shape = patches(x, window, fill=7)
    found = columns.reshape(len(columns), -1) @ w.reshape(4, 3, -1).transpose(2, 1, 0).reshape(-1, 4)
    top, left, bottom, right = window.pads
    padded = torch.nn.functional.pad(
        torch.tensor(x).permute(0, 3, 1, 2).double(), (left, right, top, bottom), value=7
    )
    expected = torch.conv2d(
        padded, torch.tensor(w).double(), stride=window.strides, dilation=window.dilations
    )
    assert (found.reshape(*shape, 4) == expected.permute(0, 2, 3, 1).numpy()).all()


def test_requantization_rounds_ties_to_even_and_clips() -> None:
    sums = np.array([[1, 3, 5, -1, 1000, -1000]], np.int32)
    half = np.full(6, 0.5, np.float32)
    assert requantize(sums, half, 10, np.dtype(np.uint8)).tolist() == [[10, 12, 12, 10, 255, 0]]
    assert requantize(sums, half, 0, np.dtype(np.int8)).tolist() == [[0, 2, 2, 0, 127, -128]]


# ---- whole networks

NETWORKS = [(unsigned, levels) for unsigned in (True, False) for levels in (127, 63)]


@pytest.mark.parametrize(("unsigned", "levels"), NETWORKS)
def test_the_emulation_of_this_machine_is_the_runtime_bit_by_bit(unsigned: bool, levels: int) -> None:
    model, x = int8_network(unsigned=unsigned, levels=levels), images(20)
    found = scores(open_model(model), x)
    assert len(np.unique(found)) > 20
    twin = EmulatedModel(model, saturating=probe().saturates)
    assert (twin.run({"image": x})[0] == found).all()


def test_saturation_is_what_makes_the_difference() -> None:
    """The emulation counts where sums are cut; the runtime gives what the kind of this CPU makes of it, and not the other."""
    model, x = int8_network(), images(20)
    narrow, wide = (EmulatedModel(model, saturating=s) for s in (True, False))
    cut, exact = narrow.run({"image": x})[0], wide.run({"image": x})[0]
    by_layer = {p.name: p.count.saturated for p in narrow.products}
    assert by_layer["stem"] > 0
    assert by_layer["pointwise"] > 0
    assert by_layer["depthwise"] == 0  # summed in 32 bits
    assert all(p.count.saturated == 0 for p in wide.products)
    here, elsewhere = (cut, exact) if probe().saturates else (exact, cut)
    found = scores(open_model(model), x)
    assert (found == here).all()
    assert (found != elsewhere).mean() > 0.05


@pytest.mark.parametrize(("unsigned", "levels"), NETWORKS)
def test_the_exact_emulation_is_onnx_runtimes_own_32_bit_mode_bit_by_bit(unsigned: bool, levels: int) -> None:
    model, x = int8_network(unsigned=unsigned, levels=levels), images(20)
    exact = EmulatedModel(model, saturating=False).run({"image": x})[0]
    assert (exact == scores(open_model(model, exact=True), x)).all()


def test_float_arithmetic_is_the_exact_one_but_for_rare_steps() -> None:
    """What the file says (Q and DQ in float32) and what 32-bit sums give differ by a step of the last layer, rarely."""
    model, x = int8_network(), images(64)
    exact = EmulatedModel(model, saturating=False).run({"image": x})[0]
    steps = np.abs(scores(open_model(model, optimized=False), x) - exact) / (2 * HEAD / 255)
    assert steps.max() < 2.5
    assert (steps > 0.5).mean() < 0.1


def test_the_reduced_range_answers_alike_everywhere() -> None:
    model, x = int8_network(levels=63), images(20)
    narrow, wide = (EmulatedModel(model, saturating=s) for s in (True, False))
    assert (narrow.run({"image": x})[0] == wide.run({"image": x})[0]).all()
    assert all(p.count.saturated == 0 for p in narrow.products)
    assert sum(p.count.pairs for p in narrow.products) > 0


def test_the_probe_agrees_with_the_cpus_flags() -> None:
    flags = cpu()[1]
    if "avx2" not in flags:
        pytest.skip("the table speaks of other features than AVX2 and VNNI here")
    assert probe().saturates == (not {"avx_vnni", "avx512_vnni"} & set(flags))
    assert not probe().found["depthwise convolutions"]
    assert (
        "saturates: sums of two products are cut to 16 bits in convolutions" in str(probe())
    ) == probe().saturates


def test_the_table_of_cpus_has_both_kinds() -> None:
    assert len({kind.name for kind in CPU_KINDS}) == len(CPU_KINDS)
    assert {kind.saturates for kind in CPU_KINDS} == {True, False}
    assert all(kind.saturates == ("maddubsw" in kind.instruction) for kind in CPU_KINDS)


def test_a_float_model_has_nothing_to_emulate() -> None:
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])], "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(UsageError, match="the model has no 8-bit products: quantize it first"):
        EmulatedModel(model, saturating=True)


def test_what_is_quantized_while_it_runs_is_refused() -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["x"], ["q", "s", "z"]),
        helper.make_node("MatMulInteger", ["q", "w", "z", "wz"], ["y"], name="dense"),
    ]
    constants = [
        onnx.numpy_helper.from_array(np.ones((2, 3), np.int8), "w"),
        onnx.numpy_helper.from_array(np.int8(0), "wz"),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("y", TensorProto.INT32, ["n", 3])], constants,
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    with pytest.raises(
        UsageError, match="dense is a MatMulInteger, whose arithmetic on other CPUs is not emulated"
    ):
        EmulatedModel(model, saturating=True)


def test_a_damaged_model_is_named() -> None:
    model = int8_network()
    del model.graph.initializer[0]
    with pytest.raises(EdgeactsError, match="onnxruntime cannot open the model: "):
        EmulatedModel(model, saturating=True)
