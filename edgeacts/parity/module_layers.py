"""Values inside a torch module: what each module and each function called between them gives, in float64 and float32."""

from __future__ import annotations

import contextlib
import copy
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from edgeacts.errors import UsageError, one_line
from edgeacts.parity.layers import Arrays, Layer, sample

Seen = Callable[[str, str, Tensor], None]


class ModuleLayers:
    """The values of a module in eval mode; a module called again is `name#2`, a function inside it `name (function)`."""

    def __init__(
        self, model: nn.Module, label: str, sha256: str, inputs: Sequence[str], outputs: Sequence[str]
    ) -> None:
        if any(m.training for m in model.modules()):
            raise UsageError(f"{label} is in training mode: call model.eval() before locating")
        self.label, self.sha256 = label, sha256
        self.output_names = tuple(f"output {name}" for name in outputs)
        self._inputs = tuple(inputs)
        self._single = getattr(model, "_orig_mod", model)  # what torch.compile wraps
        self._double = copy.deepcopy(self._single).to(torch.float64)

    def layers(self, runs: Sequence[Mapping[str, NDArray[Any]]]) -> list[Layer]:
        """Every value in the order of computation, of the float64 module."""
        samples: dict[str, list[NDArray[np.float64]]] = {}

        def see(name: str, operator: str, tensor: Tensor) -> None:
            array = _array(tensor)
            dtypes.setdefault(name, array.dtype)
            samples.setdefault(name, []).append(sample(array))
            shapes.setdefault(name, array.shape)

        shapes: dict[str, tuple[int, ...]] = {}
        dtypes: dict[str, np.dtype[Any]] = {}
        operators: dict[str, str] = {}
        for feeds in runs:
            operators |= self._watch(self._double, feeds, np.float64, see)[1]
        return [
            Layer(n, operators[n], shapes[n], dtypes[n], np.concatenate(s))
            for n, s in samples.items()
            if len(s) == len(runs)
        ]

    def look(
        self, names: Sequence[str], runs: Sequence[Mapping[str, NDArray[Any]]], *, exact: bool
    ) -> Iterator[Arrays]:
        """The named values (of layers, or `output NAME`), run by run."""
        model, dtype = (self._double, np.float64) if exact else (self._single, np.float32)
        wanted = frozenset(names)
        for feeds in runs:
            kept: Arrays = {}

            def see(name: str, operator: str, tensor: Tensor, kept: Arrays = kept) -> None:
                if name in wanted:
                    kept[name] = _array(tensor).copy()

            outputs, _ = self._watch(model, feeds, dtype, see)
            kept.update({n: a for n, a in outputs.items() if n in wanted})
            yield kept

    def _watch(
        self, model: nn.Module, feeds: Mapping[str, NDArray[Any]], dtype: Any, see: Seen
    ) -> tuple[Arrays, dict[str, str]]:
        if len(feeds) != len(self._inputs):
            raise UsageError(
                f"{self.label} is given {len(feeds)} inputs, the candidate has {len(self._inputs)}"
            )
        tensors = [torch.from_numpy(a.astype(dtype) if a.dtype.kind == "f" else a) for a in feeds.values()]
        operators: dict[str, str] = {}
        try:
            with torch.no_grad(), _watching(model, see, operators):
                result = model(*tensors)
        except (
            RuntimeError,
            TypeError,
            ValueError,
            IndexError,
        ) as error:  # whatever a foreign forward raises
            shapes = ", ".join(f"{n} {list(a.shape)}" for n, a in feeds.items())
            raise UsageError(
                f"{self.label} does not take the candidate's inputs ({shapes}): {one_line(error)}"
            ) from error
        values = list(_tensors(result))
        if len(values) != len(self.output_names):
            raise UsageError(
                f"{self.label} gives {len(values)} outputs, the candidate {len(self.output_names)} "
                f"({', '.join(n.removeprefix('output ') for n in self.output_names)})"
            )
        return {n: _array(v) for n, v in zip(self.output_names, values, strict=True)}, operators


@contextlib.contextmanager
def _watching(model: nn.Module, see: Seen, operators: dict[str, str]) -> Iterator[None]:
    """Report every tensor once: under the innermost module that returns it, else under the function that made it.

    A function's tensor may turn out to be its module's result, so each is reported when the next is made.
    """
    path: list[str] = []
    inside: list[nn.Module] = []  # activations: one is one layer, whatever it is made of
    calls, made = Counter[str](), Counter[str]()
    waiting: list[
        tuple[str, str, Tensor, Any]
    ] = []  # name, operator, tensor, and a copy against later changes in place

    def report() -> None:
        for name, operator, _, value in waiting:
            operators[name] = operator
            see(name, operator, value)
        waiting.clear()

    def arrived(result: Any, name: str, operator: str, *, module: bool) -> None:
        tensors = list(_tensors(result))
        names = [name if len(tensors) == 1 else f"{name}[{i}]" for i in range(len(tensors))]
        if module and [id(w[2]) for w in waiting] == [id(t) for t in tensors]:
            if waiting and waiting[0][0].endswith(")"):
                waiting[:] = [(n, operator, t, v) for n, (_, _, t, v) in zip(names, waiting, strict=True)]
            return
        report()
        waiting.extend((n, operator, t, t.clone()) for n, t in zip(names, tensors, strict=True))

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            result = func(*args, **(kwargs or {}))
            called = getattr(func, "__name__", "")
            if not inside and not called.startswith("__get") and next(_tensors(result), None) is not None:
                called = called.strip("_")
                label = f"{path[-1] if path else ''} ({called})".strip()
                made[label] += 1
                numbered = label if made[label] == 1 else f"{label[:-1]}#{made[label]})"
                arrived(result, numbered, called, module=False)
            return result

    def enter(name: str, module: nn.Module) -> None:
        calls[name] += 1
        if _operator(module):
            inside.append(module)
        path.append(name if calls[name] == 1 else f"{name}#{calls[name]}")

    def leave(module: nn.Module, result: Any) -> None:
        name = path.pop()
        if _operator(module):
            inside.pop()
        if name and not inside:
            with torch._C.DisableTorchFunction():  # what is done here is no call of the model's
                arrived(result, name, _operator(module) or type(module).__name__, module=True)

    with contextlib.ExitStack() as hooks:
        for name, module in model.named_modules():
            before = module.register_forward_pre_hook(lambda m, args, name=name: enter(name, m))
            after = module.register_forward_hook(lambda m, args, result: leave(m, result))
            hooks.callback(before.remove)
            hooks.callback(after.remove)
        with Watch():
            yield
        report()


def _operator(module: nn.Module) -> str:
    """The operator that an activation of ours becomes; "" for other modules."""
    return str(getattr(getattr(module, "activation", None), "operator", ""))


def _tensors(result: Any) -> Iterator[Tensor]:
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        for item in result.values():
            yield from _tensors(item)
    elif isinstance(result, list | tuple):
        for item in result:
            yield from _tensors(item)


def _array(tensor: Tensor) -> NDArray[Any]:
    plain = tensor.detach().cpu()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()
