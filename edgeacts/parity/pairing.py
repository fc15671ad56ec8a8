"""Which value of the candidate is which of the reference: by name, by what the values are, else by order, operator and shape.

A faulty layer changes everything behind it, so values are recognised by how near they come, not by being equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Container, Mapping, Sequence

import numpy as np

from edgeacts.parity.layers import Layer

SAME = 3e-5  # distances up to this mean that both models agree so far
EQUAL = 1e-3  # up to this, one value, if not a quite right one
NEAR = 0.5  # up to this, one value behind a fault: another layer's values are about as far apart as they are large
_EQUAL_SCORE, _NEAR_SCORE, _SAME_SCORE = 10.0, 6.0, 1.0

# What torch calls it -> what ONNX calls what it becomes; names are compared in small letters without digits otherwise.
_ALIASES: Mapping[str, frozenset[str]] = {
    "batchnorm": frozenset({"batchnormalization", "conv"}),
    "linear": frozenset({"gemm", "matmul", "add"}),
    "addmm": frozenset({"gemm", "matmul", "add"}),
    "matmul": frozenset({"gemm", "matmul"}),
    "adaptiveavgpool": frozenset({"averagepool", "globalaveragepool", "reducemean"}),
    "avgpool": frozenset({"averagepool"}),
    "mean": frozenset({"reducemean", "globalaveragepool"}),
    "flatten": frozenset({"flatten", "reshape"}),
    "view": frozenset({"reshape"}),
    "permute": frozenset({"transpose"}),
    "cat": frozenset({"concat"}),
    "relu": frozenset({"relu", "clip"}),
    "hardtanh": frozenset({"clip"}),
    "silu": frozenset({"mul", "swish"}),
    "fusedconv": frozenset({"conv"}),
}


def pair(
    reference: Sequence[Layer],
    candidate: Sequence[Layer],
    ancestors: Callable[[str], frozenset[str]],
    *,
    by_name: bool,
) -> dict[str, str]:
    """Candidate's name -> reference's name. `ancestors` are those of the candidate's values.

    With `by_name`, values of one name, shape and operator are one. Where two operators differ, or only their order speaks for
    the pair, it is dropped if a value behind it agrees in both models: it is a step that the other model does not take.
    """
    paired = _named(reference, candidate) if by_name else {}
    left = [r for r in reference if r.name not in set(paired.values())]
    open_ = [c for c in candidate if c.name not in paired]
    distances = _distances(left, open_)
    alike = {(i, j) for i, j in distances if same_operator(left[i].operator, open_[j].operator)}
    aligned = _out_of_order(_aligned(left, open_, distances, alike), distances, alike)
    found = {open_[j].name: left[i].name for j, i in aligned.items()}
    sure = {open_[j].name for j, i in aligned.items() if distances[i, j] <= NEAR and (i, j) in alike}
    same = {open_[j].name for j, i in aligned.items() if distances[i, j] <= SAME}
    known = {r.name: r for r in reference}
    same |= {c.name for c in candidate if c.name in paired and distance(known[paired[c.name]], c) <= SAME}
    before = frozenset().union(*(ancestors(n) for n in same)) if same else frozenset()
    return paired | {n: r for n, r in found.items() if n in sure | same or n not in before}


def _named(reference: Sequence[Layer], candidate: Sequence[Layer]) -> dict[str, str]:
    known = {r.name: r for r in reference}
    return {
        c.name: c.name
        for c in candidate
        if c.name in known and known[c.name].shape == c.shape and known[c.name].operator == c.operator
    }


def distance(reference: Layer, candidate: Layer) -> float:
    """How far apart two values of one shape are, in units of how much the reference's elements differ from their mean."""
    a, b = reference.sample, candidate.sample
    if a.shape != b.shape:
        return float("inf")
    finite = np.isfinite(a) & np.isfinite(b)
    if not finite.any():
        return float("inf")
    largest = float(np.abs(a[finite]).max())
    if largest == 0.0:
        return 0.0 if not b[finite].any() else float("inf")
    a, b = a[finite] / largest, b[finite] / largest
    with np.errstate(over="ignore"):  # what is so far away is another value
        spread = float(np.linalg.norm(a - a.mean())) or float(np.linalg.norm(a))
        return float(np.linalg.norm(a - b)) / spread


def _distances(reference: Sequence[Layer], candidate: Sequence[Layer]) -> dict[tuple[int, int], float]:
    shapes: dict[tuple[tuple[int, ...], bool], list[int]] = {}
    for i, r in enumerate(reference):
        shapes.setdefault((r.shape, r.dtype.kind == "f"), []).append(i)
    return {
        (i, j): distance(reference[i], c)
        for j, c in enumerate(candidate)
        for i in shapes.get((c.shape, c.dtype.kind == "f"), ())
    }


def _aligned(
    reference: Sequence[Layer],
    candidate: Sequence[Layer],
    distances: Mapping[tuple[int, int], float],
    alike: Container[tuple[int, int]],
) -> list[tuple[int, int]]:
    """The pairs, in the order of both, with the largest sum of scores."""
    n, m = len(reference), len(candidate)
    scores = np.zeros((n, m))
    for pair_, apart in distances.items():
        scores[pair_] = _score(apart, alike=pair_ in alike)
    best = np.zeros((n + 1, m + 1))
    for i in range(1, n + 1):
        taken = np.where(scores[i - 1] > 0, best[i - 1, :-1] + scores[i - 1], -1.0)
        best[i, 1:] = np.maximum(best[i - 1, 1:], taken)
        best[i] = np.maximum.accumulate(best[i])
    pairs, i, j = [], n, m
    while i and j:
        if best[i, j] == best[i, j - 1]:
            j -= 1
        elif best[i, j] == best[i - 1, j]:
            i -= 1
        else:
            i, j = i - 1, j - 1
            pairs.append((i, j))
    return pairs[::-1]


def _score(apart: float, *, alike: bool) -> float:
    same = _SAME_SCORE if alike else 0.0
    if apart <= EQUAL:
        return _EQUAL_SCORE + same
    return _NEAR_SCORE * (1 - apart) + same if apart <= NEAR else same


def same_operator(reference: str, candidate: str) -> bool:
    """Whether one may have become the other: Conv2d and Conv, Linear and Gemm, ReLU6 and Clip."""
    a, b = _plain(reference), _plain(candidate)
    return a == b or b in _ALIASES.get(a, ())


def _plain(operator: str) -> str:
    return re.sub(r"(\d+d?|_)", "", operator.rpartition("::")[2].lower())


def _out_of_order(
    pairs: Sequence[tuple[int, int]],
    distances: Mapping[tuple[int, int], float],
    alike: Container[tuple[int, int]],
) -> dict[int, int]:
    """Candidate -> reference: `pairs`, and what stands in another order on the two sides.

    Equal values take the place of worse pairs; near ones of one operator are paired if neither side has another.
    """
    result = {j: i for i, j in pairs}
    settled = {j for i, j in pairs if distances[i, j] <= EQUAL}
    used = {result[j] for j in settled}
    for (i, j), apart in sorted(distances.items(), key=lambda item: item[1]):
        free = j not in settled and i not in used
        if apart <= EQUAL and free:
            result = {c: r for c, r in result.items() if r != i} | {j: i}
        elif apart <= NEAR and free and (i, j) in alike and j not in result and i not in result.values():
            result[j] = i
        else:
            continue
        settled.add(j)
        used.add(i)
    return result
