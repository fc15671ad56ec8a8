"""Stratified splits, limits, statistics and the record types, on labels made here and on digits."""

import numpy as np
import pytest

from edgeacts.data import Augmentation, ImageDataset, Split, limit, load_dataset
from edgeacts.data.assemble import Part, Policy, assemble, mean_and_std
from edgeacts.data.dataset import Request
from edgeacts.data.splits import stratified_split
from edgeacts.errors import DamagedFile, UsageError
from edgeacts.preprocessing import Preprocessing

CLASSES = ("cat", "dog", "owl")


def labels_of(*counts: int, seed: int = 0) -> np.ndarray:
    labels = np.repeat(np.arange(len(counts)), counts).astype(np.int64)
    return np.random.default_rng(seed).permutation(labels)


@pytest.mark.parametrize("fractions", [(0.1,), (0.2, 0.2), (0.1, 0.1)])
@pytest.mark.parametrize("counts", [(40, 40, 40), (100, 10, 3), (3, 4, 5)])
def test_split_is_disjoint_complete_and_stratified(counts, fractions):
    labels = labels_of(*counts)
    parts = stratified_split(labels, fractions, CLASSES, seed=5)
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(labels)))
    for part, fraction in zip(parts[1:], fractions, strict=True):
        expected = [max(1, round(count * fraction)) for count in counts]
        assert np.bincount(labels[part]).tolist() == expected
    assert (np.bincount(labels[parts[0]], minlength=3) > 0).all()


def test_split_is_seeded():
    labels = labels_of(50, 50, 50)
    first, again, other = (stratified_split(labels, (0.2,), CLASSES, seed) for seed in (1, 1, 2))
    assert all((a == b).all() for a, b in zip(first, again, strict=True))
    assert set(first[1].tolist()) != set(other[1].tolist())


def test_split_mixes_the_classes():
    labels = np.repeat(np.arange(3), 100)
    for part in stratified_split(labels, (0.3, 0.3), CLASSES, seed=0):
        assert set(labels[part[:15]].tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("count", "fractions", "needed"), [(1, (0.1,), 2), (2, (0.1, 0.1), 3), (1, (0.2, 0.2), 3)]
)
def test_split_refuses_a_class_too_small(count, fractions, needed):
    message = f"class 'dog' has {count} images, at least {needed} are needed"
    with pytest.raises(UsageError, match=message):
        stratified_split(labels_of(9, count, 9), fractions, CLASSES, seed=0)


def tiny(train: tuple[int, ...] = (60, 30, 10)) -> ImageDataset:
    """Each image is filled with its index."""

    def split(labels: np.ndarray) -> Split:
        images = np.arange(len(labels), dtype=np.uint8)[:, None, None, None] * np.ones(
            (1, 16, 16, 1), np.uint8
        )
        return Split(images, labels)

    return ImageDataset(
        name="tiny", classes=CLASSES, train=split(labels_of(*train)), validation=split(labels_of(5, 5, 5)),
        test=split(labels_of(7, 7, 7)), source="made here", augmentation=Augmentation(False, 1),
        preprocessing=Preprocessing(channels=1, height=16, width=16, mean=(0.5,), std=(0.1,)),
    )  # fmt: skip


def test_limit_keeps_the_shares():
    dataset = tiny()
    limited = limit(dataset, train=50, test=6, seed=3)
    assert np.bincount(limited.train.labels).tolist() == [30, 15, 5]
    assert np.bincount(limited.test.labels).tolist() == [2, 2, 2]
    assert limited.validation is dataset.validation
    assert limited.preprocessing == dataset.preprocessing
    assert limited.source == "made here (train limited to 50, test limited to 6)"
    kept = limited.train.images[:, 0, 0, 0]
    assert len(set(kept.tolist())) == 50
    np.testing.assert_array_equal(dataset.train.labels[kept], limited.train.labels)


@pytest.mark.parametrize("count", range(3, 100, 7))
def test_limit_gives_exactly_so_many_with_every_class(count):
    labels = limit(tiny((90, 9, 1)), train=count).train.labels
    assert len(labels) == count
    assert set(labels.tolist()) == {0, 1, 2}


