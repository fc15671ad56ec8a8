"""folder:PATH on images written here in many formats, modes and sizes."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from edgeacts.data import folder, load_dataset
from edgeacts.errors import DamagedFile, UsageError

COLOURS = {"blue": (0, 0, 250), "green": (0, 250, 0), "red": (250, 0, 0)}


def write_class(place: Path, colour: tuple[int, int, int], count: int, seed: int = 0) -> None:
    """Images of about one colour, of various sizes, formats and modes."""
    place.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    for index in range(count):
        width, height = rng.integers(8, 90, 2)
        values = np.clip(np.array(colour) + rng.integers(-5, 6, (height, width, 3)), 0, 255).astype(np.uint8)
        image = Image.fromarray(values)
        suffix, mode = (
            ("jpg", "RGB"), ("png", "RGB"), ("png", "RGBA"), ("png", "P"), ("jpeg", "CMYK"), ("BMP", "RGB"),
            ("tif", "RGB"), ("gif", "P"),
        )[index % 8]  # fmt: skip
        image.convert(mode).save(place / f"{index:03}.{suffix}")


def make(root: Path, count: int = 14, colours: dict[str, tuple[int, int, int]] = COLOURS) -> Path:
    for seed, (name, colour) in enumerate(colours.items()):
        write_class(root / name, colour, count, seed)
    return root


def load(path: Path, **options: object):
    return load_dataset(f"folder:{path}", **options)


def assert_colours(dataset):
    """Each image has the colour of its label: labels and images were not mixed up."""
    expected = np.array([COLOURS[name] for name in dataset.classes])
    for split in (dataset.train, dataset.validation, dataset.test):
        means = split.images.reshape(len(split), -1, 3).mean(1)
        assert np.abs(means - expected[split.labels]).max() < 30


def test_loads_mixed_images(tmp_path):
    dataset = load(make(tmp_path, 20))
    assert dataset.name == f"folder:{tmp_path}"
    assert dataset.classes == ("blue", "green", "red")
    assert dataset.train.images.shape == (48, 64, 64, 3)
    assert [np.bincount(split.labels).tolist() for split in (dataset.validation, dataset.test)] == [
        [2] * 3
    ] * 2
    assert_colours(dataset)
    assert dataset.source == str(tmp_path)
    assert dataset.augmentation.horizontal_flip


def test_a_files_orientation_tag_is_obeyed(tmp_path):
    """Stored with the left half white; tag 6 says to turn it clockwise, so white comes to the top."""
    stored = np.zeros((40, 40), np.uint8)
    stored[:, :20] = 255
    exif = Image.Exif()
    exif[0x0112] = 6
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for index, suffix in enumerate(("jpg", "png", "tif")):
            Image.fromarray(stored).save(tmp_path / name / f"{index}.{suffix}", exif=exif)
    dataset = load(tmp_path)
    for split in (dataset.train, dataset.validation, dataset.test):
        assert (split.images[:, :24] > 200).all()
        assert (split.images[:, 40:] < 50).all()


def test_a_mode_without_a_known_range_names_the_file(tmp_path):
    make(tmp_path, 4)
    Image.new("F", (4, 4)).save(tmp_path / "red" / "depth.tiff")
    with pytest.raises(UsageError, match=r"red/depth\.tiff of mode F cannot be used"):
        load(tmp_path)


def test_image_size(tmp_path):
    dataset = load(make(tmp_path, 4), image_size=24)
    assert dataset.train.images.shape == (6, 24, 24, 3)
    assert dataset.preprocessing.height == dataset.preprocessing.width == 24


def test_the_order_does_not_depend_on_the_file_system(tmp_path):
    first, second = make(tmp_path / "a"), tmp_path / "b"
    for path in sorted(first.rglob("*.*"), reverse=True):
        (second / path.parent.name).mkdir(parents=True, exist_ok=True)
        (second / path.parent.name / path.name).write_bytes(path.read_bytes())
    one, two, other = load(first), load(second), load(first, seed=1)
    for name in ("train", "validation", "test"):
        np.testing.assert_array_equal(getattr(one, name).images, getattr(two, name).images)
    assert (one.train.images != other.train.images).any()


def test_other_files_are_left_out_and_subfolders_are_read(tmp_path):
    make(tmp_path, 4)
    (tmp_path / "notes.txt").write_text("x")
    (tmp_path / "red" / "labels.csv").write_text("x")
    (tmp_path / "red" / ".hidden.png").write_text("x")
    (tmp_path / ".cache").mkdir()
    write_class(tmp_path / "red" / "more" / "still", COLOURS["red"], 3)
    dataset = load(tmp_path)
    assert dataset.classes == ("blue", "green", "red")
    counts = sum(np.bincount(split.labels) for split in (dataset.train, dataset.validation, dataset.test))
    assert counts.tolist() == [4, 4, 7]
    assert_colours(dataset)


def test_the_first_images_are_of_all_classes(tmp_path):
    for name in ("train", "test"):
        make(tmp_path / name, 14)
    dataset = load(tmp_path)
    for split in (dataset.train, dataset.test):
        assert set(split.labels[:14].tolist()) == {0, 1, 2}


@pytest.mark.parametrize(
    ("present", "sizes"),
    [
        (("train", "test"), (36, 3, 9)),
        (("train", "val"), (36, 9, 3)),
        (("train", "valid"), (36, 9, 3)),
        (("train", "validation", "test"), (39, 9, 9)),
    ],
)
def test_splits_that_are_there_are_kept(tmp_path, present, sizes):
    for name in present:
        make(tmp_path / name, 13 if name == "train" else 3)
    dataset = load(tmp_path)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == sizes
    assert_colours(dataset)


def test_relative_path_starts_at_the_root(tmp_path, monkeypatch):
    make(tmp_path / "photos", 4)
    assert load_dataset("folder:photos", tmp_path).source == str(tmp_path / "photos")
    monkeypatch.chdir(tmp_path)
    assert load_dataset("folder:photos").source == "photos"


def usage(tmp_path: Path, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        load(tmp_path)
    assert "\n" not in str(caught.value)


def test_refuses_what_is_no_data_set(tmp_path):
    usage(
        tmp_path / "nowhere",
        "nowhere does not exist: give folder:PATH, where PATH has a folder for each class",
    )
    usage(tmp_path, "has no subfolders: it must have one for each class")
    write_class(tmp_path / "red", COLOURS["red"], 5)
    usage(tmp_path, "has one class only, 'red': at least two are needed$")
    (tmp_path / "blue").mkdir()
    usage(tmp_path, r"blue has no images \(\.jpg, .*\): each class needs some")
    write_class(tmp_path / "blue", COLOURS["blue"], 2)
    usage(tmp_path, "class 'blue' has 2 images, at least 3 are needed to split them into 3 parts")


def test_train_alone_is_one_class_with_a_hint(tmp_path):
    make(tmp_path / "train")
    usage(tmp_path, f"has one class only, 'train'.*did you mean folder:{tmp_path}/train")


def test_classes_must_agree(tmp_path):
    make(tmp_path / "train", 4)
    make(tmp_path / "test", 4)
    write_class(tmp_path / "test" / "violet", (200, 0, 200), 3)
    usage(tmp_path, "test has class 'violet', which .*train does not have")
    (tmp_path / "test" / "violet").rename(tmp_path / "train" / "violet")
    usage(tmp_path, "violet has no images")


def png_header(width: int, height: int) -> bytes:
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"IDAT" + zlib.compress(bytes(100))
    parts = [
        struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        for body in (chunk, data)
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def truncated(suffix: str, tmp_path: Path) -> bytes:
    path = tmp_path / f"whole.{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path.read_bytes()[:-3000]


UNREADABLE = {
    "empty.png": b"",
    "page.jpg": b"<html>not found</html>",
    "postscript.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\n",
}


@pytest.mark.parametrize("name", [*UNREADABLE, "cut.png", "cut.jpg", "cut.bmp", "cut.gif", "cut.tif"])
def test_an_unreadable_image_is_named(tmp_path, name):
    make(tmp_path / "data", 4)
    data = UNREADABLE.get(name) or (
        b"" if name in UNREADABLE else truncated(name.partition(".")[2], tmp_path)
    )
    (tmp_path / "data" / "red" / name).write_bytes(data)
    with pytest.raises(
        DamagedFile, match=rf"image .*/red/{name} cannot be read: .*; repair or remove it"
    ) as caught:
        load(tmp_path / "data")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [9_000, 10_000, 30_000, 2**31 - 1])
def test_a_decompression_bomb_is_named(tmp_path, side):
    make(tmp_path, 4)
    (tmp_path / "red" / "bomb.png").write_bytes(png_header(side, side))
    with pytest.raises(
        DamagedFile, match=r"red/bomb\.png (has more than the 80,000,000 pixels allowed|cannot be read)"
    ):
        load(tmp_path)


def test_a_file_too_large_is_named(tmp_path, monkeypatch):
    make(tmp_path, 4)
    monkeypatch.setattr(folder, "MAX_FILE_BYTES", 100)
    with pytest.raises(DamagedFile, match=r"image .* has more than the 100 bytes allowed"):
        load(tmp_path)


def test_open_image_reads_a_good_one(tmp_path):
    Image.new("RGB", (3, 2), (1, 2, 3)).save(tmp_path / "a.png")
    assert np.asarray(folder.open_image(tmp_path / "a.png")).tolist() == [[[1, 2, 3]] * 3] * 2
