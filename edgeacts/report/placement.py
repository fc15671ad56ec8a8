"""Where to write labels so that they cover neither each other nor points, even on the narrowest screen."""

from collections.abc import Sequence

NARROW_WIDTH, NARROW_HEIGHT = 290.0, 300.0
"""Plot area in pixels at 390 px page width; on wider screens points only move apart."""
CHARACTER_WIDTH, LINE_HEIGHT, GAP = 7.4, 16.0, 9.0

Box = tuple[float, float, float, float]
SIDES = {
    "middle right": (1, 0),
    "middle left": (-1, 0),
    "top center": (0, -1),
    "bottom center": (0, 1),
    "top right": (1, -1),
    "bottom right": (1, 1),
    "top left": (-1, -1),
    "bottom left": (-1, 1),
}
"""Plotly's textposition -> the direction from the point, y downwards; the best to read first."""


def place_labels(
    points: Sequence[tuple[float, float]], labels: Sequence[str], first: str = "middle right"
) -> list[str]:
    """Plotly's `textposition` per point, or "" where a label would cover something and is left out.

    `points` are (x, y) from 0 to 1 within the plot area, y upwards; `first` is the side to try first.
    """
    sides = [first, *(side for side in SIDES if side != first)]
    pixels = [(x * NARROW_WIDTH, (1 - y) * NARROW_HEIGHT) for x, y in points]
    taken: list[Box] = [(x - 6, y - 6, x + 6, y + 6) for x, y in pixels]
    chosen = []
    for index, ((x, y), label) in enumerate(zip(pixels, labels, strict=True)):
        others = taken[:index] + taken[index + 1 :]
        costs = {side: _cost(_box(x, y, label, SIDES[side]), others) for side in sides}
        side = min(sides, key=costs.__getitem__)
        if costs[side] > 0:
            chosen.append("")
            continue
        chosen.append(side)
        taken.append(_box(x, y, label, SIDES[side]))
    return chosen


def _box(x: float, y: float, label: str, direction: tuple[int, int]) -> Box:
    width = CHARACTER_WIDTH * len(label)
    dx, dy = direction
    left = x + (GAP if dx > 0 else -GAP - width if dx < 0 else -width / 2)
    top = y + (GAP if dy > 0 else -GAP - LINE_HEIGHT if dy < 0 else -LINE_HEIGHT / 2)
    return left, top, left + width, top + LINE_HEIGHT


def _cost(box: Box, others: Sequence[Box]) -> float:
    outside = (
        max(0.0, -box[0])
        + max(0.0, box[2] - NARROW_WIDTH)
        + max(0.0, -box[1])
        + max(0.0, box[3] - NARROW_HEIGHT)
    )
    return 20 * outside + sum(_overlap(box, other) for other in others)


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return width * height if width > 0 and height > 0 else 0.0
