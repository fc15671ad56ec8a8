"""CIFAR in small archives made here, in both editions, packed and unpacked."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
import pytest

from edgeacts.data import bounded, cifar, load_dataset, places
from edgeacts.errors import DamagedFile, UsageError

BATCHES = [f"data_batch_{number}" for number in range(1, 6)]
PREFIX = {
    ("cifar10", "binary"): "cifar-10-batches-bin", ("cifar10", "python"): "cifar-10-batches-py",
    ("cifar100", "binary"): "cifar-100-binary", ("cifar100", "python"): "cifar-100-python",
}  # fmt: skip
ARCHIVE = {(name, edition): f"{name.replace('cifar', 'cifar-')}-{edition}.tar.gz" for name, edition in PREFIX}
FORMS = list(PREFIX)


@pytest.fixture(autouse=True)
def _no_other_places(monkeypatch, tmp_path):
    monkeypatch.delenv(places.ENVIRONMENT, raising=False)
    monkeypatch.setattr(places, "SYSTEM_FOLDER", tmp_path / "system")


def images_of(count: int, classes: int, seed: int) -> tuple[np.ndarray, list[int]]:
    """Images [N, 32, 32, 3] whose pixel at row 1, column 2 is (label, 100, 200)."""
    labels = [index % classes for index in range(count)]
    images = np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), np.uint8)
    images[:, 1, 2] = [(label, 100, 200) for label in labels]
    return images, labels


def encode(name: str, edition: str, images: np.ndarray, labels: list[int]) -> bytes:
    planes = images.transpose(0, 3, 1, 2).reshape(len(images), -1)  # red, green, blue, each row by row
    if edition == "binary":
        coarse = [b"\x13"] if name == "cifar100" else []
        return b"".join(
            b"".join([*coarse, bytes([label]), plane.tobytes()])
            for plane, label in zip(planes, labels, strict=True)
        )
    keys = (
        {"coarse_labels": [19] * len(labels), "fine_labels": labels}
        if name == "cifar100"
        else {"labels": labels}
    )
    content = {"data": np.ascontiguousarray(planes), "filenames": ["a.png"] * len(labels), **keys}
    return pickle.dumps(content, protocol=3)


def files_of(name: str, edition: str) -> dict[str, bytes]:
    suffix = ".bin" if edition == "binary" else ""
    if name == "cifar10":
        names = {f"{batch}{suffix}": 20 for batch in BATCHES} | {f"test_batch{suffix}": 20}
    else:
        names = {f"train{suffix}": 200, f"test{suffix}": 100}
    classes = 10 if name == "cifar10" else 100
    return {
        file: encode(name, edition, *images_of(count, classes, seed))
        for seed, (file, count) in enumerate(names.items())
    }


def pack(path: Path, files: dict[str, bytes], prefix: str = "cifar") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        folder = tarfile.TarInfo(prefix)
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
        for name, data in files.items():
            member = tarfile.TarInfo(f"{prefix}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return path


def unpack(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def assert_is(dataset, name):
    sizes = (90, 10, 20) if name == "cifar10" else (100, 100, 100)
    assert (len(dataset.train), len(dataset.validation), len(dataset.test)) == sizes
    for split in (dataset.train, dataset.validation, dataset.test):
        assert split.images.shape[1:] == (32, 32, 3)
        np.testing.assert_array_equal(split.images[:, 1, 2, 0], split.labels)
        assert (split.images[:, 1, 2, 1:] == (100, 200)).all()
    seed = 5 if name == "cifar10" else 1
    np.testing.assert_array_equal(dataset.test.images, images_of(sizes[2], len(dataset.classes), seed)[0])
    train = np.concatenate([dataset.train.images, dataset.validation.images])
    assert len({image.tobytes() for image in train}) == sizes[0] + sizes[1]


@pytest.mark.parametrize(("name", "edition"), FORMS)
def test_archive(tmp_path, name, edition):
    path = pack(tmp_path / ARCHIVE[name, edition], files_of(name, edition), PREFIX[name, edition])
    dataset = load_dataset(name, tmp_path)
    assert_is(dataset, name)
    assert dataset.source == str(path)
    assert dataset.augmentation.horizontal_flip
    assert dataset.augmentation.max_shift == 4
    assert [child.name for child in tmp_path.iterdir()] == [path.name]  # nothing was unpacked to disk


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("name", "edition"), FORMS)
def test_unpacked(tmp_path, name, edition, inside):
    folder = unpack(tmp_path / PREFIX[name, edition], files_of(name, edition))
    dataset = load_dataset(name, folder if inside else tmp_path)
    assert_is(dataset, name)
    assert dataset.source == str(folder)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_place_in_the_environments_folder(tmp_path, monkeypatch, name):
    monkeypatch.setenv(places.ENVIRONMENT, str(tmp_path))
    pack(tmp_path / name / ARCHIVE[name, "binary"], files_of(name, "binary"))
    assert_is(load_dataset(name), name)


def test_a_folder_with_train_and_test_is_not_cifar100(tmp_path):
    unpack(tmp_path, {"train": b"x", "test": b"y"})
    with pytest.raises(UsageError, match="cifar100 not found"):
        load_dataset("cifar100", tmp_path)


def test_classes():
    assert len(set(cifar.CIFAR10.classes)) == 10
    assert len(set(cifar.CIFAR100.classes)) == 100
    for classes in (cifar.CIFAR10.classes, cifar.CIFAR100.classes):
        assert list(classes) == sorted(classes)  # both sets number their classes by name
    assert cifar.CIFAR10.classes[3] == "cat"
    assert [cifar.CIFAR100.classes[label] for label in (0, 47, 99)] == ["apple", "maple_tree", "worm"]


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_missing_says_what_where_and_how(tmp_path, name):
    with pytest.raises(UsageError) as caught:
        load_dataset(name, tmp_path)
    message = str(caught.value)
    wanted = f"{ARCHIVE[name, 'binary']} or {ARCHIVE[name, 'python']}"
    assert message.startswith(f"{name} not found: looked for {wanted} in {tmp_path}")
    assert "https://www.cs.toronto.edu/~kriz/cifar.html" in message
    assert "--data-root DIR" in message


# ---- damage


def expect(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DamagedFile, match=message) as caught:
        load_dataset(name, tmp_path)
    assert "\n" not in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize(("name", "edition"), FORMS)
def test_truncated_archive(tmp_path, name, edition):
    path = pack(tmp_path / ARCHIVE[name, edition], files_of(name, edition))
    data = path.read_bytes()
    for length in (0, 5, len(data) // 2, len(data) - 4):
        path.write_bytes(data[:length])
        expect(tmp_path, name, "is truncated|is damaged")


def test_no_archive_at_all(tmp_path):
    (tmp_path / ARCHIVE["cifar10", "binary"]).write_bytes(b"<html>not found</html>")
    expect(tmp_path, "cifar10", "is damaged: Not a gzipped file")


def test_checksum(tmp_path):
    path = pack(tmp_path / ARCHIVE["cifar10", "binary"], files_of("cifar10", "binary"))
    data = path.read_bytes()
    path.write_bytes(data[:-8] + b"abcd" + data[-4:])
    expect(tmp_path, "cifar10", "is damaged: CRC check failed")


def test_missing_member(tmp_path):
    files = files_of("cifar10", "binary")
    del files["data_batch_3.bin"]
    pack(tmp_path / ARCHIVE["cifar10", "binary"], files)
    expect(tmp_path, "cifar10", r"is damaged: it has no data_batch_3\.bin")


def test_missing_unpacked_file(tmp_path):
    files = files_of("cifar10", "binary")
    del files["data_batch_3.bin"]
    unpack(tmp_path / "cifar-10-batches-bin", files)
    with pytest.raises(UsageError, match=r"data_batch_3\.bin does not exist"):
        load_dataset("cifar10", tmp_path)


def test_members_that_are_links_or_outside_are_not_followed(tmp_path):
    """A link in the archive is no file of it; a path with .. is read as its base name and never written."""
    secret = tmp_path / "secret"
    secret.write_bytes(files_of("cifar100", "binary")["test.bin"])
    root = tmp_path / "root"
    path = pack(root / ARCHIVE["cifar100", "binary"], {"train.bin": b""}, "../../escape")
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("../../escape/test.bin")
        link.type, link.linkname = tarfile.SYMTYPE, str(secret)
        archive.addfile(link)
    expect(root, "cifar100", r"it has no test\.bin, train\.bin")
    assert sorted(child.name for child in tmp_path.iterdir()) == ["root", "secret"]


def test_member_twice(tmp_path):
    path = pack(
        tmp_path / ARCHIVE["cifar100", "binary"], {"train.bin": b"", "a/test.bin": b"", "b/test.bin": b""}
    )
    expect(tmp_path, "cifar100", rf"{path.name} is damaged: it has more than one test\.bin")


def test_member_too_large(tmp_path):
    path = pack(tmp_path / "some.tar.gz", {"a": bytes(2000)})
    with pytest.raises(DamagedFile, match="a has 2,000 bytes, more than the 1,000 allowed"):
        bounded.read_tar_members(path, ["a"], max_bytes=1000)
    assert bounded.read_tar_members(path, ["a"], max_bytes=2000) == {"a": bytes(2000)}


@pytest.mark.parametrize("position", ["before", "after"])
def test_archive_bomb(tmp_path, monkeypatch, position):
    monkeypatch.setattr(bounded, "MAX_ARCHIVE_BYTES", 10**6)
    files = {"a": b"x", "zeros": bytes(2 * 10**6)}
    path = pack(tmp_path / "some.tar.gz", files if position == "after" else dict(reversed(files.items())))
    with pytest.raises(DamagedFile, match="holds more than the 1,000,000 bytes allowed"):
        bounded.read_tar_members(path, ["a"])


def test_too_many_members(tmp_path, monkeypatch):
    monkeypatch.setattr(bounded, "MAX_MEMBERS", 10)
    path = pack(tmp_path / "some.tar.gz", {f"{number}": b"" for number in range(20)})
    with pytest.raises(DamagedFile, match="has more than the 10 members allowed"):
        bounded.read_tar_members(path, ["15"])


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_binary_of_odd_size(tmp_path, name):
    files = files_of(name, "binary")
    first = next(iter(files))
    files[first] = files[first][:-1]
    pack(tmp_path / ARCHIVE[name, "binary"], files)
    expect(tmp_path, name, rf"{first} has [\d,]+ bytes, not a multiple of the 307[34] of one image")


@pytest.mark.parametrize("edition", ["binary", "python"])
@pytest.mark.parametrize(
    ("old", "new", "message"),
    [(9, 10, "has label 10, labels must be 0 to 9"), (4, 5, "has no image of class 'deer'")],
)
def test_labels(tmp_path, edition, old, new, message):
    files = files_of("cifar10", edition)
    images, labels = images_of(20, 10, 5)
    last = list(files)[-1]
    files[last] = encode("cifar10", edition, images, [new if label == old else label for label in labels])
    pack(tmp_path / ARCHIVE["cifar10", edition], files)
    expect(tmp_path, "cifar10", f"{last} {message}")


GOOD = {"data": np.zeros((2, 3072), np.uint8), "fine_labels": [0, 1]}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "has no array 'data'"),
        ({"data": b"x"}, "has no array 'data'"),
        (GOOD | {"data": np.zeros((2, 3071), np.uint8)}, r"has no array 'data' of shape \[N, 3072\]"),
        (GOOD | {"data": np.zeros(6144, np.uint8)}, "has no array 'data'"),
        (
            GOOD | {"data": np.zeros((2, 3072), np.float32)},
            "it calls dtype for something else than a uint8 array",
        ),
        ({"data": GOOD["data"], "labels": [0, 1]}, "has no list 'fine_labels'"),
        (GOOD | {"fine_labels": (0, 1)}, "has no list 'fine_labels'"),
        (GOOD | {"fine_labels": [0, "1"]}, "has no list 'fine_labels' of whole numbers"),
        (GOOD | {"fine_labels": [0, 2**70]}, "has no list 'fine_labels'"),
        (GOOD | {"fine_labels": [0]}, "has 2 images but 1 labels"),
        (
            print,
            "it names builtins.print, which is not allowed; get the binary version of the archive instead",
        ),
    ],
    ids=range(11),
)
def test_contents_of_the_python_version(tmp_path, content, message):
    files = {"train": pickle.dumps(content, protocol=3), "test": pickle.dumps(GOOD, protocol=3)}
    pack(tmp_path / ARCHIVE["cifar100", "python"], files)
    expect(tmp_path, "cifar100", f"train .*{message}")
