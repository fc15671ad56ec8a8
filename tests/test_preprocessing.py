"""Preprocessing: facts worked out by hand or known from the standards, and what must be refused."""

import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from edgeacts.errors import DamagedFile, UsageError
from edgeacts.preprocessing import MAX_JSON_CHARS, RESAMPLING, Preprocessing


def grey(height: int, width: int, **changes: object) -> Preprocessing:
    return Preprocessing(
        **{"channels": 1, "height": height, "width": width, "mean": (0.0,), "std": (1.0,)} | changes
    )


def rgb(height: int, width: int, **changes: object) -> Preprocessing:
    fields = {"channels": 3, "height": height, "width": width, "mean": (0.0,) * 3, "std": (1.0,) * 3}
    return Preprocessing(**fields | changes)


GOOD = {
    "channels": 3,
    "height": 8,
    "width": 6,
    "mean": [0.4, 0.5, 0.6],
    "std": [0.1, 0.2, 0.3],
    "resize": "bilinear",
}


def random_images(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


# ---- normalize


def test_normalize_is_the_formula_in_float64_and_moves_channels_first():
    preprocessing = Preprocessing(channels=3, height=5, width=7, mean=(0.4, 0.5, 0.6), std=(0.1, 0.2, 0.3))
    images = random_images(0, 4, 5, 7, 3)
    result = preprocessing.normalize(images)
    assert result.dtype == np.float32
    assert result.shape == (4, 3, 5, 7)
    assert result.flags.c_contiguous
    for channel, (mean, std) in enumerate(zip(preprocessing.mean, preprocessing.std, strict=True)):
        expected = (images[..., channel].astype(np.float64) / 255 - mean) / std
        # Three roundings of numbers below 1, then the division by std.
        np.testing.assert_allclose(result[:, channel], expected, rtol=2**-23, atol=3 * 2**-24 / std)


def test_normalize_known_values():
    result = grey(1, 3, mean=(0.5,), std=(0.25,)).normalize(np.array([[[[0], [51], [255]]]], np.uint8))
    np.testing.assert_allclose(result.ravel(), [-2.0, -1.2, 2.0], rtol=1e-6)


def test_normalized_training_images_have_mean_0_and_std_1():
    images = random_images(1, 50, 8, 8, 1)
    values = images / 255
    result = grey(8, 8, mean=(float(values.mean()),), std=(float(values.std()),)).normalize(images)
    assert abs(result.mean(dtype=np.float64)) < 1e-6
    assert abs(result.std(dtype=np.float64) - 1) < 1e-6


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (np.zeros((2, 4, 6, 1), np.float32), "images are float32: expected a uint8 array"),
        ([[1, 2]], "images are list: expected a uint8 array"),
        (np.zeros((2, 6, 4, 1), np.uint8), r"images of shape \(2, 6, 4, 1\): expected \[N, 4, 6, 1\]"),
        (np.zeros((2, 1, 4, 6), np.uint8), r"images of shape \(2, 1, 4, 6\)"),
        (np.zeros((4, 6, 1), np.uint8), r"images of shape \(4, 6, 1\)"),
        (np.zeros((2, 4, 6, 3), np.uint8), r"images of shape \(2, 4, 6, 3\)"),
    ],
)
def test_normalize_refuses(images, message):
    with pytest.raises(UsageError, match=message):
        grey(4, 6).normalize(images)


# ---- channels


@pytest.mark.parametrize(
    ("colour", "luma"),
    [((255, 0, 0), 76), ((0, 255, 0), 150), ((0, 0, 255), 29), ((255, 255, 255), 255), ((10, 10, 10), 10)],
)
def test_rgb_to_grey_is_the_luma_of_itu_r_601(colour, luma):
    image = np.full((4, 4, 3), colour, np.uint8)
    assert (grey(4, 4).resize_images([image]) == luma).all()
    assert (grey(4, 4).resize_images([Image.fromarray(image)]) == luma).all()


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_grey_to_rgb_is_repetition(shape):
    image = random_images(2, *shape)
    result = rgb(4, 5).resize_images([image])
    assert result.shape == (1, 4, 5, 3)
    for channel in range(3):
        np.testing.assert_array_equal(result[0, ..., channel], image.reshape(4, 5))


