"""The images that a quantization for OpenVINO learns from, and those that judge it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeacts.errors import UsageError
from edgeacts.quantization.checking import check_images, load_model
from edgeacts.quantization.openvino_settings import OpenVinoSettings
from edgeacts.quantization.sessions import fixed_batch


@dataclass(frozen=True)
class Data:
    """Checked images: those that calibrate, and those that judge with their labels; `batch` is the model's own, or 1."""

    calibration: NDArray[np.float32]
    judge: NDArray[np.float32]
    labels: NDArray[Any] | None
    batch: int

    @classmethod
    def prepare(
        cls,
        path: Path,
        images: Any,
        labels: Any,
        judge_images: Any,
        judge_labels: Any,
        settings: OpenVinoSettings,
    ) -> Data:
        """Raises UsageError for a file, images or labels that cannot be used."""
        if path.suffix.lower() != ".onnx" and path.is_file():
            raise UsageError(f"{path} is no ONNX file: give the float portable .onnx that it was made from")
        proto = load_model(path)
        checked = check_images(proto, images, labels)
        batch = fixed_batch(proto) or 1
        if judge_images is not None:
            judge = check_images(proto, judge_images, judge_labels)
            return cls(checked, judge, None if judge_labels is None else np.asarray(judge_labels), batch)
        if judge_labels is not None:
            raise UsageError("judge_labels without judge_images: labels of `images` are given as labels")
        order = np.random.default_rng(settings.seed).permutation(len(checked))
        judging = max(batch, round(settings.held_out * len(checked)) // batch * batch)
        of_judge, of_calibration = np.sort(order[:judging]), np.sort(order[judging:])
        kept = None if labels is None else np.asarray(labels)[of_judge]
        return cls(checked[of_calibration], checked[of_judge], kept, batch)