def test_limit_is_seeded():
    first, again, other = (limit(tiny(), train=20, seed=seed).train.images for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_limit_above_the_size_changes_nothing():
    dataset = tiny()
    assert limit(dataset, train=1000, validation=15) is dataset
    assert limit(dataset) is dataset


@pytest.mark.parametrize("count", [2, 0, -1])
def test_limit_refuses_fewer_than_classes(count):
    with pytest.raises(
        UsageError, match=f"cannot limit validation of tiny to {count} images: it has 3 classes"
    ):
        limit(tiny(), validation=count)


# ---- statistics


def test_mean_and_std_by_channel():
    images = np.random.default_rng(0).integers(0, 256, (2500, 16, 16, 3), np.uint8)
    mean, std = mean_and_std(images, "here")
    values = images.astype(np.float64) / 255
    assert mean == pytest.approx(values.mean((0, 1, 2)), rel=1e-12)
    assert std == pytest.approx(values.std((0, 1, 2)), rel=1e-12)


def test_mean_and_std_of_half_black_half_white():
    images = np.zeros((2, 4, 4, 1), np.uint8)
    images[1] = 255
    assert mean_and_std(images, "here") == ((0.5,), (0.5,))


def test_a_constant_channel_is_left_as_it_is():
    images = np.random.default_rng(0).integers(0, 256, (9, 4, 4, 3), np.uint8)
    images[..., 2] = 51
    mean, std = mean_and_std(images, "here")
    assert (mean[2], std[2]) == (0.2, 1.0)


def test_constant_images_are_refused():
    with pytest.raises(DamagedFile, match="here: all pixels of all training images are alike"):
        mean_and_std(np.full((9, 4, 4, 3), 7, np.uint8), "here")


# ---- assembly


def parts(count: int = 30) -> dict[str, Part]:
    labels = labels_of(count, count, count)
    images = np.random.default_rng(0).integers(0, 256, (3 * count, 20, 20, 3), np.uint8)
    return {"train": Part(images, labels, "here")}


POLICY = Policy(channels=3, image_size=32, horizontal_flip=True, max_shift=4)
CARVE = {"validation": 0.1, "test": 0.1}


@pytest.mark.parametrize(("size", "shift"), [(None, 4), (16, 2), (64, 8), (512, 64)])
def test_shift_grows_with_the_image(size, shift):
    dataset = assemble(Request("x", image_size=size), POLICY, CLASSES, parts(4), "here", carve=CARVE)
    assert dataset.train.images.shape == (6, size or 32, size or 32, 3)
    assert dataset.augmentation == Augmentation(horizontal_flip=True, max_shift=shift)


@pytest.mark.parametrize("size", [15, 513, 0, -3])
def test_image_size_out_of_range(size):
    with pytest.raises(UsageError, match=f"image size {size} is out of range: 16 to 512"):
        assemble(Request("x", image_size=size), POLICY, CLASSES, parts(), "here", carve=CARVE)


def test_too_large_for_memory_is_refused_before_anything_is_read():
    class Endless(list):
        def __len__(self):
            return 60_000

        def __iter__(self):
            raise AssertionError("images were read")

    part = Part(Endless(), labels_of(20_000, 20_000, 20_000), "here")
    with pytest.raises(UsageError, match=r"x: 60,000 images of 512x512 need 43.9 GiB .* at most 218"):
        assemble(Request("x", image_size=512), POLICY, CLASSES, {"train": part}, "here", carve=CARVE)


def test_one_class_is_refused():
    with pytest.raises(UsageError, match="x has one class only, 'cat': at least two are needed"):
        assemble(Request("x"), POLICY, ("cat",), parts(), "here", carve=CARVE)


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        (np.zeros((2, 4, 4), np.uint8), np.zeros(2, np.int64), r"images are uint8 \(2, 4, 4\)"),
        (np.zeros((2, 4, 4, 1), np.float32), np.zeros(2, np.int64), "images are float32"),
        (
            np.zeros((2, 4, 4, 1), np.uint8),
            np.zeros(3, np.int64),
            r"labels are int64 \(3,\), expected int64 \[2\]",
        ),
        (np.zeros((2, 4, 4, 1), np.uint8), np.zeros(2, np.int32), "labels are int32"),
    ],
)
def test_split_checks_shape_and_dtype(images, labels, message):
    with pytest.raises(UsageError, match=message):
        Split(images, labels)


# ---- digits


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return load_dataset("digits")


def test_digits_counts(digits):
    total = sum(np.bincount(split.labels) for split in (digits.train, digits.validation, digits.test))
    assert total.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # UCI's test part
    assert (len(digits.train), len(digits.validation), len(digits.test)) == (1079, 359, 359)
    assert digits.classes == tuple("0123456789")
    assert digits.train.images.shape[1:] == (32, 32, 1)
    assert digits.augmentation == Augmentation(horizontal_flip=False, max_shift=2)
    assert digits.source.startswith("scikit-learn ")


def test_digits_use_the_whole_range_and_are_no_noise(digits):
    assert (digits.train.images.min(), digits.train.images.max()) == (0, 255)
    # A nearest-mean classifier gets about 90 % of the real digits.
    means = np.stack(
        [digits.train.images[digits.train.labels == label].mean(0).ravel() for label in range(10)]
    )
    flat = digits.test.images.reshape(len(digits.test), -1).astype(np.float64)
    distances = ((flat[:, None] - means) ** 2).sum(-1)
    assert (distances.argmin(1) == digits.test.labels).mean() > 0.85


def test_digits_splits_share_no_image(digits):
    from sklearn.datasets import load_digits

    assert len({image.tobytes() for image in load_digits().images}) == 1797
    small = load_dataset("digits", image_size=16)
    images = np.concatenate([split.images for split in (small.train, small.validation, small.test)])
    assert len({image.tobytes() for image in images}) > 1780  # rounding may make two alike


def test_digits_seed(digits):
    again, other = load_dataset("digits"), load_dataset("digits", seed=1)
    np.testing.assert_array_equal(again.train.images, digits.train.images)
    assert (other.train.images != digits.train.images).any()
    assert other.preprocessing.mean != digits.preprocessing.mean


def test_digits_normalized_training_images(digits):
    values = digits.preprocessing.normalize(digits.train.images)
    assert abs(values.mean(dtype=np.float64)) < 1e-5
    assert abs(values.std(dtype=np.float64) - 1) < 1e-5
