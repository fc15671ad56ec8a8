import hashlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch
from safetensors.torch import load_file, save
from torch import nn

from edgeacts.activations import activation, names
from edgeacts.checkpoint import CheckpointSpec, checkpoint_paths, load_checkpoint, save_checkpoint
from edgeacts.definition import Activation, X, sigmoid
from edgeacts.errors import DamagedFile, EdgeactsError, UsageError
from edgeacts.models import build_model, model_names
from edgeacts.modules import activation_factory
from edgeacts.preprocessing import Preprocessing


def spec_of(definition: Activation, **changes: Any) -> CheckpointSpec:
    base = CheckpointSpec(
        model="mobilenet_v2",
        width=0.1,
        num_classes=3,
        in_channels=1,
        small_images=True,
        activation=definition.name,
        activation_formula=str(definition.formula),
        activation_parameters=definition.values(),
        activation_trainable={p.name: p.trainable for p in definition.parameters},
        classes=("a", "b", "ç"),
        preprocessing=Preprocessing(channels=1, height=28, width=28, mean=(0.2861,), std=(0.3530,)),
        data="digits",
        metrics={"test_accuracy": 0.1, "test_correct": 1},
        versions={"torch": torch.__version__.split("+")[0]},
    )
    return msgspec.structs.replace(base, **changes)


def model_of(definition: Activation | str, **changes: Any) -> nn.Module:
    values = {"width": 0.1, "num_classes": 3, "in_channels": 1, "small_images": True}
    torch.manual_seed(7)
    model = build_model("mobilenet_v2", activation=definition, **values | changes)
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    with torch.no_grad():
        for momentum in (
            1.0,
            0.1,
        ):  # batch norm statistics of the data: under others the signal dies on its way
            for norm in norms:
                norm.momentum = momentum
            model(torch.randn(4, 1, 28, 28))
        for parameter in model.parameters():  # nothing is left at its initial value
            parameter += 0.01 * torch.rand(parameter.shape)
    return model


def same(one: nn.Module, other: nn.Module) -> bool:
    """Equal logits on random images, which are finite and differ from image to image."""
    x = torch.randn(2, 1, 28, 28)
    with torch.no_grad():
        a, b = one.eval()(x), other.eval()(x)
    assert torch.isfinite(a).all()
    assert (a[0] - a[1]).abs().max() > 1e-3 * a.abs().max()
    return torch.equal(a, b)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Small models on two threads mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def original() -> nn.Module:
    return model_of("sau")


@pytest.fixture
def saved(original: nn.Module, tmp_path: Path) -> Path:
    return save_checkpoint(tmp_path / "net", original, spec_of(activation("sau")))


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the JSON as someone with an editor would."""
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def replace_weights(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Other tensors, with a JSON that agrees with them: only looking at the model tells."""
    data = save(tensors)
    path.write_bytes(data)
    told = {"weights_sha256": hashlib.sha256(data).hexdigest(), "weights_bytes": len(data)}
    rewrite(path.with_suffix(".json"), lambda c: c.update(told))


# ---- it comes back


@pytest.mark.parametrize("suffix", ["", ".safetensors", ".json"])
def test_what_was_saved_is_loaded_by_either_name(suffix: str, saved: Path, original: nn.Module) -> None:
    loaded = load_checkpoint(saved.with_name("net" + suffix))
    assert loaded.path == saved
    assert loaded.sha256 == loaded.spec.weights_sha256 == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert loaded.spec.classes == ("a", "b", "ç")
    assert loaded.spec.preprocessing.mean == (0.2861,)
    assert not any(module.training for module in loaded.model.modules())
    expected = original.state_dict()
    found = loaded.model.state_dict()
    assert list(found) == list(expected)
    assert all(torch.equal(found[name], expected[name]) for name in expected)
    assert {t.dtype for t in found.values()} == {torch.float32, torch.int64}
    assert same(loaded.model, original)


@pytest.mark.parametrize("name", names())
def test_every_activation_comes_back(name: str, tmp_path: Path) -> None:
    definition = activation(name)
    original = model_of(definition).eval()
    save_checkpoint(tmp_path / "x", original, spec_of(definition))
    assert same(load_checkpoint(tmp_path / "x").model, original)


