"""Stratified, seeded choices of indices: each class keeps its share."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from edgeacts.data.dataset import ImageDataset, Labels, Split
from edgeacts.errors import UsageError

Indices = NDArray[np.int64]


def stratified_split(
    labels: Labels, fractions: Sequence[float], classes: Sequence[str], seed: int
) -> tuple[Indices, ...]:
    """Shuffled indices: first what is left, then one array for each of `fractions`; disjoint and complete.

    Of every class each array gets round(fraction x images), at least one. Raises UsageError when that leaves
    none.
    """
    rng = np.random.default_rng(seed)
    parts: list[list[Indices]] = [[] for _ in range(len(fractions) + 1)]
    for label, name in enumerate(classes):
        members = rng.permutation(np.flatnonzero(labels == label))
        counts = [max(1, round(len(members) * fraction)) for fraction in fractions]
        if len(members) <= sum(counts):
            raise UsageError(
                f"class {name!r} has {len(members)} images, at least {max(sum(counts), len(fractions)) + 1} "
                f"are needed to split them into {len(parts)} parts"
            )
        edges = np.cumsum([0, *counts])
        parts[0].append(members[edges[-1] :])
        for part, start, stop in zip(parts[1:], edges[:-1], edges[1:], strict=True):
            part.append(members[start:stop])
    return tuple(rng.permutation(np.concatenate(part)) for part in parts)


def limit(
    dataset: ImageDataset,
    *,
    train: int | None = None,
    validation: int | None = None,
    test: int | None = None,
    seed: int = 0,
) -> ImageDataset:
    """The data set with at most so many images in each split, stratified; None leaves a split as it is.

    Preprocessing stays that of the whole training split. Raises UsageError for fewer images than classes.
    """
    wanted = {"train": train, "validation": validation, "test": test}
    changes: dict[str, Split] = {}
    for number, (name, count) in enumerate(wanted.items()):
        split: Split = getattr(dataset, name)
        if count is None or len(split) <= count:
            continue
        if count < len(dataset.classes):
            raise UsageError(
                f"cannot limit {name} of {dataset.name} to {count} images: it has "
                f"{len(dataset.classes)} classes, at least one image of each is needed"
            )
        changes[name] = split.take(_stratified_subset(split.labels, count, seed + number))
    if not changes:
        return dataset
    note = ", ".join(f"{name} limited to {len(split)}" for name, split in changes.items())
    return replace(
        dataset,
        train=changes.get("train", dataset.train),
        validation=changes.get("validation", dataset.validation),
        test=changes.get("test", dataset.test),
        source=f"{dataset.source} ({note})",
    )


def _stratified_subset(labels: Labels, count: int, seed: int) -> Indices:
    """`count` indices in rising order: one of every class, the rest shared by largest remainder."""
    rng = np.random.default_rng(seed)
    present, sizes = np.unique(labels, return_counts=True)
    spare = sizes - 1
    ideal = spare * (count - len(present)) / max(1, spare.sum())
    take = np.floor(ideal).astype(np.int64)
    missing = count - len(present) - int(take.sum())
    take[np.argsort(take - ideal, kind="stable")[:missing]] += 1
    chosen = [
        rng.permutation(np.flatnonzero(labels == label))[: 1 + number]
        for label, number in zip(present, take, strict=True)
    ]
    return np.sort(np.concatenate(chosen))
