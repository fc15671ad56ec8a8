"""Every network of the table: shapes, rows, activations, gradients, and what must be refused."""

import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from edgeacts import activations
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.models import NETWORKS, build_model, by_name, model_names, network
from edgeacts.modules import activation_factory

ROOT = Path(__file__).parents[2]
Enliven = Callable[[nn.Module, Tensor], Tensor]

# Every width that a network lists; two where any will do.
CASES = [(row.name, width) for row in NETWORKS for width in row.widths or (0.35, 1.0)]
# The least width, which is the quickest.
NARROW = [(row.name, min(row.widths or (0.35,))) for row in NETWORKS]

every_case = pytest.mark.parametrize(("name", "width"), CASES)
every_network = pytest.mark.parametrize(("name", "width"), NARROW)


def small(name: str, width: float, **options: Any) -> nn.Module:
    """For 5 classes of small gray images."""
    torch.manual_seed(0)
    usual: dict[str, Any] = {"activation": "relu", "num_classes": 5, "in_channels": 1, "small_images": True}
    return build_model(name, width=width, **(usual | options))


def images(count: int, size: int, channels: int = 1) -> Tensor:
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(size))


def test_names() -> None:
    assert {"mobilenet_v2", "shufflenet_v2", "squeezenet1_0", "squeezenet1_1"} <= set(model_names())
    assert [network(name).name for name in model_names()] == list(model_names())


SHAPES = [(28, 1, True), (32, 3, True), (64, 3, True), (49, 2, True), (224, 3, False), (32, 1, False)]


@pytest.mark.parametrize(("size", "channels", "small_images"), SHAPES)
@every_network
def test_shape_of_the_logits(name: str, width: float, size: int, channels: int, small_images: bool) -> None:
    model = small(name, width, in_channels=channels, small_images=small_images).eval()
    with torch.no_grad():
        assert model(images(2, size, channels)).shape == (2, 5)


# Height of the last map for small images of 28, 32 and 64: one 16th, for SqueezeNet one 8th.
LAST_MAPS = {
    "mobilenet_v2": (2, 2, 4),
    "mobilenet_v3_large": (2, 2, 4),
    "mobilenet_v3_small": (2, 2, 4),
    "shufflenet_v2": (2, 2, 4),
    "squeezenet1_0": (3, 4, 8),
    "squeezenet1_1": (3, 4, 8),
}


@every_network
def test_small_images_keep_resolution(name: str, width: float) -> None:
    kept, usual = (_last_maps(small(name, width, small_images=flag), (28, 32, 64)) for flag in (True, False))
    assert all(more > less for more, less in zip(kept, usual, strict=True))
    assert tuple(kept) == LAST_MAPS.get(name, tuple(kept))


def _last_maps(model: nn.Module, sizes: tuple[int, ...]) -> list[int]:
    """Height of the last convolution's output, per size of image."""
    *_, last = (module for module in model.modules() if isinstance(module, nn.Conv2d))
    seen: list[int] = []
    last.register_forward_hook(lambda _m, _i, output: seen.append(output.shape[2]))
    with torch.no_grad():
        for size in sizes:
            model.eval()(images(1, size))
    return seen


@every_case
def test_rows_do_not_depend_on_the_batch(name: str, width: float, enliven: Enliven) -> None:
    model, batch = small(name, width), images(7, 28)
    logits = enliven(model, batch)
    with torch.no_grad():
        for count in (1, 2, 7):
            torch.testing.assert_close(model(batch[:count]), logits[:count], rtol=1e-4, atol=1e-4)
            torch.testing.assert_close(model(batch[-count:]), logits[-count:], rtol=1e-4, atol=1e-4)


@every_network
def test_every_activation_has_its_own_module_and_runs_once(name: str, width: float) -> None:
    """A module per channel count given runs only where the counts are right: PReLU refuses other channels."""
    made: list[nn.Module] = []
    calls: Counter[nn.Module] = Counter()

    def prelu(channels: int) -> nn.Module:
        made.append(nn.PReLU(channels))
        made[-1].register_forward_hook(lambda module, _i, _o: calls.update([module]))
        return made[-1]

    model = small(name, width, activation=prelu)
    model(images(2, 28))
    assert [m for m in model.modules() if isinstance(m, nn.PReLU)] == made
    assert all(calls[module] == 1 for module in made)
    plain = {type(m).__name__ for m in model.modules() if not list(m.children())} - {"PReLU"}
    assert not plain & {"ReLU", "ReLU6", "ActivationModule"}, "a place ignores `activation`"


@every_network
def test_activation_by_name_definition_and_callable_agree(name: str, width: float, enliven: Enliven) -> None:
    batch = images(4, 28)
    model = small(name, width, activation="silu")
    logits = enliven(model, batch)
    for same in (activations.activation("silu"), activation_factory("silu"), lambda _: nn.SiLU()):
        twin = small(name, width, activation=same)
        twin.load_state_dict(model.state_dict())
        torch.testing.assert_close(twin.eval()(batch), logits, rtol=1e-3, atol=1e-3)
    other = small(name, width, activation="relu")
    other.load_state_dict(model.state_dict())
    assert (other.eval()(batch) - logits).abs().max() > 0.05


OWN: dict[str, tuple[type[nn.Module], type[nn.Module]]] = {
    "mobilenet_v2": (nn.ReLU6, nn.ReLU),
    "shufflenet_v2": (nn.ReLU, nn.ReLU6),
    "squeezenet1_0": (nn.ReLU, nn.ReLU6),
    "squeezenet1_1": (nn.ReLU, nn.ReLU6),
}


