"""The programs of deploy_examples, run as a user runs them, against PyTorch on real images."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from edgeacts.checkpoint import load_checkpoint
from edgeacts.data import load_dataset
from edgeacts.exporters import to_onnx, to_openvino
from edgeacts.modules import activation_factory
from edgeacts.preprocessing import Preprocessing

EXAMPLES = Path(__file__).parents[2] / "deploy_examples"
# The program, the file of the two that it is for, and what `pip install` of its runtime brings along.
PROGRAMS = {
    "onnxruntime": ("model.onnx", {"onnxruntime", "flatbuffers", "google", "packaging"}),
    "openvino": ("model.inlined.onnx", {"openvino", "openvino_telemetry", "packaging"}),
}
ALONE = """
import runpy, sys
allowed = set(sys.argv[1].split(",")) | {"numpy", "PIL"} | sys.stdlib_module_names
class OnlyAllowed:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed:
            raise ModuleNotFoundError(f"{name} is not for this program", name=name)
sys.meta_path.insert(0, OnlyAllowed())
sys.argv = sys.argv[2:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
TOLERANCE = 1e-4
Rows = dict[str, list[tuple[str, float]]]


def run_alone(script: Path, allowed: set[str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """The script in an isolated interpreter in which nothing can be imported but `allowed`, numpy and Pillow."""
    command = [sys.executable, "-I", "-c", ALONE, ",".join(allowed), script, *arguments]
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, check=False)


def classify(runtime: str, model: Path, images: Sequence[Path], *options: str) -> Rows:
    """Image -> its (class, probability), in the order printed."""
    done = run_alone(EXAMPLES / f"classify_{runtime}.py", PROGRAMS[runtime][1], model, *images, *options)
    assert (done.returncode, done.stderr) == (0, "")
    rows: Rows = {}
    for line in done.stdout.splitlines():
        path, name, probability = line.split("\t")
        rows.setdefault(path, []).append((name, float(probability)))
    assert list(rows) == [str(image) for image in images]
    return rows


def probabilities(
    model: nn.Module, preprocessing: Preprocessing, images: Sequence[Path]
) -> NDArray[np.float64]:
    """[N, classes] of PyTorch, through the preprocessing of the library."""
    opened = []
    for path in images:
        with Image.open(path) as image:
            image.load()
            opened.append(image)
    with torch.no_grad():
        logits = model(torch.from_numpy(preprocessing(opened)))
    return torch.softmax(logits.double(), dim=1).numpy()


def assert_agrees(rows: Rows, expected: NDArray[np.float64], classes: Sequence[str]) -> None:
    assert len(rows) == len(expected) > 0
    for (path, found), wanted in zip(rows.items(), expected, strict=True):
        assert sorted(name for name, _ in found) == sorted(classes), path
        values = [value for _, value in found]
        assert values == sorted(values, reverse=True), path
        assert found[0][0] == classes[int(wanted.argmax())], path
        worst = max(abs(value - wanted[classes.index(name)]) for name, value in found)
        assert worst <= TOLERANCE, f"{path}: {worst}"


@pytest.fixture(scope="module")
def digit_files(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[str]]:
    """120 real test images as PNG files, with their classes."""
    folder = tmp_path_factory.mktemp("digits")
    dataset = load_dataset("digits")
    files, labels = [], []
    for index in range(120):
        files.append(folder / f"{index}.png")
        Image.fromarray(dataset.test.images[index, ..., 0]).save(files[-1])
        labels.append(dataset.classes[dataset.test.labels[index]])
    return files, labels


@pytest.mark.parametrize("runtime", PROGRAMS)
def test_real_digits_get_the_probabilities_of_pytorch(
    runtime: str, trained_digits: Path, digit_files: tuple[list[Path], list[str]]
) -> None:
    files, labels = digit_files
    loaded = load_checkpoint(trained_digits / "train" / "checkpoint")
    model = trained_digits / "export" / PROGRAMS[runtime][0]
    rows = classify(runtime, model, files, "--top", "10")
    assert_agrees(rows, probabilities(loaded.model, loaded.spec.preprocessing, files), loaded.spec.classes)
    right = sum(found[0][0] == label for found, label in zip(rows.values(), labels, strict=True))
    assert right >= 0.8 * len(labels)


def test_openvinos_own_file_classifies_alike(
    trained_digits: Path, digit_files: tuple[list[Path], list[str]], tmp_path: Path
) -> None:
    xml = to_openvino(trained_digits / "export" / "model.onnx", tmp_path).xml
    loaded = load_checkpoint(trained_digits / "train" / "checkpoint")
    rows = classify("openvino", xml, digit_files[0][:20], "--top", "10")
    expected = probabilities(loaded.model, loaded.spec.preprocessing, digit_files[0][:20])
    assert_agrees(rows, expected, loaded.spec.classes)


def turned_by_a_camera(image: Image.Image, path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # orientation: the top is on the right
    image.convert("RGB").save(path, exif=exif, quality=95)


def sixteen_bits(image: Image.Image, path: Path) -> None:
    spread = np.random.default_rng(3).integers(-128, 128, (image.height, image.width))
    values = np.clip(np.asarray(image).astype(np.int64) * 257 + spread, 0, 65535)
    Image.fromarray(values.astype(np.uint16)).save(path)


def colours(image: Image.Image) -> Image.Image:
    """The three channels differ, so that their order and weights show."""
    return Image.merge("RGB", (image, image.rotate(90), image.point(lambda value: 255 - value)))


def half_transparent(image: Image.Image, path: Path) -> None:
    result = colours(image)
    result.putalpha(image.rotate(180))
    result.save(path)


def transparent_palette(image: Image.Image, path: Path) -> None:
    colours(image).quantize(64).save(path, transparency=bytes(range(0, 256, 4)))


WRITERS: Mapping[str, Callable[[Image.Image, Path], None]] = {
    "grey.png": lambda image, path: image.save(path),
    "one_bit.png": lambda image, path: image.convert("1").save(path),
    "grey_alpha.png": lambda image, path: image.convert("LA").save(path),
    "sixteen_bits.png": sixteen_bits,
    "rgb.png": lambda image, path: colours(image).save(path),
    "rgba.png": half_transparent,
    "palette.png": transparent_palette,
    "photo.jpg": lambda image, path: colours(image).save(path, quality=90),
    "print.jpg": lambda image, path: colours(image).convert("CMYK").save(path),
    "turned.jpg": turned_by_a_camera,
    "still.gif": lambda image, path: image.save(path),
}


@pytest.fixture(scope="module")
def odd_files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Real digits of other sizes, in every mode and format."""
    folder = tmp_path_factory.mktemp("odd")
    digits = load_dataset("digits", image_size=32).test.images[..., 0]
    files = []
    for index, (name, write) in enumerate(WRITERS.items()):
        size = (45 + 9 * index, 120 - 7 * index)
        files.append(folder / name)
        write(Image.fromarray(digits[index]).resize(size, Image.Resampling.BICUBIC), files[-1])
    return files


@pytest.mark.parametrize("runtime", PROGRAMS)
def test_other_sizes_modes_and_formats(runtime: str, trained_digits: Path, odd_files: list[Path]) -> None:
    loaded = load_checkpoint(trained_digits / "train" / "checkpoint")
    model = trained_digits / "export" / PROGRAMS[runtime][0]
    rows = classify(runtime, model, odd_files, "--top", "10")
    assert_agrees(
        rows, probabilities(loaded.model, loaded.spec.preprocessing, odd_files), loaded.spec.classes
    )


COLOUR = Preprocessing(
    channels=3, height=20, width=28, mean=(0.3, 0.45, 0.6), std=(0.2, 0.3, 0.25), resize="bicubic"
)
COLOUR_CLASSES = ("a plain one", "eins", "naïve", "数")


@pytest.fixture(scope="module")
def colour_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A colour network that feels every pixel: random weights, logits some units apart."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3, 2), activation_factory("tanhexp")(6), nn.Flatten(), nn.Linear(6 * 9 * 13, 4)
    ).eval()
    with torch.no_grad():
        model[3].weight.mul_(6)
    folder = tmp_path_factory.mktemp("colour")
    metadata = {
        "edgeacts.classes": json.dumps(COLOUR_CLASSES, ensure_ascii=False),
        "edgeacts.preprocessing": COLOUR.to_json(),
    }
    to_onnx(
        model, torch.zeros(1, 3, 20, 28), folder / "model.onnx",
        input_names=["image"], output_names=["logits"], metadata=metadata,
    )  # fmt: skip
    return folder, model


@pytest.mark.parametrize("runtime", PROGRAMS)
def test_colour_images_by_the_metadata_of_another_model(
    runtime: str, colour_model: tuple[Path, nn.Module], odd_files: list[Path]
) -> None:
    folder, model = colour_model
    expected = probabilities(model, COLOUR, odd_files)
    assert np.ptp(expected, axis=0).max() > 0.3, "too flat to show a wrong pixel"
    rows = classify(runtime, folder / PROGRAMS[runtime][0], odd_files, "--top", "99")
    assert_agrees(rows, expected, COLOUR_CLASSES)


@pytest.mark.parametrize("runtime", PROGRAMS)
def test_three_classes_are_printed_unless_asked(
    runtime: str, colour_model: tuple[Path, nn.Module], odd_files: list[Path]
) -> None:
    rows = classify(runtime, colour_model[0] / PROGRAMS[runtime][0], odd_files[:1])
    assert [len(found) for found in rows.values()] == [3]


@pytest.mark.parametrize("package", ["edgeacts", "torch", "onnx"])
def test_the_interpreter_of_these_tests_refuses_other_packages(package: str, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(f"import numpy, PIL\nprint('before')\nimport {package}\nprint('after')")
    done = run_alone(script, PROGRAMS["onnxruntime"][1])
    assert done.stdout == "before\n"
    assert f"{package} is not for this program" in done.stderr
