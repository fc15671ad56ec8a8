"""`verify`: exported files pass, planted faults of every kind fail, and nothing compared is an error."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from small_networks import SIDE, Net, Two, alive, rewrite, weights
from torch import nn

from edgeacts.activations import names
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError
from edgeacts.models import build_model
from edgeacts.parity import RUNTIMES, format_verdict, verify
from edgeacts.parity import references as reference_runs
from edgeacts.records import Verdict
from edgeacts.runtimes import levels, openvino_precision
from edgeacts.runtimes import openvino as openvino_adapter

ORT = ("onnxruntime",)
Changed = Callable[[Path, Callable[[onnx.ModelProto], object]], Path]
Exported = Callable[..., Any]

pytestmark = pytest.mark.usefixtures("one_thread")


def reasons(verdict: Verdict) -> str:
    assert not verdict.passed, verdict.summary
    return " | ".join(row.reason for row in verdict.rows if not row.passed)


# ---- the untouched ones pass


EXPORTED = (
    "relu",
    "silu",
    "tanhexp",
    "sau",
)  # those that the tests below need anyway; the others take minutes
OTHERS = [pytest.param(name, marks=pytest.mark.long) for name in names() if name not in EXPORTED]


@pytest.mark.parametrize("activation", [*EXPORTED, *OTHERS])
def test_an_exported_network_passes_on_every_runtime_and_level(exported: Exported, activation: str) -> None:
    pair = exported(activation)
    verdict = verify(pair.model, pair.path, label="net", reference_sha256="f" * 64)
    assert verdict.passed, format_verdict(verdict)
    judged = {(r.runtime, r.level) for r in verdict.rows}
    assert judged == {(name, level) for name in RUNTIMES for level in levels(name)}
    assert {r.inputs for r in verdict.rows} == {"random", "extremes"}
    assert all(r.value_count and r.relative_error is not None for r in verdict.rows)
    assert (verdict.reference, verdict.reference_sha256, verdict.skipped) == ("net", "f" * 64, {})
    assert "the largest error is" in verdict.summary


@pytest.mark.parametrize("seed", [0, *(pytest.param(s, marks=pytest.mark.long) for s in (1, 2))])
def test_other_weights_inputs_and_images_pass_too(exported: Exported, seed: int) -> None:
    pair = exported("tanhexp", seed)
    images = np.random.default_rng(seed).standard_normal((19, 3, SIDE, SIDE)).astype(np.float32)
    verdict = verify(pair.model, pair.path, images=images, runtimes=ORT, seed=seed)
    assert verdict.passed, format_verdict(verdict)
    assert {r.input_count for r in verdict.rows if r.inputs == "validation"} == {19}


def test_a_file_equals_its_inlined_twin_in_both_directions(exported: Exported) -> None:
    pair = exported("sau")
    assert verify(pair.path, pair.inlined).passed
    verdict = verify(str(pair.inlined), str(pair.path), runtimes=ORT)
    assert verdict.passed
    assert verdict.reference == pair.inlined.name


def test_a_file_without_our_metadata_passes(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: m.ClearField("metadata_props"))
    assert verify(pair.model, path, runtimes=ORT).passed


@pytest.mark.parametrize("batch", [1, 2, 5, 16])
def test_a_fixed_batch_of_any_size_is_filled(exported: Exported, changed: Changed, batch: int) -> None:
    def fix(model: onnx.ModelProto) -> None:
        for value in (*model.graph.input, *model.graph.output):
            value.type.tensor_type.shape.dim[0].Clear()
            value.type.tensor_type.shape.dim[0].dim_value = batch
        model.graph.ClearField("value_info")

    pair = exported("relu")
    verdict = verify(pair.model, changed(pair.path, fix), runtimes=ORT)
    assert verdict.passed, format_verdict(verdict)
    assert all(r.input_count % batch == 0 and r.input_count >= 9 for r in verdict.rows)


# ---- planted faults


@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize("activation", ["relu", "sau"])
def test_one_percent_in_any_kernel_is_seen(
    exported: Exported, changed: Changed, activation: str, which: int
) -> None:
    """SAU's file claims the bound of a form: even with what that grants, the fault stands out."""
    pair = exported(activation)

    def fault(model: onnx.ModelProto) -> None:
        rewrite(list(weights(model).values())[which], lambda w: w * 1.01)

    told = reasons(verify(pair.model, changed(pair.path, fault), runtimes=ORT))
    assert "of the movement" in told


