"""IDX data sets, in small files made here; the real Fashion-MNIST where Debian's package is installed."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from edgeacts.data import idx, load_dataset, places
from edgeacts.errors import DamagedFile, UsageError

TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = (
    "train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte",
)  # fmt: skip
NAMES = ("fashion-mnist", "mnist", "kmnist")


@pytest.fixture(autouse=True)
def _no_other_places(monkeypatch, tmp_path):
    monkeypatch.delenv(places.ENVIRONMENT, raising=False)
    monkeypatch.setattr(places, "SYSTEM_FOLDER", tmp_path / "system")


def idx_bytes(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes((0, 0, 8, array.ndim)) + sizes + array.astype(np.uint8).tobytes()


def contents(train: int = 60, test: int = 20, seed: int = 0) -> dict[str, np.ndarray]:
    """Random images whose first pixel is their label."""
    rng = np.random.default_rng(seed)
    arrays = {}
    for count, images, labels in ((train, TRAIN_IMAGES, TRAIN_LABELS), (test, TEST_IMAGES, TEST_LABELS)):
        arrays[images] = rng.integers(0, 256, (count, 28, 28), np.uint8)
        arrays[labels] = (np.arange(count) % 10).astype(np.uint8)
        arrays[images][:, 0, 0] = arrays[labels]
    return arrays


def write(folder: Path, arrays: dict[str, np.ndarray], suffix: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        data = idx_bytes(array)
        (folder / f"{name}{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    return folder


def assert_is(dataset, arrays):
    """All images are there once, each with its label; 10 % of each class of train is validation."""
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (50, 10, 20)
    for split in (dataset.train, dataset.validation, dataset.test):
        np.testing.assert_array_equal(split.images[:, 0, 0, 0], split.labels)
    assert np.bincount(dataset.validation.labels).tolist() == [1] * 10
    both = np.concatenate([dataset.train.images, dataset.validation.images])
    assert sorted(image.tobytes() for image in both) == sorted(
        image.tobytes() for image in arrays[TRAIN_IMAGES]
    )
    np.testing.assert_array_equal(dataset.test.images[..., 0], arrays[TEST_IMAGES])
    np.testing.assert_array_equal(dataset.test.labels, arrays[TEST_LABELS])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_loads(tmp_path, name, suffix):
    arrays = contents()
    dataset = load_dataset(name, write(tmp_path / "here", arrays, suffix))
    assert_is(dataset, arrays)
    assert dataset.source == str(tmp_path / "here")
    assert dataset.preprocessing.height == dataset.preprocessing.width == 28
    assert dataset.augmentation.horizontal_flip == (name == "fashion-mnist")
    assert dataset.augmentation.max_shift == 2


def test_class_names():
    assert [idx.FASHION_MNIST.classes[label] for label in (0, 1, 5, 9)] == [
        "T-shirt/top", "Trouser", "Sandal", "Ankle boot",
    ]  # fmt: skip
    assert idx.MNIST.classes == tuple("0123456789")
    assert idx.KMNIST.classes == ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


def test_mean_and_std_are_those_of_the_training_split(tmp_path):
    dataset = load_dataset("mnist", write(tmp_path, contents()))
    values = dataset.train.images.astype(np.float64) / 255
    assert dataset.preprocessing.mean == pytest.approx((values.mean(),), rel=1e-12)
    assert dataset.preprocessing.std == pytest.approx((values.std(),), rel=1e-12)


def test_spelling_with_a_dot(tmp_path):
    arrays = contents()
    write(tmp_path, {name.replace("-idx", ".idx"): array for name, array in arrays.items()})
    assert_is(load_dataset("mnist", tmp_path), arrays)


@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw", "."])
def test_places_below_the_root(tmp_path, folder):
    arrays = contents()
    write(tmp_path / folder, arrays)
    assert_is(load_dataset("mnist", tmp_path), arrays)


def test_environment_and_system_folder_hold_subfolders(tmp_path, monkeypatch):
    by_environment, by_system = contents(seed=1), contents(seed=2)
    monkeypatch.setenv(places.ENVIRONMENT, str(tmp_path / "environment"))
    write(tmp_path / "system" / "mnist", by_system)
    write(tmp_path / "environment", contents(seed=3))  # not in a subfolder: which set is it?
    assert_is(load_dataset("mnist"), by_system)
    write(tmp_path / "environment" / "mnist", by_environment)
    assert_is(load_dataset("mnist"), by_environment)
    root = contents(seed=4)
    assert_is(load_dataset("mnist", write(tmp_path / "root", root)), root)


@pytest.mark.parametrize("folder", ["fashion-mnist", "FashionMNIST/raw", "kmnist"])
def test_another_sets_folder_is_not_taken_for_it(tmp_path, folder):
    write(tmp_path / folder, contents())
    with pytest.raises(UsageError, match="mnist not found"):
        load_dataset("mnist", tmp_path / folder)


CURES = {
    "fashion-mnist": "apt-get install dataset-fashion-mnist",
    "mnist": "yann.lecun.com",
    "kmnist": "rois.ac.jp",
}


@pytest.mark.parametrize("name", NAMES)
def test_missing_says_what_where_and_how(tmp_path, name, monkeypatch):
    monkeypatch.setenv(places.ENVIRONMENT, str(tmp_path / "environment"))
    with pytest.raises(UsageError) as caught:
        load_dataset(name, tmp_path)
    message = str(caught.value)
    assert message.startswith(f"{name} not found: looked for {TRAIN_IMAGES}, {TRAIN_LABELS}")
    for place in (tmp_path / name, tmp_path, tmp_path / "environment" / name, tmp_path / "system" / name):
        assert str(place) in message
    assert CURES[name] in message
    assert "--data-root DIR" in message
    assert "\n" not in message


def test_root_must_exist(tmp_path):
    with pytest.raises(
        UsageError, match=r"data root .*nowhere is not a folder: give the folder that holds mnist"
    ):
        load_dataset("mnist", tmp_path / "nowhere")


@pytest.mark.parametrize("name", [TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS])
def test_incomplete_names_what_is_missing(tmp_path, name):
    write(tmp_path, contents(), ".gz")
    (tmp_path / f"{name}.gz").unlink()
    with pytest.raises(DamagedFile, match=f"is incomplete: it has no {name}"):
        load_dataset("kmnist", tmp_path)


def damage_plain(data: bytes) -> dict[str, tuple[bytes, str]]:
    many = data[:4] + (2**31).to_bytes(4, "big") + data[8:]
    return {
        "empty": (b"", "is not the IDX file it should be: it begins with , not 00000803"),
        "magic": (b"\x89PNG" + data[4:], "begins with 89504e47, not 00000803"),
        "labels instead": (bytes((0, 0, 8, 1)) + data[4:], "begins with 00000801"),
        "signed": (bytes((0, 0, 9, 3)) + data[4:], "begins with 00000903"),
        "header cut": (data[:9], "is truncated: 12 bytes should follow, 5 do"),
        "cut": (data[:-1], "is truncated: 47,040 bytes should follow, 47,039 do"),
        "more": (data + b"x", "has more data than the 47,040 bytes"),
        "huge": (many, "says it holds 2147483648x28x28 bytes"),
        "none": (data[:4] + bytes(4) + data[8:16], "says it holds 0x28x28 bytes"),
    }


def damage_gzip(data: bytes) -> dict[str, tuple[bytes, str]]:
    packed = gzip.compress(data)
    middle = len(packed) // 2
    return {
        "cut": (packed[: len(packed) // 2], "is truncated: get it again"),
        "checksum cut": (packed[:-4], "is truncated"),
        "no gzip": (data, "is damaged: Not a gzipped file"),
        "checksum": (packed[:-8] + b"abcd" + packed[-4:], "is damaged: CRC check failed"),
        "bits": (packed[:middle] + bytes(64) + packed[middle + 64 :], "is (damaged|truncated)"),
    }


@pytest.mark.parametrize("kind", damage_plain(bytes(16)))
def test_damaged_plain(tmp_path, kind):
    arrays = contents()
    write(tmp_path, arrays)
    data, message = damage_plain(idx_bytes(arrays[TRAIN_IMAGES]))[kind]
    (tmp_path / TRAIN_IMAGES).write_bytes(data)
    with pytest.raises(DamagedFile, match=f"{TRAIN_IMAGES} .*{message}"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("kind", damage_gzip(bytes(16)))
def test_damaged_gzip(tmp_path, kind):
    arrays = contents()
    write(tmp_path, arrays, ".gz")
    data, message = damage_gzip(idx_bytes(arrays[TEST_IMAGES]))[kind]
    (tmp_path / f"{TEST_IMAGES}.gz").write_bytes(data)
    with pytest.raises(DamagedFile, match=rf"{TEST_IMAGES}\.gz {message}"):
        load_dataset("mnist", tmp_path)


def test_a_bomb_is_not_unpacked(tmp_path):
    write(tmp_path, contents(), ".gz")
    bomb = gzip.compress(idx_bytes(contents()[TEST_IMAGES]) + bytes(50 * 2**20))
    (tmp_path / f"{TEST_IMAGES}.gz").write_bytes(bomb)
    with pytest.raises(DamagedFile, match="has more data than the 15,680 bytes"):
        load_dataset("mnist", tmp_path)


def test_a_folder_in_the_place_of_a_file(tmp_path):
    write(tmp_path, contents())
    (tmp_path / TEST_LABELS).unlink()
    (tmp_path / TEST_LABELS).mkdir()
    with pytest.raises(UsageError, match=f"{TEST_LABELS} is not a regular file"):
        load_dataset("mnist", tmp_path)


def change(arrays: dict[str, np.ndarray], kind: str) -> str:
    if kind == "count":
        arrays[TEST_LABELS] = arrays[TEST_LABELS][:-1]
        return f"{TEST_LABELS} has 20 images but 19 labels"
    if kind == "label":
        arrays[TRAIN_LABELS][7] = 10
        return f"{TRAIN_LABELS} has label 10, labels must be 0 to 9"
    if kind == "class":
        arrays[TEST_LABELS][arrays[TEST_LABELS] == 3] = 4
        return f"{TEST_LABELS} has no image of class '3': each class needs at least one"
    arrays[TRAIN_IMAGES][:] = 9
    return "all pixels of all training images are alike"


@pytest.mark.parametrize("kind", ["count", "label", "class", "flat"])
def test_contents_that_do_not_fit(tmp_path, kind):
    arrays = contents()
    message = change(arrays, kind)
    with pytest.raises(DamagedFile, match=message):
        load_dataset("mnist", write(tmp_path, arrays))


def test_too_few_to_carve_validation(tmp_path):
    with pytest.raises(
        UsageError, match="class '0' has 1 images, at least 2 are needed to split them into 2 parts"
    ):
        load_dataset("mnist", write(tmp_path, contents(train=10)))


DEBIAN = Path("/usr/share/datasets/fashion-mnist")
needs_debian = pytest.mark.skipif(
    not DEBIAN.is_dir(),
    reason="needs the real images of Debian's package dataset-fashion-mnist (apt-get install it)",
)


@needs_debian
def test_the_real_fashion_mnist(monkeypatch):
    monkeypatch.setattr(places, "SYSTEM_FOLDER", DEBIAN.parent)
    dataset = load_dataset("fashion-mnist")
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == (54_000, 6_000, 10_000)
    assert dataset.source == str(DEBIAN)
    assert np.bincount(dataset.train.labels).tolist() == [5_400] * 10
    assert np.bincount(dataset.validation.labels).tolist() == [600] * 10
    assert np.bincount(dataset.test.labels).tolist() == [1_000] * 10
    assert dataset.test.labels[:5].tolist() == [9, 2, 1, 1, 6]
    # 0.2860 and 0.3530 are quoted everywhere for all 60,000 training images.
    assert dataset.preprocessing.mean == pytest.approx((0.2860,), abs=5e-4)
    assert dataset.preprocessing.std == pytest.approx((0.3530,), abs=5e-4)


@needs_debian
def test_the_real_files():
    images = idx.read_idx(DEBIAN / f"{TRAIN_IMAGES}.gz", 3)
    labels = idx.read_idx(DEBIAN / f"{TRAIN_LABELS}.gz", 1)
    assert images.shape == (60_000, 28, 28)
    assert labels[:5].tolist() == [9, 0, 0, 3, 0]
