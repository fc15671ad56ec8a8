"""The data set that the small network of small_networks is trained on, as `edgeacts.data` would load it."""

import numpy as np
from small_networks import SIDE, digit_images

from edgeacts.data import Augmentation, ImageDataset, Split
from edgeacts.preprocessing import Preprocessing


def tinted(which: slice) -> Split:
    """The digits of small_networks as uint8 images: (u / 255 - 1/2) / (1/2) is what the network was trained on."""
    images, labels = digit_images(which)
    return Split(
        np.rint((images.transpose(0, 2, 3, 1) + 1) * 127.5).astype(np.uint8), labels.astype(np.int64)
    )


def tinted_digits() -> ImageDataset:
    """900 images to train on, 300 to validate, 597 to test; 3 x 12 x 12."""
    half = (0.5, 0.5, 0.5)
    return ImageDataset(
        name="tinted digits",
        classes=tuple("0123456789"),
        train=tinted(slice(0, 900)),
        validation=tinted(slice(900, 1200)),
        test=tinted(slice(1200, 1797)),
        source="scikit-learn",
        preprocessing=Preprocessing(channels=3, height=SIDE, width=SIDE, mean=half, std=half),
        augmentation=Augmentation(horizontal_flip=False, max_shift=0),
    )