def palette(transparent: bool) -> Image.Image:
    image = Image.new("P", (2, 2), 1)
    image.putpalette([9, 9, 9, 200, 100, 50])
    if transparent:
        image.info["transparency"] = b"\x80\xff"
    return image


SIXTEEN_BITS = np.array([[0, 128], [129, 65535]], np.uint16)
ORANGE = (200, 100, 50)
MODES = {
    "RGB": (Image.new("RGB", (2, 2), ORANGE), ORANGE),
    "RGBA": (Image.new("RGBA", (2, 2), (*ORANGE, 7)), ORANGE),
    "L": (Image.new("L", (2, 2), 77), (77, 77, 77)),
    "LA": (Image.new("LA", (2, 2), (77, 3)), (77, 77, 77)),
    "1": (Image.new("1", (2, 2), 1), (255, 255, 255)),
    "P": (palette(False), ORANGE),
    "P, transparent": (palette(True), ORANGE),
    "CMYK white": (Image.new("CMYK", (2, 2), (0, 0, 0, 0)), (255, 255, 255)),
    "CMYK black": (Image.new("CMYK", (2, 2), (0, 0, 0, 255)), (0, 0, 0)),
    "CMYK cyan": (Image.new("CMYK", (2, 2), (255, 0, 0, 0)), (0, 255, 255)),
    "YCbCr grey": (Image.new("YCbCr", (2, 2), (90, 128, 128)), (90, 90, 90)),
    "I": (Image.new("I", (2, 2), 257 * 40), (40, 40, 40)),
    "RGBA array": (np.full((2, 2, 4), (*ORANGE, 7), np.uint8), ORANGE),
    "uint16 array": (np.full((2, 2, 3), [257 * value for value in ORANGE], np.uint16), ORANGE),
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_rgb(mode):
    image, colour = MODES[mode]
    result = rgb(2, 2).resize_images([image])
    assert result.dtype == np.uint8
    np.testing.assert_array_equal(result, np.broadcast_to(np.array(colour, np.uint8), (1, 2, 2, 3)))


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_becomes_grey_as_its_rgb_would(mode):
    image, colour = MODES[mode]
    luma = 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]
    assert np.abs(grey(2, 2).resize_images([image]) - luma).max() <= 0.51


@pytest.mark.parametrize("image", [SIXTEEN_BITS, Image.fromarray(SIXTEEN_BITS)], ids=["array", "I;16"])
def test_sixteen_bits_are_scaled_and_rounded(image):
    assert grey(2, 2).resize_images([image]).ravel().tolist() == [0, 0, 1, 255]


# ---- resizing


def test_same_size_is_unchanged():
    images = random_images(3, 6, 9, 11, 3)
    np.testing.assert_array_equal(rgb(9, 11).resize_images(images), images)
    np.testing.assert_array_equal(
        rgb(9, 11).resize_images([Image.fromarray(image) for image in images]), images
    )


def test_result_is_not_the_callers_memory():
    images = random_images(3, 2, 4, 4, 1)
    result = grey(4, 4).resize_images(images)
    assert not np.shares_memory(result, images)


def test_bilinear_uses_half_pixel_centres():
    row = np.array([[0, 255]], np.uint8)
    assert grey(1, 4).resize_images([row]).ravel().tolist() == [0, 64, 191, 255]
    assert grey(1, 4, resize="nearest").resize_images([row]).ravel().tolist() == [0, 0, 255, 255]


def test_shrinking_averages():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    result = grey(32, 32).resize_images([board])
    assert result.min() >= 120  # 125 in the corners; picking pixels would give 0 or 255
    assert result.max() <= 135


