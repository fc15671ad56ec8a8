"""Portable files on OpenVINO: functions converted as they are read, weights left where they are, shapes that are given."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper, parser
from portable_files import network

from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.runtimes import open_runtime, open_session
from edgeacts.runtimes.openvino import Looking
from edgeacts.runtimes.openvino_functions import convertible
from edgeacts.runtimes.openvino_reading import read_file

HEAD = '<ir_version: 10, opset_import: ["" : 20, "edgeacts" : 1, "other" : 1]>'
SCALE = '<domain: "edgeacts", opset_import: ["" : 20]> Scale <a> (x) => (y) { c = Constant<value_float: float = @a>() y = Mul(x, c) }'


def saved(tmp_path: Path, text: str) -> Path:
    model = parser.parse_model(text)
    onnx.checker.check_model(model)
    onnx.save(model, tmp_path / "m.onnx")
    return tmp_path / "m.onnx"


def same_as_onnxruntime(path: Path, feeds: dict[str, np.ndarray]) -> None:
    with open_runtime(path, "openvino") as ours, open_runtime(path, "onnxruntime") as theirs:
        found, expected = ours.infer(feeds), theirs.infer(feeds)
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-5, atol=1e-6)


X = np.random.default_rng(1).standard_normal((2, 3)).astype(np.float32)


def test_each_node_has_the_values_of_its_own_attributes(tmp_path: Path) -> None:
    text = f"{HEAD} n (float[b, 3] x) => (float[b, 3] y) {{ u = edgeacts.Scale<a = 2.5>(x) y = edgeacts.Scale<a = -3.0>(u) }} {SCALE}"
    path = saved(tmp_path, text)
    assert convertible(onnx.load(path))
    same_as_onnxruntime(path, {"x": X})
    assert read_file(path).activations == {"u": "Scale", "y": "Scale"}


def test_a_function_with_a_second_input_and_one_that_calls_another(tmp_path: Path) -> None:
    text = (
        f"{HEAD} n (float[b, 3] x, float[3] p) => (float[b, 3] y) {{ u = edgeacts.Prelu(x, p) y = edgeacts.Twice(u) }} {SCALE}"
        '<domain: "edgeacts", opset_import: ["" : 20]> Prelu (x, p) => (y) { y = PRelu(x, p) }'
        '<domain: "edgeacts", opset_import: ["" : 20, "edgeacts" : 1]> Twice (x) => (y) { y = edgeacts.Scale<a = 2.0>(x) }'
    )
    path = saved(tmp_path, text)
    assert convertible(onnx.load(path))
    same_as_onnxruntime(path, {"x": X, "p": np.array([0.1, 0.2, -0.3], np.float32)})


def test_a_function_inside_a_branch(tmp_path: Path) -> None:
    text = (
        f"{HEAD} n (float[b, 3] x, bool c) => (float[b, 3] y) {{ y = If (c) <"
        "then_branch = t () => (float[b, 3] u) { u = edgeacts.Scale<a = 2.0>(x) },"
        f"else_branch = e () => (float[b, 3] v) {{ v = Neg(x) }}> }} {SCALE}"
    )
    path = saved(tmp_path, text)
    for chosen in (True, False):
        same_as_onnxruntime(path, {"x": X, "c": np.array(chosen)})


@pytest.mark.parametrize(
    ("call", "function"),
    [
        ("other.Cut<k = 1>(x)", "Cut <k> (x) => (y) { y = Concat<axis: int = @k>(x, x) }"),
        ("other.Maybe(x, )", "Maybe (x, z) => (y) { y = Clip(x, z) }"),
    ],
    ids=["an attribute that is no float", "an input left out"],
)
def test_functions_of_other_tools_are_inlined(call: str, function: str, tmp_path: Path) -> None:
    width = 6 if "Cut" in call else 3
    text = f'{HEAD} n (float[b, 3] x) => (float[b, {width}] y) {{ y = {call} }} <domain: "other", opset_import: ["" : 20]> {function}'
    path = saved(tmp_path, text)
    assert not convertible(onnx.load(path))
    same_as_onnxruntime(path, {"x": X})
    assert read_file(path).activations == {}


def test_external_weights_stay_outside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are read by OpenVINO itself, so that files beyond protobuf's 2 GiB can be."""
    path = network(tmp_path / "net.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert path.stat().st_size < 6000 < (tmp_path / "net.data").stat().st_size + 5000
    image = np.random.default_rng(0).standard_normal((2, 3, 12, 10)).astype(np.float32)
    import edgeacts.runtimes.openvino_reading as reading

    monkeypatch.setattr(reading, "load_external_data_for_model", None)
    same_as_onnxruntime(path, {"image": image})
    (tmp_path / "net.data").rename(tmp_path / "away")
    with pytest.raises(UsageError, match=r"net\.onnx needs its weights beside it: net\.data does not exist"):
        open_runtime(path, "openvino")


def test_a_link_out_of_the_folder_is_no_way_out(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    path = network(inner / "net.onnx")
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="net.data", size_threshold=0)
    (inner / "net.data").rename(tmp_path / "secret")
    (inner / "net.data").symlink_to(tmp_path / "secret")
    with pytest.raises(DamagedFile, match=r"net\.onnx has weights outside its folder"):
        open_runtime(path, "openvino")


def test_values_keep_the_names_that_they_have_in_the_file(tmp_path: Path) -> None:
    looking = Looking(network(tmp_path / "net.onnx"), threads=1, precision="f32")
    assert {"image", "c1", "a1", "c2", "a2", "logits"} <= looking.names
    image = np.random.default_rng(0).standard_normal((2, 3, 12, 10)).astype(np.float32)
    for values in (("a1",), ("a2", "c1")):  # from one reading, again and again
        with looking.open(values) as session:
            found = session.infer({"image": image})
        assert set(found) == {"logits", *values}
        if "c1" in found:
            np.testing.assert_allclose(found["a2"].mean((2, 3)), found["logits"], atol=1e-6)


# ---- shapes


def test_activations_are_fused_only_where_the_shapes_are_known(tmp_path: Path) -> None:
    """Why the default level compiles for the shapes it is given: with an open batch each operation is a layer of its own."""
    path = network(tmp_path / "net.onnx")
    layers = {}
    for level in ("dynamic", "default"):
        with open_runtime(path, "openvino", level=level) as session:
            session.infer({"image": np.zeros((2, 3, 12, 10), np.float32)})
            executed = session.executed()
            layers[level] = [len(one.layers) for one in session.manifest.activations]  # type: ignore[attr-defined]
            assert (executed["level"], executed["shapes"]) == (
                level,
                "open" if level == "dynamic" else "fixed",
            )
    assert layers["default"] == [1, 1]
    assert min(layers["dynamic"]) > 1


def test_one_compiled_model_for_each_shape_and_the_last_ones_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import edgeacts.runtimes.openvino_session as sessions

    monkeypatch.setattr(sessions, "SHAPES_KEPT", 2)
    made: list[object] = []
    real = sessions.Compiler.compile
    monkeypatch.setattr(
        sessions.Compiler,
        "compile",
        lambda self, m, shapes=None: made.append(shapes) or real(self, m, shapes),
    )
    with open_runtime(network(tmp_path / "net.onnx"), "openvino") as session:
        results = {}
        for batch in (1, 2, 1, 2, 3, 1):
            image = np.random.default_rng(0).standard_normal((batch, 3, 12, 10)).astype(np.float32)
            results[batch] = session.infer({"image": image})["logits"]
        np.testing.assert_allclose(results[3][:1], results[1], atol=1e-6)
    assert [s["image"][0] for s in made] == [1, 2, 3, 1]  # type: ignore[index]


def test_open_session_takes_any_batch_or_the_one_that_it_is_opened_for(tmp_path: Path) -> None:
    path = network(tmp_path / "net.onnx")
    assert str(open_session(path, "openvino").inputs[0].partial_shape) == "[?,3,12,10]"
    assert str(open_session(path, "openvino", batch=4).inputs[0].partial_shape) == "[4,3,12,10]"
    with open_runtime(path, "openvino", batch=4) as session:
        assert str(session.inputs[0]) == "float32 [4, 3, 12, 10]"
        assert session.infer({"image": np.zeros((4, 3, 12, 10), np.float32)})["logits"].shape == (4, 5)
        with pytest.raises(
            UsageError, match=r"expected float32 \[4, 3, 12, 10\], got float32 \[2, 3, 12, 10\]"
        ):
            session.infer({"image": np.zeros((2, 3, 12, 10), np.float32)})
    with pytest.raises(UsageError, match="batch 0: give a whole number of at least 1"):
        open_session(path, "openvino", batch=0)
    with pytest.raises(UsageError, match=r"input 'image' is float32 \[3, 3, 12, 10\]: batch 2 does not fit"):
        open_session(network(tmp_path / "fixed.onnx", batch=3), "openvino", batch=2)
    with pytest.raises(UsageError, match="onnxruntime runs any batch alike: leave batch out"):
        open_session(path, batch=2)


def test_a_model_that_one_batch_is_written_into_runs_as_it_is(tmp_path: Path) -> None:
    """Its input says any batch, a constant inside says two: it cannot be compiled for one item."""
    nodes = [
        helper.make_node("Reshape", ["x", "s"], ["r"]),
        helper.make_node("Add", ["r", "w"], ["y"]),
    ]
    value = helper.make_tensor_value_info
    weights = [
        numpy_helper.from_array(np.array([2, 3], np.int64), "s"),
        numpy_helper.from_array(np.ones((2, 3), np.float32), "w"),
    ]
    graph = helper.make_graph(nodes, "baked", [value("x", 1, ["b", 3])], [value("y", 1, [2, 3])], weights)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
        tmp_path / "m.onnx",
    )
    with open_runtime(tmp_path / "m.onnx", "openvino") as session:
        np.testing.assert_allclose(session.infer({"x": X})["y"], X + 1)
        assert str(session.executed()["shapes"]).startswith("open: openvino cannot compile")


def test_a_closed_session_hands_nothing_out(tmp_path: Path) -> None:
    session = open_runtime(network(tmp_path / "net.onnx"), "openvino")
    session.close()
    with pytest.raises(UsageError, match="is closed: open it again"):
        _ = session.native
    with pytest.raises(EdgeactsError, match="is closed"):
        session.infer({})