@pytest.mark.parametrize("which", [0, 1, 2])
def test_one_percent_in_the_largest_single_weight_is_seen(
    exported: Exported, changed: Changed, which: int
) -> None:
    pair = exported("tanhexp")

    def fault(model: onnx.ModelProto) -> None:
        def change(w: np.ndarray) -> np.ndarray:
            w.flat[np.abs(w).argmax()] *= 1.01
            return w

        rewrite(list(weights(model).values())[which], change)

    assert not verify(pair.model, changed(pair.path, fault), runtimes=ORT).passed


REARRANGED = {
    "channels in another order": (0, lambda w: w[:, ::-1]),
    "a kernel turned": (1, lambda w: w.transpose(0, 1, 3, 2)),
    "kernel transposed in its channels": (1, lambda w: w.transpose(1, 0, 2, 3)),
    "classes permuted": (2, lambda w: np.roll(w, 1, axis=int(w.shape[0] != 5))),
    "features permuted": (2, lambda w: np.roll(w, 1, axis=int(w.shape[0] == 5))),
    "a sign": (0, np.negative),
    "all zero": (1, np.zeros_like),
}


@pytest.mark.parametrize("fault", REARRANGED)
def test_rearranged_weights_are_seen(exported: Exported, changed: Changed, fault: str) -> None:
    pair = exported("relu")
    which, change = REARRANGED[fault]
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[which], change))
    verdict = verify(pair.model, path, runtimes=ORT)
    assert not any(row.passed for row in verdict.rows if row.inputs == "random")
    reasons(verdict)


def test_relu6_exported_as_relu_is_seen(exported: Exported, tmp_path: Path) -> None:
    clipped, pair = Net("relu6"), exported("relu")
    clipped.load_state_dict(pair.model.state_dict())
    verdict = verify(clipped.eval(), pair.path, runtimes=ORT)
    assert "of the movement" in reasons(verdict)
    assert {row.inputs for row in verdict.rows if not row.passed} >= {"extremes"}


@pytest.mark.parametrize("right", ["mish", "tanhexp"])
def test_a_similar_activation_is_not_the_activation(exported: Exported, right: str) -> None:
    other, pair = Net(right), exported("silu")
    other.load_state_dict(pair.model.state_dict())
    reasons(verify(other.eval(), pair.path, runtimes=ORT))


def test_the_alpha_of_one_sau_lost_is_seen(tmp_path: Path, changed: Changed) -> None:
    from edgeacts.exporters import to_onnx

    model = alive(Net("sau"))
    model[2].alpha.data.fill_(0.3)
    files = to_onnx(model, torch.zeros(1, 3, SIDE, SIDE), tmp_path / "sau.onnx")

    def lose(proto: onnx.ModelProto) -> None:
        node = next(n for n in proto.graph.node if n.op_type == "SAU")
        alpha = next(a for a in node.attribute if a.name == "alpha")
        assert alpha.f == pytest.approx(0.3)
        alpha.f = 0.15

    assert verify(model, files.portable, runtimes=ORT).passed
    reasons(verify(model, changed(files.portable, lose), runtimes=ORT))


