"""ONNX Runtime: which provider is taken, refused, and what the executed graph is made of."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import numpy_helper, parser

import edgeacts.runtimes.onnxruntime as adapter
from edgeacts.errors import CheckFailed, EdgeactsError, NotAvailable, UsageError
from edgeacts.runtimes import levels, open_runtime
from edgeacts.runtimes.ort_graph import listing, operators, precisions, summary
from edgeacts.runtimes.providers import check_provider, choose_providers, provider_options

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
GPU_MACHINE = [TENSORRT, CUDA, "CoreMLExecutionProvider", CPU]
HEAD = '<ir_version: 10, opset_import: ["" : 20]> net '


def save(path: Path, text: str) -> Path:
    proto = parser.parse_model(text)
    onnx.checker.check_model(proto)
    onnx.save(proto, path)
    return path


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save(
        tmp_path / "net.onnx", HEAD + "(float[n, 2] x) => (float[n, 2] y) { t = Tanh(x) y = Mul(t, x) }"
    )


@pytest.mark.parametrize(
    ("asked", "available", "chosen"),
    [
        ("cpu", GPU_MACHINE, [CPU]),
        ("cpu", ["AzureExecutionProvider", CPU], [CPU]),
        ("cuda", GPU_MACHINE, [CUDA, CPU]),
        ("CUDAExecutionProvider", GPU_MACHINE, [CUDA, CPU]),
        ("cudaexecutionprovider", [CUDA], [CUDA]),
        ("tensorrt", GPU_MACHINE, [TENSORRT, CUDA, CPU]),
        ("TensorrtExecutionProvider", [TENSORRT, CPU], [TENSORRT, CPU]),
        (" coreml ", GPU_MACHINE, ["CoreMLExecutionProvider", CPU]),
        ("FutureExecutionProvider", ["FutureExecutionProvider", CPU], ["FutureExecutionProvider", CPU]),
    ],
)
def test_choice_of_provider(asked: str, available: list[str], chosen: list[str]) -> None:
    assert choose_providers(asked, available) == chosen


@pytest.mark.parametrize(
    ("asked", "cure"),
    [
        ("cuda", "pip install onnxruntime-gpu"),
        ("TensorrtExecutionProvider", "pip install onnxruntime-gpu"),
        ("openvino", "pip install onnxruntime-openvino"),
        ("warp", "use one of those"),
        ("", "use one of those"),
    ],
)
def test_absent_provider_says_what_there_is(asked: str, cure: str) -> None:
    with pytest.raises(NotAvailable) as caught:
        choose_providers(asked, ["AzureExecutionProvider", CPU])
    assert f"no provider {asked!r}" in str(caught.value)
    assert "available: AzureExecutionProvider, CPUExecutionProvider" in str(caught.value)
    assert cure in str(caught.value)
    assert caught.value.exit_code == 2


def test_absent_provider_on_this_machine(model: Path) -> None:
    absent = "cuda" if CUDA not in ort.get_available_providers() else "warp"
    with pytest.raises(NotAvailable, match=f"no provider '{absent}': available: .*CPUExecutionProvider"):
        open_runtime(model, provider=absent)


def test_cuda_keeps_full_float32() -> None:
    assert provider_options([CUDA, CPU]) == [{"use_tf32": "0"}, {}]


def test_provider_in_use_is_accepted() -> None:
    check_provider("cuda", [CUDA, CPU], {CUDA: 3, CPU: 1})
    check_provider("cuda", [CUDA, CPU], None)
    check_provider("cpu", [CPU], {})


def test_silent_fallback_is_refused() -> None:
    with pytest.raises(
        NotAvailable, match="'cuda' did not start, the session would run on CPUExecutionProvider"
    ):
        check_provider("cuda", [CPU], {CPU: 3})
    with pytest.raises(CheckFailed, match="'cuda' took none of the model's nodes"):
        check_provider("cuda", [CUDA, CPU], {CPU: 3})


def test_session_that_fell_back_is_refused(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, asked = ort.InferenceSession, []

    def falls_back(
        path: str, options: Any, providers: list[str], provider_options: list[dict[str, str]]
    ) -> Any:
        asked.append((providers, provider_options))
        return real(path, options, providers=[CPU])

    monkeypatch.setattr(ort, "get_available_providers", lambda: [CUDA, CPU])
    monkeypatch.setattr(ort, "InferenceSession", falls_back)
    with pytest.raises(NotAvailable, match="provider 'cuda' did not start"):
        open_runtime(model, provider="cuda")
    assert asked == [([CUDA, CPU], [{"use_tf32": "0"}, {}])]


def test_options_are_what_was_asked_for(model: Path) -> None:
    options = open_runtime(model, threads=2, level="basic").native.get_session_options()
    assert options.intra_op_num_threads == 2
    assert options.inter_op_num_threads == 1
    assert options.execution_mode == ort.ExecutionMode.ORT_SEQUENTIAL
    assert options.graph_optimization_level == ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
    assert options.get_session_config_entry("session.force_spinning_stop") == "1"


def test_default_level_is_all() -> None:
    assert levels("onnxruntime")[0] == "disabled"
    assert levels("onnxruntime")[-1] == "all"


def test_nodes_by_provider(model: Path) -> None:
    with open_runtime(model, level="disabled") as session:
        if not hasattr(session.native, "get_provider_graph_assignment_info"):
            pytest.skip("this onnxruntime is too old to say which provider runs a node")
        assert session.executed()["provider_nodes"] == "CPUExecutionProvider 2"


@pytest.mark.parametrize("precision", ["bf16", "f16"])
def test_precision_is_the_files(precision: str, model: Path) -> None:
    with pytest.raises(UsageError, match=f"give it a {precision} model"):
        open_runtime(model, precision=precision)


def test_openvino_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "net.xml").write_text("<net/>")
    with pytest.raises(UsageError, match=r"net\.xml is an OpenVINO model: give the \.onnx file"):
        open_runtime(tmp_path / "net.xml")


def test_type_without_kernel_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "b.onnx", HEAD + "(bfloat16[2, 2] x) => (bfloat16[2, 2] y) { y = MatMul(x, x) }")
    with pytest.raises(NotAvailable, match=r"onnxruntime .* cannot run .*b\.onnx: .*MatMul"):
        open_runtime(path)


def test_output_that_is_no_tensor_is_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "s.onnx", HEAD + "(float[2] x) => (seq(float[2]) y) { y = SequenceConstruct(x) }")
    with pytest.raises(UsageError, match=r"'y' is a seq\(tensor\(float\)\); only tensors are supported"):
        open_runtime(path)


# Quantize, dequantize around a product: fused into an int8 kernel from level `extended` on, not below.
QDQ = (
    HEAD
    + """(float[n, 4] x) => (float[n, 2] y)
