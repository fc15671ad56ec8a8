"""hub:NAME with a stand-in for the `datasets` library: what it is asked, what is made of its answers."""

import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image as PILImage

from edgeacts.data import load_dataset
from edgeacts.errors import DamagedFile, NotAvailable, UsageError


class Image:
    """The library's name for a column of images."""


class Value:
    """The library's name for a column of plain values."""


class ClassLabel:
    def __init__(self, *names):
        self.names = list(names)


class Table:
    """As the library's: a row by number, a column by name; images are decoded when their row is asked for."""

    def __init__(self, labels, features=None, images=None):
        self.labels = labels
        self.images = images or [PILImage.new("RGB", (9 + row % 5, 20), (row, 50 * (label or 0) % 256, 9))
                                 for row, label in enumerate(labels)]  # fmt: skip
        self.features = features or {
            "id": Value(),
            "picture": Image(),
            "kind": ClassLabel("cat", "dog", "owl"),
        }

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, key):
        if key == "kind":
            return list(self.labels)
        if isinstance(self.images[key], Exception):
            raise self.images[key]
        return {"id": key, "picture": self.images[key], "kind": self.labels[key]}


@pytest.fixture
def hub(monkeypatch):
    """A module `datasets` that answers with `hub.answer` and notes what was asked."""
    module = ModuleType("datasets")
    module.__version__ = "9.9"
    module.asked = []

    def load_dataset(*arguments, **options):
        module.asked.append((arguments, options))
        if isinstance(module.answer, Exception):
            raise module.answer
        return module.answer

    module.load_dataset = load_dataset
    module.answer = {"train": Table([0, 1, 2] * 20)}
    monkeypatch.setitem(sys.modules, "datasets", module)
    return module


def assert_pairs(dataset):
    for split in (dataset.train, dataset.validation, dataset.test):
        np.testing.assert_array_equal(split.images[:, 5, 5, 1], 50 * split.labels % 256)


def test_train_only(hub, tmp_path):
    dataset = load_dataset("hub:someone/pets", tmp_path)
    assert hub.asked == [(("someone/pets",), {"cache_dir": str(tmp_path)})]
    assert dataset.classes == ("cat", "dog", "owl")
    splits = (dataset.train, dataset.validation, dataset.test)
    assert [np.bincount(split.labels).tolist() for split in splits] == [[16] * 3, [2] * 3, [2] * 3]
    assert dataset.train.images.shape[1:] == (64, 64, 3)
    assert dataset.source == "hub someone/pets (datasets 9.9)"
    assert_pairs(dataset)


@pytest.mark.parametrize("spelling", ["validation", "valid", "val", "dev"])
def test_splits_that_are_there(hub, spelling):
    hub.answer |= {spelling: Table([0, 1, 2, 2]), "test": Table([2, 1, 0]), "extra": Table([0])}
    dataset = load_dataset("hub:pets", image_size=16)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (60, 4, 3)
    assert dataset.train.images.shape[1:] == (16, 16, 3)
    assert hub.asked == [(("pets",), {"cache_dir": None})]
    assert_pairs(dataset)


def test_a_test_split_without_labels_is_not_used(hub):
    hub.answer |= {"test": Table([-1] * 5)}
    dataset = load_dataset("hub:pets")
    assert (len(dataset.train), len(dataset.test)) == (48, 6)


def test_seed(hub):
    first, again, other = (load_dataset("hub:pets", seed=seed).train.images for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_grey_images_become_rgb(hub):
    images = [PILImage.new("L", (28, 28), 10 * row) for row in range(12)]
    hub.answer = {"train": Table([0, 1, 2] * 4, images=images)}
    assert load_dataset("hub:grey").train.images.shape == (6, 64, 64, 3)


@pytest.mark.parametrize(
    "error",
    [FileNotFoundError("no such\nthing"), ValueError("bad name"), ConnectionError(), RuntimeError("scripts")],
)
def test_not_to_be_had(hub, error):
    hub.answer = error
    with pytest.raises(
        UsageError, match=r"hub:pets cannot be loaded: .*check the name, the network"
    ) as caught:
        load_dataset("hub:pets")
    assert "\n" not in str(caught.value)


PICTURE, KIND = {"picture": Image()}, {"kind": ClassLabel("cat", "dog", "owl")}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Table([0, 1, 2] * 4), "hub:pets has no splits"),
        ({"test": Table([0, 1, 2])}, "hub:pets has no train split, only test"),
        ({}, "has no train split, only nothing"),
        (
            {"train": Table([0], {"text": Value(), **KIND})},
            r"has no Image column, only text \(Value\), kind \(ClassLabel\)",
        ),
        ({"train": Table([0], {**PICTURE, "kind": Value()})}, "has no ClassLabel column"),
        (
            {"train": Table([0] * 5, {**PICTURE, "kind": ClassLabel("cat")})},
            "hub:pets has one class only, 'cat'",
        ),
        ({"train": Table([0, 0, 1, 1, 2, 2])}, "class 'cat' has 2 images, at least 3 are needed"),
    ],
)
def test_refuses_other_kinds(hub, answer, message):
    hub.answer = answer
    with pytest.raises(UsageError, match=message):
        load_dataset("hub:pets")


def with_image(image):
    images = [PILImage.new("RGB", (9, 9), (row, 0, 0)) for row in range(12)]
    images[7] = image
    return {"train": Table([0, 1, 2] * 4, images=images)}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"train": Table([0, 1, 2, 3] * 4)}, "hub:pets train has label 3, labels must be 0 to 2"),
        ({"train": Table([0, 1, 2, None] * 4)}, "hub:pets train has label -1"),
        ({"train": Table([0, 1] * 4)}, "hub:pets train has no image of class 'owl'"),
        (with_image(None), "hub:pets train: row 7 has no image"),
        (with_image(OSError("broken\nfile")), "hub:pets train: image 7 cannot be read: broken$"),
    ],
)
def test_damaged(hub, answer, message):
    hub.answer = answer
    with pytest.raises(DamagedFile, match=message):
        load_dataset("hub:pets")


def test_without_the_library(monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(
        NotAvailable, match=r"hub:pets needs the datasets library: pip install edgeacts\[hub\]"
    ):
        load_dataset("hub:pets")
