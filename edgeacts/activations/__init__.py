"""The catalogue: one file per activation and one line in the list below."""

from __future__ import annotations

from functools import cache
from types import MappingProxyType

from edgeacts.activations.gelu import GELU
from edgeacts.activations.hardswish import HARDSWISH
from edgeacts.activations.leaky_relu import LEAKY_RELU
from edgeacts.activations.mish import MISH
from edgeacts.activations.nish import NISH
from edgeacts.activations.relu import RELU
from edgeacts.activations.relu6 import RELU6
from edgeacts.activations.sau import SAU
from edgeacts.activations.silu import SILU
from edgeacts.activations.tanhexp import TANHEXP
from edgeacts.definition import Activation
from edgeacts.errors import UsageError
from edgeacts.names import check_name

_LIST = (RELU, RELU6, LEAKY_RELU, SILU, HARDSWISH, GELU, MISH, TANHEXP, NISH, SAU)


@cache
def catalogue() -> MappingProxyType[str, Activation]:
    """Name -> definition, in the list's order. Raises UsageError for a name or operator that stands twice."""
    return by_name(_LIST)


def by_name(definitions: tuple[Activation, ...]) -> MappingProxyType[str, Activation]:
    """The definitions by name; duplicates are refused."""
    found: dict[str, Activation] = {}
    operators: dict[str, str] = {}
    for definition in definitions:
        if definition.name in found:
            raise UsageError(
                f"activation {definition.name!r} is defined twice: {found[definition.name].source} and {definition.source}"
            )
        if definition.operator in operators:
            raise UsageError(
                f"activations {operators[definition.operator]} and {definition.name} both have operator {definition.operator}"
            )
        found[definition.name] = definition
        operators[definition.operator] = definition.name
    return MappingProxyType(found)


def names() -> tuple[str, ...]:
    """Names of all activations in the catalogue."""
    return tuple(catalogue())


def activation(name: str) -> Activation:
    """The catalogue's definition of that name. Raises UsageError with the nearest names for an unknown one."""
    return catalogue()[check_name(name, names(), "activation")]
