"""A camera's picture as the model's input: the same values as the project's own preprocessing, on photographs."""

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper
from portable_files import PREPROCESSING, network, save, value

from edgeacts.errors import CheckFailed, UsageError
from edgeacts.exporters import to_openvino
from edgeacts.exporters.openvino_camera import with_camera_input
from edgeacts.exporting_openvino import export_openvino
from edgeacts.preprocessing import Preprocessing
from edgeacts.runtimes import open_runtime

LEVELS = 255.0


@pytest.fixture(scope="module")
def photographs() -> list[np.ndarray]:
    """Parts of two photographs, larger and smaller than the models' inputs, and one of exactly their size."""
    pytest.importorskip("PIL")
    from sklearn.datasets import load_sample_image

    flower, china = load_sample_image("flower.jpg"), load_sample_image("china.jpg")
    return [flower[100:200, 250:350], china[100:161, 200:233], flower[150:158, 300:306], china[50:62, 30:40]]


def passes_on(path: Path, preprocessing: Preprocessing) -> Path:
    """A model that gives 2 times what goes in: what the preprocessing inside it made of a picture can be seen."""
    shape = ("batch", preprocessing.channels, preprocessing.height, preprocessing.width)
    add = helper.make_node("Add", ["image", "image"], ["seen"])
    graph = helper.make_graph([add], "seen", [value("image", *shape)], [value("seen", *shape)])
    return save(path, graph, [], {}, {"edgeacts.preprocessing": preprocessing.to_json()})


def seen(path: Path, picture: np.ndarray) -> np.ndarray:
    with open_runtime(path, "openvino") as session:
        return session.infer({"image": np.ascontiguousarray(picture[None])})["seen"] / 2


@pytest.mark.parametrize(
    ("resize", "channels", "color"),
    [
        ("bilinear", 3, "rgb"),
        ("bilinear", 3, "bgr"),
        ("bilinear", 1, "bgr"),
        ("bicubic", 3, "rgb"),
        ("bicubic", 1, "rgb"),
    ],
)
def test_pictures_are_prepared_as_preprocessing_does(
    resize: str, channels: int, color: str, photographs: list[np.ndarray], tmp_path: Path
) -> None:
    """Within rounding to whole grey levels: 1, or 2 where colours are mixed into grey before the picture is resized."""
    prepare = Preprocessing(
        channels=channels, height=12, width=10, mean=(0.4, 0.5, 0.6)[:channels], std=(0.2, 0.25, 0.3)[:channels], resize=resize
    )  # fmt: skip
    files = to_openvino(passes_on(tmp_path / "m.onnx", prepare), tmp_path, camera=color)
    assert files.camera == tmp_path / "model.camera.xml"
    unit = np.array(prepare.std)[:, None, None] * LEVELS
    for picture in photographs:
        shown = picture if color == "rgb" else picture[..., ::-1]
        apart = np.abs(seen(files.camera, shown) - prepare([picture])) * unit
        assert float(apart.max()) < (1.01 if channels == 3 else 2.01)
        assert float(apart.mean()) < 0.6
    swapped = np.abs(
        seen(files.camera, photographs[0][..., :: -1 if color == "rgb" else 1]) - prepare(photographs[:1])
    )
    assert float((swapped * unit).max()) > 20, "the order of colours makes no difference"


def test_the_camera_takes_any_size_and_says_what_it_takes(tmp_path: Path) -> None:
    files = to_openvino(passes_on(tmp_path / "m.onnx", PREPROCESSING), tmp_path, camera="bgr")
    assert files.camera is not None
    with open_runtime(files.camera, "openvino") as session:
        assert [str(spec) for spec in session.inputs] == ["uint8 [?, ?, ?, 3]"]
        assert session.metadata["edgeacts.camera"] == "bgr"  # type: ignore[attr-defined]
        for height, width in ((12, 10), (480, 640), (1, 1)):
            picture = np.full((2, height, width, 3), 102, np.uint8)
            result = session.infer({"image": picture})["seen"]
            assert result.shape == (2, 3, 12, 10)
            expected = (102 / LEVELS - np.array(PREPROCESSING.mean)) / np.array(PREPROCESSING.std)
            np.testing.assert_allclose(result.mean((0, 2, 3)) / 2, expected, atol=1e-5)


def test_an_export_compares_both_ways_to_prepare(tmp_path: Path) -> None:
    stated = {"edgeacts.preprocessing": PREPROCESSING.to_json()}
    path = network(tmp_path / "net.onnx", "relu", **stated)
    result = export_openvino(path, tmp_path / "out", camera="bgr", batches=(1,))
    assert result.verdict.passed
    assert result.camera_error is not None
    assert 0 < result.camera_error < 0.05
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"model.camera.xml", "model.camera.bin", "verdict-openvino.json", "executed-openvino.json"} < names


def test_a_camera_that_shows_something_else_is_no_export(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the order of colours had been mistaken."""
    real, swapped = with_camera_input, {"rgb": "bgr", "bgr": "rgb"}
    module = import_module("edgeacts.exporters.to_openvino")
    monkeypatch.setattr(module, "with_camera_input", lambda m, color, p: real(m, swapped[color], p))
    path = network(tmp_path / "net.onnx", "relu", **{"edgeacts.preprocessing": PREPROCESSING.to_json()})
    with pytest.raises(
        CheckFailed, match=r"model\.camera\.xml: its outputs lie .* from those of pictures prepared by"
    ):
        export_openvino(path, tmp_path / "out", camera="rgb", batches=(1,))


@pytest.mark.parametrize("resize", ["nearest", "lanczos"])
def test_filters_that_openvino_has_not_are_refused(resize: str, tmp_path: Path) -> None:
    other = Preprocessing(channels=1, height=8, width=8, mean=(0.5,), std=(0.5,), resize=resize)
    path = passes_on(tmp_path / "m.onnx", other)
    with pytest.raises(
        UsageError, match=rf"resize '{resize}' has no equal in OpenVINO \(it has bilinear, bicubic\)"
    ):
        to_openvino(path, tmp_path / "out", camera="rgb")
    assert not (tmp_path / "out").exists()
    assert to_openvino(path, tmp_path / "out").camera is None


def test_models_that_take_no_picture_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="the model states no preprocessing, which a camera input needs"):
        to_openvino(network(tmp_path / "a.onnx"), tmp_path, camera="rgb")
    stated = {"edgeacts.preprocessing": PREPROCESSING.to_json()}
    other: Any = onnx.load(network(tmp_path / "b.onnx", **stated))
    other.graph.input[0].type.tensor_type.shape.dim[3].dim_value = 11
    onnx.save(other, tmp_path / "b.onnx")
    with pytest.raises(
        UsageError, match=r"input is \[\?,3,12,11\], its preprocessing makes \[N, 3, 12, 10\]"
    ):
        to_openvino(tmp_path / "b.onnx", tmp_path, camera="rgb")
    shape = ("batch", 3, 12, 10)
    add = helper.make_node("Add", ["a", "b"], ["c"])
    graph = helper.make_graph([add], "two", [value("a", *shape), value("b", *shape)], [value("c", *shape)])
    save(tmp_path / "c.onnx", graph, [], {}, stated)
    with pytest.raises(UsageError, match="a camera input needs a model of one input, this one has 2"):
        to_openvino(tmp_path / "c.onnx", tmp_path, camera="rgb")
