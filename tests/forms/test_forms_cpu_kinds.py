"""Which of the tuning files that ship counts on which CPU, and what reasons say about it."""

from pathlib import Path

import msgspec
import pytest
from tuning_files import tuned as form
from tuning_files import tuning_file

from edgeacts.activations import activation
from edgeacts.forms import choose_for, tuned
from edgeacts.forms.tuned import measured, shipped_kinds
from edgeacts.records import TuningRecord

AVX2 = ("sse4_2", "avx", "avx2", "fma", "f16c")
AVX512 = (*AVX2, "avx512f", "avx512_vnni")
KINDS = {"avx2": ("ratio", 1.3), "avx2+avx512f": ("native", 1.2), "asimd": ("exact", 1.5)}


@pytest.fixture(autouse=True)
def _no_file_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("EDGEACTS_TUNING", raising=False)


@pytest.fixture
def kinds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three files, each with another fastest form of Mish."""
    folder = tmp_path / "defaults"
    folder.mkdir()
    for kind, (name, ratio) in KINDS.items():
        bound = 0.0 if name == "exact" else 4e-7
        tuning_file(folder / f"{kind}.json", form(name, bound, ratio))
    monkeypatch.setattr(tuned, "DEFAULTS", folder)
    return folder


def on(monkeypatch: pytest.MonkeyPatch, *features: str) -> None:
    monkeypatch.setattr(tuned, "_features", lambda: frozenset(features))


@pytest.mark.parametrize(
    ("features", "name", "told"),
    [
        (AVX2, "ratio", "from edgeacts for CPUs with avx2"),
        (AVX512, "native", "from edgeacts for CPUs with avx2 and avx512f"),
        (("asimd", "bf16"), "exact", "from edgeacts for CPUs with asimd"),
        (
            ("sse4_2",), "exact",
            "from edgeacts for CPUs with asimd, which this one has not; nothing was measured on its own kind",
        ),
    ],
)  # fmt: skip
def test_the_cpus_own_kind_counts(
    features: tuple[str, ...], name: str, told: str, kinds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, *features)
    choice = choose_for(activation("mish"))
    assert choice.form.name == name
    assert choice.reason.endswith(told)


def test_what_its_own_kind_does_not_know_comes_from_the_next(
    kinds: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, *AVX512)
    nearest = kinds / "avx2+avx512f.json"
    (entry,) = TuningRecord.read(nearest).entries
    TuningRecord(entries=(msgspec.structs.replace(entry, precision="bf16"),)).write(nearest)
    choice = choose_for(activation("mish"))
    assert choice.form.name == "ratio"
    assert choice.reason.endswith("for CPUs with avx2; nothing was measured on this one's own kind")
    on(monkeypatch, *AVX2)
    choice = choose_for(activation("mish"), precision="bf16")
    assert choice.form.name == "native"
    assert "with avx2 and avx512f, which this one has not" in choice.reason


def test_a_new_kind_is_a_new_file(kinds: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    on(monkeypatch, *AVX512)
    tuning_file(kinds / "avx2+avx512_vnni+avx512f.json", form("exact", 0.0, 1.0))
    choice = choose_for(activation("mish"))
    assert choice.form.name == "exact"
    assert choice.reason.endswith("with avx2 and avx512_vnni and avx512f")


def test_what_ships_was_measured_on_cpus_of_that_kind() -> None:
    assert {"avx2", "avx2+avx512f"} <= {path.stem for path in shipped_kinds()}
    for path in shipped_kinds():
        for entry in TuningRecord.read(path).entries:
            assert set(path.stem.split("+")) <= set(entry.circumstances.cpu_features), path.stem
            assert path.stem != "avx2" or "avx512f" not in entry.circumstances.cpu_features


@pytest.mark.parametrize("precision", ["f32", "bf16"])
@pytest.mark.parametrize("features", [AVX2, AVX512])
@pytest.mark.parametrize("name", ["mish", "tanhexp", "nish", "silu", "gelu", "sau", "hardswish"])
def test_every_kind_has_a_choice_within_what_is_allowed(
    name: str, features: tuple[str, ...], precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    on(monkeypatch, *features)
    choice = choose_for(activation(name), precision=precision)
    assert choice.bound <= (1e-3 if precision == "bf16" else 1e-5)
    assert "measured" in choice.reason
    known = measured(activation(name), {}, runtime="openvino", precision=precision)
    assert known is not None
    assert known.activation.forms[0].ratio < 2.1


def test_bf16_allows_what_it_rounds_away_and_zero_nothing() -> None:
    tanhexp = activation("tanhexp")
    coarse = choose_for(tanhexp, precision="bf16")
    assert 1e-5 < coarse.bound <= 1e-3
    assert choose_for(tanhexp, precision="bf16", tolerance=1e-6) == coarse
    assert choose_for(tanhexp).bound <= 1e-5
    assert choose_for(tanhexp, precision="bf16", tolerance=0.0).form.name == "exact"