@pytest.mark.parametrize("resize", RESAMPLING)
def test_a_flat_image_stays_flat_and_height_is_first(resize):
    result = rgb(7, 3, resize=resize).resize_images([np.full((20, 10, 3), ORANGE, np.uint8)])
    np.testing.assert_array_equal(result, np.broadcast_to(np.array(ORANGE, np.uint8), (1, 7, 3, 3)))


def test_mixed_sizes_and_modes_in_one_list():
    images = [
        np.full((5, 9), 10, np.uint8),
        Image.new("RGB", (3, 2), (20, 20, 20)),
        np.full((1, 1, 4), 30, np.uint8),
    ]
    result = grey(4, 4).resize_images(images)
    assert [set(image.ravel()) for image in result] == [{10}, {20}, {30}]


def test_orientation_tag_is_obeyed():
    stored = np.zeros((2, 4), np.uint8)
    stored[:, :2] = 255  # left half white; tag 6 says: turn clockwise to see it, so white comes to the top
    exif = Image.Exif()
    exif[0x0112] = 6
    file = io.BytesIO()
    Image.fromarray(stored).save(file, "PNG", exif=exif)
    with Image.open(file) as image:
        result = grey(4, 2).resize_images([image])[0, ..., 0]
    assert (result[:2] == 255).all()
    assert (result[2:] == 0).all()


def test_call_is_both_steps():
    preprocessing = grey(8, 8, mean=(0.3,), std=(0.2,))
    images = [random_images(4, 5, 6), random_images(5, 9, 9, 3)]
    np.testing.assert_array_equal(
        preprocessing(images), preprocessing.normalize(preprocessing.resize_images(images))
    )


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ([], "no images: the list is empty"),
        (np.zeros((0, 4, 4, 1), np.uint8), "no images"),
        (np.zeros((4, 4, 3), np.uint8), r"images of shape \(4, 4, 3\): expected \[N, H, W, C\], or a list"),
        (np.zeros((4, 4), np.uint8), r"images of shape \(4, 4\)"),
        (Image.new("L", (4, 4)), "images is a Image: expected a list of images"),
        ("cat.png", "images is a str"),
        (
            [np.zeros((4, 4), np.uint8), np.zeros((3, 8, 8), np.uint8)],
            r"image 1 has shape \(3, 8, 8\): expected",
        ),
        ([np.zeros((4, 4, 2), np.uint8)], r"image 0 has shape \(4, 4, 2\)"),
        ([np.zeros((0, 4), np.uint8)], r"image 0 has shape \(0, 4\)"),
        ([np.zeros(4, np.uint8)], r"image 0 has shape \(4,\)"),
        ([np.zeros((4, 4), np.float32)], r"image 0 is float32: expected uint8"),
        ([np.zeros((4, 4), np.int64)], r"image 0 is int64"),
        (["cat.png"], "image 0 is a str: expected a numpy array or a PIL image"),
        ([Image.new("F", (4, 4))], "image 0 of mode F cannot be used: values have no known range"),
        ([Image.new("I", (4, 4), 70000)], "image 0 of mode I cannot be used: values run from 70000 to 70000"),
        ([Image.new("I", (4, 4), -1)], "values run from -1"),
    ],
    ids=str,
)
def test_resize_refuses(images, message):
    with pytest.raises(UsageError, match=message):
        grey(8, 8).resize_images(images)


def test_the_error_names_the_file(tmp_path):
    path = tmp_path / "depth.tiff"
    Image.new("F", (4, 4)).save(path)
    with Image.open(path) as image, pytest.raises(UsageError, match=r"depth\.tiff of mode F"):
        grey(8, 8).resize_images([image])


# ---- JSON


