"""What goes wrong on the command line: one line on stderr that names the thing and the cure, and the right exit code."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest

from edgeacts import cli
from edgeacts.cli import main

ROOT = Path(cli.__file__).parents[2]
Told = Callable[..., str]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Told:
    """told(code, *arguments): the one line on stderr of a command that must end with `code`, nothing on stdout."""

    def run(code: int, *arguments: object) -> str:
        capsys.readouterr()
        assert main([str(a) for a in arguments]) == code
        out, err = capsys.readouterr()
        assert out == ""
        (line,) = err.splitlines()
        assert line.startswith("edgeacts: ")
        return line.removeprefix("edgeacts: ")

    return run


# ---- help


@pytest.mark.parametrize("verb", [None, *cli._VERBS])
def test_help_fits_80_columns(
    verb: str | None, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        main(["--help"] if verb is None else [verb, "--help"])
    assert left.value.code == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    if verb is None:
        assert all(name in text for name in cli._VERBS)
    else:
        assert f"usage: edgeacts {verb}" in text
        assert "--json FILE" in text


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    import edgeacts

    with pytest.raises(SystemExit) as left:
        main(["--version"])
    assert left.value.code == 0
    assert capsys.readouterr().out == f"edgeacts {edgeacts.__version__}\n"


# ---- wrong usage: exit 2


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("", "the following arguments are required: VERB; see edgeacts --help"),
        ("exprot", "unknown verb 'exprot': did you mean export"),
        ("list", "the following arguments are required: WHAT; see edgeacts list --help"),
        (
            "list activation",
            "unknown list 'activation': did you mean activations? valid: activations, models, data, runtimes",
        ),
        ("list data --no-such-option", "unrecognized arguments: --no-such-option"),
        ("list data --js x", "unrecognized arguments: --js x"),
        ("explain silo", "unknown activation 'silo': did you mean silu"),
        ("explain nothing.onnx", "ONNX file nothing.onnx does not exist"),
        ("plot mishh --out OUT/p.html", "unknown activation 'mishh': did you mean mish"),
        ("run", "the following arguments are required: --out"),
        ("run --out OUT/r --activation relu,mishh", "unknown activation 'mishh': did you mean mish"),
        ("run --out OUT/r --model mobilnet_v2", "unknown model 'mobilnet_v2': did you mean mobilenet_v2"),
        ("run --out OUT/r --runtime onnx", "unknown runtime 'onnx'"),
        (
            "run --out OUT/r --runtime onnxruntime --provider npu",
            "this onnxruntime has no provider 'npu': available: ",
        ),
        ("run --out OUT/r --data digit", "unknown data set 'digit': did you mean digits"),
        ("run --out OUT/r --data folder:", "--data folder: needs a path, such as folder:photos"),
        ("run --out OUT/r --data folder:OUT/nowhere", "nowhere"),
        ("run --out OUT/r --opset 12", "opset 12 is not supported: give one from 18 to 23"),
        ("run --out OUT/r --opset x", "argument --opset: invalid int value: 'x'; see edgeacts run --help"),
        ("run --out OUT/r --epochs 0", "epochs=0: give a whole number from 1"),
        ("run --out OUT/r --lr nan", "learning_rate=nan: give a number"),
        ("run --out OUT/r --bench-rounds 2", "rounds must be an integer from 5"),
        ("train --out OUT/r --model resnet", "unknown model 'resnet'"),
        ("train --out OUT/r --activation swich", "unknown activation 'swich'"),
        ("train --out OUT/r --optimizer lion", "unknown optimizer 'lion'"),
        ("train --out OUT/r --data cifar11", "unknown data set 'cifar11': did you mean cifar10"),
        ("train --out OUT/r --precision 8", "unknown precision '8'"),
        (
            "export OUT/none.safetensors --out OUT/e",
            "none.safetensors does not exist; `edgeacts train` writes one",
        ),
        ("verify OUT/none.onnx OUT/none.onnx", "none.onnx does not exist"),
        ("verify OUT/none OUT/none.onnx", "does not exist"),
        (
            "verify MODEL MODEL --runtime tvm",
            "unknown runtime 'tvm': valid: onnxruntime, accelerated, openvino",
        ),
        ("verify MODEL MODEL --precision f8", "unknown precision 'f8'"),
        (
            "verify MODEL MODEL --threads two",
            "argument --threads: 'two': write whole numbers separated by commas",
        ),
        ("verify MODEL MODEL --batch 1,0", "batches (1, 0): give whole numbers of at least 1"),
        ("verify MODEL MODEL --batch ,", "argument --batch: ',': write whole numbers"),
        (
            "verify MODEL MODEL --size height",
            "--size 'height': write NAME=N with N at least 1, such as height=224",
        ),
        ("verify MODEL MODEL --size height=-3", "--size 'height=-3': write NAME=N"),
        ("verify MODEL MODEL --data digt", "unknown data set 'digt': did you mean digits"),
        ("bench", "the following arguments are required: MODEL"),
        ("bench OUT/none.onnx", "none.onnx does not exist"),
        ("bench OUT", "is a folder, a file is needed"),
        ("bench MODEL --runtime onnxruntime --provider npu", "this onnxruntime has no provider 'npu'"),
        ("bench MODEL --rounds 0", "rounds must be an integer from 5 to"),
        ("bench MODEL --threads 9999", "threads must be an integer"),
        ("bench MODEL --size x=0", "--size 'x=0': write NAME=N"),
        ("bench MODEL --level best", "unknown level 'best'"),
        (
            "bench MODEL --precision bf16",
            "'bf16' is what to compute in: write --executed-precision bf16; --precision is the interval's width, such as 2%",
        ),
        ("bench MODEL --precision 2", "argument --precision: '2' is no share: write 2% or 0.02"),
        ("bench MODEL --precision 0%", "'0%' is no share"),
        ("bench MODEL --precision 60%", "within must be a share from 0.0005 to 0.5"),
        ("bench MODEL --executed-precision f8 --runtime onnxruntime", "unknown precision 'f8'"),
        (
            "bench MODEL --budget 1week",
            "argument --budget: '1week' is no time: write 60s, 2m or a number of seconds",
        ),
        ("bench MODEL --budget 0s", "'0s' is no time"),
        ("bench MODEL --compare OUT/none.json", "none.json does not exist"),
        ("bench MODEL --compare-by weight", "argument --compare-by: invalid choice: 'weight'"),
        ("run --out OUT/r --bench-budget soon", "argument --bench-budget: 'soon' is no time"),
        ("report OUT/none", "does not exist"),
        ("report OUT", "nothing to report in "),
    ],
)
def test_wrong_usage_is_one_line_and_exit_2(
    trained_digits: Path, tmp_path: Path, told: Told, arguments: str, text: str
) -> None:
    model = trained_digits / "export" / "model.onnx"
    words = [a.replace("OUT", str(tmp_path)).replace("MODEL", str(model)) for a in arguments.split()]
    assert text in told(2, *words)
    assert not list(tmp_path.rglob("*.json"))


def test_debug_shows_the_traceback_before_the_line(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["explain", "silo", "--debug"], ["--debug", "explain", "silo"], ["--debug", "exprot"]):
        assert main(words) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].startswith("Traceback")
        assert lines[-1].startswith("edgeacts: unknown ")


# ---- damaged files


def no_graph(sound: bytes) -> bytes:
    return onnx.ModelProto(ir_version=8, producer_name="x").SerializeToString()


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda sound: b"",
    "a text": lambda sound: b"ceci n'est pas un modele\n",
    "truncated": lambda sound: sound[: len(sound) // 2],
    "random bytes": lambda sound: bytes(range(255, -1, -1)) * 20,
    "no graph": no_graph,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("verb", ["explain", "verify", "bench"])
def test_a_damaged_onnx_file_is_named(
    trained_digits: Path, tmp_path: Path, told: Told, verb: str, damage: str
) -> None:
    sound = trained_digits / "export" / "model.onnx"
    path = tmp_path / "damaged.onnx"
    path.write_bytes(DAMAGE[damage](sound.read_bytes()))
    words = {"explain": [path], "verify": [sound, path, "--runtime", "onnxruntime"], "bench": [path]}[verb]
    assert "damaged.onnx" in told(1, verb, *words)


def test_a_folder_named_like_a_model_is_named(tmp_path: Path, told: Told) -> None:
    (tmp_path / "m.onnx").mkdir()
    assert "m.onnx is a folder, a file is needed" in told(2, "explain", tmp_path / "m.onnx")
    assert "m.onnx is a folder, a file is needed" in told(2, "bench", tmp_path / "m.onnx")


def copy_of_training(source: Path, target: Path) -> Path:
    shutil.copytree(source / "train", target)
    return target / "checkpoint.safetensors"


@pytest.mark.parametrize("damage", ["empty", "a text", "truncated", "random bytes"])
@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
def test_a_damaged_checkpoint_is_named(
    trained_digits: Path, tmp_path: Path, told: Told, suffix: str, damage: str
) -> None:
    path = copy_of_training(trained_digits, tmp_path / "train").with_suffix(suffix)
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    line = told(1, "export", path, "--out", tmp_path / "e")
    assert path.name in line
    assert not (tmp_path / "e").exists()


def test_half_a_checkpoint_says_which_half_is_missing(
    trained_digits: Path, tmp_path: Path, told: Told
) -> None:
    weights = copy_of_training(trained_digits, tmp_path / "train")
    weights.with_suffix(".json").unlink()
    assert "has no checkpoint.json beside it: copy both files" in told(
        2, "export", weights, "--out", tmp_path / "e"
    )


def test_a_damaged_record_is_named_in_the_report(tmp_path: Path) -> None:
    (tmp_path / "latency.json").write_text('{"kind": "latency"')
    assert main(["report", str(tmp_path)]) == 0
    assert "latency.json" in (tmp_path / "report" / "report.html").read_text()


@pytest.mark.parametrize(
    "option", [["--opset", "12"], ["--form", "cheapest"], ["--tolerance", "-1"], ["--data", "nope"]]
)
def test_what_export_cannot_do_is_refused(
    trained_digits: Path, tmp_path: Path, told: Told, option: list[str]
) -> None:
    checkpoint = trained_digits / "train" / "checkpoint.safetensors"
    assert option[1].lstrip("-") in told(2, "export", checkpoint, "--out", tmp_path / "e", *option)


# ---- data


def pictures(folder: Path, classes: int, count: int, side: int = 16) -> Path:
    from PIL import Image

    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for i in range(count):
            Image.new("L", (side, side), 20 * label + i).save(folder / f"class{label}" / f"{i}.png")
    return folder


def test_data_that_cannot_be_learnt_from_are_refused(tmp_path: Path, told: Told) -> None:
    (tmp_path / "empty").mkdir()
    out = ("--out", tmp_path / "out")
    line = told(2, "train", *out, "--data", f"folder:{tmp_path / 'empty'}")
    assert "empty" in line
    assert "class" in line
    one = pictures(tmp_path / "one", classes=1, count=12)
    assert "class" in told(2, "train", *out, "--data", f"folder:{one}")


def test_an_image_size_out_of_range_says_what_is_possible(tmp_path: Path, told: Told) -> None:
    line = told(2, "train", "--out", tmp_path / "out", "--model", "squeezenet1_1", "--image-size", "4")
    assert line == "image size 4 is out of range: 16 to 512 pixels are possible"


# ---- the machine


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path, told: Told) -> None:
    (tmp_path / "file").write_text("mine")
    assert "file cannot be used as a folder" in told(2, "run", "--out", tmp_path / "file")
    assert "file cannot be used as a folder" in told(2, "train", "--out", tmp_path / "file")
    line = told(1, "plot", "relu", "--out", tmp_path / "file" / "p.html")
    assert line == f"cannot write {tmp_path / 'file' / 'p.html'}: File exists"
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (KeyboardInterrupt(), 130, "interrupted"),
        (MemoryError(), 1, "out of memory: give a smaller batch, model or image size"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a.json"), 1, "a.json: No space left on device"),
        (OSError(errno.EIO, os.strerror(errno.EIO)), 1, "Input/output error"),
        (
            ModuleNotFoundError("No module named 'openvino'", name="openvino"),
            2,
            "pip install 'edgeacts[openvino]'",
        ),
    ],
)
def test_what_happens_to_a_process_is_one_line(
    told: Told, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, text: str
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("edgeacts.cli.doctor.action", fail)
    assert text in told(code, "doctor")


def test_a_bug_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: object) -> None:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr("edgeacts.cli.doctor.action", fail)
    with pytest.raises(ZeroDivisionError, match="ours"):
        main(["doctor"])


def test_a_reader_that_goes_away_is_no_traceback() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    command = [sys.executable, "-m", "edgeacts", "list", "activations"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    done = subprocess.run(
        command, cwd=ROOT, env=buffered, stdout=write_end, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write_end)
    assert done.stderr == ""
    assert done.returncode == 1


def test_python_m_edgeacts_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "edgeacts", "explain", "silo"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("edgeacts: unknown activation 'silo': did you mean silu")
    assert len(done.stderr.splitlines()) == 1
