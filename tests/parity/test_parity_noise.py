"""The model's own float32 noise: what it is measured by, and that each way is equal on paper and different in float32."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from small_networks import SIDE, Net, alive
from torch import Tensor, nn

from edgeacts.parity.emulating import Reordered, Rounded
from edgeacts.parity.inputs import InputSet
from edgeacts.parity.noise import Measured, measure, movement, moves, relative_noise, run_all
from edgeacts.parity.onnx_copies import reordered_model
from edgeacts.parity.references import ModuleReference, OnnxReference
from edgeacts.runtimes import open_runtime

Exported = Callable[..., Any]
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
pytestmark = pytest.mark.usefixtures("one_thread")

RNG = np.random.default_rng(5)
VALUES = RNG.standard_normal((40, 10)) * 3.0
MOVED = VALUES.std(axis=0).max()


def test_movement_is_the_largest_standard_deviation() -> None:
    assert movement(np.array([[0.0, 5.0], [2.0, 5.0]])) == 1.0
    assert movement(np.array([[3.0, 4.0]])) == 0.0
    assert movement(np.zeros((0, 3))) == 0.0


def test_what_moves_by_less_than_float32_can_show_does_not_move() -> None:
    steps = np.array([[0.0], [2.0]])
    assert moves(steps)
    assert moves(1e4 + steps)
    assert not moves(1e6 + steps)
    assert not moves(np.zeros((3, 2)))


def test_noise_is_a_share_of_the_movement() -> None:
    rounded = VALUES.copy()
    rounded[1, 1] += 0.5 * MOVED
    assert relative_noise(VALUES, rounded) == pytest.approx(0.5)
    assert relative_noise(VALUES, rounded[:3]) == pytest.approx(0.5)
    assert relative_noise(VALUES, VALUES) == 0.0
    assert relative_noise(np.ones((4, 4)), np.zeros((4, 4))) == 0.0  # blind: another check's concern
    assert relative_noise(VALUES, VALUES.T) == 0.0
    rounded[0, 0] = math.nan
    assert relative_noise(VALUES, rounded) == 0.0


class Everything(nn.Module):
    """Plain, grouped, strided, depthwise and transposed convolutions, and products written as functions."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, stride=2, groups=2), nn.Conv2d(8, 8, 3, padding=1, groups=8),
            nn.ConvTranspose2d(8, 4, 2), nn.Flatten(),
        )  # fmt: skip
        self.weight = nn.Parameter(torch.randn(144, 6) / 12)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layers(x)
        y = nn.functional.linear(y, self.weight.T, self.weight[0])
        return (
            torch.bmm(y[:, None], y[:, :, None] * torch.ones(1, 1, 3))[:, 0] + y[:, :3] @ self.weight[:3, :3]
        )


def test_reordered_sums_are_equal_on_paper_and_not_in_float32() -> None:
    torch.manual_seed(0)
    model, x = Everything().eval(), torch.randn(5, 3, SIDE, SIDE)
    exact = copy.deepcopy(model).double()
    with torch.no_grad():
        with Reordered(0):
            reordered = exact(x.double())
        torch.testing.assert_close(reordered, exact(x.double()), rtol=1e-12, atol=1e-12)
        plain = model(x)
        runs = []
        for seed in (0, 0, 1):
            with Reordered(seed):
                runs.append(model(x))
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
    assert not torch.equal(runs[0], plain)
    torch.testing.assert_close(runs[0], plain, rtol=1e-4, atol=1e-4)


def test_every_kind_of_product_is_reordered() -> None:
    """One kind at a time: a kind that were left alone would give the same bits."""
    torch.manual_seed(0)
    x, y, deep = torch.randn(4, 64, 9, 9), torch.randn(4, 64, 64), torch.randn(64, 1, 5, 5)
    kinds: dict[str, Callable[[], Tensor]] = {
        "convolution": lambda: nn.functional.conv2d(x, torch.ones(2, 64, 1, 1) / 3),
        "grouped": lambda: nn.functional.conv2d(x, torch.ones(2, 32, 3, 3) / 3, groups=2),
        "strided": lambda: nn.functional.conv2d(x, torch.ones(2, 64, 3, 3) / 3, stride=2),
        "depthwise": lambda: nn.functional.conv2d(x, deep, groups=64),
        "mm": lambda: y[0] @ y[1],
        "addmm": lambda: nn.functional.linear(y[0], y[1], y[0, 0]),
        "bmm": lambda: torch.bmm(y, y),
    }
    for name, product in kinds.items():
        plain = product()
        with Reordered(3):
            reordered = product()
        assert not torch.equal(plain, reordered), name
        torch.testing.assert_close(plain, reordered, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("f16", torch.float16)])