def test_swapped_outputs_are_seen(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")
    assert verify(pair.model, pair.path).passed

    def swap(model: onnx.ModelProto) -> None:
        first, second = model.graph.output
        for node in model.graph.node:
            names_of = {first.name: second.name, second.name: first.name}
            for i, name in enumerate(node.output):
                node.output[i] = names_of.get(name, name)
            for i, name in enumerate(node.input):
                node.input[i] = names_of.get(name, name)

    verdict = verify(pair.model, changed(pair.path, swap), runtimes=ORT)
    assert {row.output for row in verdict.rows if not row.passed} == {"first", "second"}


def drop_last_output(model: onnx.ModelProto) -> None:
    del model.graph.output[-1]


def test_a_missing_output_is_no_pass(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")
    path = changed(pair.path, drop_last_output)
    with pytest.raises(UsageError, match=r"Two gives 2 outputs, the candidate 1 \(first\)"):
        verify(pair.model, path, runtimes=ORT)
    verdict = verify(pair.path, path, runtimes=ORT)
    assert "the output is missing" in reasons(verdict)
    assert {r.output for r in verdict.rows if r.passed} == {"first"}


def test_an_extra_output_is_no_pass(exported: Exported, changed: Changed) -> None:
    pair = exported("two outputs")
    fewer = changed(pair.path, drop_last_output)
    assert "the reference has no output of this name" in reasons(verify(fewer, pair.path, runtimes=ORT))
    with pytest.raises(UsageError, match=r"gives 1 outputs, the candidate 2 \(first, second\)"):
        verify(pair.model.body, pair.path, runtimes=ORT)


def test_nan_in_the_file_fails(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    assert "values of the candidate are not finite" in reasons(verify(pair.model, path, runtimes=ORT))


def test_nan_on_both_sides_fails(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    assert "values of the reference are not finite" in reasons(verify(path, path, runtimes=ORT))
    broken = alive(Net("relu"))
    broken[8].weight.data.fill_(float("nan"))
    assert "values of the reference are not finite" in reasons(verify(broken, path, runtimes=ORT))


def test_another_shape_fails(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")

    def narrower(model: onnx.ModelProto) -> None:
        for tensor in model.graph.initializer:
            if 5 in tensor.dims:
                rewrite(tensor, lambda w: w[:4] if w.shape[0] == 5 else w[:, :4])
        model.graph.output[0].type.tensor_type.shape.dim[1].dim_value = 4
        model.graph.ClearField("value_info")

    path = changed(pair.path, narrower)
    assert "shape [14, 4], the reference has [14, 5]" in reasons(verify(pair.model, path, runtimes=ORT))


def test_a_wrong_file_in_bf16_is_not_excused_by_what_was_asked_for(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An adapter that believes f32 while bf16 runs: its own check is taken away, the numbers still tell."""
    import openvino

    if "BF16" not in openvino.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES"):
        pytest.skip("this CPU has no bf16: OpenVINO cannot run it")
    pair = exported("tanhexp")
    config = openvino_adapter._config

    def forced(device: str, threads: int, precision: str) -> Any:
        return {**config(device, threads, precision), "INFERENCE_PRECISION_HINT": openvino.Type.bf16}

    monkeypatch.setattr(openvino_adapter, "_config", forced)
    with pytest.raises(EdgeactsError, match=r"f32 was asked for, but openvino would run .*bf16"):
        verify(pair.model, pair.path, runtimes=("openvino",))
    monkeypatch.setattr(openvino_precision, "confirm_precision", lambda *_: None)
    verdict = verify(pair.model, pair.path, runtimes=("openvino",))
    assert "of the movement" in reasons(verdict)
    assert "bf16" in verdict.rows[0].precision


# ---- blind networks and budgets


@pytest.mark.long  # its export; test_exporting.py has a blind network that takes less
def test_a_random_mobilenet_is_called_blind(tmp_path: Path) -> None:
    from edgeacts.exporters import to_onnx

    torch.manual_seed(0)
    model = build_model("mobilenet_v2", width=0.1, num_classes=10, in_channels=1).eval()
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.reset_parameters()  # torch's own weights, under which the signal dies on the way
    files = to_onnx(model, torch.zeros(1, 1, 32, 32), tmp_path / "random.onnx")
    told = reasons(verify(model, files.portable, runtimes=ORT))
    assert "blind: the output hardly moves with the input" in told


def claim(bound: object) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        entries = {p.key: p for p in model.metadata_props}
        entry = entries.get("edgeacts.forms") or model.metadata_props.add(key="edgeacts.forms")
        entry.value = json.dumps({"SAU": {"bound": bound}})

    return change


@pytest.mark.parametrize("bound", [1e-3, 1.0, 1e300, float("inf"), "1"])
def test_a_file_cannot_grant_itself_an_error(exported: Exported, changed: Changed, bound: object) -> None:
    pair = exported("relu")

    def fault(model: onnx.ModelProto) -> None:
        claim(bound)(model)
        rewrite(list(weights(model).values())[1], lambda w: w * 1.01)

    reasons(verify(pair.model, changed(pair.path, fault), runtimes=ORT))


def test_who_verifies_can_grant_what_a_file_claims(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")

    def fault(model: onnx.ModelProto) -> None:
        claim(1e-3)(model)
        rewrite(list(weights(model).values())[1], lambda w: w * 1.001)

    path = changed(pair.path, fault)
    assert not verify(pair.model, path, runtimes=ORT).passed
    assert verify(pair.model, path, runtimes=ORT, tolerance=1e-3).passed


@pytest.mark.parametrize("stated", ['{"SAU": {"bound": NaN}}', '{"SAU": {"bound": -1}}', '{"SAU": {"bound": 1' + "0" * 400 + "}}",
                                    "[1]", "{", '{"SAU": 3}', '{"SAU": {}}', "[" * 5000])  # fmt: skip
def test_damaged_statements_about_forms_are_refused(
    exported: Exported, changed: Changed, stated: str
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.ClearField("metadata_props")
        model.metadata_props.add(key="edgeacts.forms", value=stated)

    pair = exported("relu")
    with pytest.raises(DamagedFile, match=r"metadata edgeacts\.forms cannot be read; export the model again"):
        verify(pair.model, changed(pair.path, change), runtimes=ORT)


def test_a_noisy_reference_does_not_excuse_everything(exported: Exported, changed: Changed,
                                                      monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """Were the reference's own float32 error 10 % of the movement, a fault of 5 % must still be seen."""
    pair = exported("relu")
    exact = reference_runs.ModuleReference.exact
    monkeypatch.setattr(
        reference_runs.ModuleReference,
        "rounded",
        lambda self, feeds: {n: v * 1.1 for n, v in exact(self, feeds).items()},
    )
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * 1.05))
    assert verify(pair.model, pair.path, runtimes=ORT).passed
    assert not verify(pair.model, path, runtimes=ORT).passed


# ---- metadata


def test_stale_metadata_are_named(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    wanted = {"edgeacts.preprocessing": '{"mean": [0.5], "std": [0.2]}', "edgeacts.classes": '["a", "b"]'}

    def write(model: onnx.ModelProto, mean: str) -> None:
        model.metadata_props.add(key="edgeacts.preprocessing", value=f'{{"std": [0.2], "mean": [{mean}]}}')
        model.metadata_props.add(key="edgeacts.classes", value='["a","b"]')

    same = changed(pair.path, lambda m: write(m, "0.5"))
    assert verify(pair.model, same, runtimes=ORT, expected_metadata=wanted).passed
    stale = changed(pair.path, lambda m: write(m, "0.4"))
    told = reasons(verify(pair.model, stale, runtimes=ORT, expected_metadata=wanted))
    assert told.startswith(
        'metadata edgeacts.preprocessing is {"std": [0.2], "mean": [0.4]}, the reference has {"mean"'
    )
    told = reasons(verify(pair.model, pair.path, runtimes=ORT, expected_metadata=wanted))
    assert told == "metadata edgeacts.preprocessing is missing | metadata edgeacts.classes is missing"


# ---- refused


def test_training_mode_is_refused_with_the_cure(exported: Exported) -> None:
    pair = exported("relu")
    model = alive(Net("relu"))
    model[1].train()  # one batch norm is enough
    with pytest.raises(UsageError, match=r"net is in training mode: call model\.eval\(\) before verifying"):
        verify(model, pair.path, runtimes=ORT, label="net")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"runtimes": ()}, "no runtime to verify on: give at least one"),
        ({"runtimes": ("onnxrutime",)}, r"unknown runtime 'onnxrutime': did you mean onnxruntime\?"),
        ({"precision": "fp32"}, r"unknown precision 'fp32': did you mean f32\?"),
        ({"threads": -1}, "threads must be an integer"),
        (
            {"images": np.zeros((4, 1, SIDE, SIDE), np.float32)},
            r"images have shape \[4, 1, 12, 12\], input image takes",
        ),
        ({"images": np.zeros((4, 3, SIDE), np.float32)}, r"images have shape \[4, 3, 12\]"),
        ({"images": np.zeros((1, 3, SIDE, SIDE), np.float32)}, "at least two images are needed"),
    ],
)
def test_wrong_arguments_are_refused(exported: Exported, options: dict[str, Any], told: str) -> None:
    pair = exported("relu")
    with pytest.raises(UsageError, match=told):
        verify(pair.model, pair.path, **{"runtimes": ORT, **options})


def test_a_network_of_other_inputs_is_refused(exported: Exported) -> None:
    pair = exported("relu")
    grey = nn.Sequential(nn.Conv2d(1, 5, 12), nn.Flatten()).eval()
    with pytest.raises(
        UsageError, match=r"Sequential does not take the candidate's inputs \(image \[7, 3, 12, 12\]\): "
    ):
        verify(grey, pair.path, runtimes=ORT)


def graph(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], weights_: list[Any] | None = None
) -> Path:
    """An ONNX file of opset 18."""
    proto = helper.make_graph(nodes, "graph", inputs, outputs, weights_ or [])
    onnx.save(helper.make_model(proto, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), path)
    return path


