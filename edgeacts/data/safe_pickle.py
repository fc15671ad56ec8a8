"""Pickles of plain containers and uint8 arrays, as in CIFAR's python version, without calling what they name.

`pickle` itself is not used: a small stack machine of ours follows the opcodes that such a file needs and
refuses all others. Notes of ours stand for the three numpy names: nothing named is imported or called.
Dictionary keys must be text, since hashing nested tuples can take for ever.
"""

import math
import pickletools
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import DamagedFile

MAX_OPCODES = 2_000_000
_VALUES = frozenset(
    {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINBYTES", "SHORT_BINBYTES", "BINUNICODE"}
)
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_TUPLES = {"EMPTY_TUPLE": 0, "TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3}
_NAMES = {
    "numpy.core.multiarray _reconstruct": "reconstruct",
    "numpy._core.multiarray _reconstruct": "reconstruct",
    "numpy ndarray": "ndarray",
    "numpy dtype": "dtype",
}


class RefusedError(Exception):
    """The pickle holds what is not allowed, or is not well formed."""


def load(data: bytes, where: str) -> Any:
    """Dicts, lists, tuples, numbers, bytes, str and uint8 arrays; Python 2 strings come as bytes.

    Raises DamagedFile for anything else.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd escapes in names, which are refused anyway
            return _Machine().run(data)
    except RefusedError as error:
        reason = str(error)
    except (ValueError, IndexError, KeyError, OverflowError):
        reason = "it is not a whole pickle"
    raise DamagedFile(
        f"{where} is not read: {reason}; get the binary version of the archive instead"
    ) from None


class _Name:
    """Stands for one of the numpy names."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Dtype:
    """Stands for numpy's uint8."""


class _Array:
    """Stands for an array, which is made before it is filled."""

    content: NDArray[np.uint8] | None = None


class _Machine:
    """Stack, marks and memo of the pickle format."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def run(self, data: bytes) -> Any:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count > MAX_OPCODES:
                raise RefusedError(f"it has more than {MAX_OPCODES:,} steps")
            self.step(opcode.name, argument)
        (result,) = self.stack
        return _finished(result)

    def step(self, name: str, argument: Any) -> None:
        stack = self.stack
        if name in _VALUES:
            stack.append(argument)
        elif name in ("BINSTRING", "SHORT_BINSTRING"):
            stack.append(argument.encode("latin-1"))
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in ("BINPUT", "LONG_BINPUT"):
            self.memo[argument] = stack[-1]
        elif name in ("BINGET", "LONG_BINGET"):
            stack.append(self.memo[argument])
        elif name == "MARK":
            self.marks.append(len(stack))
        elif name == "GLOBAL":
            if argument not in _NAMES:
                raise RefusedError(f"it names {argument.replace(' ', '.')}, which is not allowed")
            stack.append(_Name(_NAMES[argument]))
        elif name == "REDUCE":
            arguments, function = stack.pop(), stack.pop()
            stack.append(_called(function, arguments))
        elif name == "BUILD":
            state = stack.pop()
            _build(stack[-1], state)
        elif name not in ("PROTO", "STOP"):
            self.step_container(name)

    def step_container(self, name: str) -> None:
        stack = self.stack
        if name == "EMPTY_DICT":
            stack.append({})
        elif name == "EMPTY_LIST":
            stack.append([])
        elif name in _TUPLES:
            start = len(stack) - _TUPLES[name]
            if start < 0:
                raise RefusedError("it is not a whole pickle")
            stack[start:] = [tuple(stack[start:])]
        elif name == "TUPLE":
            items = self.since_mark()
            stack.append(tuple(items))
        elif name in ("APPEND", "APPENDS"):
            items = self.since_mark() if name == "APPENDS" else [stack.pop()]
            _only(list, stack[-1]).extend(items)
        elif name in ("SETITEM", "SETITEMS"):
            items = self.since_mark() if name == "SETITEMS" else [stack.pop(-2), stack.pop()]
            keys = items[::2]
            if not all(isinstance(key, str | bytes) for key in keys):
                raise RefusedError("it has a dictionary key that is not text")
            _only(dict, stack[-1]).update(zip(keys, items[1::2], strict=True))
        else:
            raise RefusedError(f"its opcode {name} is not allowed")

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        items = self.stack[start:]
        del self.stack[start:]
        return items


def _only(kind: type, value: Any) -> Any:
    if type(value) is not kind:
        raise RefusedError(f"it fills a {type(value).__name__.strip('_')} as if it were a {kind.__name__}")
    return value


def _called(function: Any, arguments: Any) -> _Array | _Dtype:
    kind = function.kind if isinstance(function, _Name) else type(function).__name__
    if kind == "reconstruct":
        return _Array()
    if kind == "dtype" and isinstance(arguments, tuple) and arguments[:1] in (("u1",), (b"u1",)):
        return _Dtype()
    raise RefusedError(f"it calls {kind} for something else than a uint8 array, which is not allowed")


def _build(target: Any, state: Any) -> None:
    """Fill an array with (version, shape, dtype, is it in Fortran order, bytes)."""
    if isinstance(target, _Dtype):
        return  # its byte order, which means nothing for single bytes
    if not isinstance(target, _Array) or not isinstance(state, tuple) or len(state) != 5:
        raise RefusedError("it has a malformed array")
    _, shape, dtype, fortran, data = state
    plain = (
        isinstance(shape, tuple)
        and len(shape) <= 4
        and all(type(side) is int and side >= 0 for side in shape)
    )
    if not plain or not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
        raise RefusedError("it has a malformed array")
    if math.prod(shape) != len(data):
        raise RefusedError(f"it has an array of shape {shape} with {len(data):,} bytes")
    target.content = np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran is True else "C")


def _finished(value: Any) -> Any:
    """The value with an array, or the arrays in a dict, in the place of their notes."""
    if isinstance(value, dict):
        return {key: item.content if isinstance(item, _Array) else item for key, item in value.items()}
    return value.content if isinstance(value, _Array) else value
