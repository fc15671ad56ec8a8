"""Activations that a model calls as functions: seen on an example input, or found in the source of `forward`."""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


@dataclass
class Observation:
    """One forward pass: channel count at each module, modules called more than once, and the calls looked for."""

    channels: dict[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    found: list[str] = field(default_factory=list)

    @property
    def repeated(self) -> set[str]:
        """Names of the modules that were called more than once."""
        return {name for name, count in self.counts.items() if count > 1}

    @property
    def calls(self) -> tuple[str, ...]:
        """Where the functions were called, as "module (function)"; with the count where it is not one."""
        unique = dict.fromkeys(self.found)
        return tuple(c if self.found.count(c) == 1 else f"{c} x{self.found.count(c)}" for c in unique)


def observe(
    model: nn.Module, functions: tuple[str, ...], is_module: Callable[[nn.Module], bool], example: Any
) -> Observation:
    """Run `model` once in eval mode without gradients; calls made inside `is_module` modules do not count."""
    seen = Observation()
    stack: list[tuple[str, nn.Module]] = []

    class Watch(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            name = getattr(func, "__name__", "")
            if name in functions and not any(is_module(module) for _, module in stack):
                seen.found.append(f"{(stack[-1][0] if stack else '') or 'the model'} ({name})")
                with (
                    torch._C.DisableTorchFunction()
                ):  # what it calls in turn is not another call of the user's
                    return func(*args, **(kwargs or {}))
            return func(*args, **(kwargs or {}))

    def enter(name: str, module: nn.Module, args: tuple[Any, ...]) -> None:
        stack.append((name, module))
        seen.counts[name] = seen.counts.get(name, 0) + 1
        if args and isinstance(args[0], Tensor) and args[0].dim() > 0:
            seen.channels[name] = args[0].shape[1 if args[0].dim() > 1 else 0]

    def leave(*_: Any) -> None:
        stack.pop()

    with contextlib.ExitStack() as hooks:
        for name, module in model.named_modules():
            pre = module.register_forward_pre_hook(lambda m, args, name=name: enter(name, m, args))
            post = module.register_forward_hook(leave, always_call=True)
            hooks.callback(pre.remove)
            hooks.callback(post.remove)
        with _eval_mode(model), torch.no_grad(), Watch():
            model(*((example,) if isinstance(example, Tensor) else tuple(example)))
    return seen


@contextlib.contextmanager
def _eval_mode(model: nn.Module) -> Iterator[None]:
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def search_source(model: nn.Module, functions: tuple[str, ...]) -> tuple[str, ...]:
    """Places whose `forward` holds a call such as `F.relu(`, as "module (function)"."""
    if not functions:
        return ()
    pattern = re.compile(rf"\b(?!self\.)\w+\.({'|'.join(functions)})\s*\(")
    found = []
    for name, module in model.named_modules():
        if type(module).__module__.startswith(("torch.nn.modules", "edgeacts.modules")):
            continue
        try:
            source = inspect.getsource(type(module).forward)
        except (OSError, TypeError):
            continue  # built in C or typed at a prompt: nothing to read
        found += [f"{name or 'the model'} ({match})" for match in pattern.findall(source)]
    return tuple(found)
