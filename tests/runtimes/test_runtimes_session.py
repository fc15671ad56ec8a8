"""Every runtime behind `open_runtime`: same names, same values, same refusals."""

import gc
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.runtimes import (
    Session,
    TensorSpec,
    levels,
    open_runtime,
    open_session,
    resolve_threads,
    runtime_names,
)
from edgeacts.runtimes.base import one_line

FUNCTION_MODEL = """
<ir_version: 10, opset_import: ["" : 20, "edgeacts" : 1]>
net (float[batch, 3, 5, 5] image) => (float[batch, 4] logits, float[batch, 3, 5, 5] activated)
<float[3, 4] weight>
{
    activated = edgeacts.TanhExp(image)
    pooled = GlobalAveragePool(activated)
    flat = Flatten(pooled)
    logits = MatMul(flat, weight)
}
<domain: "edgeacts", opset_import: ["" : 20]>
TanhExp (x) => (y) { e = Exp(x)  t = Tanh(e)  y = Mul(x, t) }
"""
WEIGHT = np.random.default_rng(7).standard_normal((3, 4), dtype=np.float32)
BOTH = pytest.mark.parametrize("runtime", runtime_names())


@pytest.fixture
def model(tmp_path: Path) -> Path:
    proto = parser.parse_model(FUNCTION_MODEL)
    proto.graph.initializer.append(numpy_helper.from_array(WEIGHT, "weight"))
    onnx.checker.check_model(proto)
    onnx.save(proto, tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def save(tmp_path: Path, signature: str, body: str) -> Path:
    proto = parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> net {signature} {{ {body} }}')
    onnx.checker.check_model(proto)
    onnx.save(proto, tmp_path / "small.onnx")
    return tmp_path / "small.onnx"


def images(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, 3, 5, 5), dtype=np.float32)


def expected(image: np.ndarray) -> dict[str, np.ndarray]:
    wide = image.astype(np.float64)
    activated = wide * np.tanh(np.exp(wide))
    return {"logits": activated.mean(axis=(2, 3)) @ WEIGHT, "activated": activated}


@BOTH
@pytest.mark.parametrize("batch", [1, 2, 7])
def test_outputs_equal_the_formula(runtime: str, batch: int, model: Path) -> None:
    with open_runtime(model, runtime) as session:
        outputs = session.infer({"image": images(batch)})
    assert list(outputs) == ["logits", "activated"]
    for name, value in expected(images(batch)).items():
        np.testing.assert_allclose(outputs[name], value, rtol=2e-6, atol=2e-6)
        assert outputs[name].dtype == np.float32


@pytest.mark.parametrize(("runtime", "level"), [(r, level) for r in runtime_names() for level in levels(r)])
def test_every_level_runs_and_says_so(runtime: str, level: str, model: Path) -> None:
    with open_runtime(model, runtime, level=level) as session:
        np.testing.assert_allclose(
            session.infer({"image": images(2)})["logits"], expected(images(2))["logits"], atol=2e-6
        )
        assert session.executed()["level"] == level


@BOTH
def test_specs_are_those_of_the_file(runtime: str, model: Path) -> None:
    with open_runtime(model, runtime) as session:
        assert session.inputs == (TensorSpec("image", "float32", (None, 3, 5, 5), ("batch", "", "", "")),)
        assert [spec.name for spec in session.outputs] == ["logits", "activated"]
        assert str(session.outputs[0]) == "float32 [batch, 4]"


@BOTH
@pytest.mark.parametrize("threads", sorted({1, resolve_threads(0)}))
def test_executed_says_what_ran(runtime: str, threads: int, model: Path) -> None:
    with open_runtime(model, runtime, threads=threads) as session:
        executed = session.executed()
    really = "onnxruntime" if runtime == "accelerated" else runtime
    assert executed["runtime"] == really
    assert executed["runtime_version"] == __import__(really).__version__
    assert bool(executed.get("accelerated")) == (runtime == "accelerated")
    assert executed["provider"] in {"CPUExecutionProvider", "CPU"}
    assert executed["precision"] == "f32"
    assert executed["threads"] == threads


