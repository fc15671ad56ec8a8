"""Which value of the candidate is which of the reference: by name, by what the values are, else by order, operator and shape.

A faulty layer changes everything behind it, so values are recognised by how near they come, not by being equal.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from edgeacts.parity.layers import Layer

EQUAL = 1e-3  # distances up to this mean the same value
NEAR = 0.5  # up to this, the same value behind a fault: another layer's values are about as far as their own size
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

    With `by_name`, values of one name, shape and operator are one. What only order or likeness pairs is dropped where a value
    behind it is equal in both models: it is a step that the other model does not take.
    """
    paired = _named(reference, candidate) if by_name else {}
    left = [r for r in reference if r.name not in set(paired.values())]
    open_ = [c for c in candidate if c.name not in paired]
    distances = _distances(left, open_)
    found = {
        open_[j].name: (left[i].name, distances.get((i, j))) for i, j in _aligned(left, open_, distances)
    }
    equal = {n for n, (_, d) in found.items() if d is not None and d <= EQUAL}
    equal |= _out_of_order(left, open_, distances, found, equal)
    equal |= {c for c, r in paired.items() if _equal_by_name(reference, candidate, r, c)}
    above_equal = frozenset().union(*(ancestors(n) for n in equal)) if equal else frozenset()
    paired |= {n: r for n, (r, _) in found.items() if n in equal or n not in above_equal}
    return paired


def _named(reference: Sequence[Layer], candidate: Sequence[Layer]) -> dict[str, str]:
    known = {r.name: r for r in reference}
    return {
        c.name: c.name
        for c in candidate
        if c.name in known and known[c.name].shape == c.shape and known[c.name].operator == c.operator
    }


def _equal_by_name(reference: Sequence[Layer], candidate: Sequence[Layer], r: str, c: str) -> bool:
    one = next(x for x in reference if x.name == r)
    other = next(x for x in candidate if x.name == c)
    return distance(one, other) <= EQUAL


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
    reference: Sequence[Layer], candidate: Sequence[Layer], distances: Mapping[tuple[int, int], float]
) -> list[tuple[int, int]]:
    """The pairs, in the order of both, with the largest sum of scores."""
    n, m = len(reference), len(candidate)
    scores = np.zeros((n, m))
    for (i, j), d in distances.items():
        scores[i, j] = _score(reference[i], candidate[j], d)
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


def _score(reference: Layer, candidate: Layer, apart: float) -> float:
    same = _SAME_SCORE if same_operator(reference.operator, candidate.operator) else 0.0
    if apart <= EQUAL:
        return _EQUAL_SCORE + same
    if apart <= NEAR:
        return _NEAR_SCORE * (1 - apart) + same
    return same


def same_operator(reference: str, candidate: str) -> bool:
    """Whether one may have become the other: Conv2d and Conv, Linear and Gemm, ReLU6 and Clip."""
    a, b = _plain(reference), _plain(candidate)
    return a == b or b in _ALIASES.get(a, ())


def _plain(operator: str) -> str:
    return re.sub(r"(\d+d?|_)", "", operator.rpartition("::")[2].lower())


def _out_of_order(
    reference: Sequence[Layer],
    candidate: Sequence[Layer],
    distances: Mapping[tuple[int, int], float],
    found: dict[str, tuple[str, float | None]],
    equal: set[str],
) -> set[str]:
    """Equal values that stand in another order on the two sides, added to `found`; each of the reference's is used once."""
    added = set[str]()
    used = {r for n, (r, _) in found.items() if n in equal}
    for (i, j), d in sorted(distances.items(), key=lambda item: item[1]):
        r, c = reference[i].name, candidate[j].name
        if d > EQUAL:
            break
        if c not in equal | added and r not in used:
            found[c] = (r, d)
            used.add(r)
            added.add(c)
    return added
