"""f(x) ≈ a·HSwish(u) + d with u = b·x + c, or with a bend in u: what OpenVINO carries out inside the 8-bit convolution.

A polynomial is a pass over memory of its own, which with VNNI costs more than the products (docs/openvino_int8.md). These few
operations are none, but follow an activation to one to three steps only: whether a network bears that is judged by its outputs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.quantization.openvino_fits import Seen, score

_Array = NDArray[np.float64]
FUSED = "fused"
_POINTS, _DENSE = 97, 2001
_SCALES, _SHIFTS = np.geomspace(0.3, 4.0, 18), np.linspace(-2.5, 2.5, 21)
_KNEES, _SLOPES = np.linspace(-2.5, 1.5, 9), np.array([0.05, 0.15, 0.3, 0.5, 0.75, 1.4, 2.0])
_STRAIGHT = (np.array([0.0]), np.array([1.0]))
_FINER = (0.5, 0.2, 0.08)  # of the grid's distances
_BLOCK = 2048  # places tried at once


@dataclass(frozen=True)
class Curve:
    """height·HSwish(scale·v + shift) + level, where v = x - knee, times `slope` where that is negative.

    `error` is the largest distance to the activation on the inputs it was made for, evaluated in float32; `even` the even
    error that would be as bad.
    """

    knee: float
    slope: float
    scale: float
    shift: float
    height: float
    level: float
    error: float = 0.0
    even: float = 0.0

    def __call__(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """As it is evaluated: float32, one rounding an operation."""
        f = np.float32
        v = x if self.slope == 1 else x - f(self.knee)
        v = v if self.slope == 1 else np.where(v < 0, f(self.slope) * v, v)
        u = v * f(self.scale) + f(self.shift)
        hswish = u * (np.minimum(np.maximum(u + f(3), f(0)), f(6)) / f(6))
        result: NDArray[np.float32] = hswish * f(self.height) + f(self.level)
        return result


def fit_curve(function: Callable[[_Array], _Array], seen: Seen, tolerance: float) -> Curve | None:
    """The straight curve if it is near `function`, else one with a bend, else None; near is what it is for polynomials."""
    if not (np.isfinite([seen.low, seen.high, tolerance]).all() and seen.low < seen.high and tolerance > 0):
        return None
    x, dense = (np.linspace(seen.low, seen.high, count) for count in (_POINTS, _DENSE))
    y, wanted = function(x), function(dense)
    if not (np.isfinite(y).all() and np.isfinite(wanted).all()):
        return None
    for knees, slopes in (_STRAIGHT, (_KNEES, _SLOPES)):
        curve = _best(x, y, seen.density(x), knees, slopes)
        distance = np.abs(curve(dense.astype(np.float32)).astype(np.float64) - wanted)
        even = float(score(seen.density(dense), distance))
        if even <= tolerance:
            return replace(curve, error=float(distance.max()), even=even)
    return None


def _best(x: _Array, y: _Array, weights: _Array, knees: _Array, slopes: _Array) -> Curve:
    """The smallest error on a grid of knee, slope, scale and shift, then on finer ones around it."""
    axes = [knees, slopes, _SCALES, _SHIFTS]
    place = _on_grid(x, y, weights, axes)
    for finer in _FINER:
        around = np.linspace(-finer, finer, 5)
        bent = len(knees) > 1
        axes = [
            place[0] + 0.5 * around if bent else place[:1],
            place[1] * np.exp(0.5 * around) if bent else place[1:2],
            place[2] * np.exp(0.25 * around),
            place[3] + 0.35 * around,
        ]
        place = _on_grid(x, y, weights, axes)
    knee, slope, scale, shift, height, level = (float(np.float32(value)) for value in place)
    return Curve(knee, slope, scale, shift, height, level)


def _on_grid(x: _Array, y: _Array, weights: _Array, axes: list[_Array]) -> _Array:
    """(knee, slope, scale, shift, height, level) of the best place; height and level by least squares."""
    grid = np.stack([axis.ravel() for axis in np.meshgrid(*axes, indexing="ij")], axis=1)
    found, least = np.zeros(6), np.inf
    for start in range(0, len(grid), _BLOCK):
        knee, slope, scale, shift = (column[:, None] for column in grid[start : start + _BLOCK].T)
        v = x - np.where(slope == 1, 0.0, knee)
        u = scale * np.where(v < 0, slope * v, v) + shift
        h = u * np.clip(u + 3, 0, 6) / 6
        centre, middle = h @ weights, float(y @ weights)
        moved = h - centre[:, None]
        spread = np.maximum((moved * moved) @ weights, 1e-12)
        height = (moved @ (weights * (y - middle))) / spread
        errors = score(weights, np.abs(height[:, None] * moved + middle - y))
        best = int(np.argmin(errors))
        if errors[best] < least:
            least = float(errors[best])
            level = middle - height[best] * centre[best]
            found = np.array([*grid[start + best], height[best], level])
    return found


def build_curve(curve: Curve, name: str) -> Callable[[Any], Any]:
    """The curve's operations in OpenVINO, named NAME/..., as `Wiring.replace` takes them."""

    def build(x: Any) -> Any:
        import openvino.opset15 as ops

        made: list[Any] = []

        def keep(node: Any) -> Any:
            node.set_friendly_name(f"{name}/{node.get_type_name()}_{len(made)}")
            made.append(node)
            return node

        def number(value: float) -> Any:
            return ops.constant(np.array([value], np.float32))

        v = x
        if curve.slope != 1:
            v = keep(ops.prelu(keep(ops.add(v, number(-curve.knee))), number(curve.slope)))
        u = keep(ops.add(keep(ops.multiply(v, number(curve.scale))), number(curve.shift)))
        y = keep(ops.multiply(keep(ops.hswish(u)), number(curve.height)))
        return ops.add(y, number(curve.level))

    return build