def value(name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def test_a_graph_without_inputs_has_nothing_to_compare(tmp_path: Path) -> None:
    constant = numpy_helper.from_array(np.ones(3, np.float32), "c")
    path = graph(
        tmp_path / "c.onnx", [helper.make_node("Identity", ["c"], ["y"])], [], [value("y", [3])], [constant]
    )
    with pytest.raises(UsageError, match="the model has no input: there is nothing to compare on"):
        verify(path, path, runtimes=ORT)


def test_files_with_different_inputs_are_refused(tmp_path: Path) -> None:
    one = graph(
        tmp_path / "1.onnx",
        [helper.make_node("Relu", ["x"], ["y"])],
        [value("x", ["n", 3])],
        [value("y", ["n", 3])],
    )
    two = graph(tmp_path / "2.onnx", [helper.make_node("Add", ["x", "z"], ["y"])], [value("x", ["n", 3]), value("z", ["n", 3])],
                [value("y", ["n", 3])])  # fmt: skip
    with pytest.raises(UsageError, match=r"1\.onnx has 1 inputs \(x\), the candidate 2 \(x, z\)"):
        verify(one, two, runtimes=ORT)
    assert verify(two, two, runtimes=ORT).passed


def test_an_output_of_text_cannot_be_compared(tmp_path: Path) -> None:
    words = helper.make_tensor("words", TensorProto.STRING, [2], [b"cat", b"dog"])
    best = helper.make_node("ArgMax", ["x"], ["i"], axis=1, keepdims=0)
    name = helper.make_node("Gather", ["words", "i"], ["y"])
    text = value("y", ["n"], TensorProto.STRING)
    path = graph(tmp_path / "s.onnx", [best, name], [value("x", ["n", 2])], [text], [words])
    with pytest.raises(EdgeactsError, match="output y cannot be compared as numbers"):
        verify(path, path, runtimes=ORT)


def test_open_dimensions_need_a_size(tmp_path: Path) -> None:
    pool = helper.make_node("GlobalMaxPool", ["x"], ["y"])
    path = graph(tmp_path / "p.onnx", [pool], [value("x", ["n", 3, "h", "w"])], [value("y", ["n", 3, 1, 1])])
    with pytest.raises(UsageError, match=r"input x: the size of dimension 2 \(h\) is open: give --size h=N"):
        verify(path, path, runtimes=ORT)
    assert verify(path, path, runtimes=ORT, sizes={"h": 5, "w": 4}).passed


def test_a_runtime_that_is_not_there_is_listed_not_passed_over(
    exported: Exported, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise NotAvailable("openvino is not installed: pip install 'edgeacts[openvino]'")

    monkeypatch.setattr(openvino_adapter, "_core", missing)
    pair = exported("relu")
    verdict = verify(pair.model, pair.path)
    assert verdict.passed
    assert list(verdict.skipped) == ["openvino"]
    assert verdict.summary.endswith("; not checked: openvino")
    assert "not checked: openvino: openvino is not installed" in " ".join(format_verdict(verdict).split())
    with pytest.raises(NotAvailable, match=r"nothing was compared: openvino is not installed: pip install"):
        verify(pair.model, pair.path, runtimes=("openvino",))


def test_nothing_compared_says_why(exported: Exported) -> None:
    pair = exported("relu")
    with pytest.raises(
        EdgeactsError, match="nothing was compared: onnxruntime runs a model in the precision of its file"
    ):
        verify(pair.model, pair.path, runtimes=ORT, precision="bf16")


@pytest.mark.parametrize("content", [b"", b"not a model, but a text\n", bytes(range(256)) * 40, None])
def test_a_damaged_candidate_is_refused(exported: Exported, tmp_path: Path, content: bytes | None) -> None:
    pair = exported("relu")
    path = tmp_path / "damaged.onnx"
    path.write_bytes(pair.path.read_bytes()[:-700] if content is None else content)
    with pytest.raises(EdgeactsError, match=r"damaged\.onnx"):
        verify(pair.model, path, runtimes=ORT)
    with pytest.raises(EdgeactsError, match=r"damaged\.onnx"):
        verify(path, pair.path, runtimes=ORT)


def test_missing_files_and_folders_are_named(exported: Exported, tmp_path: Path) -> None:
    pair = exported("relu")
    for path in (tmp_path / "no.onnx", tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            verify(pair.model, path, runtimes=ORT)
        with pytest.raises(UsageError, match=str(path)):
            verify(path, pair.path, runtimes=ORT)


# ---- the table


def test_the_table_fits_80_columns_and_names_each_reason_once(exported: Exported, changed: Changed) -> None:
    pair = exported("relu")
    path = changed(pair.path, lambda m: rewrite(list(weights(m).values())[2], lambda w: w * np.nan))
    verdict = verify(pair.model, path, runtimes=ORT)
    text = format_verdict(verdict)
    assert max(map(len, text.splitlines())) <= 80
    assert sum("not finite" in line for line in text.splitlines()) <= 3  # two kinds of input, and the summary
    assert f"FAIL: 0 of {2 * len(levels('onnxruntime'))} comparisons passed" in text
    good = format_verdict(verify(pair.model, pair.path, runtimes=ORT))
    assert "PASS: 10 of 10 comparisons passed" in good
    assert "NO" not in good


def test_two_outputs_in_one_module_are_told_apart() -> None:
    first, second = Two()(torch.randn(2, 3, SIDE, SIDE))
    torch.testing.assert_close(second, 1 - 2 * first)