<float s = {0.1}, int8 z = {0}, int8[4, 2] w = {1, 2, 3, 4, 5, 6, 7, 8}, float ws = {0.02}, int8 wz = {0}>
{
    xq = QuantizeLinear(x, s, z)   xd = DequantizeLinear(xq, s, z)   wd = DequantizeLinear(w, ws, wz)
    p = MatMul(xd, wd)             pq = QuantizeLinear(p, s, z)      y = DequantizeLinear(pq, s, z)
}"""
)


@pytest.mark.parametrize(("level", "precision"), [("disabled", "f32"), ("all", "int8")])
def test_int8_counts_only_where_an_int8_kernel_runs(level: str, precision: str, tmp_path: Path) -> None:
    with open_runtime(save(tmp_path / "q.onnx", QDQ), level=level) as session:
        executed = session.executed()
    assert executed["precision"] == precision
    assert executed["precision_from"] == "optimized graph"
    assert ("QLinearMatMul 1" in str(executed["operators"])) == (precision == "int8")


def test_float16_file_that_the_cpu_computes_in_float32(tmp_path: Path) -> None:
    proto = parser.parse_model(HEAD + "(float16[n, 4] x) => (float16[n, 2] y) { y = MatMul(x, w) }")
    weight = np.arange(1, 9, dtype=np.float16).reshape(4, 2)
    proto.graph.initializer.append(numpy_helper.from_array(weight, "w"))
    path = tmp_path / "h.onnx"
    onnx.save(proto, path)
    assert summary(precisions(onnx.load(path))) == "f16"
    with open_runtime(path) as session:
        executed = session.executed()
        outputs = session.infer({"x": np.ones((1, 4), np.float16)})
    np.testing.assert_array_equal(outputs["y"], np.array([[16, 20]], np.float16))
    # Without a float16 kernel (x86) the product is a float32 one between Casts; with one nothing is cast.
    assert executed["precision"] == ("f32" if "Cast" in str(executed["operators"]) else "f16")


def test_precision_of_activations_alone_is_that_of_what_computes(tmp_path: Path) -> None:
    """Where every node is an activation, the types at the graph's ends are those of its Casts."""
    text = HEAD + "(float16[n] x) => (float16[n] y) { a = Tanh(x)  y = Mul(x, a) }"
    onnx.save(parser.parse_model(text), tmp_path / "h.onnx")
    assert summary(precisions(parser.parse_model(text))) == "f16"
    with open_runtime(tmp_path / "h.onnx") as session:
        executed = session.executed()
    assert executed["precision"] == ("f32" if "Cast" in str(executed["operators"]) else "f16")


def test_precision_of_mixed_activations() -> None:
    text = """(float16[n] x) => (float16[n] y) {
        a = Cast<to: int = 1>(x)  b = Exp(a)  c = Tanh(b)  d = Cast<to: int = 10>(c)  y = Mul(x, d)
    }"""
    assert precisions(parser.parse_model(HEAD + text)) == {"f32": 2, "f16": 1}
    moved = "(float16[n] x) => (float16[n] y) { y = Identity(x) }"
    assert precisions(parser.parse_model(HEAD + moved)) == {"f16": 1}


def test_graph_that_cannot_be_saved_is_read_from_the_file(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = open_runtime(model)

    def refuses(*arguments: object) -> Any:
        raise EdgeactsError("compiled nodes cannot be saved")

    monkeypatch.setattr(adapter, "_open", refuses)
    executed = session.executed()
    assert executed["precision_from"] == "model file"
    assert executed["operators"] == "Mul 1, Tanh 1"
    assert executed["precision"] == "f32"


def test_operators_count_subgraphs() -> None:
    text = """(bool c, float[2] x) => (float[2] y) {
        y = If (c) <then_branch = a () => (float[2] p) { p = Exp(x) },
                    else_branch = b () => (float[2] q) { q = Exp(x) }>
    }"""
    counts = operators(parser.parse_model(HEAD + text))
    assert listing(counts) == "Exp 2, If 1"
    assert listing({}) == "none"
    assert summary({}) == "unknown"
    assert summary({"f32": 1, "int8": 5}) == "int8+f32"
