"""digits: 1,797 handwritten digits of 8x8 pixels, part of scikit-learn. The default: nothing to download."""

import numpy as np

from edgeacts.data.assemble import Part, Policy, assemble
from edgeacts.data.dataset import ImageDataset, Request
from edgeacts.errors import NotAvailable

POLICY = Policy(channels=1, image_size=32, horizontal_flip=False, max_shift=2)
SPLIT = {"validation": 0.2, "test": 0.2}


def load(request: Request) -> ImageDataset:
    """Grey levels 0..16 scaled to 0..255, enlarged to 32x32; 60/20/20 % stratified by seed."""
    try:
        import sklearn
        from sklearn.datasets import load_digits
    except ImportError:
        raise NotAvailable("data set digits comes with scikit-learn: pip install edgeacts[train]") from None
    bunch = load_digits()
    images = np.rint(bunch.images * (255 / 16)).astype(np.uint8)[..., None]
    part = Part(images, bunch.target.astype(np.int64), "digits")
    classes = tuple(str(digit) for digit in range(10))
    return assemble(
        request, POLICY, classes, {"train": part}, f"scikit-learn {sklearn.__version__}", carve=SPLIT
    )
