"""`swap`: put one activation in another's place in any nn.Module tree, and say what could not be reached."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from edgeacts.activations import activation as find_activation
from edgeacts.definition import Activation, Trainable
from edgeacts.errors import UsageError
from edgeacts.function_calls import observe, search_source
from edgeacts.modules import ActivationLike, ActivationModule, activation_factory


@dataclass(frozen=True)
class SwapReport:
    """What `swap` did: names of the modules `replaced`, of those among them that several places use (`shared`; a trained
    parameter is then shared too), and the calls of the old activation that are not modules (`unreachable`).

    `model` is the model with the replacement in it: another object only if the model itself was the activation.
    """

    model: nn.Module
    replaced: tuple[str, ...]
    shared: tuple[str, ...]
    unreachable: tuple[str, ...]

    def __str__(self) -> str:
        text = f"replaced {len(self.replaced)}"
        if self.shared:
            text += f"; used in several places: {', '.join(self.shared)}"
        if self.unreachable:
            text += f"; could not reach {len(self.unreachable)}: {', '.join(self.unreachable)}"
        return text


# catalogue name -> torch's own module, and the functions that compute the same
_STOCK: dict[str, tuple[type[nn.Module], tuple[str, ...]]] = {
    "relu": (nn.ReLU, ("relu", "relu_")),
    "relu6": (nn.ReLU6, ("relu6",)),
    "leaky_relu": (nn.LeakyReLU, ("leaky_relu", "leaky_relu_")),
    "silu": (nn.SiLU, ("silu",)),
    "hardswish": (nn.Hardswish, ("hardswish",)),
    "gelu": (nn.GELU, ("gelu",)),
    "mish": (nn.Mish, ("mish",)),
}


def swap(
    model: nn.Module,
    old: str | Activation | type[nn.Module] | Sequence[Any],
    new: ActivationLike,
    *,
    example: tuple[Tensor, ...] | Tensor | None = None,
    trainable: Mapping[str, Trainable] | None = None,
    **parameters: float,
) -> SwapReport:
    """Replace every `old` activation in `model` by `new`, in place; `parameters` and `trainable` are the new one's.

    `old`: a catalogue name (finds torch's own module of that name and ours), an `Activation`, a module class, or a list of
    these. Activations called as functions (`F.relu(x)`) cannot be replaced: with an `example` input the model is run once
    and every such call is listed; without one, the source of the modules' `forward` is searched.
    Raises UsageError when nothing was replaced.
    """
    wanted = _wanted(old)
    make = activation_factory(new, trainable=trainable, **parameters)
    places = [
        (name, module)
        for name, module in model.named_modules(remove_duplicate=False)
        if wanted.matches(module)
    ]
    seen = observe(model, wanted.calls, wanted.matches, example) if example is not None else None
    unreachable = seen.calls if seen is not None else search_source(model, wanted.calls)
    if not places:
        raise UsageError(_nothing(model, wanted, unreachable))
    fresh: dict[int, nn.Module] = {}
    for name, module in places:
        if id(module) not in fresh:
            channels = seen.channels.get(name) if seen is not None else None
            fresh[id(module)] = make(channels or _channels_before(model, name)).train(module.training)
    result = model
    for name, module in places:
        result = _put(result, name, fresh[id(module)])
    twice = [id(module) for _, module in places]
    shared = tuple(
        name
        for name, module in places
        if twice.count(id(module)) > 1 or (seen is not None and name in seen.repeated)
    )
    return SwapReport(result, tuple(name for name, _ in places), shared, unreachable)


@dataclass(frozen=True)
class _Wanted:
    label: str
    classes: tuple[type[nn.Module], ...]
    names: frozenset[str]

    def matches(self, module: nn.Module) -> bool:
        if isinstance(module, ActivationModule):
            return module.activation.name in self.names
        return type(module) in self.classes

    @property
    def calls(self) -> tuple[str, ...]:
        return tuple(call for name in sorted(self.names & _STOCK.keys()) for call in _STOCK[name][1])


def _wanted(old: Any) -> _Wanted:
    items = list(old) if isinstance(old, list | tuple | set | frozenset) else [old]
    if not items:
        raise UsageError("swap: `old` is empty; give the activation to replace")
    classes: list[type[nn.Module]] = []
    names: set[str] = set()
    labels: list[str] = []
    for item in items:
        if isinstance(item, type) and issubclass(item, nn.Module):
            classes.append(item)
            names.update(n for n, (stock, _) in _STOCK.items() if item is stock)
            labels.append(item.__name__)
        elif isinstance(item, str | Activation):
            name = find_activation(item).name if isinstance(item, str) else item.name
            names.add(name)
            classes += [_STOCK[name][0]] if name in _STOCK else []
            labels.append(name)
        else:
            raise UsageError(f"swap: old={item!r} is neither a name, an Activation nor an nn.Module class")
    return _Wanted(" or ".join(labels), tuple(classes), frozenset(names))


def _nothing(model: nn.Module, wanted: _Wanted, unreachable: tuple[str, ...]) -> str:
    leaves = sorted({type(m).__name__ for m in model.modules() if not list(m.children())})
    calls = (
        f"; it is called as a function in {', '.join(unreachable)}: make it a module there"
        if unreachable
        else ""
    )
    return f"swap replaced nothing: the model has no {wanted.label} module (its leaves are {', '.join(leaves)}){calls}"


def _put(model: nn.Module, name: str, module: nn.Module) -> nn.Module:
    if not name:
        return module
    parent, _, child = name.rpartition(".")
    setattr(model.get_submodule(parent), child, module)
    return model


def _channels_before(model: nn.Module, name: str) -> int:
    """The channel count of the nearest module with weights that stands before `name`; 1 when there is none."""
    count = 1
    for other, module in model.named_modules():
        if other == name:
            break
        for attribute in ("out_channels", "num_features", "out_features"):
            found = getattr(module, attribute, None)
            if isinstance(found, int):
                count = found
                break
    return count
