"""Colours are told apart by everybody and stand out from the page; labels do not cover each other."""

import itertools

import numpy as np
import pytest

from edgeacts.report.palette import COLOURS, DARK_BACKGROUND, DASHES, LIGHT_BACKGROUND, SYMBOLS, looks
from edgeacts.report.placement import NARROW_HEIGHT, NARROW_WIDTH, SIDES, _box, _overlap, place_labels

# Machado, Oliveira & Fernandes 2009, severity 1.0, on linear RGB
SIGHT = {
    "normal": np.eye(3),
    "protanopia": np.array(
        [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]
    ),
    "deuteranopia": np.array(
        [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    ),
    "tritanopia": np.array(
        [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]]
    ),
}
TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)])
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(rgb: np.ndarray) -> np.ndarray:
    xyz = TO_XYZ @ rgb / np.array([0.95047, 1.0, 1.08883])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("sight", SIGHT)
def test_colours_differ(theme: int, sight: str) -> None:
    seen = [lab(np.clip(SIGHT[sight] @ linear(pair[theme]), 0, 1)) for pair in COLOURS]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) >= 20


@pytest.mark.parametrize(
    ("theme", "background"), [(0, LIGHT_BACKGROUND), (1, DARK_BACKGROUND)], ids=["light", "dark"]
)
def test_colours_stand_out(theme: int, background: str) -> None:
    paper = float(TO_XYZ[1] @ linear(background))
    for pair in COLOURS:
        ink = float(TO_XYZ[1] @ linear(pair[theme]))
        assert (max(ink, paper) + 0.05) / (min(ink, paper) + 0.05) >= 3, pair[theme]


def test_looks_are_told_apart_without_colour() -> None:
    found = looks(f"a{i}" for i in range(70))
    assert len({(look.light, look.symbol) for look in found.values()}) == 70
    assert {look.symbol for look in found.values()} == set(SYMBOLS)
    assert {look.dash for look in found.values()} == set(DASHES)
    assert looks(["x", "y", "x"]) == looks(["x", "y"])


def test_labels_do_not_cover_each_other() -> None:
    points = [(0.1, 0.2), (0.16, 0.22), (0.5, 0.9), (0.52, 0.9), (0.97, 0.6), (0.5, 0.5)]
    labels = ["relu", "hardswish", "tanhexp", "mish", "leaky_relu", "sau"]
    sides = place_labels(points, labels)
    boxes = [
        _box(x * NARROW_WIDTH, (1 - y) * NARROW_HEIGHT, label, SIDES[side])
        for (x, y), label, side in zip(points, labels, sides, strict=True)
    ]
    assert all(_overlap(a, b) == 0 for a, b in itertools.combinations(boxes, 2))
    assert all(left >= 0 and right <= NARROW_WIDTH for left, _, right, _ in boxes)


def test_label_without_room_is_left_out() -> None:
    crowd = [(0.5 + 0.01 * i, 0.5) for i in range(8)]
    sides = place_labels(crowd, ["mobilenet_v2-hardswish"] * 8)
    assert "" in sides
    assert any(sides)


def test_lone_label_stands_to_the_right() -> None:
    assert place_labels([(0.3, 0.5)], ["relu"]) == ["middle right"]
    assert place_labels([(0.99, 0.5)], ["relu"]) == ["middle left"]
