"""One progress bar a stage of the quantization, where somebody looks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def stage(shown: bool, label: str, total: int) -> Iterator[Callable[..., None]]:
    """Within the block, `step(n)` is n of `total` units on; without n, one."""
    if not shown:
        yield lambda count=1: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=label, leave=False, dynamic_ncols=True) as bar:
        yield lambda count=1: bar.update(count)