def test_the_emulated_precision_is_about_what_torch_runs_in_it(precision: str, dtype: torch.dtype) -> None:
    model, x = (
        alive(Net("tanhexp")),
        torch.randn(30, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1)),
    )
    with torch.no_grad():
        exact = copy.deepcopy(model).double()(x.double())
        with Rounded(precision):
            emulated = model(x)
        theirs = copy.deepcopy(model).to(dtype)(x.to(dtype)).double()
    ours, real = (emulated - exact).abs().max(), (theirs - exact).abs().max()
    assert real / 3 < ours < 3 * real


def test_a_reordered_file_is_equal_on_paper_and_not_in_float32(exported: Exported, tmp_path: Path) -> None:
    pair, x = exported("tanhexp"), RNG.standard_normal((9, 3, SIDE, SIDE)).astype(np.float32)
    copies = [reordered_model(pair.path, tmp_path / f"{seed}.onnx", seed) for seed in (0, 1)]
    assert all(c is not None and onnx.load(c).graph.node[0].op_type == "Gather" for c in copies)
    outputs = []
    for path in (pair.path, *copies):
        with open_runtime(path, level="disabled") as session:
            outputs.append(session.infer({"image": x})["logits"])
    assert not np.array_equal(outputs[0], outputs[1])
    assert not np.array_equal(outputs[1], outputs[2])
    np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-4, atol=1e-4)


def test_a_file_without_weights_cannot_be_reordered(tmp_path: Path) -> None:
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, ["n", 3]) for n in ("x", "y")]
    graph = onnx.helper.make_graph([onnx.helper.make_node("Relu", ["x"], ["y"])], "g", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "relu.onnx")
    assert reordered_model(tmp_path / "relu.onnx", tmp_path / "copy.onnx", 0) is None
    assert not (tmp_path / "copy.onnx").exists()


def inputs(count: int = 14) -> InputSet:
    return InputSet("random", {"image": RNG.standard_normal((count, 3, SIDE, SIDE)).astype(np.float32)})


def test_a_module_is_measured_by_rounding_order_threads_and_batch(exported: Exported) -> None:
    reference = ModuleReference(exported("tanhexp").model, "net", "", ["image"], ["logits"])
    first, second = measure(reference, [inputs(), inputs()], None)
    assert set(first.noise["logits"]) >= {"rounding", "accumulation order", "batch"}
    assert all(0 < share < 1e-4 for share in first.noise["logits"].values())
    assert set(second.noise["logits"]) == {"rounding", "accumulation order"}
    (budget,) = first.budgets("f32", 0.0)
    assert budget.noise == max(first.noise["logits"].values())
    (lower,) = first.budgets("bf16", 0.0)
    assert lower.precision_share > 1000 * budget.precision_share


def test_a_file_is_measured_by_optimization_order_threads_and_batch(
    exported: Exported, tmp_path: Path
) -> None:
    reference = OnnxReference(exported("tanhexp").path, "", tmp_path)
    (measured,) = measure(reference, [inputs()], None)
    assert set(measured.noise["logits"]) >= {"optimization", "accumulation order", "batch"}
    assert 0 < measured.noise["logits"]["accumulation order"] < 1e-4
    assert "rounding" not in measured.noise["logits"]  # it is in float32 itself
    (scaled,) = measured.budgets("bf16", 0.0)
    assert scaled.precision_share > 1e3 * scaled.noise_share


def test_a_module_that_sums_over_the_batch_is_run_in_the_candidates_batches() -> None:
    class Mean(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.mean()

    reference = ModuleReference(Mean().eval(), "mean", "", ["image"], ["y"])
    given = inputs(14)
    measured = Measured(reference, given, None)
    for batch in (2, 7):
        images = given.feeds["image"].astype(np.float64)
        wanted = [images[i : i + batch].mean() for i in range(0, 14, batch)]
        np.testing.assert_allclose(measured.at(given, batch)["y"], wanted, rtol=1e-12)
    assert run_all(reference.exact, given, 14)["y"].shape == (1,)
