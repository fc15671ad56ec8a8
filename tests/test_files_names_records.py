"""Files are whole or absent, names are answered with the nearest, records survive nothing but what they wrote."""

import errno
import hashlib
import json
import math
import os
import stat
from pathlib import Path

import msgspec
import pytest

from edgeacts import files
from edgeacts.circumstances import circumstances
from edgeacts.errors import DamagedFile, EdgeactsError, NotAvailable, UsageError, missing_extra
from edgeacts.names import check_name
from edgeacts.records import Budget, Epoch, ExportRecord, LatencyRecord, ParityRow, Record, Verdict

# ---- files


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    files.write_text_atomic(path, "erste Fassung, länger")
    files.write_text_atomic(path, "zweite")
    assert path.read_text(encoding="utf-8") == "zweite"
    assert [p.name for p in path.parent.iterdir()] == ["record.json"]


def test_permissions_are_those_of_an_ordinary_file(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        files.write_bytes_atomic(tmp_path / "a", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o640


def test_an_error_inside_the_block_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"old")

    def fail() -> None:
        with files.atomic_path(path) as temporary:
            temporary.write_bytes(b"half of the n")
            raise RuntimeError("torch gave up")

    with pytest.raises(RuntimeError, match="torch gave up"):
        fail()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["model.onnx"]


@pytest.mark.parametrize("call", ["write", "fsync", "replace", "mkstemp"])
def test_a_full_disk_is_one_line_and_keeps_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "record.json"
    path.write_bytes(b"old")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    where = {"write": Path, "replace": Path, "fsync": files.os, "mkstemp": files.tempfile}[call]
    monkeypatch.setattr(where, "write_bytes" if call == "write" else call, full)
    with pytest.raises(EdgeactsError) as caught:
        files.write_bytes_atomic(path, b"new")
    assert str(caught.value) == f"cannot write {path}: No space left on device"
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["record.json"]


def test_a_path_below_a_file_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(EdgeactsError, match=r"cannot write .*file/a\.json: "):
        files.write_text_atomic(tmp_path / "file" / "a.json", "{}")
    (tmp_path / "folder").mkdir()
    with pytest.raises(EdgeactsError, match=r"cannot write .*folder: Is a directory"):
        files.write_text_atomic(tmp_path / "folder", "{}")


def test_reading_is_bounded_and_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"12345")
    assert files.read_bytes(path, "mark", 5) == b"12345"
    with pytest.raises(DamagedFile, match=r"mark .*a\.bin has 5 bytes, more than the 4 allowed"):
        files.read_bytes(path, "mark", 4)
    with pytest.raises(UsageError, match=r"mark .*b\.bin does not exist"):
        files.read_bytes(tmp_path / "b.bin", "mark")
    with pytest.raises(UsageError, match="is a folder, a file is needed"):
        files.read_bytes(tmp_path, "mark")
    with pytest.raises(UsageError, match="cannot be read: Not a directory"):
        files.read_bytes(path / "c", "mark")


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"x")

    def refuse(self: Path, *_: object) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(self))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(UsageError, match=r"model .*a cannot be read: Permission denied"):
        files.read_bytes(path, "model")
    with pytest.raises(UsageError, match=r"a cannot be read: Permission denied"):
        files.sha256_file(path)


def test_the_hash_is_that_of_the_bytes(tmp_path: Path) -> None:
    data = bytes(range(256)) * 5000
    (tmp_path / "a").write_bytes(data)
    assert files.sha256_file(tmp_path / "a") == hashlib.sha256(data).hexdigest()
    with pytest.raises(UsageError, match="missing cannot be read: No such file"):
        files.sha256_file(tmp_path / "missing")


