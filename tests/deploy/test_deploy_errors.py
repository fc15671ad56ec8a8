"""What the programs of deploy_examples say when something is wrong: one line, exit code 1 or 2."""

import ast
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from PIL import Image

EXAMPLES = Path(__file__).parents[2] / "deploy_examples"
MODEL_FILE = {"onnxruntime": "model.onnx", "openvino": "model.inlined.onnx"}
RUNTIMES = tuple(MODEL_FILE)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image.png"
    Image.fromarray(np.arange(64, dtype=np.uint8).reshape(8, 8)).save(path)
    return path


@pytest.fixture
def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[object, str, str]]:
    """Runs a program in this process; (exit code, stdout, stderr)."""

    def run_program(runtime: str, *arguments: object) -> tuple[object, str, str]:
        program = EXAMPLES / f"classify_{runtime}.py"
        monkeypatch.setattr(sys, "argv", [str(program), *map(str, arguments)])
        with pytest.raises(SystemExit) as exit_info:
            runpy.run_path(str(program), run_name="__main__")
        out, err = capsys.readouterr()
        return exit_info.value.code, out, err

    return run_program


def changed(source: Path, target: Path, change: Callable[[dict[str, str]], None]) -> Path:
    """A copy of an ONNX file whose metadata went through `change`."""
    model = onnx.load(source)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    change(metadata)
    onnx.helper.set_model_props(model, metadata)
    onnx.save(model, target)
    return target


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("which", ["model", "image", "second image"])
def test_missing_file(
    runtime: str, which: str, trained_digits: Path, image: Path, run: Callable[..., object]
) -> None:
    model = trained_digits / "export" / MODEL_FILE[runtime]
    missing = image.with_name("absent")
    arguments = {
        "model": (missing, image),
        "image": (model, missing),
        "second image": (model, image, missing),
    }
    assert run(runtime, *arguments[which]) == (2, "", f"error: there is no file {missing}\n")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_wrong_usage(runtime: str, image: Path, run: Callable[..., tuple[object, str, str]]) -> None:
    code, out, err = run(runtime, image, image, "--top", "0")
    assert (code, out, err.splitlines()[-1].partition("error: ")[2]) == (
        2,
        "",
        "--top is 0, must be at least 1",
    )
    code, out, err = run(runtime, image)
    assert (code, out) == (2, "")
    assert "required: IMAGE" in err


def text(path: Path) -> None:
    path.write_text("not an image")


def cut(path: Path) -> None:
    whole = path.with_name("whole.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)).save(whole)
    path.write_bytes(whole.read_bytes()[:2000])


def floating_point(path: Path) -> None:
    Image.fromarray(np.ones((8, 8), np.float32)).save(path, format="TIFF")


def thirty_two_bits(path: Path) -> None:
    Image.fromarray(np.full((8, 8), 70_000, np.int32)).save(path, format="TIFF")


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("write", "reason"),
    [
        (text, "cannot identify image file"),
        (cut, "truncated"),
        (floating_point, "floating-point values have no known range"),
        (thirty_two_bits, "values from 70000 to 70000, expected 0 to 65535"),
    ],
)
def test_not_an_image(
    runtime: str,
    write: Callable[[Path], None],
    reason: str,
    trained_digits: Path,
    image: Path,
    run: Callable[..., tuple[object, str, str]],
) -> None:
    bad = image.with_name("bad.img")
    write(bad)
    code, out, err = run(runtime, trained_digits / "export" / MODEL_FILE[runtime], image, bad)
    assert code == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(image)] * 3  # those before it are done
    assert err.startswith(f"error: {bad} cannot be used as an image: ")
    assert reason in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize("size", [0, 100_000])
def test_damaged_model(
    runtime: str, size: int, trained_digits: Path, image: Path, run: Callable[..., tuple[object, str, str]]
) -> None:
    bad = image.with_name("cut.onnx")
    bad.write_bytes((trained_digits / "export" / MODEL_FILE[runtime]).read_bytes()[:size])
    code, out, err = run(runtime, bad, image)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {runtime} cannot ")
    assert str(bad) in err


@pytest.mark.parametrize("runtime", RUNTIMES)
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (dict.clear, "has no metadata 'edgeacts.classes': give a model written by `edgeacts export`"),
        (
            lambda m: m.pop("edgeacts.preprocessing"),
            "has no metadata 'edgeacts.preprocessing': give a model written by `edgeacts export`",
        ),
        (lambda m: m.update({"edgeacts.classes": "cat, dog"}), "has damaged metadata: Expecting value"),
        (lambda m: m.update({"edgeacts.preprocessing": '{"channels": 1}'}), "has damaged metadata: "),
    ],
)
def test_model_without_its_metadata(
    runtime: str,
    change: Callable[[dict[str, str]], None],
    reason: str,
    trained_digits: Path,
    image: Path,
    run: Callable[..., tuple[object, str, str]],
) -> None:
    bad = changed(trained_digits / "export" / MODEL_FILE[runtime], image.with_name("bad.onnx"), change)
    code, out, err = run(runtime, bad, image)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(f"error: {bad} {reason}")


def test_openvino_is_given_the_portable_model(
    trained_digits: Path, image: Path, run: Callable[..., tuple[object, str, str]]
) -> None:
    portable = trained_digits / "export" / "model.onnx"
    code, out, err = run("openvino", portable, image)
    assert (code, out) == (2, "")
    assert err == (
        f"error: {portable} holds functions, which OpenVINO refuses: give its inlined twin, model.inlined.onnx\n"
    )


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_the_process_ends_with_the_code_and_no_traceback(runtime: str, tmp_path: Path) -> None:
    program = EXAMPLES / f"classify_{runtime}.py"
    done = subprocess.run(
        [sys.executable, "-I", program, tmp_path / "no.onnx", tmp_path / "no.png"],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (
        2,
        "",
        f"error: there is no file {tmp_path / 'no.onnx'}\n",
    )


def test_what_both_programs_do_is_written_the_same_way() -> None:
    parts = []
    for runtime in RUNTIMES:
        body = ast.parse((EXAMPLES / f"classify_{runtime}.py").read_text(encoding="utf-8")).body
        named = {n.name: ast.unparse(n) for n in body if isinstance(n, ast.FunctionDef | ast.ClassDef)}
        parts.append(
            {name: named[name] for name in ("Preprocessing", "fail", "parse_metadata", "read_image")}
        )
    assert parts[0] == parts[1]