def test_json_round_trip_is_exact():
    preprocessing = Preprocessing(
        channels=3,
        height=224,
        width=112,
        mean=(0.1 + 0.2, 1 / 3, 0.0),
        std=(2 / 3, 1e-3, 1.0),
        resize="bicubic",
    )
    text = preprocessing.to_json()
    assert Preprocessing.from_json(text) == preprocessing
    assert json.loads(text) == {
        "channels": 3, "height": 224, "width": 112, "mean": [0.1 + 0.2, 1 / 3, 0.0],
        "std": [2 / 3, 1e-3, 1.0], "resize": "bicubic",
    }  # fmt: skip


def test_json_good():
    assert Preprocessing.from_json(json.dumps(GOOD)).std == (0.1, 0.2, 0.3)


BAD_FIELDS = [
    ("channels", 2, "channels is 2, must be 1 or 3"),
    ("channels", 1, "mean has 3 numbers, must have one for each of the 1 channels"),
    ("channels", "3", "channels"),
    ("height", 0, "height is 0, must be 1 to 4096"),
    ("height", 4097, "height is 4097"),
    ("height", 8.5, "height"),
    ("width", -1, "width is -1"),
    ("width", 4097, "width is 4097"),
    ("mean", [0.5], "mean has 1 numbers"),
    ("mean", [0.5, 0.5, 1e30], "mean is .* must be finite"),
    ("mean", [0.5, 0.5, None], "mean"),
    ("std", [0.5, 0.5, 0.5, 0.5], "std has 4 numbers"),
    ("std", [0.5, 0.0, 0.5], "std is .* must be finite and at least"),
    ("std", [0.5, -0.1, 0.5], "std is"),
    ("std", [0.5, 1e-30, 0.5], "std is"),
    ("resize", "area", "resize is 'area', must be one of bilinear"),
    ("resize", None, "resize"),
    ("crop", 1, "crop"),
]


@pytest.mark.parametrize(("field", "value", "message"), BAD_FIELDS)
def test_json_refuses_bad_fields(field, value, message):
    with pytest.raises(DamagedFile, match=f"preprocessing cannot be read: .*{message}"):
        Preprocessing.from_json(json.dumps(GOOD | {field: value}))


@pytest.mark.parametrize("field", [name for name in GOOD if name != "resize"])
def test_json_refuses_a_missing_field(field):
    with pytest.raises(DamagedFile, match=field):
        Preprocessing.from_json(json.dumps({name: value for name, value in GOOD.items() if name != field}))


@pytest.mark.parametrize(
    "text",
    ["", "null", "[]", "{", "{}", "\ud800", "[" * 10_000, json.dumps(GOOD)[:-1],
     json.dumps(GOOD).replace("0.1", "NaN"), json.dumps(GOOD).replace("0.1", "1e999")],
    ids=range(10),
)  # fmt: skip
def test_json_refuses_what_is_no_such_json(text):
    with pytest.raises(DamagedFile, match="preprocessing cannot be read"):
        Preprocessing.from_json(text)


def test_json_refuses_what_is_too_long():
    with pytest.raises(DamagedFile, match="more than the 65,536 allowed"):
        Preprocessing.from_json(json.dumps(GOOD) + " " * MAX_JSON_CHARS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"channels": 4}, "preprocessing: channels is 4"),
        ({"std": (float("nan"),)}, "std is"),
        ({"std": (float("inf"),)}, "std is"),
        ({"mean": (float("nan"),)}, "mean is"),
    ],
)
def test_the_constructor_refuses_too(changes, message):
    with pytest.raises(UsageError, match=message):
        grey(8, 8, **changes)


def test_normalizing_needs_no_pillow():
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "import numpy as np\n"
        "from edgeacts.preprocessing import Preprocessing\n"
        "from edgeacts.errors import NotAvailable\n"
        "p = Preprocessing(channels=1, height=2, width=2, mean=(0.0,), std=(1.0,))\n"
        "assert p.normalize(np.full((1, 2, 2, 1), 255, np.uint8)).min() == 1\n"
        "try: p.resize_images([np.zeros((3, 3), np.uint8)])\n"
        "except NotAvailable as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert "pip install pillow" in done.stdout