BAD_FEEDS: list[tuple[Mapping[str, Any], str]] = [
    ({}, "input 'image' is missing, expected float32 [batch, 3, 5, 5]"),
    ({"image": images(1), "mask": images(1)}, "has no input 'mask': its inputs are image"),
    ({"image": images(1).astype(np.float64)}, "expected float32 [batch, 3, 5, 5], got float64 [1, 3, 5, 5]"),
    ({"image": images(1)[0]}, "expected float32 [batch, 3, 5, 5], got float32 [3, 5, 5]"),
    (
        {"image": images(1)[:, :2]},
        "input 'image': expected float32 [batch, 3, 5, 5], got float32 [1, 2, 5, 5]",
    ),
    ({"image": images(1).tolist()}, "expected float32 [batch, 3, 5, 5], got a list"),
]


@BOTH
@pytest.mark.parametrize(("feeds", "text"), BAD_FEEDS)
def test_feeds_that_do_not_fit_are_refused(
    runtime: str, feeds: Mapping[str, Any], text: str, model: Path
) -> None:
    with open_runtime(model, runtime) as session:
        for call in (session.infer, session.bind):
            with pytest.raises(UsageError) as caught:
                call(feeds)
            assert text in str(caught.value)
            assert "\n" not in str(caught.value)


@BOTH
def test_inputs_of_several_types_and_ranks(runtime: str, tmp_path: Path) -> None:
    path = save(
        tmp_path,
        "(float scale, float[n, 3] x, float[m] unused, int64[k] rows, bool[n, 3] keep) "
        "=> (float[k, 3] picked, float[n, 3] kept, float[n, 3] same, float scaled)",
        "zero = Sub(x, x) kept = Where(keep, x, zero) picked = Gather<axis = 0>(kept, rows) "
        "same = Identity(x) scaled = Tanh(scale)",
    )
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    feeds = {
        "scale": np.array(0.5, np.float32),
        "x": x.T.copy().T,  # not contiguous
        "unused": np.zeros(4, np.float32),
        "rows": np.array([1, 0, 1]),
        "keep": x > 2,
    }
    with open_runtime(path, runtime) as session:
        assert [str(spec) for spec in session.inputs] == [
            "float32 []", "float32 [n, 3]", "float32 [m]", "int64 [k]", "bool [n, 3]",
        ]  # fmt: skip
        outputs = session.infer(feeds)
    kept = np.where(x > 2, x, 0)
    np.testing.assert_array_equal(outputs["kept"], kept)
    np.testing.assert_array_equal(outputs["picked"], kept[[1, 0, 1]])
    np.testing.assert_array_equal(outputs["same"], x)
    assert outputs["scaled"].shape == ()
    assert outputs["scaled"] == pytest.approx(np.tanh(0.5))


@BOTH
def test_outputs_survive_later_runs(runtime: str, model: Path) -> None:
    with open_runtime(model, runtime) as session:
        first = session.infer({"image": images(2)})
        kept = {name: value.copy() for name, value in first.items()}
        session.infer({"image": 3 * images(2)})
        run = session.bind({"image": -images(2)})
        run()
    for name, value in kept.items():
        np.testing.assert_array_equal(first[name], value)


def values_of(result: Any) -> list[np.ndarray]:
    return list(result) if isinstance(result, list) else list(result.to_dict().values())


@BOTH
def test_bound_calls_keep_their_own_inputs(runtime: str, model: Path) -> None:
    with open_runtime(model, runtime) as session:
        first, second = session.bind({"image": images(1)}), session.bind({"image": images(2)})
        session.infer({"image": images(7)})
        gc.collect()
        for run, batch in ((first, 1), (second, 2), (first, 1)):
            logits, activated = values_of(run())
            np.testing.assert_allclose(logits, expected(images(batch))["logits"], atol=2e-6)
            np.testing.assert_allclose(activated, expected(images(batch))["activated"], atol=2e-6)


@BOTH
def test_closed_session_refuses(runtime: str, model: Path) -> None:
    session = open_runtime(model, runtime)
    session.close()
    session.close()
    with pytest.raises(UsageError, match=r"session of .*net\.onnx is closed: open it again"):
        session.infer({"image": images(1)})


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "text": lambda data: b"this is no model",
    "truncated": lambda data: data[: len(data) // 2],
    "other protobuf": lambda data: data[:2],
}