def test_a_folder_has_one_user_at_a_time(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with (
        files.folder_lock(folder),
        pytest.raises(EdgeactsError) as caught,
        files.folder_lock(folder),
    ):
        pass
    assert str(caught.value) == (
        f"{folder} is in use by another run (process {os.getpid()}): wait for it to end, or give another --out"
    )
    with files.folder_lock(folder):  # free again
        pass


def test_a_file_is_no_folder_to_lock(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.raises(UsageError, match=r"cannot be used as a folder: .*give another --out"),
            files.folder_lock(path),
        ):
            pass
    assert (tmp_path / "file").read_text() == "mine"


# ---- names and errors


def test_a_known_name_is_given_back() -> None:
    assert check_name("mish", ("relu", "mish"), "activation") == "mish"


def test_an_unknown_name_is_answered_with_the_nearest_and_all() -> None:
    with pytest.raises(UsageError) as caught:
        check_name("tanexp", iter(["relu", "tanhexp", "mish"]), "activation")
    assert (
        str(caught.value) == "unknown activation 'tanexp': did you mean tanhexp? valid: relu, tanhexp, mish"
    )
    with pytest.raises(UsageError) as caught:
        check_name("qqq", ("relu", "mish"), "activation")
    assert str(caught.value) == "unknown activation 'qqq': valid: relu, mish"


@pytest.mark.parametrize(
    ("package", "extra"),
    [("openvino", "openvino"), ("openvino.runtime", "openvino"), ("datasets", "hub"), ("torch", "train")],
)
def test_a_missing_package_names_its_extra(package: str, extra: str) -> None:
    told = missing_extra(ModuleNotFoundError(f"No module named {package!r}", name=package))
    assert isinstance(told, NotAvailable)
    assert str(told) == f"{package.split('.')[0]} is not installed: pip install 'edgeacts[{extra}]'"
    assert told.exit_code == 2


def test_a_missing_module_of_our_own_stays_a_bug() -> None:
    for name in ("edgeacts.nowhere", None):
        error = ModuleNotFoundError("x", name=name)
        assert missing_extra(error) is error


# ---- records

EPOCH = Epoch(
    epoch=1, train_loss=0.5, train_accuracy=0.5, validation_loss=None, validation_accuracy=0.25,
    learning_rate=1e-3, seconds=2.0,
)  # fmt: skip
ROW = ParityRow(
    candidate="m.onnx", runtime="onnxruntime", level="all", precision="f32", inputs="random", output="logits",
    batch=2, threads=1, input_count=14, value_count=140, worst_input=3, max_error=1e-6, p999_error=9e-7, mean_error=1e-7,
    movement=1.0, relative_error=1e-6, allowed_relative_error=2e-5, snr_db=110.0, predictions_differ=0, predictions_total=14,
    flip_interval=(0.0, 0.2), flip_margin=None, outcome="pass", reason="",
)  # fmt: skip
BUDGET = Budget(
    inputs="random", output="logits", precision="f32", noise=1e-6, noise_sources={"rounding": 1e-6}, noise_share=8e-6,
    precision_share=1e-6, form_share=0.0, allowed=9e-6,
)  # fmt: skip


def verdict(**changes: object) -> Verdict:
    base = Verdict(
        reference="net", reference_sha256="a" * 64, candidate="m.onnx", candidate_sha256="b" * 64, outcome="pass",
        summary="1 of 1 comparisons passed", rows=(ROW,), budgets=(BUDGET,), skipped={}, seconds=0.5, circumstances=circumstances(),
    )  # fmt: skip
    return msgspec.structs.replace(base, **changes)


def test_a_record_survives_its_file(tmp_path: Path) -> None:
    written = verdict(skipped={"openvino": "not installed: größer"})
    written.write(tmp_path / "verdict.json")
    assert Verdict.read(tmp_path / "verdict.json") == written
    stored = json.loads((tmp_path / "verdict.json").read_text())
    assert stored["kind"] == "verdict"
    assert stored["version"] == 2


def test_what_is_not_finite_becomes_null() -> None:
    row = msgspec.structs.replace(ROW, max_error=math.inf, movement=math.nan)
    stored = json.loads(row.to_json())
    assert stored["max_error"] is None
    assert stored["movement"] is None
    assert ParityRow.from_json(row.to_json()).max_error is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda d: d[:-20], "truncated"),
        (lambda d: b"", "truncated"),
        (lambda d: b"[" * 100_000, "Expected `object`"),
        (lambda d: b"\xff\xfe" + d, "malformed"),
        (lambda d: d.replace(b'"kind"', b'"sort"'), "unknown field|kind"),
        (lambda d: d.replace(b'"verdict"', b'"latency"'), "[Ii]nvalid value"),
        (lambda d: d.replace(b'"outcome"', b'"outcame"', 1), "unknown field|missing required"),
        (lambda d: d.replace(b'"input_count": 14', b'"input_count": "14"'), "Expected `int`"),
        (lambda d: d.replace(b'"outcome": "pass"', b'"outcome": "maybe"'), "[Ii]nvalid enum value"),
        (lambda d: d.replace(b'"version": 2', b'"version": 1'), "version 1; this edgeacts reads 2"),
    ],
)
def test_a_damaged_record_is_refused_by_name(tmp_path: Path, change: object, reason: str) -> None:
    path = tmp_path / "verdict.json"
    path.write_bytes(change(verdict().to_json()))  # type: ignore[operator]
    with pytest.raises(DamagedFile, match=reason) as caught:
        Verdict.read(path)
    assert str(path) in str(caught.value)
    assert "Verdict" in str(caught.value)


def test_records_of_one_kind_are_not_taken_for_another(tmp_path: Path) -> None:
    verdict().write(tmp_path / "a.json")
    with pytest.raises(DamagedFile, match="is not a valid LatencyRecord"):
        LatencyRecord.read(tmp_path / "a.json")
    with pytest.raises(DamagedFile, match="is not a valid ExportRecord"):
        ExportRecord.read(tmp_path / "a.json")
    with pytest.raises(UsageError, match=r"ExportRecord file .*b\.json does not exist"):
        ExportRecord.read(tmp_path / "b.json")


def test_records_without_a_version_are_read_as_they_are() -> None:
    assert Epoch.from_json(EPOCH.to_json()) == EPOCH
    with pytest.raises(AttributeError):
        EPOCH.epoch = 2  # type: ignore[misc]


@pytest.mark.parametrize("kind", Record.__subclasses__(), ids=lambda kind: kind.__name__)
def test_every_kind_on_disk_has_a_tag_of_its_own(kind: type[Record]) -> None:
    config = kind.__struct_config__
    if "version" in kind.__struct_fields__:
        tags = [k.__struct_config__.tag for k in Record.__subclasses__() if k.__struct_config__.tag]
        assert config.tag_field == "kind"
        assert tags.count(config.tag) == 1
        assert kind.__struct_fields__[-1] == "version"
    assert config.frozen
    assert config.forbid_unknown_fields


# ---- circumstances


def test_circumstances_say_what_is_installed_here() -> None:
    import numpy

    seen = circumstances()
    assert seen.versions["numpy"] == numpy.__version__
    assert seen.cpu_count == os.cpu_count()
    assert seen.python == ".".join(map(str, __import__("sys").version_info[:3]))
    assert seen.cpu
    assert "no-such-package" not in seen.versions
