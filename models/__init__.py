"""`build_model("shufflenet_v2", activation="nish", width=0.5)`: lightweight networks with any activation.

A network is its own file and one row of `NETWORKS`.
"""

if __name__ != "edgeacts.models":
    raise ImportError(
        f"this package is edgeacts.models, not {__name__}: write `from edgeacts.models import build_model`"
    )

from collections.abc import Callable
from typing import NamedTuple, Protocol

from torch import nn

from edgeacts.definition import Activation
from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.models import mobilenet_v2, mobilenet_v3, shufflenet_v2, squeezenet
from edgeacts.modules import ActivationLike, activation_factory
from edgeacts.names import check_name

__all__ = ["NETWORKS", "Network", "build_model", "model_names", "network"]

MAX_WIDTH = 4.0


class Builder(Protocol):
    """What a network's file offers; the values are checked by `build_model`."""

    def __call__(
        self,
        activation: Callable[[int], nn.Module],
        *,
        width: float,
        num_classes: int,
        in_channels: int,
        small_images: bool,
    ) -> nn.Module: ...


class Network(NamedTuple):
    """A row of the table: name, builder, the activation of its paper, its widths (None: any in (0, 4]).

    `own` builds the network of a paper that has more activations than that one; it is used when no activation is asked for.
    """

    name: str
    build: Builder
    activation: str
    widths: tuple[float, ...] | None
    own: Builder | None = None


NETWORKS = (
    Network("mobilenet_v2", mobilenet_v2.mobilenet_v2, "relu6", None),
    Network(
        "mobilenet_v3_large", mobilenet_v3.mobilenet_v3_large, "hardswish", None, mobilenet_v3.papers_large
    ),
    Network(
        "mobilenet_v3_small", mobilenet_v3.mobilenet_v3_small, "hardswish", None, mobilenet_v3.papers_small
    ),
    Network("shufflenet_v2", shufflenet_v2.shufflenet_v2, "relu", shufflenet_v2.WIDTHS),
    Network("squeezenet1_0", squeezenet.squeezenet1_0, "relu", squeezenet.WIDTHS),
    Network("squeezenet1_1", squeezenet.squeezenet1_1, "relu", squeezenet.WIDTHS),
)


def by_name(networks: tuple[Network, ...]) -> dict[str, Network]:
    """The rows by their names. Raises EdgeactsError when two have the same one."""
    table: dict[str, Network] = {}
    for row in networks:
        if row.name in table:
            places = " and ".join(
                getattr(r.build, "__module__", repr(r.build)) for r in (table[row.name], row)
            )
            raise EdgeactsError(f"two networks are called {row.name!r}, in {places}: rename one in NETWORKS")
        table[row.name] = row
    return table


_BY_NAME = by_name(NETWORKS)


def model_names() -> tuple[str, ...]:
    """The names that `build_model` knows."""
    return tuple(_BY_NAME)


def network(name: str) -> Network:
    """The row of that name. Raises UsageError with the nearest names when there is none."""
    return _BY_NAME[check_name(name, _BY_NAME, "model")]


def build_model(
    name: str,
    *,
    activation: ActivationLike | None = None,
    width: float = 1.0,
    num_classes: int = 1000,
    in_channels: int = 3,
    small_images: bool = False,
) -> nn.Module:
    """A network [N, in_channels, H, W] -> logits [N, num_classes], freshly initialised, in training mode.

    `activation` is a name, an `Activation` or a callable that gives a new module for a channel count; None
    means the network's own (`network(name).activation`, and ReLU where MobileNetV3's paper has it). Each place
    gets a module of its own, so trained parameters are not shared. `width` scales the channels. `small_images`
    (28 to 64 pixels) leaves out one halving at the start; names and shapes of the weights stay the same.
    `minimum_size` of the result is the least H and W.
    Raises UsageError for an unknown name and for values that the network does not have.
    """
    row = network(name)
    _check_width(row, width)
    _check_count("num_classes", num_classes)
    _check_count("in_channels", in_channels)
    build = row.own if activation is None and row.own is not None else row.build
    return build(
        _factory(row.activation if activation is None else activation),
        width=width,
        num_classes=num_classes,
        in_channels=in_channels,
        small_images=small_images,
    )


def _check_width(row: Network, width: float) -> None:
    if row.widths is None:
        if not 0 < width <= MAX_WIDTH:
            raise UsageError(f"{row.name} has no width {width}: give more than 0 and at most {MAX_WIDTH:g}")
    elif width not in row.widths:
        valid = ", ".join(f"{w:g}" for w in row.widths)
        raise UsageError(f"{row.name} has no width {width}: valid: {valid}")


def _check_count(what: str, value: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise UsageError(f"{what}={value!r}: give a whole number of at least 1")


def _factory(activation: ActivationLike) -> Callable[[int], nn.Module]:
    if isinstance(activation, nn.Module | type) or not (
        isinstance(activation, str | Activation) or callable(activation)
    ):
        # nn.ReLU(64) would mean inplace=64, and one module for all places would share its parameters.
        raise UsageError(
            f"activation={activation!r} takes no channel count: give a name, an Activation, "
            "or a callable such as `lambda channels: torch.nn.ReLU()`"
        )
    return _fresh_modules(activation_factory(activation))


def _fresh_modules(make: Callable[[int], nn.Module]) -> Callable[[int], nn.Module]:
    made: list[nn.Module] = []

    def checked(channels: int) -> nn.Module:
        module = make(channels)
        if not isinstance(module, nn.Module):
            raise UsageError(
                f"the activation callable gave {module!r} for {channels} channels: a Module is needed"
            )
        if any(module is earlier for earlier in made):
            raise UsageError(
                f"the activation callable gave the same {module!r} twice: build a new one each time"
            )
        made.append(module)
        return module

    return checked