@BOTH
@pytest.mark.parametrize("damage", DAMAGE)
def test_damaged_file_is_refused_in_one_line(
    runtime: str, damage: str, model: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    model.write_bytes(DAMAGE[damage](model.read_bytes()))
    with pytest.raises(DamagedFile) as caught:
        open_runtime(model, runtime)
    assert str(model) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().err == ""


@BOTH
def test_operator_nobody_knows_is_named(runtime: str, tmp_path: Path) -> None:
    proto = parser.parse_model(
        '<ir_version: 10, opset_import: ["" : 20, "nowhere" : 1]> net (float[2] x) => (float[2] y) '
        "{ y = nowhere.Frobnicate(x) }"
    )
    onnx.save(proto, tmp_path / "odd.onnx")
    with pytest.raises(EdgeactsError) as caught:
        open_runtime(tmp_path / "odd.onnx", runtime)
    assert "Frobnicate" in str(caught.value)
    assert "\n" not in str(caught.value)


@BOTH
def test_missing_file_and_folder(runtime: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none\.onnx does not exist"):
        open_runtime(tmp_path / "none.onnx", runtime)
    with pytest.raises(UsageError, match="is a folder, a file is needed"):
        open_runtime(tmp_path, runtime)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"runtime": "onnxruntim"}, "unknown runtime 'onnxruntim': did you mean onnxruntime"),
        ({"level": "al"}, "unknown onnxruntime level 'al': did you mean all"),
        ({"runtime": "openvino", "level": "all"}, "unknown openvino level 'all'"),
        ({"precision": "fp32"}, "unknown precision 'fp32': did you mean f32"),
        ({"threads": -1}, "threads must be an integer from 1 to "),
        ({"threads": 10**6}, "(0 = all cores), got 1000000"),
        ({"threads": True}, "got True"),
    ],
)
def test_wrong_arguments(arguments: dict[str, Any], text: str, model: Path) -> None:
    with pytest.raises(UsageError) as caught:
        open_runtime(model, **arguments)
    assert text in str(caught.value)


def test_zero_threads_means_all_cores() -> None:
    assert resolve_threads(0) >= 1
    assert resolve_threads(3) == 3


def test_open_session_gives_the_runtimes_own_object(model: Path) -> None:
    import onnxruntime
    import openvino

    assert isinstance(open_session(model), onnxruntime.InferenceSession)
    assert isinstance(open_session(model, "openvino"), openvino.CompiledModel)
    logits = open_session(str(model)).run(["logits"], {"image": images(1)})[0]
    np.testing.assert_allclose(logits, expected(images(1))["logits"], atol=2e-6)


class Broken(Session):
    """Gives what it was told to, whatever the outputs declared."""

    def __init__(self, result: list[np.ndarray] | Exception) -> None:
        super().__init__("broken.onnx", (), (TensorSpec("y", "float32", ()),))
        self.result = result

    native = None

    def executed(self) -> dict[str, Any]:
        return {}

    def _run(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        if isinstance(self.result, Exception):
            raise self.result
        return self.result

    def _bind(self, feeds: Mapping[str, np.ndarray]) -> Callable[[], object]:
        raise AssertionError("bind must run once first")

    def _close(self) -> None:
        pass


def test_a_missing_output_is_an_error() -> None:
    with pytest.raises(EdgeactsError, match=r"broken\.onnx gave 0 outputs, 1 are declared"):
        Broken([]).infer({})


def test_a_failed_run_is_one_line() -> None:
    for call in (
        Broken(RuntimeError("Exception from a.cpp:3\nno memory\n\n")).infer,
        Broken(OSError("no memory")).bind,
    ):
        with pytest.raises(EdgeactsError, match=r"^broken\.onnx failed to run: no memory$"):
            call({})


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : bad : thing", "bad : thing"),
        ("Exception from a.cpp:1:\nCheck 'x' failed at b.cpp:2:\n  one\n two\n", "one two"),
        ("Exception from a.cpp:1:", "Exception from a.cpp:1:"),
        ("", "RuntimeError"),
    ],
)
def test_one_line(text: str, line: str) -> None:
    assert one_line(RuntimeError(text)) == line
    assert len(one_line(RuntimeError("x" * 1000))) == 300


def test_importing_runtimes_and_latency_stays_light() -> None:
    code = (
        "import sys, edgeacts.runtimes, edgeacts.latency\n"
        "print(*sorted({'torch', 'sympy', 'openvino', 'plotly', 'onnxruntime'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