@pytest.mark.parametrize("name", OWN)
def test_without_activation_it_is_the_papers(name: str, enliven: Enliven) -> None:
    """Inputs so large that ReLU and ReLU6 differ."""
    batch = 100 * images(4, 28)
    right, wrong = OWN[name]
    width = dict(NARROW)[name]
    model = small(name, width, activation=None)
    logits = enliven(model, images(4, 28))
    with torch.no_grad():
        logits = model(batch)
        twins = [small(name, width, activation=lambda _, make=make: make()).eval() for make in (right, wrong)]
        for twin in twins:
            twin.load_state_dict(model.state_dict())
        same, other = (twin(batch) for twin in twins)
    torch.testing.assert_close(same, logits, rtol=1e-4, atol=1e-4)
    assert (other - logits).abs().max() > 0.1


@pytest.mark.parametrize("activation", ["sau", "tanhexp"])
@every_network
def test_gradients_reach_every_parameter(name: str, width: float, activation: str, enliven: Enliven) -> None:
    batch = images(8, 28)
    model = small(name, width, activation=activation)
    enliven(model, batch)
    model.train()
    nn.functional.cross_entropy(model(batch), torch.arange(8) % 5).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
    reached = sum(bool(p.grad is not None and p.grad.any()) for p in model.parameters())
    assert reached == len(list(model.parameters()))


@every_network
def test_evaluation_is_deterministic_and_leaves_the_input(name: str, width: float) -> None:
    model, batch = small(name, width).eval(), images(2, 28)
    before = batch.clone()
    with torch.no_grad():
        assert torch.equal(model(batch), model(batch))
    assert torch.equal(batch, before)


@every_network
def test_minimum_size_runs(name: str, width: float) -> None:
    for flag in (False, True):
        model = small(name, width, small_images=flag).eval()
        with torch.no_grad():
            assert model(images(2, int(model.minimum_size))).isfinite().all()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "flag", "least", "cure"),
    [
        ("squeezenet1_0", False, 21, "at least 21x21, or build it with small_images=True"),
        ("squeezenet1_1", False, 17, "at least 17x17, or build it with small_images=True"),
        ("squeezenet1_0", True, 8, "at least 8x8$"),
        ("squeezenet1_1", True, 8, "at least 8x8$"),
    ],
)
def test_too_small_images_are_refused(name: str, flag: bool, least: int, cure: str) -> None:
    model = small(name, 1.0, small_images=flag).eval()
    with pytest.raises(UsageError, match=rf"^images of {least - 1}x{least - 1} pixels .*{cure}"):
        model(images(1, least - 1))
    with pytest.raises(UsageError, match=cure):
        model(torch.zeros(1, 1, least, least - 1))


def shared() -> Callable[[int], nn.Module]:
    module = nn.PReLU()
    return lambda _: module


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("mobilenet_v3", {}, "unknown model 'mobilenet_v3': did you mean mobilenet_v2"),
    ("mobilenet_v2", {"width": 0.0}, "mobilenet_v2 has no width 0.0: give more than 0 and at most 4"),
    ("mobilenet_v2", {"width": 4.1}, "has no width 4.1"),
    ("mobilenet_v2", {"width": -1.0}, "has no width -1.0"),
    ("mobilenet_v2", {"width": float("nan")}, "has no width nan"),
    ("shufflenet_v2", {"width": 0.75}, "shufflenet_v2 has no width 0.75: valid: 0.5, 1, 1.5, 2"),
    ("shufflenet_v2", {"width": float("nan")}, "has no width nan"),
    ("squeezenet1_0", {"width": 0.5}, "squeezenet1_0 has no width 0.5: valid: 1"),
    ("squeezenet1_1", {"num_classes": 0}, "num_classes=0: give a whole number of at least 1"),
    ("squeezenet1_1", {"num_classes": 2.0}, "num_classes=2.0: give"),
    ("squeezenet1_1", {"num_classes": True}, "num_classes=True: give"),
    ("squeezenet1_1", {"in_channels": -3}, "in_channels=-3: give"),
    ("squeezenet1_1", {"activation": "tanhexq"}, "did you mean tanhexp"),
    (
        "squeezenet1_1",
        {"activation": nn.ReLU},
        "takes no channel count: give a name, an Activation, or a callable",
    ),
    ("squeezenet1_1", {"activation": nn.ReLU()}, r"activation=ReLU\(\) takes no channel count"),
    ("squeezenet1_1", {"activation": 3}, "activation=3 takes no channel count"),
    (
        "squeezenet1_1",
        {"activation": lambda channels: channels},
        "gave 64 for 64 channels: a Module is needed",
    ),
    ("squeezenet1_1", {"activation": shared()}, "gave the same PReLU.* twice: build a new one each time"),
]


@pytest.mark.parametrize(("name", "options", "message"), REFUSED)
def test_what_a_network_does_not_have_is_refused(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_model(name, **options)


def test_a_duplicate_name_raises_and_names_both_places() -> None:
    twin = network("shufflenet_v2")._replace(name="mobilenet_v2")
    places = "edgeacts.models.mobilenet_v2 and edgeacts.models.shufflenet_v2"
    with pytest.raises(EdgeactsError, match=f"two networks are called 'mobilenet_v2', in {places}"):
        by_name((*NETWORKS, twin))
    assert list(by_name(NETWORKS)) == list(model_names())


@pytest.mark.parametrize("plain", ["models", "models.squeezenet"])
def test_the_folder_is_not_importable_as_plain_models(plain: str) -> None:
    """A second copy of the package would have a second table and second classes."""
    found = subprocess.run(
        [sys.executable, "-c", f"import {plain}"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 1
    assert found.stderr.splitlines()[-1] == (
        "ImportError: this package is edgeacts.models, not models: "
        "write `from edgeacts.models import build_model`"
    )
