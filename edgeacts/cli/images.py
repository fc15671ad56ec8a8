"""Validation images for a checkpoint or an ONNX file that carries its preprocessing."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import EdgeactsError, UsageError
from edgeacts.preprocessing import Preprocessing

COUNT = 128


def validation_images(
    data: str | None, root: str | None, preprocessing: Preprocessing | None, trained_on: str | None
) -> NDArray[np.float32] | None:
    """Preprocessed images of `data`, or of the data the checkpoint was trained on; None (said on stderr) when there are none.

    Data that was asked for by name must be there; the checkpoint's own may be missing on this machine.
    """
    name = data or trained_on
    if name is None:
        return None
    if preprocessing is None:
        raise UsageError(
            "--data needs the preprocessing, which neither model states: give a checkpoint or a file exported by edgeacts"
        )
    from edgeacts.data import load_dataset

    size = preprocessing.height if preprocessing.height == preprocessing.width else None
    try:
        dataset = load_dataset(name, Path(root) if root else None, image_size=size)
    except EdgeactsError as error:
        if data is not None:
            raise
        print(f"edgeacts: no validation images, random inputs only: {error}", file=sys.stderr)
        return None
    return preprocessing(dataset.validation.images[:COUNT])