def test_trained_parameters_and_values_other_than_the_defaults(tmp_path: Path) -> None:
    sau = activation("sau")
    make = activation_factory(sau, trainable={"alpha": "channel"}, n=3.0)
    original = model_of(make).eval()
    spec = spec_of(
        sau,
        activation_parameters={"alpha": 0.15, "n": 3.0},
        activation_trainable={"alpha": "channel", "n": None},
    )
    loaded = load_checkpoint(save_checkpoint(tmp_path / "x", original, spec))
    assert same(loaded.model, original)


def test_channels_last_weights_are_stored_in_their_usual_order(saved: Path, original: nn.Module) -> None:
    other = saved.with_name("other")
    clone = model_of("sau").to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    save_checkpoint(other, clone, spec_of(activation("sau")))
    assert saved.read_bytes() == other.with_name("other.safetensors").read_bytes()


def test_loading_leaves_the_random_state(saved: Path) -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    load_checkpoint(saved)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("name", ["net", "net.v2", "run.1.best"])
def test_names_with_dots(name: str) -> None:
    weights, spec = checkpoint_paths(Path("folder") / name)
    assert (weights.name, spec.name) == (name + ".safetensors", name + ".json")
    assert checkpoint_paths(weights) == checkpoint_paths(spec) == (weights, spec)


def test_an_activation_of_ones_own_is_handed_over(tmp_path: Path) -> None:
    own = Activation(name="own", formula=X * sigmoid(2 * X), source="this test")
    original = model_of(own).eval()
    path = save_checkpoint(tmp_path / "x", original, spec_of(own))
    with pytest.raises(UsageError) as caught:
        load_checkpoint(path)
    assert "activation 'own'" in str(caught.value)
    assert "pass its definition as activation=; the catalogue has: relu, relu6" in str(caught.value)
    assert same(load_checkpoint(path, activation=own).model, original)
    with pytest.raises(UsageError, match="was trained with own, but activation= is mish"):
        load_checkpoint(path, activation=activation("mish"))


# ---- a pair is whole or absent


@pytest.mark.parametrize("fails_at", [0, 1])
def test_an_interrupted_save_leaves_no_pair(
    fails_at: int, saved: Path, original: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = iter(range(9))
    replace = Path.replace

    def interrupted(path: Path, target: Path) -> Path:
        if next(count) == fails_at:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save_checkpoint(saved, original, spec_of(activation("sau")))
    assert [p.name for p in saved.parent.iterdir()] == ["net.safetensors"]
    with pytest.raises(UsageError, match=r"net\.safetensors has no net\.json beside it"):
        load_checkpoint(saved)


def test_weights_that_are_not_finite_are_not_saved(tmp_path: Path) -> None:
    broken = model_of("relu")
    with torch.no_grad():
        broken.classifier[1].bias[0] = float("nan")  # type: ignore[index,operator]
    with pytest.raises(
        EdgeactsError, match=r"weight classifier\.1\.bias holds values that are not finite: lower"
    ):
        save_checkpoint(tmp_path / "x", broken, spec_of(activation("relu")))
    assert not list(tmp_path.iterdir())


# ---- what is refused


def test_a_missing_twin_is_named(saved: Path) -> None:
    saved.unlink()
    with pytest.raises(UsageError, match=r"net\.json has no net\.safetensors beside it"):
        load_checkpoint(saved)
    with pytest.raises(UsageError, match=r"absent\.safetensors does not exist"):
        load_checkpoint(saved.with_name("absent"))


@pytest.mark.parametrize(
    ("damage", "text"),
    [
        (lambda d: d[:-5], "bytes, its JSON says"),
        (lambda d: d[:100], "truncated or replaced"),
        (lambda d: b"", "has 0 bytes"),
        (lambda d: d[:-5] + bytes([d[-5] ^ 1]) + d[-4:], "altered after it was written"),
        (lambda d: d[:60] + b"!" + d[61:], "altered after it was written"),
    ],
)
def test_damaged_weights_are_refused(damage: Callable[[bytes], bytes], text: str, saved: Path) -> None:
    saved.write_bytes(damage(saved.read_bytes()))
    with pytest.raises(DamagedFile) as caught:
        load_checkpoint(saved)
    assert text in str(caught.value)
    assert str(saved) in str(caught.value)


def drop(name: str) -> Callable[[dict[str, torch.Tensor]], Any]:
    return lambda tensors: tensors.pop(name)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        (drop("classifier.1.bias"), "lacks 1 of the model's tensors, the first is classifier.1.bias"),
        (
            lambda t: t.update(extra=torch.zeros(2)),
            "holds 1 tensors the model does not have, the first is extra",
        ),
        (
            lambda t: t.update({"classifier.1.bias": torch.zeros(4)}),
            "tensor classifier.1.bias has shape (4,), the model needs (3,)",
        ),
        (
            lambda t: t.update({"classifier.1.bias": torch.zeros(3, dtype=torch.float16)}),
            "tensor classifier.1.bias has type torch.float16, the model needs torch.float32",
        ),
    ],
)
def test_tensors_of_another_model_are_refused(change: Callable[..., Any], text: str, saved: Path) -> None:
    tensors = load_file(saved)
    change(tensors)
    replace_weights(saved, tensors)
    with pytest.raises(DamagedFile) as caught:
        load_checkpoint(saved)
    assert text in str(caught.value)


