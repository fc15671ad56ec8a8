"""What is changed around a run and put back after it: notes, warnings, threads, random state."""

import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Beginnings of warnings that say nothing about the user's run.
_IGNORED = (
    "`isinstance(treespec, LeafSpec)` is deprecated",  # Lightning 2.6 with torch 2.13, at every loader
)


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block Lightning's notes are not shown; warnings are, but for those known and harmless."""
    loggers = [
        logging.getLogger(n)
        for n in ("pytorch_lightning", "lightning_fabric", "pytorch_lightning.utilities.rank_zero")
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in _IGNORED:
                warnings.filterwarnings("ignore", message=re.escape(text))
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def reproducible(threads: int | None) -> Iterator[None]:
    """Within the block torch uses deterministic algorithms and so many threads; then all is as it was."""
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    fill = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    count = torch.get_num_threads()
    try:
        torch.use_deterministic_algorithms(True)
        torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # for debugging, slow
        if threads is not None:
            torch.set_num_threads(threads)
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
        torch.set_num_threads(count)