def test_a_file_of_another_kind_with_the_right_hash_is_refused(saved: Path) -> None:
    data = b"PK\x03\x04 not tensors"
    saved.write_bytes(data)
    told = {"weights_sha256": hashlib.sha256(data).hexdigest(), "weights_bytes": len(data)}
    rewrite(saved.with_suffix(".json"), lambda c: c.update(told))
    with pytest.raises(DamagedFile, match="is not a safetensors file"):
        load_checkpoint(saved)


@pytest.mark.parametrize(
    ("changes", "error", "text"),
    [
        ({"model": "mobilenet_v9"}, UsageError, "did you mean mobilenet_v2"),
        ({"activation": "mich"}, UsageError, "'mich'"),
        ({"activation_formula": "x**2"}, UsageError, "was trained with sau = x**2, but the catalogue's is"),
        ({"version": 2}, DamagedFile, "version 2; this edgeacts reads 1"),
        ({"kind": "training"}, DamagedFile, "not a valid CheckpointSpec"),
        ({"width": "wide"}, DamagedFile, "not a valid CheckpointSpec"),
        ({"width": 99.0}, DamagedFile, "has no width 99"),
        ({"width": 1e308}, DamagedFile, "has no width"),
        ({"num_classes": 10**9}, DamagedFile, "num_classes is 1000000000, must be 1 to 1,000,000"),
        ({"num_classes": 4}, DamagedFile, "3 class names for 4 classes"),
        ({"in_channels": 3}, DamagedFile, "takes 3 channels, its preprocessing gives 1"),
        ({"activation_parameters": {"beta": 1.0}}, DamagedFile, "no parameter 'beta'"),
        ({"activation_trainable": {"alpha": "sometimes"}}, DamagedFile, "not a valid CheckpointSpec"),
        ({"surprise": 1}, DamagedFile, "unknown field `surprise`"),
        ({"width": 0.2}, DamagedFile, "has shape"),
    ],
)
def test_a_spec_that_cannot_be_is_refused(
    changes: dict[str, Any], error: type[EdgeactsError], text: str, saved: Path
) -> None:
    rewrite(saved.with_suffix(".json"), lambda c: c.update(changes))
    with pytest.raises(error) as caught:
        load_checkpoint(saved)
    assert type(caught.value) is error
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_answered_with_the_valid_ones(saved: Path) -> None:
    rewrite(saved.with_suffix(".json"), lambda c: c.update(model="resnet"))
    with pytest.raises(UsageError) as caught:
        load_checkpoint(saved)
    assert ", ".join(model_names()) in str(caught.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"kind": "checkpoint"}', b"\xff\xfe", b"[" * 100_000]
)
def test_json_that_is_none_is_refused(content: bytes, saved: Path) -> None:
    saved.with_suffix(".json").write_bytes(content)
    with pytest.raises(DamagedFile, match="not a valid CheckpointSpec"):
        load_checkpoint(saved)


def test_more_than_4_gib_are_not_read(saved: Path) -> None:
    os.truncate(saved, 4 * 2**30 + 1)  # sparse: no disk is used
    with pytest.raises(DamagedFile, match="4,294,967,297 bytes, more than the 4,294,967,296 allowed"):
        load_checkpoint(saved)


def test_a_spec_that_does_not_fit_is_not_written(original: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="3 class names for 5 classes"):
        save_checkpoint(tmp_path / "x", original, spec_of(activation("sau"), num_classes=5))
    assert not list(tmp_path.iterdir())
